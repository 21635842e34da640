package streamhttp_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/streamhttp"
)

func tool(name, schema string) string {
	return fmt.Sprintf(`{"name":%q,%s,"inputSchema":%s}`, name, grease, schema)
}

func property(schema string) string {
	return `{"type":"object","properties":{"p":` + schema + `}}`
}

func TestToolsWithInvalidAnnotationsAreLeftOut(t *testing.T) {
	valid := map[string]string{
		"none":                  `{"type":"object"}`,
		"string":                property(`{"type":"string","x-mcp-header":"Region"}`),
		"all tchars":            property(`{"type":"boolean","x-mcp-header":"!#$%&'*+-.^_|~09azAZ"}`),
		"nullable":              property(`{"type":["integer","null"],"x-mcp-header":"A"}`),
		"nested":                property(`{"type":"object","properties":{"q":{"type":"integer","x-mcp-header":"A"}}}`),
		"a parameter named so":  `{"type":"object","properties":{"x-mcp-header":{"type":"number"}}}`,
		"a definition named so": `{"type":"object","$defs":{"x-mcp-header":{"type":"number"}}}`,
		"a default":             property(`{"type":"object","default":{"x-mcp-header":1}}`),
		"an enum":               property(`{"enum":[{"x-mcp-header":1}],"const":{"x-mcp-header":1},"examples":[{"x-mcp-header":1}]}`),
		"text":                  property(`{"description":"see x-mcp-header","type":"string"}`),
		"no schema":             `null`,
	}
	invalid := map[string]string{
		"empty":                   property(`{"type":"string","x-mcp-header":""}`),
		"no string":               property(`{"type":"string","x-mcp-header":1}`),
		"space":                   property(`{"type":"string","x-mcp-header":"My Region"}`),
		"colon":                   property(`{"type":"string","x-mcp-header":"Region:Primary"}`),
		"not ASCII":               property(`{"type":"string","x-mcp-header":"Région"}`),
		"control character":       property(`{"type":"string","x-mcp-header":"A\r\nB"}`),
		"object":                  property(`{"type":"object","x-mcp-header":"A"}`),
		"array":                   property(`{"type":"array","x-mcp-header":"A"}`),
		"null":                    property(`{"type":"null","x-mcp-header":"A"}`),
		"only null":               property(`{"type":["null"],"x-mcp-header":"A"}`),
		"number":                  property(`{"type":"number","x-mcp-header":"A"}`),
		"number among others":     property(`{"type":["string","number"],"x-mcp-header":"A"}`),
		"no type":                 property(`{"x-mcp-header":"A"}`),
		"same name":               `{"properties":{"p":{"type":"string","x-mcp-header":"A"},"q":{"type":"string","x-mcp-header":"A"}}}`,
		"same name but for case":  `{"properties":{"p":{"type":"string","x-mcp-header":"MyField"},"q":{"type":"string","x-mcp-header":"myfield"}}}`,
		"same name further down":  `{"properties":{"p":{"type":"string","x-mcp-header":"A"},"q":{"properties":{"r":{"type":"string","x-mcp-header":"a"}}}}}`,
		"root":                    `{"type":"string","x-mcp-header":"A"}`,
		"items":                   property(`{"type":"array","items":{"type":"string","x-mcp-header":"A"}}`),
		"properties below items":  property(`{"type":"array","items":{"properties":{"q":{"type":"string","x-mcp-header":"A"}}}}`),
		"oneOf":                   property(`{"oneOf":[{"type":"string","x-mcp-header":"A"}]}`),
		"anyOf at the root":       `{"anyOf":[{"properties":{"p":{"type":"string","x-mcp-header":"A"}}}]}`,
		"not":                     property(`{"not":{"type":"string","x-mcp-header":"A"}}`),
		"if":                      `{"if":{"properties":{"p":{"type":"string","x-mcp-header":"A"}}}}`,
		"$defs":                   `{"$defs":{"d":{"type":"string","x-mcp-header":"A"}},"properties":{"p":{"$ref":"#/$defs/d"}}}`,
		"additionalProperties":    `{"additionalProperties":{"type":"string","x-mcp-header":"A"}}`,
		"patternProperties":       `{"patternProperties":{"a":{"type":"string","x-mcp-header":"A"}}}`,
		"a keyword yet to come":   `{"futureKeyword":{"type":"string","x-mcp-header":"A"}}`,
		"an annotation too many":  manyAnnotations(65),
		"one valid, one not":      `{"properties":{"p":{"type":"string","x-mcp-header":"A"},"q":{"type":"number","x-mcp-header":"B"}}}`,
		"properties in a default": property(`{"type":"string","default":1,"items":{"x-mcp-header":"A"}}`),
	}
	var tools []string
	want := map[string]bool{}
	for name, schema := range valid {
		tools = append(tools, tool(name, schema))
		want[name] = true
	}
	for name, schema := range invalid {
		tools = append(tools, tool("not "+name, schema))
	}
	list := `{"resultType":"complete","tools":[` + strings.Join(tools, " ,") + `],"ttlMs":5,` + grease + `}`
	for _, form := range []string{"JSON", "events"} {
		p := newRemote(t, func(w http.ResponseWriter, _ *http.Request, msg jsonrpc.Message) {
			if form == "JSON" {
				respondResult(w, msg, list)
				return
			}
			events(w, event(`{"jsonrpc":"2.0","id":%s,"result":%s}`, string(msg.ID), list))
		})
		result, err := p.client().Handle(t.Context(), asked("tools/list", `{}`))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for element := range jsonrpc.Elements(result.Get("tools")) {
			o, err := jsonrpc.ParseObject(element, jsonrpc.Limits{})
			if err != nil || o.Get("x-grease") == nil {
				t.Errorf("tool %s has changed: %v", element, err)
			}
			name, _ := o.String("name")
			got[name] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: tools (-want +got):\n%s", form, diff)
		}
		if string(result.Get("ttlMs")) != "5" || result.Get("x-grease") == nil {
			t.Errorf("%s: the rest of the list has changed: %s", form, result.Raw())
		}
	}
}

