package httpapi_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/servertest"
)

// board is a GraphQL API that tells its schema and notes what it is sent.
func board(t *testing.T) (at string, sent *[]map[string]any) {
	sent = &[]map[string]any{}
	return serving(t, func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		var body map[string]any
		if json.Unmarshal(text, &body) != nil || r.Header.Get("Authorization") != "Bearer hush" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		query := body["query"].(string)
		w.Header().Set("Content-Type", "application/json")
		if strings.Contains(query, "__schema") {
			_, _ = io.WriteString(w, `{"data": {"__schema": {"queryType": {"name": "Query"}, "mutationType": {"name": "Mutation"}, "directives": [], "types": [
				{"kind": "OBJECT", "name": "Query", "interfaces": [], "fields": [{"name": "note", "description": "One note", "args": [{"name": "id", "type": {"kind": "NON_NULL", "ofType": {"kind": "SCALAR", "name": "ID"}}}], "type": {"kind": "OBJECT", "name": "Note"}}]},
				{"kind": "OBJECT", "name": "Mutation", "interfaces": [], "fields": [{"name": "drop", "args": [], "type": {"kind": "SCALAR", "name": "Boolean"}}]},
				{"kind": "OBJECT", "name": "Note", "interfaces": [], "fields": [{"name": "text", "args": [], "type": {"kind": "SCALAR", "name": "String"}}]}]}}}`)
			return
		}
		*sent = append(*sent, body)
		if strings.Contains(query, "bad") {
			_, _ = io.WriteString(w, `{"errors": [{"message": "no such note"}]}`)
			return
		}
		_, _ = io.WriteString(w, `{"data": {"note": {"text": "hello", "more": 1}}}`)
	}), sent
}

func graphEnv(t *testing.T, at string, more args) *server.Env {
	t.Helper()
	g := args{"url": at}
	for k, v := range more {
		g[k] = v
	}
	text, err := json.Marshal(args{"graphql": g, "auth": []args{{"bearer": "hush"}}, "retry": args{"min_backoff": "1ms"}})
	if err != nil {
		t.Fatal(err)
	}
	return &server.Env{Settings: text}
}

// arrived waits until the schema is there.
func arrived(t *testing.T, c *servertest.Client) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for range 20000 {
		if r, err := c.Call(t.Context(), "search", args{}); err == nil && !r.IsError {
			return
		}
		<-tick.C
	}
	t.Fatal("the schema has not arrived")
}

func TestGraphDefinitions(t *testing.T) {
	at, _ := board(t)
	for _, mutations := range []string{"off", "ask", "on"} {
		tokens := servertest.Check(t, httpapi.New, graphEnv(t, at, args{"mutations": mutations}))
		t.Logf("mutations %s: %d tokens", mutations, tokens)
	}
}

