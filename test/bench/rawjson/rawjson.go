// Package rawjson finds members in a JSON text without decoding it, so that the benchmark's own client and server cost
// little beside what they measure. It is for text that the benchmark's peers sent: it finds the members of a well-formed
// text, refuses a text whose brackets and strings do not close, and is no validator. It knows nothing of MCP and shares no
// code with the gateway, so that a fault of the gateway's scanner cannot hide itself here.
package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
)

// ErrSyntax says that a text ended early or held something where JSON allows nothing.
var ErrSyntax = errors.New("read JSON: malformed text")

// Each calls visit with the raw name (without its quotes, escapes untouched) and the raw value of every member of the object
// in raw, in order, until visit returns false. It fails with ErrSyntax when raw does not begin with an object.
func Each(raw []byte, visit func(name, value []byte) bool) error {
	return walk(raw, '{', visit)
}

// Elements calls visit with each raw element of the array in raw, in order, until visit returns false.
func Elements(raw []byte, visit func(value []byte) bool) error {
	return walk(raw, '[', func(_, value []byte) bool { return visit(value) })
}

// Get follows path through nested objects and returns the raw value at its end; ok is false when a step is missing.
// Of a name that occurs twice, the first counts.
func Get(raw []byte, path ...string) (value []byte, ok bool) {
	for _, step := range path {
		var found []byte
		err := Each(raw, func(name, value []byte) bool {
			if string(name) == step {
				found = value
			}
			return found == nil
		})
		if err != nil || found == nil {
			return nil, false
		}
		raw = found
	}
	return raw, true
}

// String returns the text of a raw JSON string, or false when raw is no string.
func String(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	if inner := raw[1 : len(raw)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), true
	}
	var text string
	err := json.Unmarshal(raw, &text)
	return text, err == nil
}

// Whole reports whether raw is exactly one value and nothing more than white space around it.
func Whole(raw []byte) bool {
	at := space(raw, 0)
	end, err := skip(raw, at)
	return err == nil && space(raw, end) == len(raw)
}

func walk(raw []byte, open byte, visit func(name, value []byte) bool) error {
	at := space(raw, 0)
	if at >= len(raw) || raw[at] != open {
		return ErrSyntax
	}
	at = space(raw, at+1)
	if at < len(raw) && raw[at] == open+2 { // '{'+2 is '}' and '['+2 is ']'
		return nil
	}
	for {
		name, next, err := memberName(raw, at, open)
		if err != nil {
			return err
		}
		end, err := skip(raw, next)
		if err != nil {
			return err
		}
		if !visit(name, raw[next:end]) {
			return nil
		}
		at = space(raw, end)
		if at >= len(raw) || raw[at] != ',' {
			return closing(raw, at, open+2)
		}
		at = space(raw, at+1)
	}
}

// memberName reads `"name":` at an object's member and returns where its value begins; an array's element has no name.
func memberName(raw []byte, at int, open byte) (name []byte, next int, err error) {
	if open == '[' {
		return nil, at, nil
	}
	if at >= len(raw) || raw[at] != '"' {
		return nil, 0, ErrSyntax
	}
	end, err := skipString(raw, at)
	if err != nil {
		return nil, 0, err
	}
	colon := space(raw, end)
	if colon >= len(raw) || raw[colon] != ':' {
		return nil, 0, ErrSyntax
	}
	return raw[at+1 : end-1], space(raw, colon+1), nil
}

func closing(raw []byte, at int, want byte) error {
	if at >= len(raw) || raw[at] != want {
		return ErrSyntax
	}
	return nil
}

// skip returns the end of the value that begins at.
func skip(raw []byte, at int) (int, error) {
	if at >= len(raw) {
		return 0, ErrSyntax
	}
	switch raw[at] {
	case '"':
		return skipString(raw, at)
	case '{', '[':
		return skipNested(raw, at)
	}
	end := at
	for end < len(raw) && !ends(raw[end]) {
		end++
	}
	if end == at {
		return 0, ErrSyntax
	}
	return end, nil
}

func ends(c byte) bool {
	switch c {
	case ',', '}', ']', ':', ' ', '\n', '\r', '\t':
		return true
	}
	return false
}

func skipNested(raw []byte, at int) (int, error) {
	depth := 0
	for at < len(raw) {
		switch raw[at] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
			if depth == 0 {
				return at + 1, nil
			}
		case '"':
			end, err := skipString(raw, at)
			if err != nil {
				return 0, err
			}
			at = end
			continue
		}
		at++
	}
	return 0, ErrSyntax
}

// skipString jumps from quote to quote: a quote ends the string unless an odd number of backslashes stands before it.
func skipString(raw []byte, at int) (int, error) {
	from := at + 1
	for {
		n := bytes.IndexByte(raw[from:], '"')
		if n < 0 {
			return 0, ErrSyntax
		}
		quote := from + n
		slashes := 0
		for raw[quote-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return quote + 1, nil
		}
		from = quote + 1
	}
}

func space(raw []byte, at int) int {
	for at < len(raw) && (raw[at] == ' ' || raw[at] == '\n' || raw[at] == '\r' || raw[at] == '\t') {
		at++
	}
	return at
}