func manyAnnotations(n int) string {
	var parts []string
	for i := range n {
		parts = append(parts, fmt.Sprintf(`"p%d":{"type":"string","x-mcp-header":"H%d"}`, i, i))
	}
	return `{"properties":{` + strings.Join(parts, ",") + `}}`
}

const annotated = `{"type":"object","properties":{
	"region":{"type":"string","x-mcp-header":"Region"},
	"count":{"type":"integer","x-mcp-header":"count"},
	"on":{"type":"boolean","x-mcp-header":"On"},
	"deep":{"type":"object","properties":{"er":{"type":"object","properties":{"x":{"type":"string","x-mcp-header":"Deep-X"}}}}},
	"query":{"type":"string"}}}`

func TestAnnotatedParametersAreMirrored(t *testing.T) {
	tests := []struct {
		name, arguments string
		want            map[string]string
	}{
		{"plain values", `{"region":"us-west1","count":42,"on":true,"deep":{"er":{"x":"y"}},"query":"q"}`,
			map[string]string{"Region": "us-west1", "Count": "42", "On": "true", "Deep-X": "y"}},
		{"no values", `{"query":"q"}`, nil},
		{"null", `{"region":null,"count":null,"on":null,"deep":{"er":{"x":null}}}`, nil},
		{"null on the way", `{"deep":null}`, nil},
		{"another kind on the way", `{"deep":[{"er":{"x":"y"}}]}`, nil},
		{"kinds that have no header form", `{"region":{"a":1},"count":[1]}`, nil},
		{"an empty string", `{"region":""}`, map[string]string{"Region": ""}},
		{"not ASCII", `{"region":"Hello, 世界"}`, map[string]string{"Region": "=?base64?SGVsbG8sIOS4lueVjA==?="}},
		{"escapes in the body", `{"region":"us\u002dwest1"}`, map[string]string{"Region": "us-west1"}},
		{"white space around", `{"region":" padded "}`, map[string]string{"Region": "=?base64?IHBhZGRlZCA=?="}},
		{"white space inside", `{"region":"us west 1"}`, map[string]string{"Region": "us west 1"}},
		{"a leading tab", `{"region":"\tindented"}`, map[string]string{"Region": "=?base64?CWluZGVudGVk?="}},
		{"line breaks", `{"region":"line1\r\nline2"}`, map[string]string{"Region": "=?base64?bGluZTENCmxpbmUy?="}},
		{"the sentinel itself", `{"region":"=?base64?literal?="}`, map[string]string{"Region": "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="}},
		{"a negative number", `{"count":-7}`, map[string]string{"Count": "-7"}},
		{"a whole number in disguise", `{"count":4.20e1}`, map[string]string{"Count": "42"}},
		{"no whole number", `{"count":4.2}`, map[string]string{"Count": "4.2"}},
		{"a large number", `{"count":9007199254740993}`, map[string]string{"Count": "9007199254740993"}},
		{"false", `{"on":false}`, map[string]string{"On": "false"}},
	}
	p := newRemote(t, func(w http.ResponseWriter, _ *http.Request, msg jsonrpc.Message) {
		respondResult(w, msg, `{"tools":[`+tool("t", annotated)+`,`+tool("plain", `{}`)+`]}`)
	})
	c := p.client()
	if _, err := c.Handle(t.Context(), asked("tools/list", `{}`)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := c.Handle(t.Context(), asked("tools/call", `{"name":"t","arguments":`+tt.arguments+`}`)); err != nil {
				t.Fatal(err)
			}
			requests := p.got()
			if diff := cmp.Diff(tt.want, sentParams(requests[len(requests)-1])); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := c.Handle(t.Context(), asked("tools/call", `{"name":"plain","arguments":{"region":"x"}}`)); err != nil {
		t.Fatal(err)
	}
	requests := p.got()
	if got := sentParams(requests[len(requests)-1]); got != nil {
		t.Errorf("another tool's call has headers %q", got)
	}
}

func sentParams(r received) map[string]string {
	var got map[string]string
	for name, values := range r.header {
		if rest, ok := strings.CutPrefix(name, "Mcp-Param-"); ok {
			if got == nil {
				got = map[string]string{}
			}
			got[rest] = strings.Join(values, "|")
		}
	}
	return got
}

// A server refuses a call whose headers are missing; its list is then read, page
// by page, and the call sent once more.
func TestHeaderMismatchMakesTheClientListTheToolsAgain(t *testing.T) {
	answer := func(w http.ResponseWriter, _ *http.Request, msg jsonrpc.Message) {
		cursor, _ := msg.Params.String("cursor")
		switch {
		case msg.Method == "tools/list" && cursor == "":
			respondResult(w, msg, `{"tools":[],"nextCursor":"2"}`)
		case msg.Method == "tools/list":
			respondResult(w, msg, `{"tools":[`+tool("t", annotated)+`]}`)
		default:
			respond(w, 400, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32020,"message":"m"}}`, string(msg.ID)))
		}
	}
	methods := func(p *remote) string {
		var all []string
		for _, r := range p.got() {
			all = append(all, r.msg.Method)
		}
		return strings.Join(all, " ")
	}
	call := asked("tools/call", `{"name":"t","arguments":{"region":"r"}}`)
	t.Run("and the call goes through", func(t *testing.T) {
		p := newRemote(t, func(w http.ResponseWriter, r *http.Request, msg jsonrpc.Message) {
			if r.Header.Get("Mcp-Param-Region") == "r" {
				respondResult(w, msg, `{"ok":true}`)
				return
			}
			answer(w, r, msg)
		})
		c := p.client()
		result, err := c.Handle(t.Context(), call)
		if err != nil || string(result.Get("ok")) != "true" {
			t.Errorf("result = %s, %v", result.Raw(), err)
		}
		if got := methods(p); got != "tools/call tools/list tools/list tools/call" {
			t.Errorf("the server was asked for %s", got)
		}
		first, last := p.got()[0].msg.ID, p.got()[3].msg.ID
		if first == last {
			t.Errorf("both calls have id %s", string(first))
		}
	})
	t.Run("and the call is refused for good", func(t *testing.T) {
		p := newRemote(t, answer)
		c := p.client()
		if _, err := c.Handle(t.Context(), call); wireCode(err) != mcp.CodeHeaderMismatch {
			t.Errorf("error = %v, want the mismatch", err)
		}
		if got := methods(p); got != "tools/call tools/list tools/list tools/call" {
			t.Errorf("the server was asked for %s", got)
		}
		_, _ = c.Handle(t.Context(), call)
		if got := methods(p); strings.Count(got, "tools/call") != 3 {
			t.Errorf("the server was asked for %s: nothing was new, the second call should not be repeated", got)
		}
	})
	t.Run("and the list cannot be had", func(t *testing.T) {
		p := newRemote(t, func(w http.ResponseWriter, r *http.Request, msg jsonrpc.Message) {
			if msg.Method == "tools/list" {
				http.Error(w, "x", 500)
				return
			}
			answer(w, r, msg)
		})
		if _, err := p.client().Handle(t.Context(), call); wireCode(err) != mcp.CodeHeaderMismatch {
			t.Errorf("error = %v, want the mismatch", err)
		}
	})
	t.Run("and the list never ends", func(t *testing.T) {
		p := newRemote(t, func(w http.ResponseWriter, r *http.Request, msg jsonrpc.Message) {
			if msg.Method == "tools/list" {
				respondResult(w, msg, `{"tools":[],"nextCursor":""}`)
				return
			}
			answer(w, r, msg)
		})
		if _, err := p.client().Handle(t.Context(), call); wireCode(err) != mcp.CodeHeaderMismatch {
			t.Errorf("error = %v, want the mismatch", err)
		}
		if n := len(p.got()); n != 101 {
			t.Errorf("the server was asked %d times, want 101", n)
		}
	})
}

func TestAnnotationsThatAreGoneAreForgotten(t *testing.T) {
	schema := annotated
	p := newRemote(t, func(w http.ResponseWriter, _ *http.Request, msg jsonrpc.Message) {
		respondResult(w, msg, `{"tools":[`+tool("t", schema)+`]}`)
	})
	c := p.client()
	for _, next := range []string{annotated, `{}`, property(`{"type":"null","x-mcp-header":"A"}`)} {
		schema = next
		_, _ = c.Handle(t.Context(), asked("tools/list", `{}`))
		_, _ = c.Handle(t.Context(), asked("tools/call", `{"name":"t","arguments":{"region":"r"}}`))
		requests := p.got()
		if got := len(sentParams(requests[len(requests)-1])) > 0; got != (next == annotated) {
			t.Errorf("schema %s: headers sent is %t", next, got)
		}
	}
}

var _ mcp.Handler = (*streamhttp.Client)(nil)
