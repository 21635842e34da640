package strict

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

var rawType = reflect.TypeFor[json.RawMessage]()

// raw writes a node as JSON, with its references resolved. Numbers keep their digits.
func (d *decoder) raw(n *yaml.Node, path string) json.RawMessage {
	var out bytes.Buffer
	d.writeRaw(&out, n, path)
	return out.Bytes()
}

func (d *decoder) writeRaw(out *bytes.Buffer, n *yaml.Node, path string) {
	if !d.enter(n, path) {
		out.WriteString("null")
		return
	}
	defer func() { d.depth-- }()
	switch n = follow(n); n.Kind {
	case yaml.MappingNode:
		out.WriteByte('{')
		for i, p := range d.pairs(n, path) {
			if i > 0 {
				out.WriteByte(',')
			}
			key := follow(p.key).Value
			writeText(out, key)
			out.WriteByte(':')
			d.writeRaw(out, p.value, join(path, key))
		}
		out.WriteByte('}')
	case yaml.SequenceNode:
		out.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				out.WriteByte(',')
			}
			d.writeRaw(out, item, path+"["+strconv.Itoa(i)+"]")
		}
		out.WriteByte(']')
	default:
		d.writeRawScalar(out, n, path)
	}
}

func (d *decoder) writeRawScalar(out *bytes.Buffer, n *yaml.Node, path string) {
	switch n.Tag {
	case "!!null":
		out.WriteString("null")
	case "!!bool":
		out.WriteString(strings.ToLower(n.Value))
	case "!!int", "!!float":
		out.WriteString(d.rawNumber(n, path))
	default:
		text, _ := d.text(n, path)
		writeText(out, text)
	}
}

// rawNumber keeps the digits of what JSON can write, and converts the other forms of YAML: 0x1F, 0o17, +1, 1_000.
func (d *decoder) rawNumber(n *yaml.Node, path string) string {
	if json.Valid([]byte(n.Value)) {
		return n.Value
	}
	text := strings.ReplaceAll(n.Value, "_", "")
	if i, err := strconv.ParseInt(text, 0, 64); err == nil {
		return strconv.FormatInt(i, 10)
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		if s, err := json.Marshal(f); err == nil {
			return string(s)
		}
	}
	d.fault(n, path, n.Value+" cannot be written as JSON", "write a plain number, or put it in quotes")
	return "null"
}

func writeText(out *bytes.Buffer, text string) {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(text) // a string always encodes; a Buffer does not fail
	out.Truncate(out.Len() - 1)
}
