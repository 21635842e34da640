package graphql_test

import (
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/graphql"
)

// What the suites of graphql-armor ask of its plugins at c9a6abf, as facts: the shape of a query, a limit, and whether
// armor refuses it. testdata/README.md says where they are from.

// The schemas that the suites use.
const (
	shelf   = "type Query { books: [Book] } type Book { title: String author: Author } type Author { name: String books: [Book] }"
	counter = "type Query { books(first: Int, last: Int): [Book] getBook(title: String): Book } type Book { title: String author: String }"
	letter  = "type Query { a: String }"
)

// only are limits of which none matters but what the caller sets.
func only() graphql.Limits {
	return graphql.Limits{
		Depth: 100, Aliases: 10000, Roots: 100000, Directives: 1000, Tokens: 100000, Fields: 100000, Cost: 100000000, Cycles: 100, Repeats: 100000, Bytes: 1 << 20,
	}
}

func depth(n int) func(*graphql.Limits)      { return func(l *graphql.Limits) { l.Depth = n } }
func aliases(n int) func(*graphql.Limits)    { return func(l *graphql.Limits) { l.Aliases = n } }
func directives(n int) func(*graphql.Limits) { return func(l *graphql.Limits) { l.Directives = n } }
func tokens(n int) func(*graphql.Limits)     { return func(l *graphql.Limits) { l.Tokens = n } }
func cost(n int) func(*graphql.Limits)       { return func(l *graphql.Limits) { l.Cost = n } }
func characters(n int) func(*graphql.Limits) { return func(l *graphql.Limits) { l.Bytes = n } }
func noLimit(*graphql.Limits)                {}

const (
	threeDeep  = "query { books { author { name } title } }"
	spreadDeep = "query { ...BooksFragment } fragment BooksFragment on Query { books { title author { name } } }"
	inlineDeep = "query { ... on Query { books { title author { name } } } }"
	aCircle    = "query { ...A } fragment A on Query { ...B } fragment B on Query { ...A }"
	namedDeep  = "query { books { author { books { author { ...__schema } } } } } fragment __schema on Author { books { title } }"
	cachedDeep = "query { books { author { ...Test } } books { author { books { author { ...Test } } } } } fragment Test on Author { books { title } }"
	twoAliases = `query { firstBooks: getBook(title: "null") { author title } secondBooks: getBook(title: "null") { author title } }`
	typeNames  = `query A { getBook(title: "null") { typenameA: __typename typenameB: __typename } }`
	spreadTwo  = `query A { getBook(title: "null") { firstTitle: title ...BookFragment } } fragment BookFragment on Book { secondTitle: title }`
	allowedTwo = `query { allowed: getBook(title: "null") { allowed: author } }`
	threeNames = `query { allowed: getBook(title: "null") { anotherAllowed: author } disallowed: getBook(title: "null") { author } }`
	otherNames = `query { allowed1: getBook(title: "null") { allowed2: author } disallowed: getBook(title: "null") { author } }`
	fourMarks  = "query { __typename @a @a @a @a }"
	spreadFour = "query { ...DirectivesFragment } fragment DirectivesFragment on Query { __typename @a @a @a @a }"
	bookList   = "query { books { title author } }"
	namedList  = "query __schema { books { title author } }"
	namedPart  = "query { ...__schema } fragment __schema on Query { books { title author } }"
	partList   = "query { ...BookFragment } fragment BookFragment on Query { books { title author } }"
	firstLast  = "query { firstBooks: books(first: 1) { title author } lastBooks: books(last: 1) { title author } }"
	brokenPart = "query { firstBooks: books(first: 2) { title author } ...BookFragmentLast3 fragment BookFragmentLast3 on Query { books(last: 3) { title author } } }"
	wrongField = "query { books { titlee author } }"
)

// Why ours may differ from what a case of armor's says.
const (
	noLevel    = "a spread is no level here, so that a query has one depth however it is written (their issue 431); the same text is refused with the limit of its plain form"
	introspect = "introspection is off by default, and when it is on it is bounded like anything else"
	noFree     = "there is no list of names that are free: whoever writes the query chooses them"
	values     = "cost is how many values the answer may have, and a spread adds none; with flattenFragments armor reckons 30 too, and so do both with a limit of 29"
)

