package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

func TestTextBecomesWhatTheSchemaSays(t *testing.T) {
	tests := []struct{ name, schema, text, want string }{
		{"text is text", `{"type":"string"}`, `a "b"`, `"a \"b\""`},
		{"a number keeps its digits", `{"type":"number"}`, "1.10", "1.10"},
		{"a large number too", `{"type":"integer"}`, "123456789012345678901234567890", "123456789012345678901234567890"},
		{"2.0 is whole", `{"type":"integer"}`, "2.0", "2.0"},
		{"1e3 is whole", `{"type":"integer"}`, "1e3", "1e3"},
		{"text wins where it is allowed", `{"type":["integer","string"]}`, "5", `"5"`},
		{"nothing said is text", `{}`, "5", `"5"`},
		{"an empty text is text", `{"type":"string"}`, "", `""`},
		{"null where it is allowed", `{"type":["integer","null"]}`, "null", "null"},
		{"a number where null is allowed", `{"anyOf":[{"type":"integer"},{"type":"null"}]}`, "7", "7"},
		{"a number of an enum", `{"enum":[1,2,"auto"]}`, "2", "2"},
		{"a text of an enum", `{"enum":[1,2,"auto"]}`, "auto", `"auto"`},
		{"null beside an enum", `{"anyOf":[{"enum":["a"]},{"type":"null"}]}`, "null", "null"},
		{"const", `{"const":"x"}`, "x", `"x"`},
		{"one of constants", `{"oneOf":[{"const":"a","title":"A"},{"const":"b"}]}`, "b", `"b"`},
		{"a list", `{"type":"array"}`, ` [1, 2] `, `[1, 2]`},
		{"an object", `{"type":"object"}`, `{"a":1}`, `{"a":1}`},
		{"a reference", `{"$ref":"#/$defs/n","$defs":{"n":{"type":"integer"}}}`, "3", "3"},
		{"a reference with escapes", `{"$ref":"#/$defs/a~1b","$defs":{"a/b":{"type":"integer"}}}`, "3", "3"},
		{"allOf", `{"allOf":[{"type":"boolean"}]}`, "true", "true"},
		{"a reference to itself ends", `{"$ref":"#"}`, "x", `"x"`},
		{"no schema at all", ``, "x", `"x"`},

		{"no number", `{"type":"number"}`, "one", `"one" is not a number`},
		{"no number of JSON", `{"type":"number"}`, "+1", `"+1" is not a number`},
		{"a truth value is no number", `{"type":"number"}`, "true", `"true" is not a number`},
		{"not whole", `{"type":"integer"}`, "1.5", `"1.5" is not a whole number`},
		{"no truth value", `{"type":"boolean"}`, "yes", `"yes" is neither true nor false`},
		{"no list", `{"type":"array"}`, "a,b", `"a,b" is not a JSON array, like '["a","b"]'`},
		{"no object", `{"type":"object"}`, "[]", `"[]" is not a JSON object, like '{"a":1}'`},
		{"empty is no number", `{"type":"integer"}`, "", `"" is not a number`},
		{"not of the enum", `{"enum":["north","south"]}`, "nort", `"nort" is not one of north, south; did you mean "north"?`},
		{"a type of nobody", `{"type":"money"}`, "5", `the tool wants a money, which no text can be; write NAME:=JSON`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			value, err := newSchema([]byte(test.schema)).value(test.text)
			got := string(value)
			if err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("schema %s, text %q: got %s, want %s", test.schema, test.text, got, test.want)
			}
		})
	}
}

func TestTypesAreNamedInAFewWords(t *testing.T) {
	tests := map[string]string{
		`{"type":"string"}`: "string", `{}`: "any", `{"enum":["a",1]}`: "a|1",
		`{"type":"array","items":{"type":"string"}}`: "array of string", `{"type":["string","null"]}`: "string|null",
	}
	for schema, want := range tests {
		if got := newSchema([]byte(schema)).typeName(); got != want {
			t.Errorf("typeName of %s = %q, want %q", schema, got, want)
		}
	}
}

func TestWordsOfACommandLineAreArguments(t *testing.T) {
	input := newSchema([]byte(`{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"}},"required":["a","z"]}`))
	tests := []struct {
		name          string
		words         []string
		object, stdin string
		want, failed  string
	}{
		{"plain and JSON", []string{"a=1", `b:="x"`, "z=2"}, "", "", `{"a":1,"b":"x","z":"2"}`, ""},
		{"an equals sign in a value", []string{"a=1", "b=c=d", "z=:="}, "", "", `{"a":1,"b":"c=d","z":":="}`, ""},
		{"an empty value", []string{"a=1", "b=", "z="}, "", "", `{"a":1,"b":"","z":""}`, ""},
		{"single words win over the whole", []string{"a=2"}, `{"a": 1, "z": [1]}`, "", `{"a": 2, "z": [1]}`, ""},
		{"from standard input", []string{"-", "a=2"}, "", `{"z":1}`, `{"z":1,"a":2}`, ""},
		{"missing", nil, "", "", "", "a: is missing (integer)\nz: is missing (any)"},
		{"a colon alone", []string{":=1"}, "", "", "", `":=1" is no argument: write NAME=VALUE`},
		{"no name", []string{"=1"}, "", "", "", `"=1" is no argument`},
		{"no text", []string{"a=\xff"}, "", "", "", "a: the value is not UTF-8 text"},
		{"a name twice in JSON", []string{"a=1"}, `{"z":1,"z":2}`, "", "", "the arguments in --args-json are not one JSON object"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			args, err := readArguments(test.words, test.object, strings.NewReader(test.stdin))
			var text []byte
			if err == nil {
				text, _, err = args.fit(input)
			}
			if test.failed != "" {
				if err == nil || !strings.HasPrefix(err.Error(), test.failed) {
					t.Fatalf("%q: error %v, want %s", test.words, err, test.failed)
				}
				return
			}
			if err != nil || string(text) != test.want {
				t.Errorf("%q: got %s, %v, want %s", test.words, text, err, test.want)
			}
		})
	}
}

