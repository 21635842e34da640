package graphql_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/graphql"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func paste(t testing.TB) *graphql.Schema {
	t.Helper()
	text, err := os.ReadFile("testdata/paste.graphql")
	if err != nil {
		t.Fatal(err)
	}
	s, err := graphql.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// limits are the default ones, as their tags say.
func limits() graphql.Limits {
	var l graphql.Limits
	v := reflect.ValueOf(&l).Elem()
	for i := range v.NumField() {
		if n, err := strconv.Atoi(v.Type().Field(i).Tag.Get("default")); err == nil {
			v.Field(i).SetInt(int64(n))
		}
	}
	return l
}

// TestAbuseIsRefused has cases of ours for what the plugins of graphql-armor bound and what DVGA invites: deep recursion,
// cycles of fragments, aliases, batches, repeated fields and directives, long texts, introspection.
func TestAbuseIsRefused(t *testing.T) {
	s := paste(t)
	many := func(n int, f string) string {
		var out strings.Builder
		for i := range n {
			out.WriteString(strings.ReplaceAll(f, "#", fmt.Sprint(i)))
		}
		return out.String()
	}
	for name, tc := range map[string]struct{ query, want string }{
		"deep recursion":              {"{ pastes(limit: 1) { owner " + strings.Repeat("{ pastes { owner ", 8) + "{ id }" + strings.Repeat("} }", 8) + "} }", "back to lists of Paste"},
		"depth in fragments":          {"{ paste(id: 1) { ...a } } fragment a on Paste { owner { ...b } } fragment b on Person { pastes { ...c } } fragment c on Paste { owner { ...d } } fragment d on Person { pastes { ...e } } fragment e on Paste { owner { ...f } } fragment f on Person { pastes { ...g } } fragment g on Paste { owner { name } }", "back to lists of Paste"},
		"a cycle of fragments":        {"{ paste(id: 1) { ...a } } fragment a on Paste { title ...b } fragment b on Paste { content ...a }", "itself"},
		"a fragment in itself":        {"{ paste(id: 1) { ...a } } fragment a on Paste { title ...a }", "itself"},
		"fragments that double":       {"{ paste(id: 1) { ...f0 } } " + many(25, "fragment f# on Paste { a: title ...g# b: content ...g# } fragment g# on Paste { ...h# } fragment h# on Paste { id } "), ""},
		"exponential fragments":       {"{ paste(id: 1) { ...a } } fragment a on Paste { ...b ...b } fragment b on Paste { ...c ...c } fragment c on Paste { ...d ...d } fragment d on Paste { ...e ...e } fragment e on Paste { ...f ...f } fragment f on Paste { ...g ...g } fragment g on Paste { ...h ...h } fragment h on Paste { ...i ...i } fragment i on Paste { ...j ...j } fragment j on Paste { id }", "more than 1000"},
		"aliases":                     {"{ health " + many(16, "a#: health ") + "}", ""},
		"aliases below the root":      {"{ paste(id: 1) { owner { " + many(31, "a#: friends(first: #) { edges { cursor } } ") + "} } }", "aliases"},
		"the same by other names":     {"{ paste(id: 1) { a: title b: title c: title } }", "same title"},
		"aliases in a fragment":       {"{ p: paste(id: 1) { ...f } q: paste(id: 2) { ...f } } fragment f on Paste { owner { " + many(15, "a#: friends(first: #) { edges { cursor } } ") + " } }", "aliases"},
		"fields at the root":          {"{ " + many(11, "a#: paste(id: #) { id } ") + "}", "root"},
		"a batch by aliases":          {"mutation { " + many(20, "a#: importPaste(host: \"h\", port: #) ") + "}", "root"},
		"a repeated field":            {"{ paste(id: 1) { " + strings.Repeat("title ", 200) + "} }", "more than 3 times"},
		"fields without end":          {"{ paste(id: 1) { " + strings.Repeat("... on Paste { title } ", 700) + "} }", "limit"},
		"directives":                  {"{ health " + strings.Repeat("@include(if: true) ", 21) + "}", "directives"},
		"directives that are unknown": {"{ health " + strings.Repeat("@a ", 300) + "}", "directives"},
		"directives on an operation":  {"query q " + strings.Repeat("@a ", 30) + "{ health }", "directives"},
		"tokens":                      {"{ " + strings.Repeat("health ", 2000) + "}", "limit"},
		"a long text":                 {"{ health } #" + strings.Repeat("a", 70000), "longer"},
		"introspection":               {"{ __schema { types { name } } }", "introspection"},
		"introspection by an alias":   {"{ a: __schema { types { fields { type { fields { name } } } } } }", "introspection"},
		"introspection of a type":     {`{ __type(name: "Paste") { name } }`, "introspection"},
		"introspection in a fragment": {"{ ...f } fragment f on Query { __schema { types { name } } }", "introspection"},
		"a costly list":               {"{ pastes(limit: 100000) { id } }", "values"},
		"lists of lists":              {"{ people(first: 200) { edges { node { friends(first: 100) { edges { node { id } } } } } } }", "values"},
		"a size beyond all numbers":   {"{ pastes(limit: 99999999999999999999999) { id } }", "values"},
		"lists without a size":        {"{ pastes { owner { pastes { owner { pastes { owner { pastes { id title } } } } } } } }", "back to lists of Paste"},
		"a subscription":              {"subscription { paste { id } }", "subscriptions"},
		"many operations":             {many(6, "query q# { health } "), "operations"},
		"an operation beside another": {"query a { health } query b { pastes(limit: 100000) { id } }", ""},
		"a typo, which tells nothing": {"{ healt }", "not valid"},
		"no query":                    {"type A { b: String }", "read the query"},
		"nothing":                     {"", ""},
		"an array, as batches are":    {`[{"query": "{ health }"}]`, "read the query"},
		"nested lists in arguments":   {"{ search(word: " + strings.Repeat("[", 900) + strings.Repeat("]", 90) + ") { __typename } }", ""},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			op, err := s.Check(tc.query, "", nil, limits())
			if err == nil {
				t.Fatalf("it was let through with cost %d", op.Cost)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q in it", err, tc.want)
			}
			if took := time.Since(began); took > 2*time.Minute { // what doubles takes hours
				t.Errorf("it took %s", took)
			}
		})
	}
}

