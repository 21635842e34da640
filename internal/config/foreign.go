package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/dragoman-mcp/dragoman/internal/config/dialect"
	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

// foreign turns a client's file, {"mcpServers": {…}} or VS Code's {"servers": {…}, "inputs": […]}, into our own, and
// leaves any other document as it is; theirs tells which it is. Everything but the servers is the client's business and is
// not read.
func foreign(file string, root *yaml.Node, env func(string) (string, bool)) (ours *yaml.Node, remarks []string, theirs bool) {
	servers := yamlMapping(root, "mcpServers")
	if servers == nil && isVSCode(root) {
		servers = yamlMapping(root, "servers")
	}
	if servers == nil {
		return root, nil, false
	}
	home, _ := env("HOME")
	ctx := dialect.Context{Folder: workspace(file), Home: home}
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: servers.Line, Column: servers.Column}
	remarks = unread(root)
	if servers.Kind != yaml.MappingNode {
		out = servers
	}
	for i := 0; out != servers && i+1 < len(servers.Content); i += 2 {
		key, body := *servers.Content[i], servers.Content[i+1]
		if body.Kind == yaml.AliasNode {
			body = body.Alias
		}
		if name := dialect.Name(key.Value, defaultSeparator); name != key.Value {
			remarks = append(remarks, fmt.Sprintf("%s: server %q is called %q here",
				strict.Place{File: file, Line: key.Line, Column: key.Column}, key.Value, name))
			key.Value = name
		}
		if body.Kind == yaml.MappingNode {
			entry := dialect.Standard(body, ctx)
			body = entry.Node
			for _, r := range entry.Remarks {
				remarks = append(remarks, fmt.Sprintf("server %s: %s", key.Value, r))
			}
		}
		out.Content = append(out.Content, &key, body)
	}
	name := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "servers", Line: out.Line, Column: out.Column}
	return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: root.Line, Column: root.Column,
		Content: []*yaml.Node{name, out}}, remarks, true
}

// isVSCode recognises a mcp.json of VS Code, whose top-level key is the same as ours: it is JSON, has nothing but servers
// and inputs, and has inputs or a server with the key type, which we do not have.
func isVSCode(root *yaml.Node) bool {
	servers := yamlMapping(root, "servers")
	if servers == nil || root.Style != yaml.FlowStyle {
		return false
	}
	for i := 0; i < len(root.Content); i += 2 {
		if !slices.Contains([]string{"servers", "inputs", "sandbox"}, root.Content[i].Value) {
			return false
		}
	}
	if yamlMapping(root, "inputs") != nil {
		return true
	}
	return slices.ContainsFunc(servers.Content, func(n *yaml.Node) bool { return yamlMapping(n, "type") != nil })
}

// unread warns about keys of our own beside mcpServers, which somebody may believe to count.
func unread(root *yaml.Node) []string {
	var warnings []string
	for _, f := range strict.Fields(reflect.TypeFor[Config]()) {
		if yamlMapping(root, f.Key) != nil && f.Key != "servers" {
			warnings = append(warnings, fmt.Sprintf(
				"%s is not read from a client's file; put the servers under servers instead of mcpServers", f.Key))
		}
	}
	return warnings
}

// workspace is the folder that ${workspaceFolder} means: the one that holds .vscode, or else the file's own.
func workspace(file string) string {
	if file == "-" {
		return ""
	}
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return ""
	}
	if slices.Contains([]string{".vscode", ".cursor", ".kiro", ".gemini"}, filepath.Base(dir)) {
		return filepath.Dir(dir)
	}
	return dir
}
