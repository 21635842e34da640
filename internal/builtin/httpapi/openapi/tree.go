package openapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"
)

const (
	// maxDepth bounds how deep a document nests. Real ones stay below 60.
	maxDepth = 200
	// maxNodes bounds how many values a document has. The largest known has two
	// million.
	maxNodes = 8 << 20
)

// object is a JSON object of a document.
type object = map[string]any

// parse reads a document into objects, lists, strings, json.Number, bools and
// nil. Keys of YAML that are no texts, such as status codes, become texts.
func parse(text []byte) (object, error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	var tree any
	begin := bytes.TrimLeft(text, " \t\r\n")
	if len(begin) == 0 {
		return nil, errors.New("the document is empty")
	}
	if begin[0] == '{' {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&tree); err != nil {
			return nil, fmt.Errorf("read the document as JSON: %w", err)
		}
	} else {
		var n yaml.Node
		if err := yaml.Unmarshal(text, &n); err != nil {
			return nil, fmt.Errorf("read the document as YAML: %w", err)
		}
		r := &yamlReader{seen: map[*yaml.Node]any{}}
		var err error
		if tree, err = r.value(&n, 0); err != nil {
			return nil, fmt.Errorf("read the document as YAML: %w", err)
		}
	}
	root, ok := tree.(object)
	if !ok {
		return nil, errors.New("the document is no object")
	}
	return root, nil
}

// yamlReader turns nodes into values. What is an alias of one node becomes one
// value that is shared, so that aliases of aliases cost nothing.
type yamlReader struct {
	seen  map[*yaml.Node]any // what anchors stand for; nil while it is being read
	nodes int
}

func (r *yamlReader) value(n *yaml.Node, depth int) (any, error) {
	if r.nodes++; r.nodes > maxNodes || depth > maxDepth {
		return nil, fmt.Errorf("line %d: the document is too deep or has too many values", n.Line)
	}
	switch n.Kind {
	case yaml.DocumentNode:
		return r.value(n.Content[0], depth)
	case yaml.AliasNode:
		return r.alias(n, depth)
	case yaml.MappingNode:
		return r.mapping(n, depth)
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, item := range n.Content {
			v, err := r.value(item, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case yaml.ScalarNode:
		return scalarOf(n), nil
	}
	return nil, nil
}

func (r *yamlReader) alias(n *yaml.Node, depth int) (any, error) {
	v, known := r.seen[n.Alias]
	if known && v == nil {
		return nil, fmt.Errorf("line %d: an anchor contains itself", n.Line)
	}
	if known {
		return v, nil
	}
	r.seen[n.Alias] = nil
	v, err := r.value(n.Alias, depth)
	if err != nil {
		return nil, err
	}
	r.seen[n.Alias] = v
	return v, nil
}

func (r *yamlReader) mapping(n *yaml.Node, depth int) (any, error) {
	out := make(object, len(n.Content)/2)
	var merged []any
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		v, err := r.value(n.Content[i+1], depth+1)
		if err != nil {
			return nil, err
		}
		if key.Kind == yaml.ScalarNode && key.Tag == "!!merge" {
			merged = append(merged, v)
			continue
		}
		for key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("line %d: a key is no text", key.Line)
		}
		out[key.Value] = v
	}
	for _, m := range merged {
		mergeInto(out, m)
	}
	return out, nil
}

// mergeInto adds what a merge key (<<) stands for: a mapping or a list of them.
// What is there already stays.
func mergeInto(out object, from any) {
	switch from := from.(type) {
	case object:
		for k, v := range from {
			if _, there := out[k]; !there {
				out[k] = v
			}
		}
	case []any:
		for _, one := range from {
			if o, ok := one.(object); ok {
				mergeInto(out, o)
			}
		}
	}
}

// scalarOf is the value of a scalar. Dates stay texts, and numbers keep their
// digits where JSON can write them.
func scalarOf(n *yaml.Node) any {
	switch n.Tag {
	case "!!null":
		return nil
	case "!!bool":
		var b bool
		if n.Decode(&b) == nil {
			return b
		}
	case "!!int", "!!float":
		if json.Valid([]byte(n.Value)) {
			return json.Number(n.Value)
		}
		var f float64
		if n.Decode(&f) == nil {
			if text, err := json.Marshal(f); err == nil {
				return json.Number(text)
			}
		}
	}
	return n.Value
}
