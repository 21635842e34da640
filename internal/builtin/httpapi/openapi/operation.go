package openapi

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Operation is one thing that the API does.
type Operation struct {
	// Name is unique in the document and made of letters, digits, _ and -.
	Name string
	// ID is the operationId as it is written; it may be empty.
	ID string
	// Method is in upper case, Path has its {parameters}.
	Method, Path         string
	Summary, Description string // cleaned
	Tags                 []string
	Deprecated           bool
	Parameters           []*Parameter
	Body                 *Body
	// Security is what must be given to authenticate: one of the sets of schemes.
	// Empty means nothing.
	Security [][]string

	doc   *Document
	node  object
	parts []piece // of the template
}

// Parameter is a part of a request other than its body.
type Parameter struct {
	// Arg is what the argument is called, Name what the API calls it.
	Arg, Name string
	// In is path, query, header or cookie.
	In          string
	Description string
	Required    bool

	style         string
	explode       bool
	allowReserved bool
	media         string // the parameter is written as this media type, not by style
	schema        any
}

// Body is what a request carries.
type Body struct {
	// Type is the media type that is sent, Types are all that the API takes.
	Type     string
	Types    []string
	Required bool

	description string
	schema      any
	encoding    object
}

const maxParameters = 256

func (d *Document) operation(method, path string, item object, v any) (*Operation, error) {
	o, ok := v.(object)
	if !ok {
		return nil, fmt.Errorf("there is %s where an operation is expected", kindOf(v))
	}
	op := &Operation{
		ID: text(o, "operationId"), Method: method, Path: path,
		Summary:     Clean(cmp.Or(text(o, "summary"), text(item, "summary")), 200),
		Description: Clean(cmp.Or(text(o, "description"), text(item, "description")), 4000),
		Tags:        texts(list(o, "tags")), Deprecated: truth(o, "deprecated"),
		doc: d, node: o,
	}
	op.Name = plain(op.ID, 200)
	if op.Name == "" {
		op.Name = plain(strings.ToLower(method)+"_"+path, 200)
	}
	if c := op.Name; c == "" || c[0] >= '0' && c[0] <= '9' || c[0] == '-' {
		op.Name = "op_" + c
	}
	if err := checkTemplate(op.template()); err != nil {
		return nil, err
	}
	op.parts = pieces(op.template())
	if err := d.sameServers(item, o); err != nil {
		return nil, err
	}
	if err := op.parameters(list(item, "parameters"), list(o, "parameters")); err != nil {
		return nil, err
	}
	if err := op.body(); err != nil {
		return nil, err
	}
	if err := op.complete(); err != nil {
		return nil, err
	}
	op.nameArguments()
	op.security()
	return op, nil
}

// template is the path without a fragment, which some documents use to tell
// operations of one path apart, and which is never sent.
func (op *Operation) template() string {
	path, _, _ := strings.Cut(op.Path, "#")
	return path
}

// sameServers refuses an operation that is at another place than the API: its
// document would choose where the credentials go.
func (d *Document) sameServers(item, op object) error {
	if d.old {
		return nil
	}
	for _, level := range []object{op, item} {
		own := d.servers(level)
		if len(own) == 0 {
			continue
		}
		for _, at := range own {
			if slices.Contains(d.Servers, at) {
				return nil
			}
		}
		return fmt.Errorf("it has a server of its own, %s; make another server of this document with that base_url", short(own[0], 120))
	}
	return nil
}

// parameters reads those of the path, which those of the operation replace.
func (op *Operation) parameters(lists ...[]any) error {
	at := map[string]int{}
	for _, l := range lists {
		for _, v := range l {
			o, _, err := op.doc.resolved(v)
			if err != nil {
				return fmt.Errorf("parameter: %w", err)
			}
			p, err := op.parameter(o)
			if err != nil {
				return fmt.Errorf("parameter %q: %w", short(text(o, "name"), 80), err)
			}
			if p == nil {
				continue
			}
			key := p.In + " " + p.Name
			if i, again := at[key]; again {
				op.Parameters[i] = p
				continue
			}
			at[key] = len(op.Parameters)
			op.Parameters = append(op.Parameters, p)
		}
	}
	if len(op.Parameters) > maxParameters {
		return fmt.Errorf("it has %d parameters, more than %d", len(op.Parameters), maxParameters)
	}
	return nil
}

