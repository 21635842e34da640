package strict

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// scalar reads one text, number, duration, size or truth value.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, f Field, at spot) {
	target := follow(n)
	switch {
	case isNull(target):
		d.fault(n, at.path, "has no value", "give it "+Expected(v.Type())+", or remove the key")
		return
	case target.Kind != yaml.ScalarNode:
		d.fault(n, at.path, "must be "+Expected(v.Type())+", not "+describe(n), "")
		return
	}
	text, ok := d.text(n, at.path)
	if !ok || !d.kindFits(n, v, f, at) {
		return
	}
	if f.Path && !(d.Verbatim && strings.HasPrefix(text, "${")) {
		text = d.Resolve(text)
	}
	if p := setText(v, f, text, false); p.what != "" {
		// What is shown is what was written: a value that came through a reference may be a secret.
		d.fault(n, at.path, show(target.Value, v.Type())+" "+p.what, p.remedy)
		return
	}
	d.origins[at.path] = d.place(n).String()
}

// kindFits refuses a number where text is asked for and text where a number is, except where that is what people mean:
// names in quotes are text, and environment values, arguments and headers are taken as they are written.
func (d *decoder) kindFits(n *yaml.Node, v reflect.Value, f Field, at spot) bool {
	target := follow(n)
	isText := target.Tag == "!!str" || target.Tag == "!!timestamp"
	quoted := target.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0
	named := len(f.Index) > 0 // a key of a section, not an entry of a list or a map
	switch {
	case v.Kind() == reflect.String && !isText && named && len(f.Enum) == 0:
		d.fault(n, at.path, "must be text, not "+describe(n), "put it in quotes")
		return false
	case v.Kind() == reflect.Bool && quoted && !strings.Contains(target.Value, "${"),
		v.CanFloat() && quoted && f.Unit == "" && !strings.Contains(target.Value, "${"),
		v.Kind() == reflect.Int && quoted && !strings.Contains(target.Value, "${"):
		d.fault(n, at.path, "must be "+Expected(v.Type())+", not text", "remove the quotes")
		return false
	}
	return true
}

// text gives the text of a scalar with its references resolved.
func (d *decoder) text(n *yaml.Node, path string) (string, bool) {
	target := follow(n)
	if d.Verbatim {
		return target.Value, true
	}
	text, problems := d.expand(target.Value)
	for _, p := range problems {
		d.faults = append(d.faults, Fault{Place: d.place(n), Path: path, Problem: p.what, Remedy: p.remedy,
			Unresolved: p.unresolved})
	}
	return text, len(problems) == 0
}

// show quotes what was written, unless it may be a secret.
func show(written string, t reflect.Type) string {
	if secret(t) {
		return "this"
	}
	if len(written) > 60 {
		return fmt.Sprintf("%.60q…", written)
	}
	return fmt.Sprintf("%q", written)
}

// fromEnvironment sets a value from an environment variable and tells whether it is set.
func (d *decoder) fromEnvironment(name string, v reflect.Value, f Field, at spot) bool {
	text, ok := d.lookup(name)
	if !ok || text == "" {
		return false
	}
	place := Place{File: "environment " + name}
	var p problem
	switch v.Kind() {
	case reflect.Map:
		p = setPairs(v, text)
	case reflect.Slice:
		p = d.setList(v, f, text)
	default:
		p = d.setOne(v, f, text)
	}
	if p.what != "" {
		d.faults = append(d.faults, Fault{Place: place, Path: at.path, Problem: p.what, Remedy: p.remedy})
		return true
	}
	d.places[at.path] = place
	d.origins[at.path] = place.String()
	return true
}

func (d *decoder) setOne(v reflect.Value, f Field, text string) problem {
	if f.Path {
		// The environment does not know of the document, so a relative path begins at the working directory.
		text = Options{Env: d.Env}.Resolve(text)
	}
	if len(f.Enum) > 0 {
		text = strings.ToLower(text)
	}
	if v.Kind() == reflect.Bool {
		text = truth(text)
	}
	p := setText(v, f, text, true)
	if p.what != "" {
		p.what = show(text, v.Type()) + " " + p.what
	}
	return p
}

// truth gives the ways to say true and false that environment variables have the form that files have.
func truth(text string) string {
	switch strings.ToLower(text) {
	case "1", "yes", "on", "y":
		return "true"
	case "0", "no", "off", "n":
		return "false"
	}
	return text
}

// setList reads a,b,c.
func (d *decoder) setList(v reflect.Value, f Field, text string) problem {
	if v.Type().Elem().Kind() != reflect.String {
		return problem{what: "cannot be set by an environment variable", remedy: "set it in the file"}
	}
	parts := strings.Split(text, ",")
	v.Set(reflect.MakeSlice(v.Type(), len(parts), len(parts)))
	for i, part := range parts {
		if p := d.setOne(v.Index(i), Field{Path: f.Path, Enum: f.Enum}, strings.TrimSpace(part)); p.what != "" {
			return p
		}
	}
	return problem{}
}

// setPairs reads name=value,name=value with the values in percent encoding, as OTEL_EXPORTER_OTLP_HEADERS has them.
func setPairs(v reflect.Value, text string) problem {
	if v.Type().Elem().Kind() != reflect.String {
		return problem{what: "cannot be set by an environment variable", remedy: "set it in the file"}
	}
	v.Set(reflect.MakeMap(v.Type()))
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || name == "" || err != nil {
			return problem{what: "is not a list of name=value", remedy: "write name=value,name=value with values in percent encoding"}
		}
		v.SetMapIndex(reflect.ValueOf(strings.TrimSpace(name)), reflect.ValueOf(value).Convert(v.Type().Elem()))
	}
	return problem{}
}

// Inherit copies each value that the document did not set at path from the same value of from. Both point to structs of
// one type; result is what Decode gave for the document, and learns where the copied values came from.
func Inherit(into, from any, path, fromPath string, result Result) {
	inherit(reflect.ValueOf(into).Elem(), reflect.ValueOf(from).Elem(), path, fromPath, result)
}

func inherit(into, from reflect.Value, path, fromPath string, result Result) {
	for _, f := range Fields(into.Type()) {
		to, have := into.FieldByIndex(f.Index), from.FieldByIndex(f.Index)
		here, there := join(path, f.Key), join(fromPath, f.Key)
		if to.Kind() == reflect.Struct {
			inherit(to, have, here, there, result)
			continue
		}
		if _, set := result.Places[here]; set {
			continue
		}
		to.Set(have)
		result.Origins[here] = there + " (" + result.Origins[there] + ")"
	}
}
