package jsonrpc_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dragoman-mcp/dragoman/internal/selftest/corpus"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// A message is an object, so a JSON text of another kind is tried as the value of a member of params.
func acceptedAsValue(text string) bool {
	_, err := jsonrpc.Parse([]byte(request(`"v":`+text)), jsonrpc.Limits{})
	return err == nil
}

type vector struct{ name, text string }

// validValues and invalidValues go through RFC 8259 production by production.
func validValues() []vector {
	return []vector{
		{"literal true", `true`}, {"literal false", `false`}, {"literal null", `null`},
		{"zero", `0`}, {"minus zero", `-0`}, {"one digit", `7`}, {"many digits", `1234567890123456789012`}, {"minus", `-12`},
		{"fraction", `0.5`}, {"fraction of zeros", `1.000`}, {"exponent", `1e5`}, {"exponent with zero in front", `1e05`},
		{"capital exponent", `1E5`}, {"plus in exponent", `1e+5`}, {"minus in exponent", `1E-5`}, {"exponent of zero", `0e0`},
		{"all parts of a number", `-12.034e-56`}, {"a number beyond any float", `1e999999999`},
		{"empty string", `""`}, {"string", `"abc"`}, {"all short escapes", `"\"\\\/\b\f\n\r\t"`}, {"delete", "\"\x7f\""},
		{"escape in small digits", `"\u00e9"`}, {"escape in capital digits", `"\u00E9"`}, {"escaped NUL", `"\u0000"`},
		{"surrogate pair", `"\ud834\udd1e"`}, {"escaped backslash before u", `"\\u12"`}, {"backslash at the end", `"\\"`},
		{"two bytes", `"é"`}, {"three bytes", `"€"`}, {"four bytes", `"😀"`}, {"non-characters", "\"\ufffe\uffff\U0010ffff\""},
		{"line separators", "\"\u2028\u2029\""}, {"byte order mark in a string", "\"\ufeff\""}, {"no-break space in a string", "\"\u00a0\""},
		{"brackets in a string", `"[{]},:"`}, {"comment in a string", `"/* */ //"`},
		{"empty array", `[]`}, {"empty array with space", "[ \t\r\n]"}, {"one element", `[1]`}, {"all kinds", `[null,true,0,"",[],{}]`},
		{"space around elements", "[ 1 ,\n2\t]"}, {"nested arrays", `[[[[]]],[]]`},
		{"empty object", `{}`}, {"empty object with space", `{ }`}, {"one member", `{"a":1}`}, {"empty name", `{"":1}`},
		{"space around members", "{ \"a\" : 1 ,\r\n\"b\" :2 }"}, {"name with escapes", `{"a\u0000\n":1}`}, {"names that differ by case", `{"a":1,"A":2}`},
		{"names that differ by normal form", "{\"\u00e9\":1,\"e\u0301\":2}"}, {"nested objects", `{"a":{"a":{"a":{}}}}`},
		{"space before and after", " 1 "},
	}
}

