package definition_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/plaintext/definition"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// says answers every method with one text, or one error.
type says struct {
	text string
	err  error
	note string
	got  []string
}

func (s *says) Handle(_ context.Context, req *mcp.Request) (mcp.Result, error) {
	s.got = append(s.got, req.Name)
	if s.note != "" {
		params, _ := jsonrpc.Split([]byte(s.note))
		req.Emit(mcp.Notification{Method: "notifications/progress", Params: params})
	}
	if s.err != nil {
		return mcp.Result{}, s.err
	}
	return mcp.RawResult([]byte(s.text)), nil
}

func text(definitions, results string) config.Text {
	return config.Text{Definitions: definitions, Results: results, NameLength: 64, Length: 256}
}

func ask(t *testing.T, h mcp.Handler, method, params string) (string, error) {
	t.Helper()
	o, _ := jsonrpc.Split([]byte(params))
	r, err := h.Handle(t.Context(), mcp.ReadRequest(method, o, nil))
	return string(r.Raw()), err
}

func TestListsAreShownWithoutWhatNobodySees(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, c := range []struct{ name, method, in, strip, withhold string }{
		{
			"a tool's description, schemas and annotations", "tools/list",
			`{"tools":[{"name":"a","description":"A.\u200b","inputSchema":{"properties":{"x":{"description":"\u202ex","enum":["\u200bq"]}}},"outputSchema":{"title":"\u001b[1mT"},"annotations":{"title":"\udb40\udc41"}},{"name":"b"}],"nextCursor":"\u200b"}`,
			`{"tools":[{"name":"a","description":"A.","inputSchema":{"properties":{"x":{"description":"x","enum":["q"]}}},"outputSchema":{"title":"T"},"annotations":{"title":""}},{"name":"b"}],"nextCursor":"\u200b"}`,
			`{"tools":[{"name":"b"}],"nextCursor":"\u200b"}`,
		},
		{"a tool's name", "tools/list", `{"tools":[{"name":"read"},{"name":"read\u200b"}]}`, `{"tools":[{"name":"read"}]}`, `{"tools":[{"name":"read"}]}`},
		{"the name of a parameter", "tools/list", `{"tools":[{"name":"a","inputSchema":{"properties":{"x\u200b":{}}}}, {"name":"b"}]}`, `{"tools":[{"name":"b"}]}`, `{"tools":[{"name":"b"}]}`},
		{"a name that is too long", "tools/list", `{"tools":[{"name":"` + long + `"}]}`, `{"tools":[]}`, `{"tools":[]}`},
		{"line ends and soft hyphens hide nothing", "tools/list", `{"tools":[{"name":"a","description":"x\u00ady\fz"}]}`, `{"tools":[{"name":"a","description":"xy\nz"}]}`, `{"tools":[{"name":"a","description":"xy\nz"}]}`},
		{"the name of a prompt's argument", "prompts/list", `{"prompts":[{"name":"p","arguments":[{"name":"x\u202e"}]},{"name":"q","title":"\u200bQ"}]}`, `{"prompts":[{"name":"q","title":"Q"}]}`, `{"prompts":[]}`},
		{"a resource", "resources/list", `{"resources":[{"uri":"x:1","name":"\u200bn"},{"uri":"x:\u202e2"}]}`, `{"resources":[{"uri":"x:1","name":"n"}]}`, `{"resources":[]}`},
		{"a template", "resources/templates/list", `{"resourceTemplates":[{"uriTemplate":"x:{a}","description":"d\u2066"},{"uriTemplate":"x:{\u200ba}"}]}`, `{"resourceTemplates":[{"uriTemplate":"x:{a}","description":"d"}]}`, `{"resourceTemplates":[]}`},
		{"the server itself", "server/discover", `{"instructions":"Do.\u200b","_meta":{"i":{"name":"s\u202e"}}}`, `{"instructions":"Do.","_meta":{"i":{"name":"s"}}}`, `{"_meta":{"i":{"name":"s"}}}`},
		{"a long description", "tools/list", `{"tools":[{"name":"a","description":"` + long + `"}]}`, `{"tools":[{"name":"a","description":"` + long[:231] + ` … (cut here: too long)"}]}`, `{"tools":[{"name":"a","description":"` + long[:231] + ` … (cut here: too long)"}]}`},
	} {
		for mode, want := range map[string]string{"strip": c.strip, "withhold": c.withhold, "keep": c.in} {
			p := definition.New(definition.Options{Server: "s", Text: text(mode, "keep")}, &says{text: c.in})
			got, err := ask(t, p, c.method, `{}`)
			if err != nil || got != want {
				t.Errorf("%s, %s:\ngot  %s (%v)\nwant %s", c.name, mode, got, err, want)
			}
		}
	}
}

