package strict_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type sample struct {
	Text   string            `yaml:"text" default:"none" aka:"words"`
	Number int               `yaml:"number" min:"1" max:"9" default:"5"`
	Wait   time.Duration     `yaml:"wait" default:"2s"`
	Share  float64           `yaml:"share" unit:"%"`
	On     bool              `yaml:"on"`
	List   []string          `yaml:"list"`
	Table  map[string]string `yaml:"table"`
	Inner  inner             `yaml:"inner"`
	Items  []inner           `yaml:"items"`
	Raw    json.RawMessage   `yaml:"raw"`
	File   string            `yaml:"file" path:"true"`
}

type inner struct {
	A string `yaml:"a" short:"true"`
	B int    `yaml:"b" default:"3"`
}

func decode(t *testing.T, text string, opts strict.Options) (sample, strict.Result) {
	t.Helper()
	opts.File = "f.yaml"
	node, err := strict.Parse("f.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	var s sample
	return s, strict.Decode(node, &s, opts)
}

func TestReferences(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "two-lines"), []byte("one\ntwo\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := func(name string) (string, bool) {
		value, ok := map[string]string{"A": "alpha", "EMPTY": "", "DOLLAR": "${A}", "HOME": "/home/ada"}[name]
		return value, ok
	}
	tests := []struct{ name, text, want, fault string }{
		{"a variable", "${A}", "alpha", ""},
		{"inside other text, twice", "x${A}y${A}z", "xalphayalphaz", ""},
		{"with env:", "${env:A}", "alpha", ""},
		{"a default that is not needed", "${A:-beta}", "alpha", ""},
		{"a default for what is not set", "${NONE:-beta}", "beta", ""},
		{"a default for what is empty", "${EMPTY:-beta}", "beta", ""},
		{"an empty default", "<${NONE:-}>", "<>", ""},
		{"a default with colons and dollars", "${NONE:-http://a:1/$x}", "http://a:1/$x", ""},
		{"what is set and empty", "<${EMPTY}>", "<>", ""},
		{"a value is not read again", "${DOLLAR}", "${A}", ""},
		{"two dollars are one", "$$A $${A} $$$$", "$A ${A} $$", ""},
		{"a dollar before anything else is itself", "$A $5 a$ $(x)", "$A $5 a$ $(x)", ""},
		{"two dollars, then a reference", "$$${A}", "$alpha", ""},
		{"a file without its last line end only", "${file:two-lines}", "one\ntwo\n", ""},
		{"a name with a dash", "${A-B}", "", "is not a reference"},
		{"a space in a name", "${ A }", "", "is not a reference"},
		{"what is not set", "${NONE}", "", "the environment variable NONE is not set"},
		{"what has no end", "a ${A", "", "no closing brace"},
		{"a file that is not there", "${file:none}", "", "there is no such file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			quoted, err := json.Marshal(map[string]string{"text": tt.text})
			if err != nil {
				t.Fatal(err)
			}
			node, err := strict.Parse("f.json", quoted)
			if err != nil {
				t.Fatal(err)
			}
			var s sample
			result := strict.Decode(node, &s, strict.Options{File: "f.json", Dir: dir, Env: env})
			got := result.Faults.Error()
			if tt.fault == "" && (got != "" || s.Text != tt.want) || tt.fault != "" && !strings.Contains(got, tt.fault) {
				t.Errorf("%q gives %q and fault %q, want %q and %q", tt.text, s.Text, got, tt.want, tt.fault)
			}
			var verbatim sample
			if strict.Decode(node, &verbatim, strict.Options{Verbatim: true}); verbatim.Text != tt.text {
				t.Errorf("verbatim %q gives %q", tt.text, verbatim.Text)
			}
		})
	}
}