func invalidValues() []vector {
	return []vector{
		{"nothing", ``}, {"space only", ` `}, {"form feed", "\f1"}, {"vertical tab", "\v1"}, {"NUL", "\x00"}, {"no-break space", "\u00a01"},
		{"byte order mark before a value", "\ufeff1"}, {"word joiner", "\u20601"}, {"part of a byte order mark", "\xef\xbb1"},
		{"capital literal", `True`}, {"short literal", `tru`}, {"long literal", `nulls`}, {"literal in wide letters", `ｎｕｌｌ`},
		{"NaN", `NaN`}, {"infinity", `Infinity`}, {"minus infinity", `-Infinity`}, {"undefined", `undefined`}, {"name without quotes", `abc`},
		{"plus", `+1`}, {"minus alone", `-`}, {"two minus", `--1`}, {"minus and space", `- 1`}, {"minus word", `-a`}, {"zero in front", `01`},
		{"minus zero in front", `-01`}, {"two zeros", `00`}, {"point first", `.5`}, {"minus point", `-.5`}, {"point last", `1.`}, {"two points", `1.2.3`},
		{"point and exponent", `1.e5`}, {"exponent alone", `1e`}, {"exponent and sign", `1e+`}, {"two exponents", `1e2e3`}, {"fraction in exponent", `1e2.5`},
		{"two signs in exponent", `1e+-2`}, {"exponent first", `e1`}, {"hexadecimal", `0x1F`}, {"octal", `0o7`}, {"underscore", `1_000`}, {"comma for point", `1,5`},
		{"space in a number", `1 000`}, {"letter after a number", `1a`}, {"wide digit", `１`}, {"digit of another script", `١`}, {"bytes after a digit", "1\xe5"},
		{"string without end", `"abc`}, {"one quote", `"`}, {"single quotes", `'a'`}, {"curved quotes", `“a”`}, {"back quotes", "`a`"},
		{"raw newline", "\"a\nb\""}, {"raw return", "\"a\rb\""}, {"raw tab", "\"a\tb\""}, {"raw NUL", "\"a\x00b\""}, {"raw U+001F", "\"\x1f\""},
		{"unknown escape", `"\a"`}, {"hexadecimal escape", `"\x41"`}, {"octal escape", `"\101"`}, {"escaped newline", "\"\\\n\""}, {"escaped NUL byte", "\"\\\x00\""},
		{"capital U escape", `"\U00e9"`}, {"escape without digits", `"\u"`}, {"escape with three digits", `"\u00e"`}, {"escape with a wrong digit", `"\u00eg"`},
		{"escape in braces", `"\u{e9}"`}, {"escape with a sign", `"\u+0e9"`}, {"escape at the end", `"\`}, {"second half of a pair cut", `"\ud834\udd"`},
		{"second half of a pair wrong", `"\ud834\x"`}, {"escaped quote at the end", `"\"`}, {"escape of another script", `"\é"`},
		{"stray continuation byte", "\"\x80\""}, {"cut two bytes", "\"\xc3\""}, {"cut three bytes", "\"\xe2\x82\""}, {"cut four bytes", "\"\xf0\x9f\x98\""},
		{"overlong two bytes", "\"\xc0\x80\""}, {"overlong three bytes", "\"\xe0\x80\xaf\""}, {"overlong four bytes", "\"\xf0\x80\x80\xaf\""},
		{"surrogate in UTF-8", "\"\xed\xa0\x80\""}, {"pair of surrogates in UTF-8", "\"\xed\xa0\xb4\xed\xb4\x9e\""}, {"above U+10FFFF", "\"\xf4\x90\x80\x80\""},
		{"five bytes", "\"\xf8\x88\x80\x80\x80\""}, {"byte FE", "\"\xfe\""}, {"Latin-1", "\"\xe9\""}, {"bad byte in a name", "{\"\xe9\":1}"}, {"bad byte outside strings", "[\xe9]"},
		{"bad byte after an escape", "\"\\u00e9\xff\""},
		{"array without end", `[1`}, {"array without beginning", `1]`}, {"array cut after comma", `[1,`}, {"comma last", `[1,]`}, {"comma first", `[,1]`},
		{"comma only", `[,]`}, {"two commas", `[1,,2]`}, {"no comma", `[1 2]`}, {"colon in an array", `["a":1]`}, {"semicolon", `[1;2]`},
		{"array closed by a brace", `[1}`}, {"one bracket too many", `[1]]`}, {"two values", `[][]`}, {"dots", `[...]`}, {"elided", `[1,*]`},
		{"object without end", `{"a":1`}, {"object cut after name", `{"a"`}, {"object cut after colon", `{"a":`}, {"member comma last", `{"a":1,}`}, {"member comma first", `{,"a":1}`},
		{"two member commas", `{"a":1,,"b":2}`}, {"no member comma", `{"a":1 "b":2}`}, {"no colon", `{"a" 1}`}, {"two colons", `{"a"::1}`}, {"comma for colon", `{"a",1}`},
		{"equals for colon", `{"a"=1}`}, {"no name", `{:1}`}, {"no value", `{"a":}`}, {"value only", `{"a"}`}, {"name without quotes in an object", `{a:1}`},
		{"name in single quotes", `{'a':1}`}, {"number as name", `{1:1}`}, {"null as name", `{null:1}`}, {"object as name", `{{}:1}`}, {"object closed by a bracket", `{"a":1]`},
		{"one brace too many", `{}}`}, {"two objects", `{}{}`}, {"value after an object", `{} 1`},
		{"block comment", `/**/1`}, {"line comment", "1//\n"}, {"hash comment", "#\n1"}, {"markup", `<null>`}, {"escape outside strings", `\u0031`},
		{"name twice", `{"a":1,"a":1}`}, {"name twice by escape", `{"a":1,"\u0061":2}`}, {"name twice by pair", `{"😀":1,"\ud83d\ude00":2}`},
		{"empty name twice", `{"":1,"":2}`}, {"name twice, not beside", `{"a":1,"b":2,"a":3}`}, {"name twice within an array", `[{"a":1},{"a":1,"a":2}]`},
		{"lone surrogate in a name", `{"\ud800":1}`}, {"low surrogate in a name", `{"a\udc00":1}`},
	}
}

func TestValidJSONIsAcceptedAsAValue(t *testing.T) {
	for _, v := range validValues() {
		t.Run(v.name, func(t *testing.T) {
			if !acceptedAsValue(v.text) {
				t.Errorf("value %q: got refused, want accepted", v.text)
			}
		})
	}
}

func TestInvalidJSONIsRefusedAsAValue(t *testing.T) {
	for _, v := range invalidValues() {
		t.Run(v.name, func(t *testing.T) {
			if acceptedAsValue(v.text) {
				t.Errorf("value %q: got accepted, want refused", v.text)
			}
		})
	}
}

// A value that is cut anywhere is refused: nothing reads beyond the end.
func TestCutMessagesAreRefused(t *testing.T) {
	for _, v := range validValues() {
		whole := request(`"v":` + v.text)
		for n := range len(whole) {
			if _, err := jsonrpc.Parse([]byte(whole[:n]), jsonrpc.Limits{}); err == nil {
				t.Errorf("Parse(%q): got accepted, want refused", whole[:n])
			}
		}
	}
}

// suite is JSONTestSuite (Nicolas Seriot, MIT). Each text says by the first letter of its name whether it must be accepted
// (y), must be refused (n) or is left to the implementation (i).
func suite(t testing.TB) []corpus.Vector {
	t.Helper()
	all, err := corpus.JSONTestSuite()
	if err != nil || len(all) < 300 {
		t.Fatalf("JSONTestSuite: got %d texts and error %v, want at least 300", len(all), err)
	}
	return all
}

// What is left to us we take as the standard library does, which we only surpass in strictness.
func TestJSONTestSuite(t *testing.T) {
	for _, v := range suite(t) {
		t.Run(v.Name, func(t *testing.T) {
			want := v.Name[0] == 'y'
			if v.Name[0] == 'i' {
				want = json.Valid(v.Data) && utf8.Valid(v.Data) && judge(v.Data, 126) == nil
			}
			if strings.HasPrefix(v.Name, "y_object_duplicated_key") {
				want = false // on purpose: see keys.go
			}
			if got := acceptedAsValue(string(v.Data)); got != want {
				t.Errorf("value %.80q: got accepted = %v, want %v", v.Data, got, want)
			}
		})
	}
}
