package graphql_test

import (
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/graphql"
)

// Each limit lets through what is just within it and refuses what is one above, written plainly, in a fragment, and in an
// inline fragment: what the suites of graphql-armor's plugins ask of theirs, in queries of ours.
func TestLimitsAreExact(t *testing.T) {
	s := paste(t)
	for name, tc := range map[string]struct {
		queries []string
		set     func(*graphql.Limits, int)
		needed  int
	}{
		"depth": {[]string{
			"{ paste(id: 1) { owner { name } } }",
			"{ ...q } fragment q on Query { paste(id: 1) { owner { name } } }",
			"{ paste(id: 1) { ...p } } fragment p on Paste { owner { ...o } } fragment o on Person { name }",
			"{ paste(id: 1) { ... on Paste { owner { ... { name } } } } }",
		}, func(l *graphql.Limits, n int) { l.Depth = n }, 3},
		"aliases": {[]string{
			"{ a: paste(id: 1) { b: title } c: paste(id: 2) { title } }",
			"{ ...q } fragment q on Query { a: paste(id: 1) { ...p } c: paste(id: 2) { title } } fragment p on Paste { b: title }",
			"{ paste(id: 1) { ...p owner { pastes { ...p } } } x: health } fragment p on Paste { b: title }",
		}, func(l *graphql.Limits, n int) { l.Aliases = n }, 3},
		"root fields": {[]string{
			"{ health paste(id: 1) { id } a: health }",
			"{ ...q health } fragment q on Query { paste(id: 1) { id } ... { a: health } }",
		}, func(l *graphql.Limits, n int) { l.Roots = n }, 3},
		"directives": {[]string{
			"{ health @include(if: true) paste(id: 1) @skip(if: false) { id @include(if: true) } }",
			"{ ...q @include(if: true) } fragment q on Query { health @include(if: true) paste(id: 1) { id @skip(if: false) } }",
		}, func(l *graphql.Limits, n int) { l.Directives = n }, 3},
		"fields": {[]string{
			"{ paste(id: 1) { id title } }",
			"{ paste(id: 1) { ...p } } fragment p on Paste { id title }",
		}, func(l *graphql.Limits, n int) { l.Fields = n }, 3},
		"repeats": {[]string{
			"{ health health health }",
			"{ ...q } fragment q on Query { paste(id: 1) { ... { title title title } } }",
		}, func(l *graphql.Limits, n int) { l.Repeats = n }, 3},
		"cost": {[]string{
			"{ pastes(limit: 7) { id } }",
			"query ($n: Int = 7) { pastes(limit: $n) { ...p } } fragment p on Paste { id }",
		}, func(l *graphql.Limits, n int) { l.Cost = n }, 14},
		"cycles, by way of another": {[]string{
			"{ pastes { owner { pastes { owner { pastes { title } } } } } }",
			"{ paste(id: 1) { ...p } } fragment p on Paste { owner { pastes { ... { owner { pastes { title } } } } } }",
			"{ people { edges { node { pastes { owner { pastes { owner { pastes { title } } } } } } } } }",
		}, func(l *graphql.Limits, n int) { l.Cycles = n }, 2},
		"cycles, straight": {[]string{
			"{ people { edges { node { friends { edges { node { friends { edges { node { name } } } } } } } } } }",
		}, func(l *graphql.Limits, n int) { l.Cycles = n }, 1},
	} {
		for _, query := range tc.queries {
			l := limits()
			tc.set(&l, tc.needed)
			if _, err := s.Check(query, "", nil, l); err != nil {
				t.Errorf("%s: a limit of %d refuses %s: %v", name, tc.needed, query, err)
			}
			tc.set(&l, tc.needed-1)
			if _, err := s.Check(query, "", nil, l); err == nil {
				t.Errorf("%s: a limit of %d lets through %s", name, tc.needed-1, query)
			}
		}
	}
}

// The queries with which DVGA's own tests bring it down or make it tell what it should not, as far as they are the
// query's doing. What they do with mutations is not sent unless the operator allows mutations.
func TestWhatBringsDVGADown(t *testing.T) {
	s := paste(t)
	deep := "{ " + strings.Repeat("pastes { owner { ", 4) + "name" + strings.Repeat(" } }", 4) + " }"
	for name, query := range map[string]string{
		"a circle of types":     deep,
		"a circle of fragments": "query { ...Start } fragment Start on Query { pastes { ...Other } } fragment Other on Paste { content ...Other }",
		"a field that is wrong": "{ owners { id } pastess { id } }",
		"an introspection":      "query IntrospectionQuery { __schema { queryType { name } mutationType { name } } }",
	} {
		if op, err := s.Check(query, "", nil, limits()); err == nil {
			t.Errorf("%s: %s was let through with cost %d", name, query, op.Cost)
		}
	}
}
