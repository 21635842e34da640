package openapi

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// maxHops bounds how many references lead from one to the next.
const maxHops = 32

// resolved is v as an object, with a reference that it is followed. name is that
// of the last reference's target, empty if v is none.
func (d *Document) resolved(v any) (o object, name string, err error) {
	for range maxHops {
		o, ok := v.(object)
		if !ok {
			return nil, "", fmt.Errorf("there is %s where an object is expected", kindOf(v))
		}
		ref, ok := o["$ref"].(string)
		if !ok {
			return o, name, nil
		}
		name = ref[strings.LastIndexByte(ref, '/')+1:]
		if v, err = d.target(ref); err != nil {
			return nil, "", err
		}
	}
	return nil, "", fmt.Errorf("references lead to each other")
}

// target is what a reference within the document points to (RFC 6901).
func (d *Document) target(ref string) (any, error) {
	pointer, local := strings.CutPrefix(ref, "#")
	if !local {
		return nil, fmt.Errorf("the reference %q leads out of the document, which is never followed", short(ref, 120))
	}
	if pointer == "" {
		return d.root, nil
	}
	if pointer[0] != '/' {
		return nil, fmt.Errorf("the reference %q is an anchor, which is not supported", short(ref, 120))
	}
	if plain, err := url.PathUnescape(pointer); err == nil {
		pointer = plain
	}
	var at any = d.root
	for _, part := range strings.Split(pointer[1:], "/") {
		part = strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")
		next, ok := child(at, part)
		if o, is := at.(object); !ok && is && o["$ref"] != nil && o["$ref"] != ref {
			if o, _, err := d.resolved(at); err == nil {
				next, ok = child(o, part)
			}
		}
		if !ok {
			return nil, fmt.Errorf("the reference %q leads to nothing", short(ref, 120))
		}
		at = next
	}
	return at, nil
}

func child(at any, part string) (any, bool) {
	switch at := at.(type) {
	case object:
		v, ok := at[part]
		return v, ok
	case []any:
		if i, err := strconv.Atoi(part); err == nil && i >= 0 && i < len(at) {
			return at[i], true
		}
	}
	return nil, false
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "nothing"
	case string:
		return "a text"
	case bool:
		return "a boolean"
	case []any:
		return "a list"
	case object:
		return "an object"
	}
	return "a number"
}

func text(o object, key string) string {
	s, _ := o[key].(string)
	return s
}

func truth(o object, key string) bool {
	b, _ := o[key].(bool)
	return b
}

func list(o object, key string) []any {
	l, _ := o[key].([]any)
	return l
}

func inner(o object, key string) object {
	i, _ := o[key].(object)
	return i
}

func texts(l []any) []string {
	var out []string
	for _, v := range l {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
