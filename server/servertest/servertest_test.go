package servertest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a test that only writes down its failures.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}
func (r *recorder) Error(args ...any)   { r.failures = append(r.failures, fmt.Sprint(args...)) }
func (r *recorder) Logf(string, ...any) {}

type words struct {
	Words []string `json:"words"`
}

func tool(name string) server.Tool {
	return server.Tool{Name: name, Title: "T", Description: "D.",
		Hints: server.Hints{ReadOnly: server.Yes, Destructive: server.No, Idempotent: server.Yes, OpenWorld: server.No}}
}

func sample(about server.About, add func(*server.Server)) Make {
	return func(env *server.Env) (*server.Server, error) {
		s := server.New(env, about)
		add(s)
		return s, nil
	}
}

func say(context.Context, *server.Call, struct{}) (words, error) {
	return words{Words: []string{"a", "b"}}, nil
}

func good(s *server.Server) { server.AddTool(s, tool("say"), say) }

func TestCheckFindsWhatIsMissing(t *testing.T) {
	about := server.About{Name: "s", Instructions: "Says things."}
	raw := func(name string, change func(*sdk.Tool)) func(*server.Server) {
		return func(s *server.Server) {
			d := &sdk.Tool{Name: name, Title: "T", Description: "D", InputSchema: &jsonschema.Schema{Type: "object"}, OutputSchema: &jsonschema.Schema{Type: "object"},
				Annotations: &sdk.ToolAnnotations{DestructiveHint: new(bool), OpenWorldHint: new(bool)}}
			change(d)
			s.SDK().AddTool(d, func(context.Context, *sdk.CallToolRequest) (*sdk.CallToolResult, error) { return nil, nil })
		}
	}
	for _, c := range []struct {
		name  string
		about server.About
		add   func(*server.Server)
		want  string // empty: nothing is missing
	}{
		{"nothing is missing", about, good, ""},
		{"no instructions", server.About{Name: "s"}, good, "no instructions"},
		{"no title", about, raw("x", func(d *sdk.Tool) { d.Title = "" }), `title ""`},
		{"no hints", about, raw("x", func(d *sdk.Tool) { d.Annotations = nil }), "no destructiveHint"},
		{"one hint missing", about, raw("x", func(d *sdk.Tool) { d.Annotations.OpenWorldHint = nil }), "no openWorldHint"},
		{"no output schema", about, raw("x", func(d *sdk.Tool) { d.OutputSchema = nil }), "no output schema"},
		{"a name with a space", about, raw("a b", func(*sdk.Tool) {}), "its name must match"},
		{"too many tokens", about, raw("x", func(d *sdk.Tool) { d.Description = strings.Repeat("word ", 2000) }), "more than 1500"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &recorder{TB: t}
			Check(r, sample(c.about, c.add), nil)
			if got := strings.Join(r.failures, "\n"); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAnswersAreHeldToTheirSchemas(t *testing.T) {
	c := Open(t, sample(server.About{Name: "s"}, func(s *server.Server) {
		good(s)
		lies := tool("lies")
		lies.Output = json.RawMessage(`{"type":"object","required":["missing"]}`)
		server.AddTool(s, lies, say)
	}), nil)
	if _, err := c.Call(t.Context(), "say", nil); err != nil {
		t.Error(err)
	}
	if _, err := c.Call(t.Context(), "lies", nil); err == nil || !strings.Contains(err.Error(), "does not fit its output schema") {
		t.Errorf("got %v", err)
	}
}

func TestScriptsTellDifferences(t *testing.T) {
	c := Open(t, sample(server.About{Name: "s"}, good), nil)
	const call = "> tools/call {\"name\": \"say\", \"arguments\": {}}\n"
	for _, s := range []struct{ name, script, want string }{
		{"what is expected is there", call + `< {"structuredContent": {"words": ["a", "b"]}}`, ""},
		{"over several lines", call + "< {\"structuredContent\":\n  {\"words\": [\"a\",\n \"...\"]}}", ""},
		{"a pattern", call + `< {"content": [{"text": "~^.\"words"}]}`, ""},
		{"kept and used again", call + `< {"content": [{"type": "=kind"}]}` + "\n\n" + call + `< {"content": [{"type": "$kind"}]}`, ""},
		{"an error", "> tools/call {\"name\": \"shout\"}\n<! {\"code\": -32602, \"message\": \"~shout\"}", ""},
		{"another value", call + `< {"structuredContent": {"words": ["a", "c"]}}`, `.structuredContent.words[1] is "b", want "c"`},
		{"too few elements", call + `< {"structuredContent": {"words": ["a"]}}`, "has 2 elements, want 1"},
		{"a member that is not there", call + `< {"isError": true}`, ".isError is not there"},
		{"a pattern that does not match", call + `< {"content": [{"text": "~nothing"}]}`, "does not match"},
		{"an error that did not come", call + `<! {"code": 1}`, "want an error"},
		{"an error that was not expected", "> tools/call {\"name\": \"shout\"}\n< {}", "shout"},
		{"text where an object is", call + `< {"structuredContent": "x"}`, "want \"x\""},
		{"an object where a list is", call + `< {"content": {}}`, "want an object"},
	} {
		t.Run(s.name, func(t *testing.T) {
			steps, err := parseScript(s.script)
			if err != nil {
				t.Fatal(err)
			}
			kept := map[string]any{}
			var why []string
			for _, step := range steps {
				if err := playStep(t, c, step, kept); err != nil {
					why = append(why, err.Error())
				}
			}
			if got := strings.Join(why, "\n"); (got == "") != (s.want == "") || !strings.Contains(got, s.want) {
				t.Errorf("got %q, want %q", got, s.want)
			}
		})
	}
	for _, bad := range []string{"> tools/list {}", "> tools/list {}\n< {", "hello", "< {}\n> tools/list {}"} {
		if steps, err := parseScript(bad); err == nil {
			t.Errorf("%q was read as %v", bad, steps)
		}
	}
}

func TestScriptRunsInEveryWay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "wire.txt")
	if err := os.WriteFile(file, []byte("> tools/call {\"name\": \"say\", \"arguments\": {}}\n< {\"structuredContent\": {\"words\": [\"a\", \"b\"]}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	made := 0
	Script(t, func(env *server.Env) (*server.Server, error) {
		made++
		return sample(server.About{Name: "s"}, good)(env)
	}, nil, file)
	if made != 4 {
		t.Errorf("%d servers were made, want one for each way", made)
	}
}