func TestYAMLHasManyWaysToSayOneThing(t *testing.T) {
	tests := []struct {
		name, text string
		want       sample
	}{
		{"anchors and aliases", "table: &t {a: b}\ninner: {a: &x word}\nlist: [*x, *x]\nraw: {t: *t}", sample{
			Table: map[string]string{"a": "b"}, Inner: inner{"word", 3}, List: []string{"word", "word"}, Raw: json.RawMessage(`{"t":{"a":"b"}}`)}},
		{"a merge, with own keys winning", "x-base: &b {a: base, b: 7}\ninner: {<<: *b, a: own}", sample{Inner: inner{"own", 7}}},
		{"a list of merges, of which the first wins", "x-1: &1 {a: one}\nx-2: &2 {a: two, b: 8}\ninner: {<<: [*1, *2]}", sample{Inner: inner{"one", 8}}},
		{"a short form in a list", "items: [word, {a: other, b: 1}]", sample{Items: []inner{{"word", 3}, {"other", 1}}, Inner: inner{"", 3}}},
		{"text over lines", "text: |\n  two\n  lines\n", sample{Text: "two\nlines\n", Inner: inner{"", 3}}},
		{"a date is text", "text: 2026-07-28", sample{Text: "2026-07-28", Inner: inner{"", 3}}},
		{"a number in a list of text is text as written", "list: [1, 0x1F, 1e3, true, ~x]", sample{List: []string{"1", "0x1F", "1e3", "true", "~x"}, Inner: inner{"", 3}}},
		{"True is true", "on: True", sample{On: true, Inner: inner{"", 3}}},
		{"numbers in JSON keep their digits", "raw: {a: 1.10, b: -0, c: 1E5, d: 0o17, e: +1, f: 1_000, g: .5}", sample{Inner: inner{"", 3},
			Raw: json.RawMessage(`{"a":1.10,"b":-0,"c":1E5,"d":15,"e":1,"f":1000,"g":0.5}`)}},
		{"empty sections are nothing", "inner:\ntable: ~\nlist:\nitems:\nraw:\n", sample{Inner: inner{"", 3}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			node, err := strict.Parse("f.yaml", []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			var got sample
			if err := strict.Decode(node, &got, strict.Options{File: "f.yaml"}).Faults.Err(); err != nil {
				t.Fatal(err)
			}
			want := tt.want
			want.Number, want.Wait = 5, 2*time.Second
			want.Inner.B = max(want.Inner.B, 3)
			if want.Text == "" {
				want.Text = "none"
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tt.text, diff)
			}
		})
	}
}

func TestADocumentOfAliasesHasAnEnd(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("x-0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&bomb, "x-%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	bomb.WriteString("raw: {bomb: *a11}\n")
	start := time.Now()
	_, result := decode(t, bomb.String(), strict.Options{})
	if got := result.Faults.Error(); !strings.Contains(got, "once its aliases are followed") || len(result.Faults) != 1 {
		t.Errorf("got %d faults: %.300s", len(result.Faults), got)
	}
	if took := time.Since(start); took > 2*time.Minute { // what follows them all takes days
		t.Errorf("took %v", took)
	}
}

func TestATooLargeDocumentIsRefused(t *testing.T) {
	_, err := strict.Parse("f.yaml", []byte("text: "+strings.Repeat("x", 33<<20)))
	if err == nil || !strings.Contains(err.Error(), "the most that is read is") {
		t.Errorf("got %v", err)
	}
}

func TestSuggestions(t *testing.T) {
	known := []string{"command", "cwd", "env", "env_file", "url", "urls", "connect_timeout"}
	for word, want := range map[string]string{
		"comand": "command", "Command": "command", "commnad": "command", "envFile": "env_file", "env-file": "env_file", "uri": "url",
		"connectTimeout": "connect_timeout", "conect_timeot": "connect_timeout", "frobnicate": "", "x": "", "": "", "ur": "url",
		strings.Repeat("c", 100): "",
	} {
		if got := strict.Suggest(word, known); got != want {
			t.Errorf("Suggest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestFaultsComeInTheOrderOfTheDocumentAndOnce(t *testing.T) {
	at := func(line int) strict.Place { return strict.Place{File: "f", Line: line, Column: 1} }
	faults := strict.Faults{{Place: at(9), Problem: "c"}, {Place: at(2), Problem: "a"}, {Place: at(9), Problem: "c"}, {Place: at(3), Problem: "b"}}
	if got, want := faults.Err().Error(), "f:2:1: a\nf:3:1: b\nf:9:1: c"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := (strict.Faults{}).Err(); err != nil {
		t.Errorf("no faults give %v", err)
	}
}

func TestAPipeIsNotRead(t *testing.T) {
	if _, err := strict.ReadFile(os.DevNull, 10); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a device gives %v", err)
	}
	large := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(large, make([]byte, 11), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := strict.ReadFile(large, 10); err == nil || !strings.Contains(err.Error(), "has 11 bytes") {
		t.Errorf("a large file gives %v", err)
	}
}
