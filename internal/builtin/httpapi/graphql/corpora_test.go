package graphql_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/formatter"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/graphql"
)

// corpora is a directory of directories, each with a schema (schema.graphql or
// schema.json) and, anywhere below, what asks of it: *.graphql, blocks in
// Markdown, raw strings in Go, and templates and compiled queries in TypeScript.
var corpora = flag.String("corpora", "", "directory of schemas with the queries that applications send")

// shown is a part of an error: the queries that are refused with it are printed.
var shown = flag.String("refused", "", "print the queries of -corpora that are refused with an error that has this text")

// TestWhatApplicationsAsk counts which queries of real applications the default limits let through.
func TestWhatApplicationsAsk(t *testing.T) {
	if *corpora == "" {
		t.Skip("it needs -args -corpora DIR")
	}
	dirs, err := os.ReadDir(*corpora)
	if err != nil {
		t.Fatal(err)
	}
	all, refused := 0, 0
	for _, d := range dirs {
		a, r := applicationAsks(t, filepath.Join(*corpora, d.Name()))
		all, refused = all+a, refused+r
	}
	t.Logf("together: %d queries, %d refused", all, refused)
}

func applicationAsks(t *testing.T, dir string) (all, refused int) {
	var text []byte
	for _, name := range []string{"schema.graphql", "schema.json"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			text = b
		}
	}
	if text == nil {
		return 0, 0
	}
	s, err := graphql.Read(text)
	if err != nil {
		t.Errorf("%s: %v", dir, err)
		return 0, 0
	}
	why, seen, invalid := map[string]int{}, map[string]bool{}, 0
	digits := regexp.MustCompile(`[0-9]+`)
	for _, query := range asked(t, dir) {
		if seen[query] {
			continue
		}
		seen[query] = true
		_, err := s.Check(query, "", nil, limits())
		switch {
		case err == nil:
			all++
		case strings.Contains(err.Error(), "not valid") || strings.Contains(err.Error(), "subscriptions") || strings.Contains(err.Error(), "there is no fragment"):
			invalid++
		default:
			all, refused = all+1, refused+1
			reason := digits.ReplaceAllString(err.Error(), "N")
			why[reason]++
			if *shown != "" && strings.Contains(reason, *shown) {
				t.Logf("%s: %v\n%s", dir, err, query)
			}
		}
	}
	t.Logf("%s: %d queries that the schema knows (%d others), %d refused %v", filepath.Base(dir), all, invalid, refused, why)
	return all, refused
}

// asked are the operations below a directory, each with the fragments that it needs.
func asked(t *testing.T, dir string) []string {
	var texts []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Dir(path) == dir && strings.HasPrefix(d.Name(), "schema.") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		texts = append(texts, inside(filepath.Ext(path), string(b))...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	fragments := map[string]*ast.FragmentDefinition{}
	var docs []*ast.QueryDocument
	for _, text := range texts {
		doc, err := parser.ParseQuery(&ast.Source{Input: text})
		if err != nil {
			continue
		}
		for _, f := range doc.Fragments {
			fragments[f.Name] = f
		}
		docs = append(docs, doc)
	}
	var out []string
	for _, doc := range docs {
		for _, op := range doc.Operations {
			one := &ast.QueryDocument{Operations: ast.OperationList{op}}
			gather(one, op.SelectionSet, doc.Fragments, fragments)
			var text bytes.Buffer
			formatter.NewFormatter(&text, formatter.WithIndent(" ")).FormatQueryDocument(one)
			out = append(out, text.String())
		}
	}
	return out
}

// gather adds the fragments that a selection needs: those beside it, or else of the same name elsewhere.
func gather(doc *ast.QueryDocument, set ast.SelectionSet, near ast.FragmentDefinitionList, far map[string]*ast.FragmentDefinition) {
	for _, s := range set {
		switch s := s.(type) {
		case *ast.Field:
			gather(doc, s.SelectionSet, near, far)
		case *ast.InlineFragment:
			gather(doc, s.SelectionSet, near, far)
		case *ast.FragmentSpread:
			f := near.ForName(s.Name)
			if f == nil {
				f = far[s.Name]
			}
			if f != nil && doc.Fragments.ForName(s.Name) == nil {
				doc.Fragments = append(doc.Fragments, f)
				gather(doc, f.SelectionSet, near, far)
			}
		}
	}
}

// inside are the GraphQL texts of a file.
func inside(ext, text string) []string {
	found := func(expression string) []string {
		var out []string
		for _, m := range regexp.MustCompile(expression).FindAllStringSubmatch(text, -1) {
			out = append(out, regexp.MustCompile(`\$\{[^}]*\}`).ReplaceAllString(m[1], ""))
		}
		return out
	}
	switch ext {
	case ".graphql", ".gql":
		return []string{text}
	case ".md":
		return found("(?s)```(?:graphql|gql)\\s*\n(.*?)```")
	case ".go":
		return found("(?s)`\\s*((?:query|mutation|fragment)\\b[^`]*)`")
	case ".ts", ".tsx", ".js", ".jsx":
		out := slices.Concat(found("(?s)(?:gql|graphql)\\(?\\s*`(.*?)`"), found("(?s)`#graphql(.*?)`"))
		for _, m := range regexp.MustCompile(`"text": ("query .*")`).FindAllStringSubmatch(text, -1) {
			var s string
			if json.Unmarshal([]byte(m[1]), &s) == nil {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}
