package dialect

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

var (
	_ Translate = Standard
	_ Translate = Codex
	_ Translate = Zed
	_ Translate = OpenCode
	_ Translate = Goose
)

// transports maps what clients call a transport to our word; "" leaves it to the other keys.
var transports = map[string]string{
	"stdio": "", "local": "", "remote": "", "builtin": "", "custom": "",
	"http": "streamable-http", "https": "streamable-http", "streamable-http": "streamable-http",
	"streamablehttp": "streamable-http", "streamable_http": "streamable-http",
	"sse": "sse", "ws": "websocket", "websocket": "websocket",
}

// transport reads type and its kin. A word that we do not know is kept, so that the loader can say so.
func (b *builder) transport(from ...string) {
	n := b.take(from...)
	if n == nil || n.Kind != yaml.ScalarNode {
		return
	}
	word, known := transports[strings.ToLower(n.Value)]
	if !known {
		word = n.Value
	}
	// A WebSocket address says its transport itself.
	if word != "" && !strings.HasPrefix(b.url(), "ws") {
		b.text("transport", word, n)
	}
}

func (b *builder) url() string {
	for _, key := range []string{"url", "serverUrl", "httpUrl", "uri"} {
		if n := b.in[key]; n != nil && n.Value != "" {
			return n.Value
		}
	}
	return ""
}

// Standard translates an entry of mcpServers, and of servers in VS Code's mcp.json: command, args, env, envFile, cwd, url,
// serverUrl, httpUrl, headers, type, disabled, enabled, and the tool filters of Gemini CLI, Kiro and Copilot CLI.
func Standard(entry *yaml.Node, ctx Context) Entry {
	b := newBuilder(entry, ctx)
	if b.same("command", "command") != nil {
		b.nonEmpty("args", "args")
		b.nonEmpty("env", "env")
		b.same("env_file", "envFile")
		b.same("cwd", "cwd", "workingDirectory")
		b.take("url", "serverUrl", "httpUrl", "headers", "type", "transport", "transportType")
	} else {
		b.same("url", "url", "serverUrl", "httpUrl")
		b.nonEmpty("headers", "headers")
		b.transport("type", "transport", "transportType")
		b.take("args", "env", "envFile", "cwd")
	}
	b.disabled()
	b.same("description", "description")
	b.timeout("timeout", ctx.TimeoutUnit, "timeout")
	b.timeout("timeout", "ms", "toolTimeoutMs", "requestTimeoutMs")
	if n := b.in["tools"]; n != nil && len(n.Content) == 1 && n.Content[0].Value == "*" {
		delete(b.in, "tools") // all of them
	}
	b.filter([]string{"includeTools", "tools"}, "excludeTools", "disabledTools")
	return b.finish()
}

// filter reads lists of tools to show and to hide.
func (b *builder) filter(allow []string, deny ...string) {
	filter := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	add := func(key string, n *yaml.Node) {
		if n != nil && n.Kind == yaml.SequenceNode && len(n.Content) > 0 {
			filter.Line, filter.Column = n.Line, n.Column
			filter.Content = append(filter.Content, textNode(key, n), b.copy(n))
		}
	}
	add("allow", b.take(allow...))
	add("deny", b.take(deny...))
	if len(filter.Content) > 0 {
		b.set("tools", filter)
	}
}

// Codex translates an entry of mcp_servers in Codex' config.toml.
func Codex(entry *yaml.Node, ctx Context) Entry {
	ctx.Literal = true
	b := newBuilder(entry, ctx)
	if b.same("command", "command") != nil {
		b.nonEmpty("args", "args")
		b.environment("env", "env_vars")
		b.same("cwd", "cwd")
		b.timeout("startup_timeout", "s", "startup_timeout_sec")
		b.timeout("startup_timeout", "ms", "startup_timeout_ms")
	} else {
		b.same("url", "url")
		b.codexHeaders()
		b.timeout("connect_timeout", "s", "startup_timeout_sec")
		b.timeout("connect_timeout", "ms", "startup_timeout_ms")
	}
	b.disabled()
	b.timeout("timeout", "s", "tool_timeout_sec")
	b.filter([]string{"enabled_tools"}, "disabled_tools")
	return b.finish()
}