func TestAPageWithNothingHiddenIsTheSameBytes(t *testing.T) {
	const page = `{"tools":[ {"name":"\u0061","description":"Größe\r\n\ud83d\ude00 نمی` + "\u200c" + `دانم","x": 1e2} ,{"name":"b"}], "_meta":{"a\u200b":1}}`
	s := &says{text: page}
	result := mcp.RawResult([]byte(page))
	h := mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) { return result, nil })
	got, err := definition.New(definition.Options{Text: text("strip", "keep")}, h).Handle(t.Context(), &mcp.Request{Method: "tools/list"})
	if err != nil || &got.Raw()[0] != &result.Raw()[0] || string(got.Raw()) != page {
		t.Errorf("got %s (%v), want the very bytes of %s", got.Raw(), err, s.text)
	}
}

func TestAToolThatIsLeftOutCannotBeCalled(t *testing.T) {
	s := &says{text: `{}`}
	p := definition.New(definition.Options{Text: text("strip", "keep")}, s)
	for _, name := range []string{"read\u200b", "read\u202e", strings.Repeat("x", 65)} {
		for _, method := range []string{"tools/call", "prompts/get"} {
			var wire *mcp.Error
			if _, err := ask(t, p, method, fmt.Sprintf(`{"name":%q}`, name)); !errors.As(err, &wire) || wire.Code != jsonrpc.CodeInvalidParams {
				t.Errorf("%s of %+q: got %v, want that it is unknown", method, name, err)
			}
		}
	}
	if _, err := ask(t, p, "tools/call", `{"name":"read"}`); err != nil || !slices.Equal(s.got, []string{"read"}) {
		t.Errorf("the server got calls of %q (%v), want read only", s.got, err)
	}
}

func TestErrorsAreToldWithoutWhatNobodySees(t *testing.T) {
	inner := &mcp.Error{Code: -32000, Message: "no\x1b[2J such\u202e file", Data: []byte(`{"why":"\u200bbad"}`)}
	for name, err := range map[string]error{"as it is": inner, "wrapped": fmt.Errorf("replica 1: %w", inner)} {
		_, got := ask(t, definition.New(definition.Options{Text: text("strip", "keep")}, &says{err: err}), "resources/read", `{"uri":"x:1"}`)
		want := &mcp.Error{Code: -32000, Message: "no such file", Data: []byte(`{"why":"bad"}`)}
		if d := cmp.Diff(want, mcp.WireError(got)); d != "" || !errors.Is(got, err) {
			t.Errorf("%s: (-want +got)\n%s", name, d)
		}
		if _, got := ask(t, definition.New(definition.Options{Text: text("keep", "keep")}, &says{err: err}), "tools/list", `{}`); got != err {
			t.Errorf("%s, keep: got %v, want it as it is", name, got)
		}
	}
	plain := errors.New("of no interest to clients\u202e")
	if _, got := ask(t, definition.New(definition.Options{}, &says{err: plain}), "tools/list", `{}`); got != plain {
		t.Errorf("got %v, want what no client is told as it is", got)
	}
}