type armorCase struct {
	name, schema, query string
	set                 func(*graphql.Limits)
	theirs              bool // armor refuses it
	why                 string
	then                func(*graphql.Limits) // with why: the limit with which ours refuses it too
}

func armorDepth() []armorCase {
	return []armorCase{
		{name: "three levels, no limit", schema: shelf, query: threeDeep, set: noLimit},
		{name: "three levels of one", schema: shelf, query: threeDeep, set: depth(1), theirs: true},
		{name: "three levels in a fragment, of four", schema: shelf, query: spreadDeep, set: depth(4), theirs: true, why: noLevel, then: depth(2)},
		{name: "three levels in a flattened fragment, of two", schema: shelf, query: spreadDeep, set: depth(2), theirs: true},
		{name: "three levels in a flattened inline fragment, of two", schema: shelf, query: inlineDeep, set: depth(2), theirs: true},
		{name: "introspection, of two", schema: shelf, query: graphql.Introspection, set: depth(2), why: introspect},
		{name: "a circle of fragments, of three", schema: shelf, query: aCircle, set: depth(3), theirs: true},
		{name: "a circle of flattened fragments, of three", schema: shelf, query: aCircle, set: depth(3), theirs: true},
		{name: "three levels of two, with a message of the operator's", schema: shelf, query: threeDeep, set: depth(2), theirs: true},
		{name: "three levels of two, with the limit told", schema: shelf, query: threeDeep, set: depth(2), theirs: true},
		{name: "a fragment named __schema, of six", schema: shelf, query: namedDeep, set: depth(6), theirs: true, why: noLevel, then: depth(5)},
		{name: "a fragment that was seen higher up, of six", schema: shelf, query: cachedDeep, set: depth(6), theirs: true, why: noLevel, then: depth(5)},
		{name: "three levels of two, by the envelop plugin", schema: shelf, query: threeDeep, set: depth(2), theirs: true},
	}
}

func armorAliases() []armorCase {
	return []armorCase{
		{name: "two aliases, no limit", schema: counter, query: twoAliases, set: noLimit},
		{name: "two aliases of one", schema: counter, query: twoAliases, set: aliases(1), theirs: true},
		{name: "two names of __typename, of one", schema: counter, query: typeNames, set: aliases(1)},
		{name: "two names of __typename, of one, when they count", schema: counter, query: typeNames, set: aliases(1), theirs: true,
			why: "those of __typename are always free: it costs the API nothing"},
		{name: "one alias and one in a fragment, of one", schema: counter, query: spreadTwo, set: aliases(1), theirs: true},
		{name: "a circle of fragments, of three aliases", schema: counter, query: aCircle, set: aliases(3), theirs: true},
		{name: "aliases that are allowed, of one", schema: counter, query: allowedTwo, set: aliases(1), why: noFree},
		{name: "two aliases of one, with a message of the operator's", schema: counter, query: twoAliases, set: aliases(1), theirs: true},
		{name: "two aliases of one, with the limit told", schema: counter, query: twoAliases, set: aliases(1), theirs: true},
		{name: "two that count beside one that is allowed, of one", schema: counter, query: threeNames, set: aliases(1), theirs: true},
		{name: "two that count beside one of another name, of one", schema: counter, query: otherNames, set: aliases(1), theirs: true},
	}
}

