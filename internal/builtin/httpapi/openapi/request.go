package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Request is a request of an operation, without the place of the API and without
// credentials.
type Request struct {
	Method string
	// Path is escaped and begins with /. Query is encoded.
	Path, Query string
	Header      http.Header
	Body        []byte // nil for none
}

// Rules bound what arguments may do.
type Rules struct {
	// Slashes lets values of path parameters have / in them; it is sent as %2F.
	Slashes bool
	// Header, Query and Cookie are the names that credentials use: no argument
	// may set them. They are compared without case.
	Header, Query, Cookie []string
	// MaxBytes bounds the body and the URL; 0 means 1 MiB.
	MaxBytes int
}

// ArgumentError says which argument is wrong.
type ArgumentError struct {
	Arg string
	Err error
}

// Error names the argument.
func (e *ArgumentError) Error() string { return fmt.Sprintf("argument %s: %v", e.Arg, e.Err) }

// Unwrap gives what is wrong with it.
func (e *ArgumentError) Unwrap() error { return e.Err }

// Request writes the request for arguments by their names. Its errors are of
// type *ArgumentError and may be shown to the caller.
func (op *Operation) Request(args map[string]json.RawMessage, rules Rules) (*Request, error) {
	values, err := op.values(args)
	if err != nil {
		return nil, err
	}
	req := &Request{Method: op.Method, Header: http.Header{}}
	if req.Path, err = op.path(values, rules.Slashes); err != nil {
		return nil, err
	}
	w := &writer{rules: rules, header: req.Header}
	for _, p := range op.Parameters {
		v, given := values[p.Arg]
		if !given || v == nil || p.In == "path" {
			continue
		}
		if err := w.parameter(p, v); err != nil {
			return nil, &ArgumentError{p.Arg, err}
		}
	}
	req.Query = strings.Join(w.query, "&")
	if len(w.cookies) > 0 {
		req.Header.Set("Cookie", strings.Join(w.cookies, "; "))
	}
	if op.Body != nil {
		if v, given := values["body"]; given {
			var contentType string
			if req.Body, contentType, err = op.Body.encode(op.doc, v); err != nil {
				return nil, &ArgumentError{"body", err}
			}
			req.Header.Set("Content-Type", contentType)
		}
	}
	most := rules.MaxBytes
	if most == 0 {
		most = 1 << 20
	}
	if len(req.Path)+len(req.Query)+len(req.Body) > most {
		return nil, &ArgumentError{"body", fmt.Errorf("the request is larger than %d bytes", most)}
	}
	return req, nil
}

// values reads arguments: known ones, required ones there.
func (op *Operation) values(args map[string]json.RawMessage) (map[string]any, error) {
	values := make(map[string]any, len(args))
	for _, name := range slices.Sorted(maps.Keys(args)) {
		if !op.has(name) {
			return nil, &ArgumentError{short(name, 80), fmt.Errorf("there is no such argument; there are: %s", strings.Join(op.arguments(), ", "))}
		}
		v, err := value(args[name])
		if err != nil {
			return nil, &ArgumentError{name, fmt.Errorf("read it: %w", err)}
		}
		values[name] = v
	}
	for _, p := range op.Parameters {
		if p.Required && values[p.Arg] == nil {
			return nil, &ArgumentError{p.Arg, fmt.Errorf("it is required")}
		}
	}
	if op.Body != nil && op.Body.Required && values["body"] == nil {
		return nil, &ArgumentError{"body", fmt.Errorf("it is required")}
	}
	return values, nil
}

// has says whether there is an argument of this name.
func (op *Operation) has(name string) bool {
	return name == "body" && op.Body != nil || slices.ContainsFunc(op.Parameters, func(p *Parameter) bool { return p.Arg == name })
}