func TestFieldsOfAFormTakeWhatFits(t *testing.T) {
	tests := []struct{ name, schema, text, want string }{
		{"text", `{"type":"string"}`, "x", `"x"`},
		{"too short", `{"type":"string","minLength":2}`, "é", "it must have at least 2 characters"},
		{"too long", `{"type":"string","maxLength":2}`, "éàè", "it must have at most 2 characters"},
		{"an address of e-mail", `{"type":"string","format":"email"}`, "a@example.org", `"a@example.org"`},
		{"no address of e-mail", `{"type":"string","format":"email"}`, "A <a@example.org>", "it must be an e-mail address"},
		{"a URI", `{"type":"string","format":"uri"}`, "https://example.org", `"https://example.org"`},
		{"no URI", `{"type":"string","format":"uri"}`, "example", "it must be an address like https://example.org"},
		{"a date", `{"type":"string","format":"date"}`, "2026-07-28", `"2026-07-28"`},
		{"no date", `{"type":"string","format":"date"}`, "28/7/2026", "it must be a date like 2026-07-28"},
		{"a time", `{"type":"string","format":"date-time"}`, "2026-07-28T09:30:00Z", `"2026-07-28T09:30:00Z"`},
		{"no time", `{"type":"string","format":"date-time"}`, "09:30", "it must be a time like 2026-07-28T09:30:00Z"},
		{"a number in bounds", `{"type":"number","minimum":1,"maximum":2}`, "1.5", "1.5"},
		{"too small", `{"type":"integer","minimum":1}`, "0", "it must be at least 1"},
		{"too large", `{"type":"integer","maximum":1}`, "2", "it must be at most 1"},
		{"yes", `{"type":"boolean"}`, "Y", "true"},
		{"no", `{"type":"boolean"}`, "no", "false"},
		{"neither", `{"type":"boolean"}`, "perhaps", "type yes or no"},
		{"a choice by number", `{"type":"string","enum":["a","b"],"enumNames":["Ann","Bob"]}`, "2", `"b"`},
		{"a choice by label", `{"type":"string","enum":["a","b"],"enumNames":["Ann","Bob"]}`, "ann", `"a"`},
		{"a choice by value", `{"type":"string","oneOf":[{"const":"a","title":"Ann"}]}`, "a", `"a"`},
		{"no choice", `{"type":"string","enum":["a","b"]}`, "3", "type a number from 1 to 2"},
		{"several", `{"type":"array","items":{"anyOf":[{"const":"a","title":"Ann"},{"const":"b"}]}}`, "Ann, 2", `["a","b"]`},
		{"too few", `{"type":"array","minItems":2,"items":{"enum":["a","b"]}}`, "1", "choose at least 2"},
		{"too many", `{"type":"array","maxItems":1,"items":{"enum":["a","b"]}}`, "1,2", "choose at most 1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := property{name: "f", schema: newSchema([]byte(test.schema))}
			value, err := f.answer(test.text)
			got := string(value)
			if err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("schema %s, answer %q: got %s, want %s", test.schema, test.text, got, test.want)
			}
		})
	}
}

func TestPromptsOfAFormSayWhatIsWanted(t *testing.T) {
	tests := map[string]string{
		`{"type":"string","title":"Your name"}`:     "  Your name (string, Enter to leave out): ",
		`{"type":"string","format":"email"}`:        "  f (email, Enter to leave out): ",
		`{"type":"integer","default":3}`:            "  f (integer, Enter for 3): ",
		`{"type":"array","items":{"enum":["a"]}}`:   "  f (numbers with commas, Enter to leave out): ",
		`{"type":"string","enum":["a"]}`:            "  f (number, Enter to leave out): ",
		`{"type":"string","title":"\u001b[2Jtidy"}`: `  \x1b[2Jtidy (string, Enter to leave out): `,
	}
	for schema, want := range tests {
		var out strings.Builder
		a := &asker{screen: &screen{err: &out}}
		if diff := cmp.Diff(want, a.prompt(property{name: "f", schema: newSchema([]byte(schema))})); diff != "" {
			t.Errorf("prompt for %s (-want +got):\n%s", schema, diff)
		}
	}
}

func TestPropertiesKeepTheirOrder(t *testing.T) {
	s := newSchema([]byte(`{"properties":{"z":{},"a":{}},"required":["hidden","a"]}`))
	var got []string
	for _, p := range s.properties() {
		mark := ""
		if p.required {
			mark = "!"
		}
		got = append(got, p.name+mark)
	}
	if diff := cmp.Diff([]string{"z", "a!", "hidden!"}, got); diff != "" {
		t.Errorf("properties (-want +got):\n%s", diff)
	}
	if o, _ := jsonrpc.Split([]byte(`{"additionalProperties":false}`)); !(schema{at: o}).closed() {
		t.Error("additionalProperties:false is not closed")
	}
}
