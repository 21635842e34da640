package strict_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

func TestJSONAsClientsWriteIt(t *testing.T) {
	good := map[string]string{
		"comments of both kinds":   "// a\n{/* b */\"text\": /* c\n */ \"x\" // d\n}",
		"trailing commas":          `{"list": ["a", "b",], "text": "x",}`,
		"tabs":                     "{\n\t\"text\":\t\"x\"\n}",
		"escapes":                  `{"text": "x", "list": ["\ud83d\ude00", "a\/b", "\u0041"]}`,
		"a comment after a number": `{"text": "x", "number": 5/* five */}`,
	}
	for name, text := range good {
		t.Run(name, func(t *testing.T) {
			node, err := strict.Parse("f.jsonc", []byte(text))
			if err != nil {
				t.Fatalf("%s\n%v", text, err)
			}
			var s sample
			if err := strict.Decode(node, &s, strict.Options{}).Faults.Err(); err != nil || s.Text != "x" {
				t.Errorf("%s\ngot %+v, %v", text, s, err)
			}
		})
	}
}

func TestPlacesInJSONCountCharacters(t *testing.T) {
	node, err := strict.Parse("f.json", []byte("{\n \"größe\": 1,\n\n  \"b\": [true,\n false]}"))
	if err != nil {
		t.Fatal(err)
	}
	var got [][2]int
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		got = append(got, [2]int{n.Line, n.Column})
		for _, c := range n.Content {
			walk(c)
		}
	}
	walk(node)
	if want := [][2]int{{1, 1}, {2, 2}, {2, 11}, {4, 3}, {4, 8}, {4, 9}, {5, 2}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestALongLineOfJSONTakesLinearTime(t *testing.T) {
	took := func(elements int) time.Duration {
		text := `{"raw": {"a": [` + strings.Repeat(`1,`, elements) + `2]}}`
		start := time.Now()
		if _, err := strict.Parse("f.json", []byte(text)); err != nil {
			t.Fatal(err)
		}
		return time.Since(start)
	}
	// The best of each counts: a machine that does something else makes single ones slow, and time that grows as the
	// square does makes all of them 1,024 times as long.
	short, long := time.Hour, time.Hour
	for tries := 0; tries < 50 && (tries == 0 || long > 200*max(short, time.Millisecond)); tries++ {
		short, long = min(short, took(10_000)), min(long, took(320_000))
	}
	if long > 200*max(short, time.Millisecond) {
		t.Errorf("a line of 10,000 elements takes %s, one of 320,000 %s", short, long)
	}
}

// FuzzJSON compares with encoding/json: what it accepts we accept with the same value, and what we accept beyond it has
// a comment or a comma too many.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.5e3,-0,"x\u00e9\ud83d\ude00",true,null]}`, `{"a":1,}`, "// c\n{}", `[`, `{"a" 1}`, `"\x"`, `{"a":01}`,
		"\"a\nb\"", `{"":{"":[]}}`, `/**/1/**/`, `1 2`, `{"a":"\ud800"}`, "\x00", `nul`, `{"a":1 "b":2}`, "[1\v]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.TrimSpace(text) == "" || strings.HasPrefix(text, "\xef\xbb\xbf") {
			return
		}
		node, err := strict.Parse("f.json", []byte(text))
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		var want any
		valid := json.Valid([]byte(text)) && dec.Decode(&want) == nil
		switch {
		case valid && err != nil && !strings.Contains(err.Error(), "deep") && !strings.Contains(err.Error(), "UTF-8"):
			t.Fatalf("%q is JSON, but: %v", text, err)
		case !valid && err == nil && !strings.ContainsAny(text, ",/"):
			t.Fatalf("%q is not JSON, but was read", text)
		case valid && err == nil:
			if got := value(node); !reflect.DeepEqual(got, want) {
				t.Fatalf("%q gives %#v, want %#v", text, got, want)
			}
		}
	})
}

func value(n *yaml.Node) any {
	switch {
	case n.Kind == yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			m[n.Content[i].Value] = value(n.Content[i+1])
		}
		return m
	case n.Kind == yaml.SequenceNode:
		l := []any{}
		for _, c := range n.Content {
			l = append(l, value(c))
		}
		return l
	case n.Tag == "!!str":
		return n.Value
	case n.Tag == "!!null":
		return nil
	case n.Tag == "!!bool":
		return n.Value == "true"
	}
	return json.Number(n.Value)
}
