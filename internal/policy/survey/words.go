package survey

import (
	"maps"
	"slices"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/policy"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// Bounds of what questions are made of, so that a configuration of thousands of names is surveyed too. What is beyond
// them is left out of what is asked by itself, and can still be met by what a policy names.
const (
	maxPeople = 2000
	maxThings = 4000
)

// someone is the id of who is known by roles and groups only.
const someone = "someone"

// words is what both configurations, and the real calls, name.
type words struct {
	people []person
	things []thing
	// byServer has the things of each server; those of none under no name.
	byServer  map[string][]thing
	hints     []hint
	arguments map[string]string // their types, by name

	seenPeople map[string]bool
	seenThings map[thing]bool
	roles      map[string]bool
	groups     map[string]bool
}

// hint is what a policy speaks of, and whether only one side has it.
type hint struct {
	policy.Hint
	changed bool
}

func gather(first, second *side, calls []Call) *words {
	w := &words{
		byServer: make(map[string][]thing), arguments: make(map[string]string), seenPeople: make(map[string]bool),
		seenThings: make(map[thing]bool), roles: make(map[string]bool), groups: make(map[string]bool),
	}
	texts := make(map[string]int)
	for _, s := range []*side{first, second} {
		for _, h := range s.policy.Hints() {
			texts[h.Text]++
			w.hints = append(w.hints, hint{Hint: h})
		}
	}
	for i := range w.hints {
		w.hints[i].changed = texts[w.hints[i].Text] == 1
		maps.Copy(w.arguments, w.hints[i].Arguments)
	}
	for _, s := range []*side{first, second} {
		w.callers(s)
		w.servers(s)
	}
	w.people = append(w.people, person{label: label(mcp.Principal{})})
	for _, h := range w.hints {
		w.named(h)
	}
	for _, call := range calls {
		w.person(call.Principal)
	}
	for _, role := range slices.Sorted(maps.Keys(w.roles)) {
		w.person(mcp.Principal{ID: someone, Roles: []string{role}})
	}
	for _, group := range slices.Sorted(maps.Keys(w.groups)) {
		w.person(mcp.Principal{ID: someone, Groups: []string{group}})
	}
	for _, area := range []string{"users", "access", "definitions", "audit", "configuration", otherName} {
		for _, action := range []policy.Action{"manage", "manage_prompts", "create_context"} {
			w.thing(thing{action, policy.Resource{Kind: "Platform", Name: area}})
		}
	}
	w.things = append(w.things, of(policy.Resource{Kind: "Model", Name: otherName})...)
	w.things = append(w.things, of(policy.Resource{Kind: "Context", Name: otherName, Owner: someone})...)
	slices.SortFunc(w.things, func(a, b thing) int { return strings.Compare(a.String(), b.String()) }) // views have no order
	for _, t := range w.things {
		w.byServer[t.of.Server] = append(w.byServer[t.of.Server], t)
	}
	return w
}

// callers are those whom a configuration says something of.
func (w *words) callers(s *side) {
	cfg := s.cfg
	for _, t := range cfg.Auth.Tokens {
		w.person(mcp.Principal{ID: t.Name})
		w.role(t.Roles...)
	}
	for _, issuer := range cfg.Auth.Issuers {
		w.role(issuer.DefaultRoles...)
		w.role(slices.Sorted(maps.Values(issuer.Roles))...)
	}
	w.role("user", "model_developer", "admin")
	w.role(cfg.Access.DefaultRoles...)
	w.role(cfg.Auth.Certificates.Roles...)
	w.person(mcp.Principal{ID: someone})
}

// servers are those of a configuration, with what it says of their tools.
func (w *words) servers(s *side) {
	for _, name := range slices.Sorted(maps.Keys(s.cfg.Servers)) {
		server := s.cfg.Servers[name]
		for _, tool := range slices.Concat([]string{otherName}, server.Tools.Allow, server.Tools.Deny, server.ReadOnly, server.Idempotent) {
			w.thing(thing{"call_tool", policy.Resource{Kind: "Tool", Server: name, Name: filled(tool)}})
		}
		for _, kind := range []policy.Kind{"Prompt", "Resource", "Server"} {
			r := policy.Resource{Kind: kind, Server: name, Name: otherName}
			if kind == "Server" {
				r.Name = ""
			}
			for _, t := range of(r) {
				w.thing(t)
			}
		}
	}
	for _, view := range s.cfg.Views {
		for kind, entries := range map[policy.Kind][]string{"Tool": view.Tools, "Prompt": view.Prompts, "Resource": view.Resources} {
			for _, entry := range entries {
				w.full(s, kind, entry)
			}
		}
		for _, entry := range view.Rename {
			w.full(s, "Tool", entry)
		}
	}
}

// full adds what a view names as server__name.
func (w *words) full(s *side, kind policy.Kind, entry string) {
	server, name, ok := strings.Cut(entry, s.cfg.Names.Separator)
	if _, known := s.cfg.Servers[server]; !ok || !known {
		return
	}
	for _, t := range of(policy.Resource{Kind: kind, Server: server, Name: filled(name)}) {
		w.thing(t)
	}
}

// filled is a name that a pattern matches.
func filled(pattern string) string { return strings.NewReplacer("*", "x", "?", "x").Replace(pattern) }

// named is what a policy names.
func (w *words) named(h hint) {
	for _, id := range h.Users {
		w.person(mcp.Principal{ID: id})
	}
	w.role(h.Roles...)
	for _, group := range h.Groups {
		w.groups[group] = true
	}
	for _, r := range h.Things {
		for _, t := range of(r) {
			w.thing(t)
		}
	}
}

func (w *words) role(names ...string) {
	for _, name := range names {
		w.roles[name] = true
	}
}

// person adds somebody.
func (w *words) person(p mcp.Principal) {
	key := p.ID + "\x00" + strings.Join(p.Roles, "\x00") + "\x01" + strings.Join(p.Groups, "\x00")
	if p.ID == "" || w.seenPeople[key] || len(w.people) >= maxPeople {
		return
	}
	w.seenPeople[key] = true
	w.people = append(w.people, person{Principal: p, label: label(p)})
}

func (w *words) thing(t thing) {
	if w.seenThings[t] || len(w.things) >= maxThings {
		return
	}
	w.seenThings[t] = true
	w.things = append(w.things, t)
}

// of is what can be done to a thing.
func of(r policy.Resource) []thing {
	var actions []policy.Action
	switch r.Kind {
	case "Tool":
		actions = []policy.Action{"call_tool"}
	case "Prompt":
		actions = []policy.Action{"get_prompt", "complete"}
	case "Resource":
		actions = []policy.Action{"read_resource", "subscribe", "complete"}
	case "Server":
		actions = []policy.Action{"list", "use_task", "extend"}
	case "Model":
		actions = []policy.Action{"infer", "manage_models"}
	case "Context":
		actions = []policy.Action{"read_context", "delete_context"}
	case "Platform":
		actions = []policy.Action{"manage", "manage_prompts", "create_context"}
	}
	var all []thing
	for _, action := range actions {
		all = append(all, thing{action, r})
	}
	return all
}
