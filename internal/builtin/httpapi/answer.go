package httpapi

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"maps"
	"mime"
	"slices"
	"strings"
	"unicode/utf8"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/openapi"
	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/outbound"
	"github.com/dragoman-mcp/dragoman/server"
)

// answer is what a caller gets of an API's answer.
type answer struct {
	Status  int               `json:"status"`
	Body    any               `json:"body,omitempty" jsonschema:"an answer in JSON"` // from Call.JSON
	Text    string            `json:"text,omitempty" jsonschema:"any other, or a part"`
	Type    string            `json:"type,omitempty" jsonschema:"media type if not JSON"`
	Headers map[string]string `json:"headers,omitempty"`
	Next    string            `json:"next,omitempty" jsonschema:"what to do about a failure"`
	server.Page
}

// page is an answer of which parts are still to be given. It is kept, since to
// ask again may have another answer, and effects.
type page struct {
	status int
	kind   string
	rows   []json.RawMessage // of JSON with a list
	path   []string          // the members that lead to the list
	text   []byte            // of everything else
}

func (p *page) size() int {
	n := len(p.text) + 64
	for _, r := range p.rows {
		n += len(r) + 24
	}
	return n
}

// place in a page, as a cursor has it.
type spot struct {
	ID string `json:"i"`
	At int    `json:"a"`
}

