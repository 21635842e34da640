package graphql_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/formatter"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/graphql"
)

// Ordinary questions are within the default limits: each operation of testdata/ordinary, as GitHub's, GitLab's and
// Shopify's manuals and others ask, without its variables' values and with pages of 50.
func TestOrdinaryQueriesAreWithinTheLimits(t *testing.T) {
	schemas, err := filepath.Glob("testdata/ordinary/*.schema.graphql")
	if err != nil || len(schemas) == 0 {
		t.Fatal(schemas, err)
	}
	all, refused := 0, 0
	for _, file := range schemas {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s, err := graphql.Read(text)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		queries := strings.Replace(file, ".schema.", ".queries.", 1)
		for name, query := range operations(t, queries) {
			all++
			for _, v := range []graphql.Values{nil, {}, pages()} {
				op, err := s.Check(query, "", v, limits())
				if err != nil {
					refused++
					t.Errorf("%s, %s: %v", filepath.Base(queries), name, err)
					break
				}
				if op.Cost < 1 {
					t.Errorf("%s, %s: got cost %d", queries, name, op.Cost)
				}
			}
		}
	}
	t.Logf("%d ordinary queries, %d refused", all, refused)
}

// pages are the variables of pages in the queries, for 50 elements.
func pages() graphql.Values {
	out := graphql.Values{}
	for _, name := range []string{"first", "perPage", "lines", "number_of_repos"} {
		out[name] = []byte("50")
	}
	return out
}

// operations are those of a file, each with the fragments that it needs.
func operations(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := parser.ParseQuery(&ast.Source{Input: string(text)})
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	out := map[string]string{}
	for _, op := range doc.Operations {
		one := &ast.QueryDocument{Operations: ast.OperationList{op}}
		gather(one, op.SelectionSet, doc.Fragments, nil)
		var query bytes.Buffer
		formatter.NewFormatter(&query).FormatQueryDocument(one)
		out[op.Name] = query.String()
	}
	return out
}
