package httpapi_test

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi"
	"github.com/dragoman-mcp/dragoman/server/servertest"
)

// schemas are files of GraphQL schemas that are not part of the repository.
var schemas = flag.String("schemas", "", "schemas of GraphQL APIs, as a pattern for files")

// wide is a schema of n types that lead to each other in lists and one by one.
func wide(n int) string {
	var out strings.Builder
	out.WriteString("type Query { viewer: T0! ")
	for i := range n {
		fmt.Fprintf(&out, "\"The thing %d.\" thing%d(id: ID!): T%d ", i, i, i)
	}
	out.WriteString("}\n")
	for i := range n {
		fmt.Fprintf(&out, "\"\"\"\nA thing of kind %d, with what is said of it at length so that words weigh something.\n\"\"\"\ntype T%d { id: ID! name: String! next: T%d others(first: Int, after: String): T%dConnection! }\n", i, i, (i+1)%n, (i*7+1)%n)
		fmt.Fprintf(&out, "type T%dConnection { edges: [T%dEdge] nodes: [T%d] totalCount: Int! } type T%dEdge { cursor: String! node: T%d }\n", i, i, i, i, i)
	}
	return out.String()
}

// A schema of thousands of types costs a model no more than one of three: the definitions, and each answer.
func TestSchemaOfThousandsOfTypes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "wide.graphql")
	if err := os.WriteFile(file, []byte(wide(1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	files := []string{file}
	if *schemas != "" {
		found, err := filepath.Glob(*schemas)
		if err != nil || len(found) == 0 {
			t.Fatal(found, err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		t.Run(filepath.Base(filepath.Dir(file))+"/"+filepath.Base(file), func(t *testing.T) { large(t, file) })
	}
}

func large(t *testing.T, file string) {
	at, sent := board(t)
	tokens := servertest.Check(t, httpapi.New, graphEnv(t, at, args{"schema": file}))
	began := time.Now()
	c := servertest.Open(t, httpapi.New, graphEnv(t, at, args{"schema": file}))
	ready := time.Since(began)
	var found struct {
		Found []struct{ Name, Signature string }
		Next  string `json:"next_cursor"`
	}
	c.Must(t, "search", args{"query": "viewer"}, &found)
	for _, query := range []string{"", "name", "issue comments author"} {
		r := c.Must(t, "search", args{"query": query}, &found)
		if n := len(r.Text()) / 4; n > 10000 {
			t.Errorf("search %q: got about %d tokens", query, n)
		}
	}
	for _, root := range []string{"Query", "Root", "QueryRoot"} {
		var described struct {
			Schema    string
			Truncated bool
		}
		r, err := c.Call(t.Context(), "describe", args{"type": root, "depth": 5})
		if err != nil || r.IsError {
			continue
		}
		c.Must(t, "describe", args{"type": root, "depth": 5}, &described)
		if n := len(described.Schema) / 4; n > 5000 || n == 0 {
			t.Errorf("describe %s: got about %d tokens, want some and no more than 5000", root, n)
		}
	}
	c.Must(t, "execute", args{"query": "{ __typename }"}, nil)
	if len(*sent) != 1 {
		t.Errorf("sent: got %v, want one query", *sent)
	}
	t.Logf("%d tokens for the definitions; ready after %s; the first of search is %v", tokens, ready.Round(time.Millisecond), found.Found[:min(3, len(found.Found))])
}

// What introspection answers is a document: max_answer is not for it.
func TestSchemaThatIsLargerThanAnswersMayBe(t *testing.T) {
	at := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		var out strings.Builder
		out.WriteString(`{"data": {"__schema": {"queryType": {"name": "Query"}, "types": [{"kind": "OBJECT", "name": "Query", "fields": [`)
		for i := range 1000 {
			if i > 0 {
				out.WriteString(",")
			}
			fmt.Fprintf(&out, `{"name": "f%d", "args": [], "type": {"kind": "SCALAR", "name": "String"}}`, i)
		}
		out.WriteString("]}]}}}")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, out.String())
	})
	env := graphEnv(t, at, nil)
	env.Settings = []byte(strings.Replace(string(env.Settings), "{", `{"max_answer": "1KiB", `, 1))
	c := servertest.Open(t, httpapi.New, env)
	arrived(t, c)
	var found struct{ Found []struct{ Name string } }
	if c.Must(t, "search", args{"query": "f777"}, &found); len(found.Found) == 0 || found.Found[0].Name != "Query.f777" {
		t.Errorf("search: got %v, want Query.f777", found)
	}
}
