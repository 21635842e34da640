package graphql_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/graphql"
)

// Ways past graphql-armor's limits that were published, or that its code at c9a6abf shows, each with a limit that its
// plain form exceeds: ours refuses them all.
func TestKnownWaysPastLimitsAreShut(t *testing.T) {
	repeat := func(n int, f string) string {
		var out strings.Builder
		for i := range n {
			out.WriteString(strings.ReplaceAll(f, "#", fmt.Sprint(i)))
		}
		return out.String()
	}
	doubled := "{ ...f0 } fragment f16 on Query { books { title } }"
	for i := range 16 {
		doubled += fmt.Sprintf(" fragment f%d on Query { ...f%d ...f%d }", i, i+1, i+1)
	}
	for name, tc := range map[string]struct {
		schema, query string
		values        graphql.Values
		set           func(*graphql.Limits)
		want          string
	}{
		"a query named __schema (their pull request 772, GHSA-733v-p3h5-qpq7)":             {counter, namedList, nil, cost(29), "values"},
		"a fragment named __schema (772)":                                                  {counter, namedPart, nil, cost(29), "values"},
		"a fragment named __schema hides depth (823)":                                      {shelf, namedDeep, nil, depth(5), "levels"},
		"a fragment's depth is remembered from higher up (824, GHSA-224p-v68g-5g8f)":       {shelf, cachedDeep, nil, depth(5), "levels"},
		"aliases in a fragment (143)":                                                      {counter, spreadTwo, nil, aliases(1), "aliases"},
		"inline fragments are not looked into (375)":                                       {shelf, inlineDeep, nil, depth(2), "levels"},
		"aliases in inline fragments (375)":                                                {counter, "{ ... on Query { ... { a: getBook(title: \"a\") { title } b: getBook(title: \"b\") { title } } } }", nil, aliases(1), "aliases"},
		"directives in inline fragments (375)":                                             {counter, "{ ... @include(if: true) { ... @skip(if: false) { books @include(if: true) { title } } } }", nil, directives(2), "directives"},
		"a circle counts less than nothing and pays for aliases (361)":                     {counter, "{ ...A " + repeat(5, "a#: getBook(title: \"#\") { title } ") + "} fragment A on Query { ...A ...A ...A ...A ...A books { title } }", nil, aliases(4), "itself"},
		"a circle counts less than nothing and pays for cost (361)":                        {counter, "{ ...A books { title author } } fragment A on Query { ...A ...A ...A ...A ...A ...A ...A ...A books { title } }", nil, cost(29), "itself"},
		"a circle counts less than nothing and pays for directives (361)":                  {counter, "{ ...A " + strings.Repeat("__typename @include(if: true) ", 4) + "} fragment A on Query { ...A ...A ...A ...A __typename }", nil, directives(3), "itself"},
		"a long text is read before its length is looked at (122)":                         {letter, "{ a } #" + strings.Repeat("a", 100), nil, characters(20), "longer"},
		"introspection is free and may be as deep as it likes (112)":                       {shelf, "{ __schema { types { fields { type { fields { type { fields { type { name } } } } } } } } }", nil, depth(6), "levels"},
		"an alias that is __typename, which is free (767)":                                 {counter, `{ __typename: getBook(title: "a") { __typename: title } }`, nil, aliases(1), "aliases"},
		"first says one and last a million":                                                {counter, "{ books(first: 1, last: 1000000) { title } }", nil, cost(100), "values"},
		"last says a million and first one":                                                {counter, "{ books(last: 1000000, first: 1) { title } }", nil, cost(100), "values"},
		"a variable says a million":                                                        {counter, "query ($n: Int) { books(first: $n) { title } }", graphql.Values{"n": json.RawMessage("1000000")}, cost(100), "values"},
		"a variable's default says a million":                                              {counter, "query ($n: Int = 1000000) { books(first: $n) { title } }", graphql.Values{}, cost(100), "values"},
		"a size below zero, which some take for everything":                                {counter, "{ books(first: -1) { title } }", nil, cost(100), "values"},
		"a size below zero in a variable":                                                  {counter, "query ($n: Int) { books(first: $n) { title } }", graphql.Values{"n": json.RawMessage("-1")}, cost(100), "values"},
		"no size at all":                                                                   {counter, "{ books(first: 0) { title author } }", nil, cost(29), "values"},
		"a size that is null":                                                              {counter, "{ books(first: null) { title author } }", nil, cost(29), "values"},
		"a size in a list's pages":                                                         {"type Query { books(pagination: Page): [Book] } input Page { pageSize: Int } type Book { title: String }", "{ books(pagination: {pageSize: 100000}) { title } }", nil, cost(1000), "values"},
		"a size in a variable that is an object":                                           {"type Query { books(pagination: Page): [Book] } input Page { page_size: Int } type Book { title: String }", "query ($p: Page) { books(pagination: $p) { title } }", graphql.Values{"p": json.RawMessage(`{"page_size": 100000}`)}, cost(1000), "values"},
		"a size in a variable inside an object":                                            {"type Query { books(pagination: Page): [Book] } input Page { limit: Int } type Book { title: String }", "query ($n: Int) { books(pagination: {limit: $n}) { title } }", graphql.Values{"n": json.RawMessage("100000")}, cost(1000), "values"},
		"a size as a text":                                                                 {"type Query { books(limit: String): [Book] } type Book { title: String }", `{ books(limit: "100000") { title } }`, nil, cost(1000), "values"},
		"a size beyond all numbers":                                                        {"type Query { books(limit: Float): [Book] } type Book { title: String }", "{ books(limit: 1e400) { title } }", nil, cost(1000), "values"},
		"a small number in a filter, so that the list seems short":                         {"type Query { books(where: W): [Book] } input W { count: Int } type Book { title: String author: String }", "{ books(where: {count: 1}) { title author } }", nil, cost(29), "values"},
		"directives on variables":                                                          {counter, "query ($a: Int @a, $b: Int @a, $c: Int @a) { books(first: $a, last: $b) { title } }", nil, directives(2), "directives"},
		"directives on an operation":                                                       {counter, "query @a @a @a { books { title } }", nil, directives(2), "directives"},
		"directives on a fragment's definition":                                            {counter, "{ ...A ...A } fragment A on Query @a @a { books { title } }", nil, directives(3), "directives"},
		"an operation beside the one that is meant":                                        {shelf, "query a { books { title } } query b { books { author { books { title } } } }", nil, depth(3), "levels"},
		"a fragment that nobody uses":                                                      {shelf, "{ books { title } } fragment A on Query { books { author { books { title } } } }", nil, depth(3), "never used"},
		"spreads of a fragment that is used again and again: 2^16 fields in less than 100": {shelf, doubled, nil, func(l *graphql.Limits) { l.Fields = 1000 }, "more than 1000"},
		"a circle through a fragment on an interface":                                      {"type Query { node: Node } interface Node { id: ID } type A implements Node { id: ID bs: [B] } type B { a: A }", "{ node { ... on A { bs { a { bs { a { bs { a { id } } } } } } } } }", nil, func(l *graphql.Limits) { l.Cycles = 1 }, "leads back to lists"},
		"a circle by two fields in turns":                                                  {"type Query { a: A } type A { bs: [B] cs: [B] } type B { a: A n: Int }", "{ a { bs { a { cs { a { bs { n } } } } } } }", nil, func(l *graphql.Limits) { l.Cycles = 1 }, "leads back to lists"},
		"a circle in which only the first says how long it is":                             {"type Query { bs(first: Int): [B] } type A { bs(first: Int): [B] } type B { a: A n: Int }", "{ bs(first: 1) { a { bs { a { bs { a { n } } } } } } }", nil, func(l *graphql.Limits) { l.Cycles = 1 }, "leads back to lists"},
		"a circle whose length a variable does not say":                                    {"type Query { bs(first: Int): [B] } type A { bs(first: Int): [B] } type B { a: A n: Int }", "query ($n: Int) { bs { a { bs(first: $n) { a { bs(first: $n) { n } } } } } }", graphql.Values{}, func(l *graphql.Limits) { l.Cycles = 1 }, "leads back to lists"},
		"a circle of circles: a list of itself as often as it likes":                       {"type Query { p: P } type P { friends: [P] n: Int }", "{ p { friends { friends { friends { n } } } } }", nil, func(l *graphql.Limits) { l.Cycles = 1 }, "leads back to lists"},
		"the same under many names, in several fragments":                                  {letter, "{ ...A ...B x: a } fragment A on Query { y: a } fragment B on Query { z: a }", nil, noLimit, "the same"},
		"the same with its arguments in another order":                                     {counter, "{ x: books(first: 1, last: 2) { title } y: books(last: 2, first: 1) { title } z: books(first: 1, last: 2) { title } w: books(last: 2, first: 1) { title } v: books(first: 1, last: 2) { title } }", nil, noLimit, "the same"},
		"a list behind a type that is none of a list's own":                                {"type Query { search(limit: Int): Result } type Result { hits: Hits } type Hits { items: [Book] } type Book { title: String }", "{ search(limit: 100000) { hits { items { title } } } }", nil, cost(1000), "values"},
		"a connection with its edges and its nodes":                                        {"type Query { books(first: Int): BookConnection } type BookConnection { edges: [BookEdge] nodes: [Book] } type BookEdge { node: Book } type Book { title: String }", "{ books(first: 50) { edges { node { title } } nodes { title } } }", nil, cost(250), "values"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := graphql.Read([]byte(tc.schema))
			if err != nil {
				t.Fatal(err)
			}
			l := only()
			l.Introspection = true
			tc.set(&l)
			op, err := s.Check(tc.query, firstName(tc.query), tc.values, l)
			if err == nil {
				t.Fatalf("it is let through with cost %d: %s", op.Cost, tc.query)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q in it, for %s", err, tc.want, tc.query)
			}
		})
	}
}