func TestResultsAreCleanedOnlyWhereThatIsWanted(t *testing.T) {
	const in = `{"content":[{"type":"text","text":"\ufeffa\u202eb"}],"structuredContent":{"a\u200b":1,"b":"\u200b"},"requestState":"\u200b"}`
	const clean = `{"content":[{"type":"text","text":"ab"}],"structuredContent":{"b":""},"requestState":"\u200b"}`
	failed := strings.Replace(in, "{", `{"isError":true,`, 1)
	for _, c := range []struct{ name, definitions, results, in, want string }{
		{"results as they are", "strip", "keep", in, in},
		{"results without", "strip", "strip", in, clean},
		{"results without, definitions as they are", "keep", "strip", in, clean},
		{"a tool that failed", "strip", "keep", failed, strings.Replace(clean, "{", `{"isError":true,`, 1)},
		{"a tool that failed, all as it is", "keep", "keep", failed, failed},
		{"more members than are edited one by one", "strip", "strip", `{` + strings.Repeat(`"x":"\u200b",`, 300) + `"y":1}`, `{` + strings.Repeat(`"x":"",`, 300) + `"y":1}`},
	} {
		s := &says{text: c.in, note: `{"message":"\u200bhalf","progressToken":1}`}
		note := `{"message":"\u200bhalf","progressToken":1}`
		if c.results == "strip" {
			note = `{"message":"half","progressToken":1}`
		}
		p := definition.New(definition.Options{Text: text(c.definitions, c.results)}, s)
		var noted string
		req := &mcp.Request{Method: "tools/call", Name: "a", Notify: func(n mcp.Notification) { noted = string(n.Params.Raw()) }}
		got, err := p.Handle(t.Context(), req)
		if err != nil || string(got.Raw()) != c.want || noted != note {
			t.Errorf("%s:\ngot  %s, %s (%v)\nwant %s, %s", c.name, got.Raw(), noted, err, c.want, note)
		}
	}
}

func TestWhatWasFoundIsToldOnceForEachDefinition(t *testing.T) {
	var log bytes.Buffer
	var kinds []string
	s := &says{text: `{"tools":[{"name":"a","description":"\u200b"},{"name":"b\u202e"}]}`}
	p := definition.New(definition.Options{
		Server: "files", Text: text("strip", "keep"), Found: func(kind string) { kinds = append(kinds, kind) },
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})),
	}, s)
	for range 3 {
		if _, err := ask(t, p, "tools/list", `{}`); err != nil {
			t.Fatal(err)
		}
	}
	s.text = strings.Replace(s.text, `"\u200b"`, `"\u200b\u200b"`, 1)
	if _, err := ask(t, p, "tools/list", `{}`); err != nil {
		t.Fatal(err)
	}
	want := `level=WARN msg="definition is shown without what nobody sees in it" server=files kind=tool name="\"a\"" found="1 zero-width character"
level=WARN msg="definition is left out for what nobody sees in it" server=files kind=tool name="\"b\\u202e\"" found="1 direction control"
level=WARN msg="definition is shown without what nobody sees in it" server=files kind=tool name="\"a\"" found="2 zero-width characters"
`
	if d := cmp.Diff(want, log.String()); d != "" {
		t.Errorf("log (-want +got):\n%s", d)
	}
	if f := p.Figures(); f != (definition.Figures{Stripped: 2, Withheld: 1}) || len(kinds) != 3 {
		t.Errorf("figures %+v, told of %q, want 2 stripped, 1 withheld and three", f, kinds)
	}
}

func TestAServerCannotFillTheLog(t *testing.T) {
	told := 0
	s := &says{}
	p := definition.New(definition.Options{Text: text("strip", "keep"), Found: func(string) { told++ }}, s)
	for i := range 1500 {
		s.text = fmt.Sprintf(`{"tools":[{"name":"t%d","title":"\u200b"}]}`, i)
		if got, err := ask(t, p, "tools/list", `{}`); err != nil || strings.Contains(got, `\u200b`) {
			t.Fatalf("got %s (%v), want it clean", got, err)
		}
	}
	if told != 1000 {
		t.Errorf("told of %d definitions, want 1000", told)
	}
}