// parameter reads one; nil when it is none of the caller's.
func (op *Operation) parameter(o object) (*Parameter, error) {
	if op.doc.old {
		return op.oldParameter(o)
	}
	p := &Parameter{
		Name: text(o, "name"), In: text(o, "in"), Description: Clean(text(o, "description"), 1000),
		Required: truth(o, "required"), schema: o["schema"], style: text(o, "style"), allowReserved: truth(o, "allowReserved"),
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	if p.In == "header" && hopHeader(p.Name) {
		return nil, nil
	}
	for media, v := range inner(o, "content") {
		content, _, err := op.doc.resolved(v)
		if err != nil {
			return nil, err
		}
		p.media, p.schema = media, content["schema"]
	}
	explode, given := o["explode"].(bool)
	p.explode = explode || !given && (p.style == "form" || p.style == "cookie")
	return p, nil
}

// styles are what a parameter may be written like, the first by default.
func styles(in string) []string {
	switch in {
	case "path":
		return []string{"simple", "label", "matrix"}
	case "query":
		return []string{"form", "spaceDelimited", "pipeDelimited", "deepObject", "tabDelimited"}
	case "header":
		return []string{"simple"}
	case "cookie":
		return []string{"form", "cookie"}
	}
	return nil
}

func (p *Parameter) check() error {
	allowed := styles(p.In)
	switch {
	case p.Name == "":
		return errors.New("it has no name")
	case p.In == "querystring":
		return errors.New("it is the whole query, which is not supported")
	case allowed == nil:
		return fmt.Errorf("it is in %q; path, query, header and cookie are known", short(p.In, 20))
	case (p.In == "header" || p.In == "cookie") && !token(p.Name):
		return fmt.Errorf("the name of a %s has characters that it must not have", p.In)
	}
	p.style = cmp.Or(p.style, allowed[0])
	if !slices.Contains(allowed, p.style) {
		p.style = allowed[0] // what the specification says where a style does not apply
	}
	return nil
}

// complete sees that the path's parameters are there, each as often as it is in
// the path, and drops those that are not in it.
func (op *Operation) complete() error {
	inPath := placeholders(op.template())
	for _, name := range inPath {
		i := slices.IndexFunc(op.Parameters, func(p *Parameter) bool { return p.In == "path" && p.Name == name })
		if i < 0 {
			op.Parameters = append(op.Parameters, &Parameter{Name: name, In: "path", style: "simple", schema: object{"type": "string"}})
			i = len(op.Parameters) - 1
		}
		op.Parameters[i].Required = true
	}
	op.Parameters = slices.DeleteFunc(op.Parameters, func(p *Parameter) bool {
		return p.In == "path" && !slices.Contains(inPath, p.Name)
	})
	return nil
}

// nameArguments gives each parameter an argument: its name in the characters
// that models may write, and where it is when that alone is not unique.
func (op *Operation) nameArguments() {
	count := map[string]int{}
	if op.Body != nil {
		count["body"]++
	}
	for _, p := range op.Parameters {
		p.Arg = cmp.Or(plain(p.Name, 64), p.In)
		count[p.Arg]++
	}
	taken := map[string]bool{"body": op.Body != nil}
	for _, p := range op.Parameters {
		if count[p.Arg] > 1 {
			p.Arg = short(p.Arg, 50) + "_" + p.In
		}
		for n := 2; taken[p.Arg]; n++ {
			p.Arg = fmt.Sprintf("%s_%d", strings.TrimRight(p.Arg, "_0123456789"), n)
		}
		taken[p.Arg] = true
	}
}

func (op *Operation) security() {
	sets, there := op.node["security"].([]any)
	if !there {
		sets = list(op.doc.root, "security")
	}
	for _, v := range sets {
		set, ok := v.(object)
		if !ok {
			continue
		}
		if len(set) == 0 { // nothing will do
			op.Security = nil
			return
		}
		names := make([]string, 0, len(set))
		for name := range set {
			names = append(names, name)
		}
		slices.Sort(names)
		op.Security = append(op.Security, names)
	}
}

// token reports whether a name can be that of a header or a cookie (RFC 9110
// §5.6.2).
func token(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// hopHeader tells the headers that no argument sets: those that the
// specification excludes (3.1.1 §4.7.12.1), those that say where a message ends
// or who it is for, and those that proxies believe.
func hopHeader(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "accept", "content-type", "authorization", "host", "content-length", "transfer-encoding", "connection", "te",
		"trailer", "upgrade", "keep-alive", "expect", "cookie", "forwarded", "via", "x-real-ip", "x-http-method",
		"x-http-method-override", "x-method-override", "x-original-url", "x-rewrite-url", "accept-encoding":
		return true
	}
	return strings.HasPrefix(name, "proxy-") || strings.HasPrefix(name, "x-forwarded-")
}