func armorRest() []armorCase {
	many := func(n int) string { return "{ " + strings.TrimSpace(strings.Repeat("a ", n)) + " }" }
	return []armorCase{
		{name: "unknown directives, no limit", schema: counter, query: fourMarks, set: noLimit, theirs: true},
		{name: "four directives of three", schema: counter, query: fourMarks, set: directives(3), theirs: true},
		{name: "four directives in a fragment, of three", schema: counter, query: spreadFour, set: directives(3), theirs: true},
		{name: "a circle of fragments, of three directives", schema: counter, query: aCircle, set: directives(3), theirs: true},
		{name: "four directives of three, with a message of the operator's", schema: counter, query: fourMarks, set: directives(3), theirs: true},
		{name: "four directives of three, with the limit told", schema: counter, query: fourMarks, set: directives(3), theirs: true},

		{name: "1002 tokens of 1000", schema: letter, query: many(1000), set: tokens(1000), theirs: true},
		{name: "1000 tokens of 1000", schema: letter, query: many(998), set: tokens(1000)},
		{name: "six tokens of four", schema: letter, query: many(4), set: tokens(4), theirs: true},
		{name: "four tokens of four", schema: letter, query: many(2), set: tokens(4)},
		{name: "seven tokens of five, with a message of the operator's", schema: letter, query: many(5), set: tokens(5), theirs: true},
		{name: "seven tokens of five, with the limit told", schema: letter, query: many(5), set: tokens(5), theirs: true},

		{name: "a query, no limit of characters", schema: counter, query: bookList, set: noLimit},
		{name: "one character too many", schema: counter, query: bookList, set: characters(len(bookList) - 1), theirs: true},
		{name: "as many characters as there may be, and variables", schema: counter, query: bookList, set: characters(len(bookList))},
		{name: "21 characters of ten, with a message of the operator's", schema: letter, query: "query { " + strings.Repeat("a", 11) + " }", set: characters(10), theirs: true},
		{name: "22 characters of ten, with the limit told", schema: letter, query: "query { " + strings.Repeat("a", 12) + " }", set: characters(10), theirs: true},

		{name: "a right field", schema: counter, query: bookList, set: noLimit},
		{name: "a wrong field, which is suggested", schema: counter, query: wrongField, set: noLimit, theirs: true},
		{name: "a wrong field, with suggestions hidden", schema: counter, query: wrongField, set: noLimit, theirs: true},
		{name: "a wrong field, with a mask", schema: counter, query: wrongField, set: noLimit, theirs: true},
		{name: "a wrong field, with an empty mask", schema: counter, query: wrongField, set: noLimit, theirs: true},
		{name: "a wrong field, with an error that says nothing", schema: counter, query: wrongField, set: noLimit, theirs: true},
	}
}

func armorCost() []armorCase {
	return []armorCase{
		{name: "a list, no limit", schema: counter, query: bookList, set: noLimit},
		{name: "a list for ten", schema: counter, query: bookList, set: cost(10), theirs: true},
		{name: "a query named __schema for ten", schema: counter, query: namedList, set: cost(10), theirs: true},
		{name: "a fragment named __schema for ten", schema: counter, query: namedPart, set: cost(10), theirs: true},
		{name: "introspection for ten", schema: counter, query: graphql.Introspection, set: cost(10), why: introspect},
		{name: "a list in a fragment for 57", schema: counter, query: partList, set: cost(57), theirs: true, why: values, then: cost(29)},
		{name: "a list in a flattened fragment for 57", schema: counter, query: partList, set: cost(57)},
		{name: "a list in a flattened fragment for five", schema: counter, query: partList, set: cost(5), theirs: true},
		{name: "a circle of fragments for 50", schema: counter, query: aCircle, set: cost(50), theirs: true},
		{name: "a list for ten, with a message of the operator's", schema: counter, query: bookList, set: cost(10), theirs: true},
		{name: "a list for ten, with the limit told", schema: counter, query: bookList, set: cost(10), theirs: true},
		{name: "two lists of one for 20", schema: counter, query: firstLast, set: cost(20)},
		{name: "lists of two and three for 57", schema: counter, query: brokenPart, set: cost(57), theirs: true},
	}
}

func TestArmorsOwnCases(t *testing.T) {
	same, differ := 0, 0
	for suite, cases := range map[string][]armorCase{"max-depth": armorDepth(), "max-aliases": armorAliases(), "cost-limit": armorCost(), "others": armorRest()} {
		for _, tc := range cases {
			s, err := graphql.Read([]byte(tc.schema))
			if err != nil {
				t.Fatal(err)
			}
			l := only()
			tc.set(&l)
			_, err = s.Check(tc.query, "", nil, l)
			if ours := err != nil; ours == tc.theirs == (tc.why != "") {
				t.Errorf("%s, %s: refused is %v (%v), and of armor's %v, with the reason %q for %s", suite, tc.name, ours, err, tc.theirs, tc.why, tc.query)
			}
			if tc.why == "" {
				same++
				continue
			}
			t.Logf("%s, %s: ours differs: %s", suite, tc.name, tc.why)
			if differ++; tc.then == nil {
				continue
			}
			tc.then(&l)
			if _, err := s.Check(tc.query, "", nil, l); err == nil {
				t.Errorf("%s, %s: it is not refused with the limit of its plain form: %s", suite, tc.name, tc.query)
			}
		}
	}
	t.Logf("%d cases of armor's: %d as armor, %d otherwise on purpose", same+differ, same, differ)
}
