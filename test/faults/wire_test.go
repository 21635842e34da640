//go:build linux

package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
)

// obj is a JSON object, list an array.
type (
	obj  = map[string]any
	list = []any
)

// The revisions that the peers speak.
const (
	rev2024   = "2024-11-05"
	rev2503   = "2025-03-26"
	rev2506   = "2025-06-18"
	rev2511   = "2025-11-25"
	revModern = "2026-07-28"
)

const (
	metaVersion      = "io.modelcontextprotocol/protocolVersion"
	metaCapabilities = "io.modelcontextprotocol/clientCapabilities"
	metaInfo         = "io.modelcontextprotocol/clientInfo"
	metaSubscription = "io.modelcontextprotocol/subscriptionId"
)

func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // the peers make only values that can be written
	}
	return text
}

// decode reads one object, with numbers as their text.
func decode(text []byte) (obj, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var o obj
	if err := d.Decode(&o); err != nil {
		return nil, fmt.Errorf("%w in %.100q", err, text)
	}
	return o, nil
}

// dig follows names and indexes; nil when they lead nowhere.
func dig(v any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			o, _ := v.(obj)
			v = o[step]
		case int:
			l, _ := v.(list)
			if step >= len(l) {
				return nil
			}
			v = l[step]
		}
	}
	return v
}

func text(v any, path ...any) string {
	s, _ := dig(v, path...).(string)
	return s
}

// whole is a number; 0 when it is none.
func whole(v any, path ...any) int {
	n, _ := dig(v, path...).(json.Number)
	i, _ := n.Int64()
	return int(i)
}

func notification(method string, params obj) obj {
	return obj{"jsonrpc": "2.0", "method": method, "params": params}
}

// modernMeta is what every request of 2026-07-28 says of who asks.
func modernMeta() obj {
	return obj{metaVersion: revModern, metaCapabilities: obj{}, metaInfo: obj{"name": "faults", "version": "1"}}
}

// secrets finds what calls carry, wherever it hides.
var secrets = regexp.MustCompile(`sec-[0-9a-f]{16}-[0-9]+`)
