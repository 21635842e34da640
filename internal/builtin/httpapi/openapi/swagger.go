package openapi

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Version 2.0 writes a parameter's schema into the parameter itself, and the body
// as parameters. Both are turned into the form of 3.x while they are read.

func (op *Operation) oldParameter(o object) (*Parameter, error) {
	in := text(o, "in")
	if in == "body" || in == "formData" {
		return nil, nil // see oldBody
	}
	p := &Parameter{Name: text(o, "name"), In: in, Description: Clean(text(o, "description"), 1000), Required: truth(o, "required"), schema: o}
	if err := p.check(); err != nil {
		return nil, err
	}
	if in == "header" && hopHeader(p.Name) {
		return nil, nil
	}
	p.style, p.explode = collection(text(o, "collectionFormat"), in, p.style)
	return p, nil
}

// collection is a collectionFormat as a style; csv is what 2.0 begins with.
func collection(format, in, style string) (string, bool) {
	if in != "query" {
		return style, false
	}
	switch format {
	case "ssv":
		return "spaceDelimited", false
	case "pipes":
		return "pipeDelimited", false
	case "tsv":
		return "tabDelimited", false
	case "multi":
		return "form", true
	}
	return "form", false
}

func (op *Operation) oldBody() error {
	types := texts(list(op.node, "consumes"))
	if len(types) == 0 {
		types = texts(list(op.doc.root, "consumes"))
	}
	all, err := op.oldParameters()
	if err != nil {
		return err
	}
	form, encoding, required, files := object{}, object{}, []any{}, false
	for _, o := range all {
		switch text(o, "in") {
		case "body":
			op.Body = &Body{Required: truth(o, "required"), schema: o["schema"], description: Clean(text(o, "description"), 1000)}
			op.Body.choose(types)
			return nil
		case "formData":
			name := text(o, "name")
			form[name] = o
			files = files || text(o, "type") == "file"
			style, explode := collection(text(o, "collectionFormat"), "query", "form")
			encoding[name] = object{"style": style, "explode": explode}
			if truth(o, "required") {
				required = append(required, name)
			}
		}
	}
	if len(form) == 0 {
		return nil
	}
	op.Body = &Body{
		Type: formType, Required: len(required) > 0, encoding: encoding,
		schema: object{"type": "object", "properties": form, "required": required},
	}
	if files || len(types) > 0 && !strings.Contains(strings.Join(types, " "), "urlencoded") {
		op.Body.Type = multipartType
	}
	op.Body.Types = []string{op.Body.Type}
	return nil
}

// oldParameters are those of the path and of the operation, bodies among them.
func (op *Operation) oldParameters() ([]object, error) {
	var all []object
	for _, v := range append(slices.Clone(list(op.pathItem(), "parameters")), list(op.node, "parameters")...) {
		o, _, err := op.doc.resolved(v)
		if err != nil {
			return nil, fmt.Errorf("parameter: %w", err)
		}
		all = append(all, o)
	}
	return all, nil
}

// pathItem is where the operation is written.
func (op *Operation) pathItem() object {
	item, _, err := op.doc.resolved(inner(op.doc.root, "paths")[op.Path])
	if err != nil {
		return nil
	}
	return item
}

func (b *Body) choose(types []string) {
	b.Types = types
	b.Type = cmp.Or(best(types), jsonType)
}
