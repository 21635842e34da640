package httpapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/servertest"
)

// dvga is a server for the API that DVGA offers, and what was sent to it.
func dvga(t *testing.T, more args) (c *servertest.Client, sent *[]map[string]any) {
	t.Helper()
	at, sent := board(t)
	return servertest.Open(t, httpapi.New, dvgaEnv(t, at, more)), sent
}

func dvgaEnv(t *testing.T, at string, more args) *server.Env {
	t.Helper()
	file, err := filepath.Abs("graphql/testdata/dvga.graphql")
	if err != nil {
		t.Fatal(err)
	}
	env := graphEnv(t, at, args{"schema": file})
	var settings args
	if err := json.Unmarshal(env.Settings, &settings); err != nil {
		t.Fatal(err)
	}
	maps.Copy(settings, more)
	if env.Settings, err = json.Marshal(settings); err != nil {
		t.Fatal(err)
	}
	return env
}

// rounds is DVGA's circle: texts, whose they are, and their texts.
func rounds(n int) string {
	return "query { " + strings.Repeat("pastes { owner { ", n) + "name" + strings.Repeat(" } }", n) + " }"
}

func times(n int, f string) string {
	var out strings.Builder
	for i := range n {
		out.WriteString(strings.ReplaceAll(f, "#", fmt.Sprint(i)) + " ")
	}
	return out.String()
}

// dvgaAbuse is what DVGA's solutions and tests, and the checks of its author's graphql-cop, send to bring it down, to
// learn what is there, or to change something, as far as it is the query's doing: with the default settings.
func dvgaAbuse() map[string]string {
	forbidden := `importPaste(host: "localhost", port: 57130, path: "/", scheme: "http") { result }`
	return map[string]string{
		"1 batch":                                 `[{"query": "query {\n  systemUpdate\n}", "variables": []}, {"query": "query {\n  systemUpdate\n}", "variables": []}, {"query": "query {\n  systemUpdate\n}", "variables": []}]`,
		"1 batch of operations in one text":       "query a { systemUpdate } query b { systemUpdate } query c { systemUpdate }",
		"1 batch of named queries":                `[{"query": "query BATCH_ABC { pastes { title } }"}, {"query": "query BATCH_DEF { pastes { content } }"}]`,
		"2 deep recursion, six rounds":            rounds(6),
		"2 deep recursion, five rounds":           rounds(5),
		"2 deep recursion, four rounds":           rounds(4),
		"2 deep recursion, three rounds":          rounds(3),
		"2 deep recursion by both lists in turns": "query { pastes { owner { paste { owner { pastes { owner { name } } } } } } }",
		"2 deep recursion from one text":          "query { paste(id: 1) { owner { pastes { owner { pastes { owner { name } } } } } } }",
		"2 deep recursion in fragments":           "query { pastes { ...a } } fragment a on PasteObject { owner { pastes { ...b } } } fragment b on PasteObject { owner { pastes { title } } }",
		"2 deep recursion through the search":     `query { search(keyword: "p") { ... on PasteObject { owner { pastes { owner { pastes { title } } } } } } }`,
		"2 a list that is as long as can be":      "query { pastes(limit: 1000000, public: true) { content } }",
		"3 many updates under other names":        "query { " + times(20, "u#: systemUpdate") + "}",
		"4 field duplication":                     "query { pastes { owner { pastes { " + strings.Repeat("ipAddr ", 1000) + "} } } }",
		"4 field duplication, as it is shortened": "query { pastes { owner { pastes { " + strings.Repeat("ipAddr ", 5) + "} } } }",
		"4 field duplication of objects":          "query { pastes { " + strings.Repeat("owner { name } ", 100) + "} }",
		"4 field duplication, graphql-cop":        "query cop { " + strings.Repeat("__typename ", 500) + "}",
		"5 aliases":                               "query { q1: systemUpdate q2: systemUpdate q3: systemUpdate }",
		"5 aliases of a list":                     "query { " + times(5, "a#: pastes { id }") + "}",
		"5 aliases of a list in fragments":        "query { ...a ...b } fragment a on Query { a1: pastes { id } a2: pastes { id } } fragment b on Query { a3: pastes { id } a4: pastes { id } }",
		"5 aliases, a hundred":                    "query { " + times(100, "p#: paste(id: #) { title }") + "}",
		"5 aliases, graphql-cop":                  "query cop { " + times(101, "alias#: __typename") + "}",
		"5 aliases that try passwords":            "query { " + times(100, `d#: systemDiagnostics(username: "admin", password: "p#", cmd: "id")`) + "}",
		"6 introspection":                         "query { __schema { queryType { name } mutationType { name } subscriptionType { name } } }",
		"6 introspection, named":                  "query IntrospectionQuery{__schema {queryType { name } mutationType { name } subscriptionType { name }}}",
		"6 introspection of a type":               `query { __type(name: "PasteObject") { fields { name } } }`,
		"6 circular introspection":                "query cop { __schema { types { fields { type { fields { type { fields { type { fields { type { name } } } } } } } } } } } }",
		"6 introspection of fields":               "query { __schema { queryType { fields { name } } } }",
		"6 introspection of mutations":            "query { __schema { mutationType { fields { name } } } }",
		"6 introspection of a name":               "query { __schema { __typename } }",
		"8 suggestions":                           "query { system }",
		"8 suggestions of its tests":              "query { systemUpd }",
		"9 requests from the server":              "mutation { " + forbidden + " }",
		"9 requests by a mutation that is named":  "mutation getPastes { " + forbidden + " }",
		"10 commands":                             `mutation { importPaste(host: "localhost", port: 80, path: "/ ; uname -a", scheme: "http") { result } }`,
		"10 commands, for experts":                `mutation { importPaste(host: "hostthatdoesnotexist.com", port: 80, path: "/ || uname -a", scheme: "http") { result } }`,
		"12 scripts":                              `mutation { createPaste(title: "<script>alert(1)</script>", content: "zzzz", public: true) { paste { id } } }`,
		"13 a log that is told another name":      `mutation getPaste { createPaste(title: "<script>alert(1)</script>", content: "zzzz", public: true) { paste { id } } }`,
		"14 HTML":                                 `mutation { createPaste(title: "<h1>hello!</h1>", content: "zzzz", public: true) { paste { id } } }`,
		"18 files elsewhere":                      `mutation { uploadPaste(filename: "../../../../../tmp/file.txt", content: "hi") { result } }`,
		"19 logins in one text":                   "mutation { " + times(50, `l#: login(username: "admin", password: "p#") { accessToken }`) + "}",
		"20 circular fragments":                   "query { ...A } fragment A on PasteObject { content title ...B } fragment B on PasteObject { content title ...A }",
		"20 circular fragments where they fit":    "query { pastes { ...A } } fragment A on PasteObject { content title ...B } fragment B on PasteObject { content title ...A }",
		"21 stack traces":                         "query { pastes { conteeeent } }",
		"directives, graphql-cop":                 "query cop { __typename " + strings.Repeat("@aa", 10) + " }",
		"directives that are known":               "query { pastes { " + times(21, `i#: ipAddr @show_network(style: "#")`) + "} }",
		"directives, many on one":                 "query { pastes { ipAddr " + strings.Repeat(`@show_network(style: "cidr") `, 21) + "} }",
		"a subscription":                          "subscription { paste(id: 1) { title } }",
	}
}

