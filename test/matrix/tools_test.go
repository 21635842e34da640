package matrix

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// levels are the log levels, least severe first.
func levels() []string {
	return []string{"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}
}

// toolNames are the tools that every server of a revision has.
func toolNames(rev string) []string {
	names := []string{
		"await_cancel", "both", "broken", "change", "echo", "fail", "faults", "hold", "log", "mirror", "multi", "progress",
		"release", "roots", "sample", "shapes", "slow", "subscriptions", "table", "touch",
	}
	if rev >= rev2506 {
		names = append(names, "ask_form")
	}
	if rev >= rev2511 {
		names = append(names, "ask_url", "ask_url_first", "sample_tools")
	}
	slices.Sort(names)
	return names
}

func (s *script) tools() list {
	names := toolNames(s.rev)
	if s.has("tools") {
		names = append(names, "zz_extra")
	}
	var out list
	for _, name := range names {
		out = append(out, s.toolEntry(name))
	}
	return out
}

func (s *script) toolEntry(name string) obj {
	schema := obj{
		"type": "object", "x-acme": grease(),
		"properties": obj{"key": obj{"type": "string"}, "number": obj{"type": "integer", "maximum": bigNumber, "default": oneAndZero}},
	}
	tool := s.named(obj{"name": name, "description": "does " + name, "inputSchema": schema})
	if s.rev >= rev2503 {
		tool["annotations"] = obj{"readOnlyHint": true, "acme-hint": grease()}
	}
	if s.rev >= rev2506 && name == "table" {
		tool["outputSchema"] = obj{"type": "object", "properties": obj{"rows": obj{"type": "integer"}}, "x-acme": bigNumber}
	}
	if s.rev >= rev2511 {
		tool["execution"] = obj{"taskSupport": "forbidden"}
	}
	if s.rev == revModern && name == "shapes" {
		tool["outputSchema"] = obj{"type": "array", "items": obj{"type": "integer"}}
	}
	if s.rev == revModern && name == "mirror" {
		schema["properties"] = obj{
			"region": obj{"type": "string", "x-mcp-header": "Region"},
			"deep":   obj{"type": "object", "properties": obj{"count": obj{"type": "integer", "x-mcp-header": "Count"}}},
		}
	}
	return tool
}

// said is a result of one text.
func said(text string) obj {
	return obj{"content": list{obj{"type": "text", "text": text, "x-acme": grease()}}, "x-acme": grease()}
}

// refused is the result of a tool that failed.
func refused(format string, args ...any) obj {
	return with(said(fmt.Sprintf(format, args...)), obj{"isError": true})
}

func (s *script) callTool(c *invocation) (obj, *failure) {
	name := textAt(c.params, "name")
	if !slices.Contains(toolNames(s.rev), name) && (name != "zz_extra" || !s.has("tools")) {
		return nil, fail(-32602, "Unknown tool: %s", name)
	}
	switch name {
	case "echo":
		seen := obj{"arguments": c.params["arguments"], "meta": without(objectAt(c.params, "_meta"), "progressToken"),
			"rest": without(c.params, "name", "arguments", "_meta")}
		return said(string(encode(seen))), nil
	case "fail":
		return refused("it failed"), nil
	case "broken":
		return nil, &failure{Code: 4711, Message: "broken " + oddText, Data: grease()}
	case "progress":
		return s.progress(c)
	case "log":
		return s.log(c)
	case "slow", "hold", "release", "await_cancel":
		return s.wait(c, name)
	case "change", "touch", "subscriptions":
		return s.alter(c, name)
	case "shapes", "table":
		return s.shape(name), nil
	case "faults":
		s.mu.Lock()
		defer s.mu.Unlock()
		return said(strings.Join(s.faults, "\n")), nil
	case "ask_form", "ask_url", "ask_url_first", "sample", "sample_tools", "roots", "multi", "both":
		return s.question(c, name)
	}
	return said("done"), nil
}

// progress tells how far it is, three times.
func (s *script) progress(c *invocation) (obj, *failure) {
	if token := at(c.params, "_meta", "progressToken"); token != nil {
		for i, n := range []any{oneAndZero, jsonNumber("1.5"), jsonNumber("2")} {
			params := obj{"progressToken": token, "progress": n, "total": 2, "x-acme": grease()}
			if s.rev >= rev2503 {
				params["message"] = fmt.Sprintf("step %d %s", i, oddText)
			}
			c.notify("notifications/progress", params)
		}
	}
	return said("done"), nil
}

// log logs at every level that is wanted, and a level that does not exist.
func (s *script) log(c *invocation) (obj, *failure) {
	from := slices.Index(levels(), c.level)
	for i, level := range levels() {
		if from >= 0 && i >= from {
			c.notify("notifications/message", obj{"level": level, "logger": "acme", "data": obj{"level": level, "x-acme": grease()}, "x-acme": grease()})
		}
	}
	return said(c.level), nil
}

func (s *script) wait(c *invocation, name string) (obj, *failure) {
	k := textAt(c.params, "arguments", "key")
	begun := func() {
		if token := at(c.params, "_meta", "progressToken"); token != nil {
			c.notify("notifications/progress", obj{"progressToken": token, "progress": 1})
		}
	}
	switch name {
	case "slow":
		begun()
		<-c.ctx.Done()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.endings[k] = context.Cause(c.ctx).Error()
		return nil, fail(-32000, "cancelled")
	case "await_cancel":
		how := ""
		await(c.ctx, func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			how = s.endings[k]
			return how != ""
		})
		return said(how), nil
	case "hold":
		begun()
		select {
		case <-s.gate(k):
			return said("held " + k), nil
		case <-c.ctx.Done():
			return nil, fail(-32000, "cancelled")
		}
	default:
		close(s.gate(k))
		return said("released"), nil
	}
}

