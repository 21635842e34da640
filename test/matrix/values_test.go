package matrix

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"strings"
)

// obj is a JSON object as the peers see it. Numbers keep their text.
type obj = map[string]any

// list is a JSON array.
type list = []any

// The values that must come through unchanged: beyond 2^53, beyond float64,
// with a fraction that says nothing, and text that is easily broken.
const (
	bigNumber  = json.Number("9007199254740993")
	hugeNumber = json.Number("1E400")
	oneAndZero = json.Number("1.0")
	oddText    = "ä\u2028€😀\\\"/</script>"
)

// grease is what no revision knows, and what must come through all the same.
func grease() obj {
	return obj{"keep": list{bigNumber, hugeNumber, oneAndZero, oddText, nil, true}, "id": "not yours", "method": "nor this"}
}

// decode reads one JSON value.
func decode(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("%w in %.200s", err, text)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one value in %.200s", text)
	}
	return v, nil
}

// decodeObject reads one JSON object.
func decodeObject(text []byte) (obj, error) {
	v, err := decode(text)
	if err != nil {
		return nil, err
	}
	o, ok := v.(obj)
	if !ok {
		return nil, fmt.Errorf("not an object: %.200s", text)
	}
	return o, nil
}

// encode writes a JSON value on one line, without changing < and >.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // the peers make only values that can be written
	}
	return bytes.TrimSpace(b.Bytes())
}

// at follows names and indexes into v; nil when they lead nowhere.
func at(v any, path ...any) any {
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

func objectAt(v any, path ...any) obj {
	o, _ := at(v, path...).(obj)
	return o
}

func listAt(v any, path ...any) list {
	l, _ := at(v, path...).(list)
	return l
}

func textAt(v any, path ...any) string {
	s, _ := at(v, path...).(string)
	return s
}

// key is the text of an id or a token: 1 and "1" are different.
func key(id any) string { return string(encode(id)) }

// with returns o and more, without changing either.
func with(o obj, more obj) obj {
	out := maps.Clone(o)
	if out == nil {
		out = obj{}
	}
	maps.Copy(out, more)
	return out
}

// without returns o less some names.
func without(o obj, names ...string) obj {
	out := maps.Clone(o)
	for _, n := range names {
		delete(out, n)
	}
	return out
}

// The revisions, oldest first.
const (
	rev2024   = "2024-11-05"
	rev2503   = "2025-03-26"
	rev2506   = "2025-06-18"
	rev2511   = "2025-11-25"
	revModern = "2026-07-28"
)

func revisions() []string { return []string{rev2024, rev2503, rev2506, rev2511, revModern} }

// The members of _meta that 2026-07-28 owns.
const (
	metaPrefix       = "io.modelcontextprotocol/"
	metaVersion      = metaPrefix + "protocolVersion"
	metaCapabilities = metaPrefix + "clientCapabilities"
	metaClientInfo   = metaPrefix + "clientInfo"
	metaServerInfo   = metaPrefix + "serverInfo"
	metaLevel        = metaPrefix + "logLevel"
	metaSubscription = metaPrefix + "subscriptionId"
)

// ownedMeta lists what of meta belongs to 2026-07-28 alone.
func ownedMeta(meta obj) []string {
	var owned []string
	for name := range meta {
		if strings.HasPrefix(name, metaPrefix) {
			owned = append(owned, name)
		}
	}
	return owned
}

// failure is a JSON-RPC error.
type failure struct {
	Code    int
	Message string
	Data    any
}

func fail(code int, format string, args ...any) *failure {
	return &failure{Code: code, Message: fmt.Sprintf(format, args...)}
}

func (f *failure) object() obj {
	o := obj{"code": f.Code, "message": f.Message, "x-acme": grease()}
	if f.Data != nil {
		o["data"] = f.Data
	}
	return o
}

// failureOf reads the error of a response; nil when there is none.
func failureOf(msg obj) *failure {
	e := objectAt(msg, "error")
	if e == nil {
		return nil
	}
	code, _ := e["code"].(json.Number)
	n, _ := code.Int64()
	return &failure{Code: int(n), Message: textAt(e, "message"), Data: e["data"]}
}

func (f *failure) String() string {
	if f == nil {
		return "no error"
	}
	return fmt.Sprintf("error %d %q data %s", f.Code, f.Message, encode(f.Data))
}

// response makes the response to id.
func response(id any, result obj, err *failure) obj {
	if err != nil {
		return obj{"jsonrpc": "2.0", "id": id, "error": err.object()}
	}
	return obj{"jsonrpc": "2.0", "id": id, "result": result}
}

// notification makes a notification.
func notification(method string, params obj) obj {
	m := obj{"jsonrpc": "2.0", "method": method}
	if params != nil {
		m["params"] = params
	}
	return m
}