// firstName is the operation to ask for in a text that has several.
func firstName(query string) string {
	if strings.HasPrefix(query, "query a ") {
		return "a"
	}
	return ""
}

// A large value that each field uses is looked at once.
func TestLargeVariablesAreLookedAtOnce(t *testing.T) {
	s, err := graphql.Read([]byte("type Query { books(pagination: Page): [Book] } input Page { limit: Int more: [String] } type Book { title: String }"))
	if err != nil {
		t.Fatal(err)
	}
	large := graphql.Values{"p": json.RawMessage(`{"limit": 1, "more": ["` + strings.Repeat(`a", "`, 50000) + `"]}`)}
	allocations := func(uses int) float64 {
		query := "query ($p: Page) {"
		for i := range uses {
			query += fmt.Sprintf(" a%d: books(pagination: $p) { title ... { a%d: title } }", i, i)
		}
		return testing.AllocsPerRun(1, func() {
			if _, err := s.Check(query+" }", "", large, only()); err != nil {
				t.Error(err)
			}
		})
	}
	if one, many := allocations(1), allocations(100); many > 10*one {
		t.Errorf("got %.0f allocations for 100 uses of a variable and %.0f for one, want not a multiple", many, one)
	} else {
		t.Logf("%.0f allocations for 100 uses of a variable, %.0f for one", many, one)
	}
}
