package openapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"mime/multipart"
	"net/textproto"
	"slices"
	"strings"
)

const (
	jsonType      = "application/json"
	formType      = "application/x-www-form-urlencoded"
	multipartType = "multipart/form-data"
)

func isJSON(media string) bool {
	media, _, _ = strings.Cut(strings.ToLower(media), ";")
	media = strings.TrimSpace(media)
	return media == jsonType || strings.HasSuffix(media, "+json") || media == "text/json"
}

// best is the media type that is easiest to write of those that an API takes.
func best(types []string) string {
	rank := func(t string) int {
		t, _, _ = strings.Cut(strings.ToLower(t), ";")
		switch {
		case t == jsonType:
			return 0
		case isJSON(t):
			return 1
		case t == formType:
			return 2
		case t == multipartType:
			return 3
		case t == "*/*" || t == "application/*":
			return 4
		case strings.HasPrefix(t, "text/"):
			return 5
		}
		return 6
	}
	sorted := slices.Clone(types)
	slices.SortStableFunc(sorted, func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	if len(sorted) == 0 {
		return ""
	}
	if rank(sorted[0]) == 4 {
		return jsonType
	}
	return sorted[0]
}

func (op *Operation) body() error {
	if op.doc.old {
		return op.oldBody()
	}
	v, there := op.node["requestBody"]
	if !there {
		return nil
	}
	o, _, err := op.doc.resolved(v)
	if err != nil {
		return fmt.Errorf("body: %w", err)
	}
	content := inner(o, "content")
	b := &Body{Required: truth(o, "required"), description: Clean(text(o, "description"), 1000)}
	b.choose(slices.Sorted(maps.Keys(content)))
	if _, _, err := mime.ParseMediaType(b.Type); err != nil {
		return fmt.Errorf("body: %q is no media type", short(b.Type, 80))
	}
	media := content[b.Type]
	for _, wild := range []string{"application/*", "*/*"} {
		if media == nil {
			media = content[wild]
		}
	}
	if media != nil {
		m, _, err := op.doc.resolved(media)
		if err != nil {
			return fmt.Errorf("body: %w", err)
		}
		b.schema, b.encoding = m["schema"], inner(m, "encoding")
	}
	op.Body = b
	return nil
}

// encode writes a body and says of which type it is.
func (b *Body) encode(d *Document, v any) ([]byte, string, error) {
	media, _, _ := strings.Cut(strings.ToLower(b.Type), ";")
	switch {
	case isJSON(media):
		text, err := compact(v)
		return text, b.Type, err
	case media == formType:
		text, err := b.form(v)
		return text, b.Type, err
	case strings.HasPrefix(media, "multipart/"):
		return b.parts(d, v)
	}
	if s, ok := v.(string); ok {
		return []byte(s), b.Type, nil
	}
	if data, _, err := file(v); err == nil {
		return data.data, b.Type, nil
	}
	return nil, "", fmt.Errorf(`for %s it is a text, or {"base64": …}`, b.Type)
}

// compact writes JSON without escaping what HTML would want escaped.
func compact(v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("write it as JSON: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// styleOf is how a member of a form is written (3.1.1 §4.8.15).
func (b *Body) styleOf(name string) style {
	e := inner(b.encoding, name)
	s := style{name: name, kind: text(e, "style"), explode: true, encode: func(s string) string { return escape(s, "") }}
	if s.kind == "" {
		s.kind = "form"
	}
	explode, given := e["explode"].(bool)
	s.explode = explode || !given && s.kind == "form"
	return s
}

func (b *Body) form(v any) ([]byte, error) {
	o, ok := v.(object)
	if !ok {
		return nil, errors.New("for a form it is an object")
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(o)) {
		s, value := b.styleOf(name), o[name]
		_, nested := value.(object)
		e := inner(b.encoding, name)
		if nested && text(e, "style") == "" {
			// An object without a style is JSON by the letter of 3.x when it says so,
			// and brackets everywhere else.
			s.kind = "deepObject"
			if isJSON(text(e, "contentType")) {
				value = scalar(value)
			}
		}
		pairs, err := s.query(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, p := range pairs {
			out = append(out, p.name+"="+p.value)
		}
	}
	return []byte(strings.Join(out, "&")), nil
}

// upload is a part that is a file.
type upload struct {
	data       []byte
	name, kind string
}

// file reads {"text": …} or {"base64": …} with an optional filename and type.
func file(v any) (upload, bool, error) {
	o, ok := v.(object)
	if !ok {
		return upload{}, false, errors.New("it is no file")
	}
	u := upload{name: text(o, "filename"), kind: text(o, "type")}
	for name := range o {
		if name != "text" && name != "base64" && name != "filename" && name != "type" {
			return upload{}, false, errors.New("it is no file")
		}
	}
	if s, ok := o["text"].(string); ok {
		u.data = []byte(s)
		return u, true, nil
	}
	s, ok := o["base64"].(string)
	if !ok {
		return upload{}, false, errors.New("it is no file")
	}
	data, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return upload{}, false, fmt.Errorf("its base64: %w", err)
	}
	u.data = data
	return u, true, nil
}

func (b *Body) parts(d *Document, v any) ([]byte, string, error) {
	o, ok := v.(object)
	if !ok {
		return nil, "", errors.New("for a multipart body it is an object")
	}
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(o)) {
		items, isList := o[name].([]any)
		if !isList {
			items = []any{o[name]}
		}
		for _, item := range items {
			if err := b.part(w, d, name, item); err != nil {
				return nil, "", fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if err := w.Close(); err != nil {
		return nil, "", err
	}
	media, _, _ := strings.Cut(b.Type, ";")
	return out.Bytes(), strings.TrimSpace(media) + "; boundary=" + w.Boundary(), nil
}

func (b *Body) part(w *multipart.Writer, d *Document, name string, v any) error {
	if v == nil {
		return nil
	}
	kind := text(inner(b.encoding, name), "contentType")
	kind, _, _ = strings.Cut(kind, ",") // the first of several
	if strings.Contains(kind, "*") {
		kind = ""
	}
	asFile := d.isFile(b.schema, name)
	var u upload
	one, given, err := file(v)
	switch _, isObject := v.(object); {
	case err == nil && given && (asFile || one.name != ""):
		u, asFile = one, true
	case asFile:
		u = upload{data: []byte(scalar(v))}
	case isObject:
		u, kind = upload{data: []byte(scalar(v))}, jsonOr(kind)
	default:
		u = upload{data: []byte(scalar(v))}
	}
	if u.kind != "" {
		kind = u.kind
	}
	h := textproto.MIMEHeader{}
	disposition := `form-data; name="` + quoted(name) + `"`
	if asFile {
		file := u.name
		if file == "" {
			file = "file"
		}
		disposition += `; filename="` + quoted(file) + `"`
		if kind == "" {
			kind = "application/octet-stream"
		}
	}
	h.Set("Content-Disposition", disposition)
	if kind != "" {
		if _, _, err := mime.ParseMediaType(kind); err != nil || harmless(kind) != nil {
			return fmt.Errorf("%q is no media type", short(kind, 80))
		}
		h.Set("Content-Type", strings.TrimSpace(kind))
	}
	p, err := w.CreatePart(h)
	if err != nil {
		return err
	}
	_, err = p.Write(u.data)
	return err
}

func jsonOr(kind string) string {
	if kind == "" {
		return jsonType
	}
	return kind
}

// quoted is a name as it stands in a header of a part, as browsers write it
// (HTML, "multipart/form-data encoding algorithm").
func quoted(s string) string {
	s = strings.NewReplacer("\r", "%0D", "\n", "%0A", `"`, "%22").Replace(s)
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}