// environment reads a mapping of variables, and a list of names whose values the client takes from its own environment.
func (b *builder) environment(values, names string) {
	env := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	if n := b.take(values); n != nil {
		env = b.copy(n)
	}
	if n := b.take(names); n != nil && env.Kind == yaml.MappingNode {
		env.Line, env.Column = n.Line, n.Column
		for _, item := range n.Content {
			if item.Kind == yaml.ScalarNode && !has(env, item.Value) {
				env.Content = append(env.Content, textNode(item.Value, item), textNode("${"+item.Value+"}", item))
			}
		}
	}
	if env.Kind != yaml.MappingNode || len(env.Content) > 0 {
		b.set("env", env)
	}
}

func has(mapping *yaml.Node, key string) bool {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return true
		}
	}
	return false
}

// codexHeaders joins fixed headers, headers whose values are in the environment, and the bearer token's variable.
func (b *builder) codexHeaders() {
	headers := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	if n := b.take("http_headers", "headers"); n != nil {
		headers = b.copy(n)
	}
	if n := b.take("env_http_headers"); n != nil {
		for i := 0; i+1 < len(n.Content); i += 2 {
			value := n.Content[i+1]
			headers.Content = append(headers.Content, n.Content[i], textNode("${"+value.Value+"}", value))
		}
	}
	if n := b.take("bearer_token_env_var"); n != nil && !has(headers, "Authorization") {
		headers.Content = append(headers.Content, textNode("Authorization", n), textNode("Bearer ${"+n.Value+"}", n))
	}
	if len(headers.Content) > 0 {
		b.set("headers", headers)
	}
}

// Zed translates an entry of context_servers. Its command is a text, or an object with path, args and env.
func Zed(entry *yaml.Node, ctx Context) Entry {
	ctx.Literal = true
	b := newBuilder(entry, ctx)
	if command := b.in["command"]; command != nil && command.Kind == yaml.MappingNode {
		inner := newBuilder(command, ctx)
		b.take("command")
		for _, key := range inner.keys {
			b.in[map[string]string{"path": "command", "args": "args", "env": "env"}[key]] = inner.in[key]
		}
	}
	if n := b.in["source"]; n != nil && n.Value == "extension" {
		b.out.Skip = "an extension of the editor starts it, which only the editor can do"
	}
	b.take("settings")
	if b.same("command", "command") != nil {
		b.nonEmpty("args", "args")
		b.nonEmpty("env", "env")
	} else {
		b.same("url", "url")
		b.nonEmpty("headers", "headers")
	}
	b.timeout("timeout", "ms", "timeout")
	b.disabled()
	return b.finish()
}

// OpenCode translates an entry of mcp: command is a list, env is called environment, references are {env:NAME}.
func OpenCode(entry *yaml.Node, ctx Context) Entry {
	ctx.Literal, ctx.Braces = true, true
	b := newBuilder(entry, ctx)
	b.take("type")
	if b.same("command", "command") != nil {
		b.nonEmpty("env", "environment", "env")
		b.same("cwd", "cwd")
	} else {
		b.same("url", "url")
		b.nonEmpty("headers", "headers")
	}
	b.timeout("list_timeout", "ms", "timeout")
	b.disabled()
	return b.finish()
}

// Goose translates an entry of extensions: cmd, envs, env_keys, uri, timeout in seconds. Its own builtins cannot be taken
// over.
func Goose(entry *yaml.Node, ctx Context) Entry {
	b := newBuilder(entry, ctx)
	if n := b.take("type"); n != nil {
		switch n.Value {
		case "builtin", "platform", "frontend", "inline_python":
			b.out.Skip = "it is part of Goose itself (" + n.Value + ")"
		case "sse":
			b.text("transport", "sse", n)
		case "streamable_http":
			b.text("transport", "streamable-http", n)
		}
	}
	if b.same("command", "cmd") != nil {
		b.nonEmpty("args", "args")
		b.environment("envs", "env_keys")
	} else {
		b.same("url", "uri")
		b.nonEmpty("headers", "headers")
		b.take("envs", "env_keys")
	}
	b.same("description", "description")
	b.timeout("timeout", "s", "timeout")
	b.disabled()
	return b.finish()
}
