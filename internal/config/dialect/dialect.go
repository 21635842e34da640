// Package dialect translates what MCP clients write about a server into the keys of our own file. It works on the nodes
// of the document and keeps their places, so that a fault found later still points into the client's file.
//
// It does not know where clients keep their files, and it does not judge: what it makes is checked by package config.
package dialect

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// Context is what a translation needs to know about the file.
type Context struct {
	// Folder stands for ${workspaceFolder}, Home for ${userHome}. When empty such references are left as they are.
	Folder, Home string
	// Literal is set for clients that expand nothing: a $ in their files is a $.
	Literal bool
	// BareDollar is set for clients that also write $NAME.
	BareDollar bool
	// Braces is set for clients that write {env:NAME} and {file:path}.
	Braces bool
	// TimeoutUnit is what a bare number in timeout counts: "s" or "ms". When empty, timeout is ignored.
	TimeoutUnit string
}

// Entry is one server, translated.
type Entry struct {
	// Node is a mapping with our keys.
	Node *yaml.Node
	// Ignored lists keys of the client that have no meaning here.
	Ignored []string
	// Remarks tell what a person should know about the translation.
	Remarks []string
	// Skip, when not empty, is why nobody but the client can run this server.
	Skip string
}

// Translate reads one entry of one kind of file.
type Translate func(entry *yaml.Node, ctx Context) Entry

// harmless are keys whose loss changes nothing for a gateway: consent and looks.
var harmless = map[string]bool{
	"autoApprove": true, "alwaysAllow": true, "trust": true, "gallery": true, "icon": true, "version": true,
	"source": true, "bundled": true, "display_name": true, "available_tools": true, "dev": true, "name": true,
}

// builder collects the translation of one entry.
type builder struct {
	Context
	in   map[string]*yaml.Node
	keys []string // of in, in the order of the file
	used map[string]bool
	out  Entry

	copies map[*yaml.Node]*yaml.Node // by original
}

func newBuilder(entry *yaml.Node, ctx Context) *builder {
	b := &builder{Context: ctx, in: map[string]*yaml.Node{}, used: map[string]bool{}, copies: map[*yaml.Node]*yaml.Node{}}
	b.out.Node = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: entry.Line, Column: entry.Column}
	for i := 0; i+1 < len(entry.Content); i += 2 {
		key := entry.Content[i].Value
		b.in[key] = resolve(entry.Content[i+1])
		b.keys = append(b.keys, key)
	}
	return b
}

// take gives the first of the keys that is there and not null.
func (b *builder) take(keys ...string) *yaml.Node {
	var found *yaml.Node
	for _, key := range keys {
		b.used[key] = true
		if n := b.in[key]; n != nil && n.Tag != "!!null" && found == nil {
			found = n
		}
	}
	return found
}

// set adds one of our keys, unless it is there already.
func (b *builder) set(key string, value *yaml.Node) {
	if value == nil || has(b.out.Node, key) {
		return
	}
	name := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key, Line: value.Line, Column: value.Column}
	b.out.Node.Content = append(b.out.Node.Content, name, value)
}

// text adds one of our keys with a plain text, at the place of another node.
func (b *builder) text(key, value string, at *yaml.Node) {
	b.set(key, textNode(value, at))
}

func textNode(value string, at *yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value, Line: at.Line, Column: at.Column}
}

// same copies a value whose meaning is the same here, with its references translated.
func (b *builder) same(key string, from ...string) *yaml.Node {
	n := b.take(from...)
	if n != nil {
		b.set(key, b.copy(n))
	}
	return n
}

// nonEmpty is same for lists and mappings that clients write even when there is nothing in them.
func (b *builder) nonEmpty(key string, from ...string) {
	if n := b.take(from...); n != nil && (n.Kind == yaml.ScalarNode || len(n.Content) > 0) {
		b.set(key, b.copy(n))
	}
}

// copy copies a value with its references translated. Each node is copied once, so that aliases cannot make a short file
// long; an alias inside itself stays one, and the decoder bounds it.
func (b *builder) copy(n *yaml.Node) *yaml.Node {
	n = resolve(n)
	if c := b.copies[n]; c != nil {
		return &yaml.Node{Kind: yaml.AliasNode, Alias: c, Line: n.Line, Column: n.Column}
	}
	c := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Value: n.Value, Style: n.Style, Line: n.Line, Column: n.Column}
	b.copies[n] = c
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		c.Value = b.references(n.Value)
	}
	for i, item := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			c.Content = append(c.Content, item) // a name, not a value
			continue
		}
		c.Content = append(c.Content, b.copy(item))
	}
	return c
}

// resolve gives the node that an alias stands for.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// isTrue tells whether a value is plainly true or false; anything else is neither.
func isTrue(n *yaml.Node) bool {
	return n != nil && n.Tag == "!!bool" && strings.EqualFold(n.Value, "true")
}
func isFalse(n *yaml.Node) bool {
	return n != nil && n.Tag == "!!bool" && strings.EqualFold(n.Value, "false")
}

// disabled reads the two ways to switch a server off.
func (b *builder) disabled() {
	off, on := b.take("disabled"), b.take("enabled")
	switch {
	case isTrue(off):
		b.set("disabled", b.copy(off))
	case isFalse(on):
		b.set("disabled", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true", Line: on.Line, Column: on.Column})
	}
}

// timeout reads a bare number in the client's unit.
func (b *builder) timeout(key, unit string, from ...string) {
	n := b.take(from...)
	if n == nil || unit == "" || n.Tag != "!!int" && n.Tag != "!!float" || n.Value == "0" {
		return
	}
	b.text(key, n.Value+unit, n)
}

// finish notes what was not used.
func (b *builder) finish() Entry {
	for _, key := range b.keys {
		if !b.used[key] && !harmless[key] {
			b.out.Ignored = append(b.out.Ignored, key)
		}
	}
	return b.out
}
