package jwt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// Claims is a JSON object with names as they were written: two names that differ
// in case are two names.
type Claims map[string]json.RawMessage

// maxDepth is the deepest nesting of header and claims.
const maxDepth = 16

// ParseClaims reads claims that did not come in a token, as strictly as those that do.
func ParseClaims(data []byte) (Claims, error) { return parseObject(data) }

// parseObject reads one JSON object without names that occur twice, at any
// depth: two readers of one token must not see two values (RFC 8725, 2.4).
func parseObject(data []byte) (Claims, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	if err := single(data); err != nil {
		return nil, err
	}
	var c Claims
	if err := json.Unmarshal(data, &c); err != nil || c == nil {
		return nil, errors.New("not a JSON object")
	}
	return c, nil
}

// single fails when an object has a name twice.
func single(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	var n nesting
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errors.New("not JSON")
		}
		if err := n.take(token); err != nil {
			return err
		}
	}
}

// nesting is where a reader is within objects and lists.
type nesting struct {
	open []map[string]bool // the names of each object around; nil for a list
	name bool              // whether a name is next
}

func (n *nesting) take(token json.Token) error {
	switch v := token.(type) {
	case json.Delim:
		if err := n.nest(v); err != nil {
			return err
		}
	case string:
		if n.name {
			names := n.open[len(n.open)-1]
			n.name = false
			if names[v] {
				return fmt.Errorf("has %q twice", v)
			}
			names[v] = true
			return nil
		}
	}
	n.name = len(n.open) > 0 && n.open[len(n.open)-1] != nil
	return nil
}

func (n *nesting) nest(d json.Delim) error {
	switch d {
	case '{':
		n.open = append(n.open, make(map[string]bool))
	case '[':
		n.open = append(n.open, nil)
	default:
		n.open = n.open[:len(n.open)-1]
	}
	if len(n.open) > maxDepth {
		return fmt.Errorf("nests deeper than %d", maxDepth)
	}
	return nil
}

// Text returns a claim that is text.
func (c Claims) Text(name string) (string, bool) {
	raw := c[name]
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	var s string
	return s, json.Unmarshal(raw, &s) == nil
}

// Texts returns a claim that is a list of texts, or one text as a list of one.
// Anything else, and a list with anything else in it, is no list.
func (c Claims) Texts(name string) ([]string, bool) {
	if s, ok := c.Text(name); ok {
		return []string{s}, true
	}
	var all []*string
	if json.Unmarshal(c[name], &all) != nil || all == nil {
		return nil, false
	}
	out := make([]string, 0, len(all))
	for _, s := range all {
		if s == nil {
			return nil, false
		}
		out = append(out, *s)
	}
	return out, true
}

// At follows a path of names, "realm_access.roles", into objects within the
// claims. A claim whose whole name is the path comes first, since the names of
// some issuers are URLs.
func (c Claims) At(path string) ([]string, bool) {
	if all, ok := c.Texts(path); ok {
		return all, true
	}
	first, rest, ok := strings.Cut(path, ".")
	if !ok {
		return nil, false
	}
	var inner Claims
	if json.Unmarshal(c[first], &inner) != nil {
		return nil, false
	}
	return inner.At(rest)
}

// maxTime is the last second that is taken for a time: what is later would not
// survive a conversion.
const maxTime = 1 << 40

// Time returns a claim that is a NumericDate (RFC 7519, 2), to the millisecond. What is there but is
// no such number is an error; what is not there is the zero time.
func (c Claims) Time(name string) (time.Time, error) {
	raw, ok := c[name]
	if !ok {
		return time.Time{}, nil
	}
	var seconds *float64
	if err := json.Unmarshal(raw, &seconds); err != nil || seconds == nil || *seconds < 0 || *seconds > maxTime {
		return time.Time{}, fmt.Errorf("%s is not a time", name)
	}
	return time.UnixMilli(int64(math.Round(*seconds * 1000))), nil
}

// Scopes returns what the token was given for: scope (RFC 9068, 2.2.3) as words,
// or scp, as some issuers call it.
func (c Claims) Scopes() []string {
	for _, name := range []string{"scope", "scp"} {
		if all, ok := c.Texts(name); ok {
			return strings.Fields(strings.Join(all, " "))
		}
	}
	return nil
}
