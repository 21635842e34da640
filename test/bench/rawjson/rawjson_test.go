package rawjson_test

import (
	"encoding/json"
	"testing"

	"github.com/dragoman-mcp/dragoman/test/bench/rawjson"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestGet(t *testing.T) {
	const text = ` {"id" : 7,"a\"b":1, "result":{"content":[{"type":"text","text":"x\\\"y}"}],"empty":{} , "n":-1.5e3},"t":true} `
	tests := []struct {
		name string
		path []string
		want string
		ok   bool
	}{
		{"a number at the top", []string{"id"}, `7`, true},
		{"a literal at the end", []string{"t"}, `true`, true},
		{"a nested array with quotes and braces in a string", []string{"result", "content"}, `[{"type":"text","text":"x\\\"y}"}]`, true},
		{"an empty object", []string{"result", "empty"}, `{}`, true},
		{"a number after white space", []string{"result", "n"}, `-1.5e3`, true},
		{"a missing step", []string{"result", "nope"}, ``, false},
		{"a step into a number", []string{"id", "x"}, ``, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, ok := rawjson.Get([]byte(text), test.path...)
			if string(got) != test.want || ok != test.ok {
				t.Errorf("Get(%v) = %q, %v, want %q, %v", test.path, got, ok, test.want, test.ok)
			}
		})
	}
}

func TestElementsVisitsEachInOrder(t *testing.T) {
	var got string
	if err := rawjson.Elements([]byte(`[1, "a,]" ,[2,[3]], {"x":[]}]`), func(value []byte) bool {
		got += string(value) + "|"
		return true
	}); err != nil {
		t.Fatalf("Elements: %v", err)
	}
	if want := `1|"a,]"|[2,[3]]|{"x":[]}|`; got != want {
		t.Errorf("Elements visited %q, want %q", got, want)
	}
}

func TestMalformedTextIsRefused(t *testing.T) {
	for _, text := range []string{``, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":"x`, `{"a":"x\"}`, `[]`, `{"a":[1}`, `{a:1}`} {
		if err := rawjson.Each([]byte(text), func(_, _ []byte) bool { return true }); err == nil {
			t.Errorf("Each(%q) = nil, want an error", text)
		}
	}
}

// FuzzEach compares with encoding/json: what it accepts as an object must be walked to the end, member by member.
func FuzzEach(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, `{"a":"\\","b":[{"c":"]"}]}`, `{}`, `{"a":{"b":null}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var want map[string]json.RawMessage
		if json.Unmarshal(text, &want) != nil || want == nil {
			return
		}
		names := map[string]bool{}
		err := rawjson.Each(text, func(name, value []byte) bool {
			if !json.Valid(value) {
				t.Errorf("value %q of %q is no JSON", value, text)
			}
			var plain string
			if json.Unmarshal([]byte(`"`+string(name)+`"`), &plain) == nil {
				names[plain] = true
			}
			return true
		})
		if err != nil || len(names) != len(want) || !rawjson.Whole(text) {
			t.Errorf("Each(%q): error %v, %d names, want %d; Whole %v", text, err, len(names), len(want), rawjson.Whole(text))
		}
	})
}
