package guards

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// judgement compares a setting of a built-in server; was and now are nil where it is not set.
type judgement func(c *comparison, path string, was, now any)

// setting is one that guards, by its keys; * stands for every key of a section that is in both.
type setting struct {
	keys  string
	judge judgement
}

// table has the settings of built-in servers that guard.
func table(builtin string) []setting {
	reach := []setting{
		{"reach.private", ordered("false", "true", "false")}, {"reach.trust_proxy", ordered("false", "true", "false")}, {"reach.allow", listed((*comparison).wider)},
		{"reach.only", listed((*comparison).wholeOr)}, {"reach.deny", listed((*comparison).narrower)},
	}
	switch builtin {
	case "web":
		return append(reach, setting{"robots", ordered("obey", "crawl-only", "obey")})
	case "httpapi":
		return append(reach, []setting{
			{"writes", ordered("ask", "on", "ask", "off")}, {"only", listed((*comparison).wholeOr)}, {"except", listed((*comparison).narrower)},
			{"path_slashes", ordered("false", "true", "false")}, {"pin", kept}, {"graphql.mutations", ordered("off", "on", "ask", "off")},
			{"graphql.ad_hoc", ordered("true", "true", "false")}, {"graphql.limits.introspection", ordered("false", "true", "false")},
		}...)
	case "database":
		return []setting{
			{"reach.only", listed((*comparison).wholeOr)}, {"reach.deny", listed((*comparison).narrower)}, {"sources", added},
			{"sources.*.posture", ordered("refuse", "warn", "refuse")}, {"sources.*.functions", listed((*comparison).wider)},
			{"sources.*.write", ordered("false", "true", "false")}, {"sources.*.confirm", ordered("true", "false", "true")},
		}
	case "filesystem":
		return []setting{
			{"mounts", added}, {"mounts.*.write", ordered("false", "true", "false")}, {"mounts.*.prefix", kept},
			{"mounts.*.extensions", listed((*comparison).wholeOr)}, {"mounts.*.hidden", ordered("false", "true", "false")}, {"mounts.*.deny", listed((*comparison).narrower)},
		}
	}
	return nil
}

// ordered judges words that stand in the order of what they guard, the least first; unset is what it is when it is not set.
func ordered(unset string, words ...string) judgement {
	or := func(v any) string {
		if v == nil {
			return unset
		}
		return fmt.Sprint(v)
	}
	return func(c *comparison, path string, was, now any) { c.down(path, or(was), or(now), words...) }
}

// listed judges lists.
func listed(judge func(*comparison, string, []string, []string)) judgement {
	texts := func(v any) []string {
		list, ok := v.([]any)
		if !ok && v != nil {
			list = []any{v}
		}
		var all []string
		for _, entry := range list {
			all = append(all, fmt.Sprint(entry))
		}
		return all
	}
	return func(c *comparison, path string, was, now any) { judge(c, path, texts(was), texts(now)) }
}

// kept judges what has to stay as it is where it is set.
func kept(c *comparison, path string, was, now any) {
	if was != nil && was != "" && fmt.Sprint(was) != fmt.Sprint(now) {
		c.less(path, "was set, and is gone or another")
	}
}

// added judges what a server leads to.
func added(c *comparison, path string, was, now any) {
	c.wider(path, slices.Sorted(maps.Keys(section(was))), slices.Sorted(maps.Keys(section(now))))
}

func (c *comparison) settings(path, builtin string, was, now json.RawMessage) {
	a, b := decode(was), decode(now)
	for _, s := range table(builtin) {
		c.at(path, strings.Split(s.keys, "."), [2]any{a, b}, s.judge)
	}
}

// at walks both along the keys of a setting, and judges what it finds there.
func (c *comparison) at(path string, keys []string, both [2]any, judge judgement) {
	if len(keys) == 0 {
		judge(c, path, both[0], both[1])
		return
	}
	was, now := section(both[0]), section(both[1])
	if keys[0] != "*" {
		c.at(path+"."+keys[0], keys[1:], [2]any{was[keys[0]], now[keys[0]]}, judge)
		return
	}
	for _, key := range slices.Sorted(maps.Keys(now)) {
		if _, there := was[key]; there {
			c.at(path+"."+key, keys[1:], [2]any{was[key], now[key]}, judge)
		}
	}
}

func decode(text json.RawMessage) any {
	var v any
	if json.Unmarshal(text, &v) != nil {
		return nil
	}
	return v
}

// section is v by its keys; a list of sections by what they are about, their url.
func section(v any) map[string]any {
	switch v := v.(type) {
	case map[string]any:
		return v
	case []any:
		all := make(map[string]any)
		for _, entry := range v {
			if s, ok := entry.(map[string]any); ok {
				all[fmt.Sprint(s["url"])] = s
			}
		}
		return all
	}
	return nil
}