func TestGraph(t *testing.T) {
	at, sent := board(t)
	c := servertest.Open(t, httpapi.New, graphEnv(t, at, nil))
	arrived(t, c)
	var found struct {
		Found []struct{ Name, Signature string }
	}
	c.Must(t, "search", args{"query": "note"}, &found)
	if len(found.Found) == 0 || found.Found[0].Name != "Query.note" || found.Found[0].Signature != "note(id: ID!): Note" {
		t.Errorf("search: got %+v", found)
	}
	var described struct{ Schema string }
	c.Must(t, "describe", args{"type": "Query", "depth": 2}, &described)
	if !strings.Contains(described.Schema, "type Note") {
		t.Errorf("describe: got %s", described.Schema)
	}
	var out got
	r := c.Must(t, "execute", args{"query": "query q($id: ID!) { note(id: $id) { text } }", "variables": args{"id": "7"}, "fields": []string{"note.text"}}, &out)
	if string(out.Body) != `{"data":{"note":{"text":"hello"}}}` || r.Meta["dragoman/untrusted"] != true {
		t.Errorf("execute: got %s %v", out.Body, r.Meta)
	}
	if len(*sent) != 1 || (*sent)[0]["variables"].(map[string]any)["id"] != "7" {
		t.Errorf("sent: got %v", *sent)
	}
	for name, tc := range map[string]struct{ query, want string }{
		"a mutation":     {"mutation { drop }", "mutations are off"},
		"introspection":  {"{ __schema { types { name } } }", "introspection"},
		"a wrong field":  {"{ nothing }", "not valid"},
		"a subscription": {"subscription { x }", "subscriptions"},
	} {
		r, err := c.Call(t.Context(), "execute", args{"query": tc.query})
		if err != nil || !r.IsError || !strings.Contains(r.Text(), tc.want) {
			t.Errorf("%s: got %v %s, want %q", name, err, r.Text(), tc.want)
		}
		var v struct {
			Valid   bool
			Problem string
		}
		c.Must(t, "validate", args{"query": tc.query}, &v)
		if v.Valid || !strings.Contains(v.Problem, tc.want) {
			t.Errorf("%s: validate gives %+v", name, v)
		}
	}
	if len(*sent) != 1 {
		t.Errorf("something was sent that was refused: %v", (*sent)[1:])
	}
	r, err := c.Call(t.Context(), "execute", args{"query": `{ note(id: "bad") { text } }`})
	if err != nil || !r.IsError || !strings.Contains(r.Text(), "no such note") {
		t.Errorf("errors of the API: got %v %s", err, r.Text())
	}
}

func TestGraphMutationsAskTheUser(t *testing.T) {
	at, sent := board(t)
	c := servertest.Open(t, httpapi.New, graphEnv(t, at, args{"mutations": "ask"}))
	arrived(t, c)
	if r, err := c.Call(t.Context(), "execute", args{"query": "mutation { drop }"}); err == nil && !r.IsError || len(*sent) != 0 {
		t.Errorf("got %s %v, want that a client that cannot ask is refused", r.Text(), err)
	}
	on := servertest.Open(t, httpapi.New, graphEnv(t, at, args{"mutations": "on"}))
	arrived(t, on)
	on.Must(t, "execute", args{"query": "mutation { drop }"}, nil)
	if len(*sent) != 1 {
		t.Errorf("sent: got %v, want the mutation", *sent)
	}
}

func TestGraphOperationsBecomeTools(t *testing.T) {
	at, sent := board(t)
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("schema.graphql", "type Query { note(id: ID!): Note } type Note { text: String } type Mutation { drop: Boolean }")
	if err := os.Mkdir(filepath.Join(dir, "ops"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("ops/read.graphql", "# Reads a note.\nquery ReadNote($id: ID!) { note(id: $id) { text } }")
	more := args{"schema": filepath.Join(dir, "schema.graphql"), "operations": []string{filepath.Join(dir, "ops")}, "ad_hoc": false}
	servertest.Check(t, httpapi.New, graphEnv(t, at, more))
	c := servertest.Open(t, httpapi.New, graphEnv(t, at, more))
	c.Must(t, "ReadNote", args{"id": "1"}, nil)
	if len(*sent) != 1 || (*sent)[0]["operationName"] != "ReadNote" {
		t.Errorf("sent: got %v", *sent)
	}
	if _, err := c.Call(t.Context(), "execute", args{"query": "{ note(id: 1) { text } }"}); err == nil {
		t.Error("execute is there although ad_hoc is off")
	}
	if r, err := c.Call(t.Context(), "ReadNote", args{}); err != nil || !r.IsError {
		t.Errorf("without a variable that is required: got %v %s", err, r.Text())
	}
	write("ops/drop.graphql", "mutation Drop { drop }")
	if _, err := server.Open(graphEnv(t, at, more), httpapi.New); err == nil || !strings.Contains(err.Error(), "mutations are off") {
		t.Errorf("a mutation in a file: got %v", err)
	}
}
