package strict

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// maxNodes is how many values a document may have once its aliases are followed. It keeps a few lines of nested aliases
// from becoming a billion values.
const maxNodes = 500_000

type pair struct {
	key, value *yaml.Node
}

// follow gives the node that an alias stands for.
func follow(n *yaml.Node) *yaml.Node {
	// An alias to an alias cannot be written, so one step is enough.
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool {
	return n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

// pairs lists the keys and values of a mapping: its own in the order of the document, then what << merges in and the
// mapping does not have itself. Twice the same key is a fault that names the first one's line.
func (d *decoder) pairs(n *yaml.Node, path string) []pair {
	d.nodes += len(n.Content) / 2
	seen := make(map[string]*yaml.Node, len(n.Content)/2)
	var own []pair
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.ScalarNode && key.Tag == "!!merge" {
			merged = append(merged, value)
			continue
		}
		if key = follow(key); key.Kind != yaml.ScalarNode {
			d.fault(n.Content[i], path, "a key is "+describe(key), "a key must be text")
			continue
		}
		if first := seen[key.Value]; first != nil {
			d.fault(n.Content[i], join(path, key.Value), fmt.Sprintf("is here twice, first in line %d", first.Line),
				"remove one of them")
			continue
		}
		seen[key.Value] = n.Content[i]
		own = append(own, pair{n.Content[i], value})
	}
	for _, m := range merged {
		own = d.merge(own, seen, m, path)
	}
	return own
}

// merge adds what a << brings: a mapping, or a list of mappings of which the first wins.
func (d *decoder) merge(own []pair, seen map[string]*yaml.Node, from *yaml.Node, path string) []pair {
	target := follow(from)
	list := []*yaml.Node{target}
	if target.Kind == yaml.SequenceNode {
		list = target.Content
	}
	for _, m := range list {
		if m = follow(m); m.Kind != yaml.MappingNode {
			d.fault(from, path, "<< merges "+describe(m), "give it an alias of a section, as in <<: *name")
			continue
		}
		if !d.enter(from, path) {
			return own
		}
		for _, p := range d.pairs(m, path) {
			if key := follow(p.key).Value; seen[key] == nil {
				seen[key] = p.key
				own = append(own, p)
			}
		}
		d.depth--
	}
	return own
}

// enter counts one more value, one level deeper, and tells whether the document is still within its bounds. The caller
// lowers d.depth again when it is.
func (d *decoder) enter(n *yaml.Node, path string) bool {
	d.nodes++
	if d.nodes > maxNodes {
		if !d.full {
			d.fault(n, path, fmt.Sprintf("the document has more than %d values once its aliases are followed", maxNodes),
				"use fewer aliases")
		}
		d.full = true
		return false
	}
	if d.depth >= maxDepth {
		d.fault(n, path, fmt.Sprintf("is nested more than %d deep", maxDepth), "make it flatter")
		return false
	}
	d.depth++
	return true
}

// describe says what a node is, for "must be X, not Y". It does not show text, which may be a secret.
func describe(n *yaml.Node) string {
	switch n = follow(n); {
	case isNull(n):
		return "nothing"
	case n.Kind == yaml.MappingNode:
		return "a section of keys and values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!bool" || n.Tag == "!!int" || n.Tag == "!!float":
		return n.Value
	default:
		return "text"
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