func TestDVGAsAbuseIsNotSent(t *testing.T) {
	c, sent := dvga(t, nil)
	abuse := dvgaAbuse()
	for name, query := range abuse {
		r, err := c.Call(t.Context(), "execute", args{"query": query})
		if err != nil || !r.IsError {
			t.Errorf("%s: it is not refused: %v %s, for %s", name, err, r.Text(), query)
		}
		t.Logf("%s: %s", name, r.Text())
	}
	if len(*sent) != 0 {
		t.Errorf("sent: got %v, want nothing", *sent)
	}
	t.Logf("%d ways of abuse, %d sent", len(abuse), len(*sent))
}

// dvgaUse is what DVGA's own tests ask of it without meaning harm, and the smallest circle of its tests.
func dvgaUse() []string {
	all := "{ id ipAddr ownerId burn owner { id name } title content userAgent }"
	return []string{
		"query { pastes " + all + " }", "query { paste (id: 1) " + all + " }", "query { users { id username } }", "query { users(id: 1) { id username } }",
		`query { search(keyword: "operator") { ... on UserObject { username id } } }`,
		"query { search { ... on PasteObject { owner { name id } title content id ipAddr burn ownerId } } }",
		`query { search(keyword: "p") { ... on UserObject { username } ... on PasteObject { title } } }`,
		"query { audits { id gqloperation gqlquery timestamp } }",
		"query { pastes(limit: 2, public: true) { content title owner { name } ownerId userAgent public } }",
		"query { pastes { ...A } } fragment A on PasteObject { content title }", "query { users { username(capitalize: true) } }",
		`query { pastes { ipAddr @show_network(style: "cidr") } }`, `query { pastes { ipAddr @show_network(style: "netmask") } }`, rounds(2),
	}
}

