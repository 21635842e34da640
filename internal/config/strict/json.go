package strict

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxDepth is the deepest nesting of a document, in JSON and in YAML.
const maxDepth = 64

// parseJSON reads JSON as clients write it, with // and /* */ comments and trailing commas, into the nodes that YAML
// gives, so that everything after it is one path. YAML parsers do not read all of JSON: they refuse surrogate escapes
// and tabs.
func parseJSON(file string, data []byte) (*yaml.Node, error) {
	p := &jsonParser{data: data}
	if !utf8.Valid(data) {
		return nil, Faults{{Place: Place{File: file}, Problem: "is not UTF-8 text", Remedy: "save the file as UTF-8"}}
	}
	node, err := p.document()
	if err != nil {
		line, column := p.place(p.at)
		return nil, Faults{{Place: Place{file, line, column}, Problem: "is not JSON: " + err.Error()}}
	}
	return node, nil
}

type jsonParser struct {
	data []byte
	at   int // offset of the next byte; where the fault is when a method returns an error

	// Where place was last asked about: the offset, and its line and column less one.
	known, line, column int
}

// place gives line and column, both from 1, of an offset. Offsets come in rising order but for few, so it goes on from
// the last one; beginning anew for each would take the square of the time on a long line.
func (p *jsonParser) place(at int) (line, column int) {
	if at < p.known {
		p.known, p.line, p.column = 0, 0, 0
	}
	part := p.data[p.known:at]
	if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
		p.line += bytes.Count(part, []byte("\n"))
		p.column = 0
		part = part[i+1:]
	}
	p.column += utf8.RuneCount(part)
	p.known = at
	return p.line + 1, p.column + 1
}

func (p *jsonParser) document() (*yaml.Node, error) {
	if err := p.space(); err != nil {
		return nil, err
	}
	node, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if err := p.space(); err != nil {
		return nil, err
	}
	if p.at < len(p.data) {
		return nil, fmt.Errorf("%s after the end", p.seen())
	}
	return node, nil
}

// seen describes the next byte for a message.
func (p *jsonParser) seen() string {
	if p.at >= len(p.data) {
		return "the end of the file"
	}
	r, _ := utf8.DecodeRune(p.data[p.at:])
	return fmt.Sprintf("%q", r)
}

// space skips white space and comments.
func (p *jsonParser) space() error {
	for p.at < len(p.data) {
		rest := p.data[p.at:]
		switch {
		case strings.IndexByte(" \t\r\n", rest[0]) >= 0:
			p.at++
		case bytes.HasPrefix(rest, []byte("//")):
			end := bytes.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest)
			}
			p.at += end
		case bytes.HasPrefix(rest, []byte("/*")):
			end := bytes.Index(rest[2:], []byte("*/"))
			if end < 0 {
				return fmt.Errorf("this comment has no end")
			}
			p.at += end + 4
		default:
			return nil
		}
	}
	return nil
}

func (p *jsonParser) value(depth int) (*yaml.Node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested more than %d deep", maxDepth)
	}
	node := &yaml.Node{Kind: yaml.ScalarNode}
	node.Line, node.Column = p.place(p.at)
	if p.at >= len(p.data) {
		return nil, fmt.Errorf("a value is missing at the end of the file")
	}
	switch c := p.data[p.at]; {
	case c == '{':
		return node, p.container(node, '}', depth)
	case c == '[':
		return node, p.container(node, ']', depth)
	case c == '"':
		return node, p.text(node)
	default:
		return node, p.literal(node)
	}
}

// container reads an object or an array up to its closing byte; p.at is on the opening one.
func (p *jsonParser) container(node *yaml.Node, end byte, depth int) error {
	node.Kind, node.Tag, node.Style = yaml.SequenceNode, "!!seq", yaml.FlowStyle
	if end == '}' {
		node.Kind, node.Tag = yaml.MappingNode, "!!map"
	}
	p.at++
	for {
		if err := p.space(); err != nil {
			return err
		}
		if p.at < len(p.data) && p.data[p.at] == end {
			p.at++
			return nil
		}
		if err := p.member(node, depth); err != nil {
			return err
		}
		if err := p.space(); err != nil {
			return err
		}
		switch {
		case p.at < len(p.data) && p.data[p.at] == ',':
			p.at++
		case p.at < len(p.data) && p.data[p.at] == end:
		default:
			return fmt.Errorf("expected a comma or %q, not %s", end, p.seen())
		}
	}
}

// member reads one element, or one name and value.
func (p *jsonParser) member(node *yaml.Node, depth int) error {
	if node.Kind == yaml.MappingNode {
		key := &yaml.Node{Kind: yaml.ScalarNode}
		key.Line, key.Column = p.place(p.at)
		if p.at >= len(p.data) || p.data[p.at] != '"' {
			return fmt.Errorf("expected a name in double quotes, not %s", p.seen())
		}
		if err := p.text(key); err != nil {
			return err
		}
		if err := p.space(); err != nil {
			return err
		}
		if p.at >= len(p.data) || p.data[p.at] != ':' {
			return fmt.Errorf("expected a colon after %q, not %s", key.Value, p.seen())
		}
		p.at++
		if err := p.space(); err != nil {
			return err
		}
		node.Content = append(node.Content, key)
	}
	value, err := p.value(depth + 1)
	if err != nil {
		return err
	}
	node.Content = append(node.Content, value)
	return nil
}

// text reads a string; p.at is on its first quote.
func (p *jsonParser) text(node *yaml.Node) error {
	end := p.at + 1
	for end < len(p.data) && p.data[end] != '"' && p.data[end] != '\n' {
		if p.data[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(p.data) || p.data[end] != '"' {
		return fmt.Errorf("this text has no closing quote on its line")
	}
	if err := json.Unmarshal(p.data[p.at:end+1], &node.Value); err != nil {
		return fmt.Errorf("this text has a bad escape or a control character")
	}
	node.Tag, node.Style = "!!str", yaml.DoubleQuotedStyle
	p.at = end + 1
	return nil
}

// literal reads a number, true, false or null.
func (p *jsonParser) literal(node *yaml.Node) error {
	end := p.at
	for end < len(p.data) && strings.IndexByte(" \t\r\n,:[]{}\"/", p.data[end]) < 0 {
		end++
	}
	word := p.data[p.at:end]
	if !json.Valid(word) {
		if len(word) == 0 {
			return fmt.Errorf("expected a value, not %s", p.seen())
		}
		return fmt.Errorf("%.40q is neither a number nor true, false or null; text needs double quotes", word)
	}
	node.Value = string(word)
	switch {
	case node.Value == "null":
		node.Tag = "!!null"
	case node.Value == "true" || node.Value == "false":
		node.Tag = "!!bool"
	case strings.ContainsAny(node.Value, ".eE"):
		node.Tag = "!!float"
	default:
		node.Tag = "!!int"
	}
	p.at = end
	return nil
}
