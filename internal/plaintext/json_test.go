package plaintext_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dragoman-mcp/dragoman/internal/plaintext"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

func TestStringsOfJSONAreCleanedAndTheRestStays(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"a description", `{"name":"add", "description":"Adds.\u200b\ud83d\ude00" }`, `{"name":"add", "description":"Adds.😀" }`},
		{"escapes of what is plain stay escapes", `{"a":"\u0041\/\u00e9","b":"x\u202e"}`, `{"a":"\u0041\/\u00e9","b":"x"}`},
		{"raw characters", "{\"a\":\"x\u202ey\",\"b\":[1e3, true ,null]}", `{"a":"xy","b":[1e3, true ,null]}`},
		{"tags as pairs of escapes", `["\udb40\udc41\udb40\udc42"]`, `[""]`},
		{"a terminal sequence", `{"a":{"b":["\u001b[31mred\u001b[0m"]}}`, `{"a":{"b":["red"]}}`},
		{"a form feed and a backspace", `"a\fb\bc"`, `"a\nbc"`},
		{"half of a pair", `{"a":"x\ud83d\u200by"}`, "{\"a\":\"x\ufffdy\"}"},
		{"a member whose name hides something, first", "{\"a\u200b\": 1, \"b\":\"\"}", `{ "b":""}`},
		{"in the middle", `{"a":"","b\u202e":{"c":"\u200b"},"d":2}`, `{"a":"","d":2}`},
		{"last", `{"a":1,"\ud800":2 }`, `{"a":1 }`},
		{"the only one", `[{"\u200b":[1,{"a":"\u200b"}]}]`, `[{}]`},
		{"two that would be one", "{\"a\":1,\"a\u200b\":2,\"\u200ba\":3}", `{"a":1}`},
	} {
		got, found := plaintext.JSON([]byte(c.in), 0)
		if string(got) != c.want || !found.Any() {
			t.Errorf("%s: JSON(%s) = %s (%s), want %s", c.name, c.in, got, found, c.want)
		}
	}
}

func TestJSONWithNothingHiddenIsTheSameBytes(t *testing.T) {
	for _, text := range []string{
		`{}`, `[]`, `""`, ` { "a" : [ 1 , -2.5e+3 , "x\n\t\"\\" ] } `, `{"é":"ß","c":"\u00e9\r\n"}`, `{"a":"👨` + "\u200d" + `👩` + "\u200d" + `👧","b":"نمی` + "\u200c" + `دانم"}`,
	} {
		in := []byte(text)
		got, found := plaintext.JSON(in, 1<<10)
		if string(got) != text || found.Any() || &got[0] != &in[0] {
			t.Errorf("JSON(%s) = %s (%s)", text, got, found)
		}
	}
}

func TestDescriptionsAreCutAndOtherTextsAreNot(t *testing.T) {
	long := strings.Repeat("word ", 100)
	text, _ := json.Marshal(map[string]any{"description": long, "icon": long, "inner": []any{map[string]string{"title": long}}})
	got, found := plaintext.JSON(text, 100)
	var read struct {
		Description, Icon string
		Inner             []struct{ Title string }
	}
	if err := json.Unmarshal(got, &read); err != nil {
		t.Fatalf("JSON gave %s: %v", got, err)
	}
	if len(read.Description) > 100 || len(read.Inner[0].Title) > 100 || read.Icon != long || found.String() != "2 texts that were too long" {
		t.Errorf("JSON gave %s (%s)", got, found)
	}
}

func FuzzClean(f *testing.F) {
	for _, seed := range []string{"\x1b]8;;x\x1b\\", "\u200d\U0001f468\u200d\U0001f469", "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "a\r\r\n\u0085\xff", "1\ufe0f\u20e3", "\u180b\u1820\u180b\u180b", "\u009d\u009c\u009b1m"} {
		f.Add(seed, 40)
	}
	f.Fuzz(func(t *testing.T, text string, most int) {
		got, found := plaintext.Clean(text)
		switch again, more := plaintext.Clean(got); {
		case !utf8.ValidString(got):
			t.Errorf("Clean(%+q) = %+q, which is not UTF-8", text, got)
		case len(got) > len(text):
			t.Errorf("Clean(%+q) = %+q, which is longer", text, got)
		case again != got || more.Any():
			t.Errorf("Clean(%+q) = %+q, and again %+q (%s)", text, got, again, more)
		case found.Any() != (got != text), found.Any() != plaintext.Hides(text), found.Any() != (found.String() != ""):
			t.Errorf("Clean(%+q) = %+q, but found %q, Hides %t", text, got, found, plaintext.Hides(text))
		}
		short, _ := plaintext.Cut(got, most)
		if most >= 32 && len(short) > most || plaintext.Hides(short) {
			t.Errorf("Cut(%+q, %d) = %+q", got, most, short)
		}
		if shown := plaintext.Escape(text); plaintext.Hides(shown) {
			t.Errorf("Escape(%+q) = %+q, which hides something", text, shown)
		}
	})
}

func FuzzJSON(f *testing.F) {
	for _, seed := range []string{`{"a":"\u200b"}`, `[{"\u200b":1,"b":[]}]`, `{"description":"\ud83d x","a\u200b":{"b":"\u001b[1m"}}`, ` [ "" , {} ] `} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := jsonrpc.ParseObject(text, jsonrpc.Limits{}); err != nil {
			_, _ = plaintext.JSON(text, 64) // it may be nonsense then, but must come back
			return
		}
		got, found := plaintext.JSON(text, 64)
		if _, err := jsonrpc.ParseObject(got, jsonrpc.Limits{}); err != nil {
			t.Errorf("JSON(%q) = %q: %v", text, got, err)
		}
		if len(got) > len(text) || !found.Any() && string(got) != string(text) {
			t.Errorf("JSON(%q) = %q (%s)", text, got, found)
		}
		if again, more := plaintext.JSON(got, 64); string(again) != string(got) || more.Any() {
			t.Errorf("JSON(%q) = %q, and again %q (%s)", text, got, again, more)
		}
	})
}