// told are the headers of an answer that say something to its reader.
func told(a *outbound.Answer) map[string]string {
	var out map[string]string
	for _, name := range [...]string{"Location", "Link", "Etag", "Last-Modified", "Retry-After", "X-Total-Count", "X-Next-Page", "Ratelimit-Remaining", "X-Ratelimit-Remaining"} {
		values := a.Header[name]
		if len(values) == 0 {
			continue
		}
		v := values[0]
		if v == "" || name == "Last-Modified" && a.Status != 412 {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[name] = openapi.Clean(v, 1000)
	}
	return out
}

// shape makes an answer fit the budget: whole, only the wanted fields, the first
// elements of its list, or the beginning of its text.
func (a *api) shape(c *server.Call, got *outbound.Answer, fields []string) (answer, error) {
	out := answer{Status: got.Status, Headers: told(got)}
	kind := got.Header.Get("Content-Type")
	if kind != "application/json" {
		var err error
		if kind, _, err = mime.ParseMediaType(kind); err != nil {
			kind = ""
		}
	}
	body := bytes.TrimSpace(got.Body)
	if len(body) == 0 {
		return out, nil
	}
	if mayBeJSON(kind, body) {
		if checked, err := c.JSON(body); err == nil {
			return a.shapeJSON(c, out, checked, fields)
		}
	}
	out.Type = openapi.Clean(kind, 80)
	if strings.HasPrefix(kind, "image/") && int64(len(got.Body)) <= int64(a.cfg.Limits.Bytes) {
		c.Result.Content = append(c.Result.Content, &sdk.ImageContent{Data: got.Body, MIMEType: kind})
		return out, nil
	}
	if !utf8.Valid(got.Body) && !strings.HasPrefix(kind, "text/") {
		out.Text = "(binary, not shown)"
		return out, nil
	}
	return a.turn(c, out, &page{status: got.Status, kind: out.Type, text: bytes.ToValidUTF8(got.Body, []byte("\ufffd"))}, spot{})
}

// mayBeJSON reports whether an answer is JSON if it can be read as such. An API
// that does not say what it sends, or says that it is text, is taken to mean an
// object or a list.
func mayBeJSON(kind string, body []byte) bool {
	said := kind == "application/json" || strings.HasSuffix(kind, "+json") || strings.HasPrefix(kind, "text/") && strings.Contains(kind, "json")
	guessed := (kind == "" || strings.HasPrefix(kind, "text/")) && (body[0] == '{' || body[0] == '[')
	return (said || guessed) && utf8.Valid(body)
}

// checkedJSON is what Call.JSON gives.
type checkedJSON interface{ Text() json.RawMessage }

func (a *api) shapeJSON(c *server.Call, out answer, body checkedJSON, fields []string) (answer, error) {
	if len(fields) > 0 && out.Status < 400 {
		some, err := selected(body.Text(), fields)
		if err != nil {
			return answer{}, err
		}
		if body, err = c.JSON(some); err != nil {
			return answer{}, err
		}
	}
	if !a.small(body.Text()) {
		p := listed(body.Text())
		p.status = out.Status
		return a.turn(c, out, p, spot{})
	}
	out.Body = body
	return out, nil
}

// small reports whether text fits as a whole. A token has a byte at least, and a
// row a comma.
func (a *api) small(text []byte) bool {
	l := a.cfg.Limits
	if int64(len(text)) > int64(l.Bytes) || bytes.Count(text, []byte(",")) >= l.Rows && len(listed(text).rows) > l.Rows {
		return false
	}
	return len(text) <= l.Tokens || server.Tokens(text) <= l.Tokens
}

// listed finds the longest list in JSON, up to three members deep; without one,
// or when it is not most of the text, the text is what is paged.
func listed(text []byte) *page {
	p := &page{}
	find(text, nil, p)
	size := 0
	for _, r := range p.rows {
		size += len(r)
	}
	if len(p.rows) < 2 || size < len(text)/4 {
		return &page{text: text}
	}
	return p
}

func find(text json.RawMessage, path []string, into *page) {
	text = bytes.TrimSpace(text)
	switch {
	case len(text) == 0 || len(path) > 3:
	case text[0] == '[':
		var rows []json.RawMessage
		if json.Unmarshal(text, &rows) == nil && len(rows) > len(into.rows) {
			into.rows, into.path = rows, slices.Clone(path)
		}
	case text[0] == '{':
		var members map[string]json.RawMessage
		if json.Unmarshal(text, &members) != nil {
			return
		}
		for _, name := range slices.Sorted(maps.Keys(members)) {
			find(members[name], append(path, name), into)
		}
	}
}

// turn gives what fits of a page from a place on, and keeps it if there is more.
func (a *api) turn(c *server.Call, out answer, p *page, at spot) (answer, error) {
	next := 0
	if p.rows == nil {
		rest := string(p.text[min(at.At, len(p.text)):])
		part, whole := c.Budget.Text(rest)
		out.Text, out.Type = part, p.kind
		if whole {
			return out, nil
		}
		if part == "" {
			return answer{}, server.Errorf("ask for less", "not even the beginning of the answer fits into the budget")
		}
		next = at.At + len(part)
	} else {
		rows := []json.RawMessage{}
		for i := min(at.At, len(p.rows)); i < len(p.rows); i++ {
			if !c.Budget.Row(p.rows[i]) {
				next = i
				break
			}
			rows = append(rows, p.rows[i])
		}
		if len(rows) == 0 && next > 0 || next == 0 && len(rows) < len(p.rows)-at.At {
			return answer{}, server.Errorf("name the parts that you need in fields", "one element of the answer is larger than the budget")
		}
		var body any = rows
		for _, name := range slices.Backward(p.path) {
			body = map[string]any{name: body}
		}
		text, err := json.Marshal(body)
		if err != nil {
			return answer{}, err
		}
		if out.Body, err = c.JSON(text); err != nil {
			return answer{}, err
		}
		if next == 0 {
			return out, nil
		}
	}
	at = spot{cmp.Or(at.ID, rand.Text()), next}
	a.pages.Set(pageKey(c, at.ID), p, 0)
	out.Page = c.More(at)
	return out, nil
}

func pageKey(c *server.Call, id string) string { return c.Principal + "\x00" + id }

// resume gives more of an answer.
func (a *api) resume(c *server.Call, source, cursor string) (answer, error) {
	var at spot
	if err := c.Resume(cursor, &at); err != nil {
		return answer{}, err
	}
	p, ok := a.pages.Peek(pageKey(c, at.ID))
	if !ok {
		return answer{}, server.Errorf("call the operation again", "the rest of the answer is not kept any more")
	}
	c.Untrusted(source)
	return a.turn(c, answer{Status: p.status}, p, at)
}

// selected is JSON with nothing but some members, each named by the way to it,
// such as items.name; lists are passed through.
func selected(text []byte, fields []string) (json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	tree := wish{}
	for _, f := range fields {
		at := tree
		for _, name := range strings.Split(strings.TrimPrefix(f, "$."), ".") {
			name = strings.TrimSuffix(name, "[]")
			if at[name] == nil {
				at[name] = wish{}
			}
			at = at[name]
		}
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(tree.of(v)); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// wish is the members that are wanted, and what is wanted of each; none means all.
type wish map[string]wish

func (w wish) of(v any) any {
	if len(w) == 0 {
		return v
	}
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = w.of(item)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for name, inner := range w {
			if value, there := v[name]; there {
				out[name] = inner.of(value)
			}
		}
		return out
	}
	return v
}