func (s *script) alter(c *invocation, name string) (obj, *failure) {
	switch name {
	case "change":
		what := textAt(c.params, "arguments", "what")
		s.mu.Lock()
		s.extra[what] = at(c.params, "arguments", "on") == true
		s.mu.Unlock()
		news, params := "notifications/"+what+"/list_changed", obj{"_meta": obj{"acme/note": bigNumber}}
		if s.newsOnCalls {
			c.notify(news, params)
			break
		}
		s.announce(news, params, func(l *listener) bool { return l.lists[what] })
	case "touch":
		uri := textAt(c.params, "arguments", "uri")
		s.announce("notifications/resources/updated", obj{"uri": uri, "x-acme": grease()}, func(l *listener) bool { return l.uris[uri] })
	case "subscriptions":
		return said(string(encode(s.subscribed()))), nil
	}
	return said("done"), nil
}

// shape returns every kind of content that the revision has, and one that none has.
func (s *script) shape(name string) obj {
	if name == "table" {
		result := said(`{"rows":3}`)
		if s.rev >= rev2506 {
			result["structuredContent"] = obj{"rows": 3, "big": bigNumber}
		}
		return result
	}
	content := list{
		obj{"type": "text", "text": "[1,2]"},
		obj{"type": "image", "data": "AAAA", "mimeType": "image/png", "x-acme": grease()},
		obj{"type": "resource", "resource": obj{"uri": s.uri("doc"), "text": "embedded", "mimeType": "text/plain"}},
		obj{"type": "acme/chart", "points": list{bigNumber}},
	}
	if s.rev >= rev2503 {
		content = append(content, obj{"type": "audio", "data": "BBBB", "mimeType": "audio/wav"})
	}
	if s.rev >= rev2506 {
		content = append(content, obj{"type": "resource_link", "uri": s.uri("doc"), "name": "doc", "x-acme": grease()})
	}
	result := obj{"content": content, "x-acme": grease()}
	if s.rev == revModern {
		result["structuredContent"] = list{1, 2}
	}
	return result
}