// value reads one argument. A text without escapes, which most are, needs no decoder.
func value(text json.RawMessage) (any, error) {
	if n := len(text); n >= 2 && text[0] == '"' && text[n-1] == '"' && ordinary(text[1:n-1]) {
		return string(text[1 : n-1]), nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

// ordinary says whether all bytes are ASCII that stands for itself in a JSON text.
func ordinary(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func (op *Operation) arguments() []string {
	names := []string{}
	for _, p := range op.Parameters {
		names = append(names, p.Arg)
	}
	if op.Body != nil {
		names = append(names, "body")
	}
	return names
}

// path fills the template.
func (op *Operation) path(values map[string]any, slashes bool) (string, error) {
	by := map[string]*Parameter{}
	for _, p := range op.Parameters {
		if p.In == "path" {
			by[p.Name] = p
		}
	}
	var out strings.Builder
	for _, part := range op.parts {
		if !part.name {
			out.WriteString(escape(part.text, "/:@!$&'()*+,;=%"))
			continue
		}
		p := by[part.text]
		segment, err := p.segment(values[p.Arg], slashes)
		if err != nil {
			return "", &ArgumentError{p.Arg, err}
		}
		out.WriteString(segment)
	}
	for _, segment := range strings.Split(out.String(), "/") {
		if plain, err := url.PathUnescape(segment); err != nil || dots(plain) {
			return "", &ArgumentError{"path", fmt.Errorf("the arguments together would lead to another path")}
		}
	}
	return out.String(), nil
}

// segment is a path parameter's value, each of its parts judged by itself and all
// of it together.
func (p *Parameter) segment(v any, slashes bool) (string, error) {
	v, err := p.written(v)
	if err != nil {
		return "", err
	}
	judge := func(s string) error { return checkSegment(s, slashes) }
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			if err := judge(scalar(item)); err != nil {
				return "", err
			}
		}
	case object:
		for _, m := range members(v) {
			if err := judge(m.name); err != nil {
				return "", err
			}
			if err := judge(m.value); err != nil {
				return "", err
			}
		}
	}
	s := style{name: p.Name, kind: p.style, explode: p.explode, encode: func(s string) string { return s }}
	if err := judge(s.path(v)); err != nil {
		return "", err
	}
	s.encode = func(s string) string { return escape(s, "") }
	return s.path(v), nil
}

// writer collects what parameters become.
type writer struct {
	rules   Rules
	header  http.Header
	query   []string
	cookies []string
}

func (w *writer) parameter(p *Parameter, v any) error {
	v, err := p.written(v)
	if err != nil {
		return err
	}
	s := style{name: p.Name, kind: p.style, explode: p.explode, encode: func(s string) string { return escape(s, "") }}
	switch p.In {
	case "header":
		s.encode = func(s string) string { return s }
		if taken(w.rules.Header, p.Name) {
			return fmt.Errorf("the header is set by the configured credentials")
		}
		text, err := s.header(v)
		if err != nil {
			return err
		}
		w.header.Set(p.Name, text)
		return nil
	case "cookie":
		pairs, err := s.query(v)
		if err != nil {
			return err
		}
		for _, c := range pairs {
			if taken(w.rules.Cookie, c.name) {
				return fmt.Errorf("the cookie %s is set by the configured credentials", c.name)
			}
			w.cookies = append(w.cookies, c.name+"="+c.value)
		}
		return nil
	}
	if p.allowReserved {
		// Not those that end or divide a query: & = + # and brackets.
		s.encode = func(s string) string { return escape(s, ":/?@!$'()*,;") }
	}
	pairs, err := s.query(v)
	if err != nil {
		return err
	}
	for _, c := range pairs {
		name, err := url.QueryUnescape(c.name)
		if err != nil || taken(w.rules.Query, name) {
			return fmt.Errorf("%s in the query is set by the configured credentials", c.name)
		}
		w.query = append(w.query, c.name+"="+c.value)
	}
	return nil
}

func taken(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, strings.TrimSpace(name)) })
}