func TestWhatIsNoAbuse(t *testing.T) {
	s := paste(t)
	for name, query := range map[string]string{
		"a field":             "{ health }",
		"a list":              "{ pastes(limit: 20) { id title owner { name } } }",
		"a connection":        "{ people(first: 50) { edges { cursor node { id name } } } }",
		"fragments and types": "{ search(word: \"a\") { __typename ...p ... on Person { name } } } fragment p on Paste { title }",
		"a mutation":          "mutation m($i: PasteInput!) { createPaste(input: $i) { id } }",
		"a variable":          "query q($id: ID!, $with: Boolean!) { paste(id: $id) { title content @include(if: $with) } }",
	} {
		if _, err := s.Check(query, "", nil, limits()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	op, err := s.Check("mutation m($i: PasteInput!) { createPaste(input: $i) { id } }", "m", nil, limits())
	if err != nil || !op.Mutation {
		t.Fatal(op, err)
	}
	variables, _ := json.Marshal(s.Variables(op))
	if !strings.Contains(string(variables), `"required":["title"]`) || !strings.Contains(string(variables), `"TEXT"`) {
		t.Errorf("variables: got %s", variables)
	}
	if _, err := s.Check("query a { health } mutation b { importPaste(host: \"a\", port: 1) }", "a", nil, limits()); err != nil {
		t.Error(err)
	}
}

func TestSchemaIsTheSameHoweverItComes(t *testing.T) {
	const told = `{"data": {"__schema": {"queryType": {"name": "Query"}, "mutationType": null, "directives": [{"name": "skip", "locations": ["FIELD"], "args": []}], "types": [
		{"kind": "OBJECT", "name": "Query", "fields": [{"name": "a", "description": "say \"hi\"\n", "args": [{"name": "n", "type": {"kind": "LIST", "ofType": {"kind": "NON_NULL", "ofType": {"kind": "ENUM", "name": "E"}}}, "defaultValue": "[X]"}], "type": {"kind": "SCALAR", "name": "Int"}}], "interfaces": []},
		{"kind": "ENUM", "name": "E", "enumValues": [{"name": "X"}]}, {"kind": "SCALAR", "name": "Int"}]}}}`
	a, err := graphql.Read([]byte(told))
	if err != nil {
		t.Fatal(err)
	}
	b, err := graphql.Read([]byte("enum E { X }\ntype Query { \"say \\\"hi\\\"\\n\" a(n: [E!] = [X]): Int }"))
	if err != nil {
		t.Fatal(err)
	}
	if a.Hash != b.Hash {
		t.Errorf("hashes: got %s and %s", a.Hash, b.Hash)
	}
	twice, err := graphql.Read([]byte("enum E { X X } type Query { a(n: [E!] = [X]): Int a: Int }"))
	if err != nil || len(twice.All(false)) != len(b.All(false)) {
		t.Errorf("a field that is there twice, as in GitHub's schema: got %v", err)
	}
	for name, text := range map[string]string{
		"no schema": `{"data": null}`, "a name that is none": strings.Replace(told, `"name": "a"`, `"name": "a: Int } type Evil {"`, 1), "nothing": "", "no query": "type A { b: Int }",
	} {
		if _, err := graphql.Read([]byte(text)); err == nil {
			t.Errorf("%s: it was read", name)
		}
	}
}

func TestDescribeAndAll(t *testing.T) {
	s := paste(t)
	text, whole := s.Describe("Paste", 2, true, func(string) bool { return true })
	if !whole || !strings.Contains(text, "type Paste") || !strings.Contains(text, "type Person") || strings.Contains(text, "PersonEdge") {
		t.Errorf("got %s", text)
	}
	if text, whole := s.Describe("Paste", 5, true, func(s string) bool { return len(s) < 200 }); whole || text == "" {
		t.Errorf("got %q %v, want a part", text, whole)
	}
	names := map[string]bool{}
	for _, f := range s.All(false) {
		names[f.Name] = true
	}
	if !names["Query.pastes"] || !names["Paste.owner"] || names["Mutation.createPaste"] || !names["Kind"] || names["PasteInput.title"] {
		t.Errorf("got %v, want what queries lead to", names)
	}
	names = map[string]bool{}
	for _, f := range s.All(true) {
		names[f.Name] = true
	}
	if !names["Mutation.createPaste"] || !names["PasteInput.title"] || !names["Thing"] {
		t.Errorf("got %v, want what mutations lead to, too", names)
	}
}

func FuzzCheck(f *testing.F) {
	files, err := filepath.Glob("testdata/*.query")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("{ pastes(limit: 20) { ...f @skip(if: true) } } fragment f on Paste { id }")
	f.Add("mutation m($i: PasteInput!) { createPaste(input: $i) { id } }")
	f.Add("query ($n: Int = 3, $w: String!) { a: people(first: $n) { edges { node { id } } } b: search(word: $w) { ... on Paste { kind } } }")
	s, l := paste(f), limits()
	f.Fuzz(func(t *testing.T, query string) {
		op, err := s.Check(query, "", graphql.Values{"n": json.RawMessage("7")}, l)
		if err == nil {
			s.Variables(op)
		}
	})
}