func TestDVGAsUseIsSent(t *testing.T) {
	c, sent := dvga(t, nil)
	use := dvgaUse()
	for _, query := range use {
		c.Must(t, "execute", args{"query": query}, nil)
	}
	if len(*sent) != len(use) {
		t.Errorf("sent: got %d, want %d", len(*sent), len(use))
	}
	t.Logf("%d ways of use, %d sent", len(use), len(*sent))
}

// What DVGA's queries do by what they are for, and not by how they are written, is the operator's to keep from callers:
// under whatever name of an operation, field or fragment.
func TestFieldsThatAreKeptFromCallers(t *testing.T) {
	c, sent := dvga(t, args{"except": []string{"system*", "Query.deleteAllPastes", "readAndBurn", "me", "UserObject.password"}})
	for name, query := range map[string]string{
		"3 what takes minutes":                "query { systemUpdate }",
		"11 commands":                         `query { systemDiagnostics(username: "admin", password: "password", cmd: "id; ls -l") }`,
		"11 commands of the tests":            `query { systemDiagnostics(username: "admin", password: "changeme", cmd: "id") }`,
		"13 a name in the log":                "query pwned { systemHealth }",
		"17 a list of forbidden texts":        "query { systemHealth }",
		"17 past a list of forbidden texts":   "query getPastes { systemHealth }",
		"17 past it by an alias":              "query getPastes { a: systemHealth }",
		"17 past it by a fragment":            "query getPastes { ...f } fragment f on Query { systemHealth }",
		"22 a token that was forged":          `query { me(token: "FORGED_TOKEN") { id username password } }`,
		"queries that change something":       "query { deleteAllPastes }",
		"queries that read once":              "query { readAndBurn(id: 155) { id } }",
		"a field that nobody may have":        "query { users { password } }",
		"the same in what search gives":       `query { search(keyword: "a") { ... on UserObject { password } } }`,
		"commands by the shell of the system": `query { systemDebug(arg: "; id") }`,
	} {
		if r, err := c.Call(t.Context(), "execute", args{"query": query}); err != nil || !r.IsError {
			t.Errorf("%s: it is not refused: %v %s, for %s", name, err, r.Text(), query)
		}
	}
	if len(*sent) != 0 {
		t.Errorf("sent: got %v, want nothing", *sent)
	}
	var found struct{ Found []struct{ Name string } }
	c.Must(t, "search", args{"query": "system password"}, &found)
	var described struct{ Schema string }
	c.Must(t, "describe", args{"type": "UserObject"}, &described)
	if text := fmt.Sprint(found, described); strings.Contains(text, "systemUpdate") || strings.Contains(text, "UserObject.password") || strings.Contains(described.Schema, "password") {
		t.Errorf("search and describe tell of what is kept: %s", text)
	}
	c.Must(t, "execute", args{"query": "{ users { id username } }"}, nil)
}

func TestPatternsForNothingAreRefused(t *testing.T) {
	for _, more := range []args{{"except": []string{"systemUpdates"}}, {"only": []string{"PasteObject.title"}}, {"only": []string{"pastes", "pates"}}} {
		if _, err := server.Open(dvgaEnv(t, "http://127.0.0.1:9", more), httpapi.New); err == nil || !strings.Contains(err.Error(), "no field of the schema") {
			t.Errorf("%v: got %v, want that the pattern is refused", more, err)
		}
	}
}

func TestOnlySomeFieldsOfTheRoots(t *testing.T) {
	c, sent := dvga(t, args{"only": []string{"pastes", "Query.paste"}})
	for query, fine := range map[string]bool{"{ pastes { title } }": true, "{ paste(id: 1) { owner { name } } }": true, "{ users { id } }": false, "{ systemHealth }": false} {
		if r, err := c.Call(t.Context(), "execute", args{"query": query}); err != nil || r.IsError == fine {
			t.Errorf("%s: got %v %s, want that it is carried out: %v", query, err, r.Text(), fine)
		}
	}
	if len(*sent) != 2 {
		t.Errorf("sent: got %v, want two", *sent)
	}
}
