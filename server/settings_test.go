package server_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/server"
)

func matches(pattern, text string) bool { return regexp.MustCompile(pattern).MatchString(text) }

type settings struct {
	URL     string            `yaml:"url" required:"true"`
	Key     server.Secret     `yaml:"key"`
	Max     server.Size       `yaml:"max" default:"1MiB"`
	Wait    time.Duration     `yaml:"wait" default:"5s" max:"1m"`
	Mode    string            `yaml:"mode" default:"ro" enum:"ro|rw"`
	Sources map[string]source `yaml:"sources"`
	Limits  server.Limits     `yaml:"limits"`
	Reach   server.Reach      `yaml:"reach"`
}

type source struct {
	DSN string `yaml:"dsn" required:"true"`
}

func (s *settings) Validate() error {
	if s.Mode == "rw" && s.Key == "" {
		return server.Errorf("set settings.key", "mode rw needs a key")
	}
	return nil
}

func TestSettingsAreReadStrictly(t *testing.T) {
	env := func(name string) (string, bool) { return "from-" + name, name == "KEY" }
	for _, c := range []struct {
		name, text string
		want       []string // of the error; none means that it is good
	}{
		{"all faults at once, with their paths", `{"urll":"x","wait":"2h","mode":"rx","max":"much","sources":{"a":{"dns":1}}}`,
			[]string{"settings.urll: unknown key", "settings.url: is missing", `settings.wait: "2h" is too large`, "settings.mode:", "settings.max:", "settings.sources.a.dns: unknown key", `did you mean "dsn"`}},
		{"wrong types", `{"url":1}`, []string{"settings.url: must be text"}},
		{"no object", `[]`, []string{"settings"}},
		{"nothing at all", ``, []string{"settings.url: is missing"}},
		{"what only the server knows", `{"url":"x","mode":"rw"}`, []string{"mode rw needs a key; set settings.key"}},
		{"a reference that leads nowhere", `{"url":"x","key":"${NONE}"}`, []string{"settings.key: ", "NONE"}},
		{"what is good", `{"url":"x","key":"${KEY}","mode":"rw","limits":{"max_rows":5}}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got settings
			e := &server.Env{Settings: []byte(c.text), LookupEnv: env}
			err := e.Decode(&got)
			if (err != nil) != (c.want != nil) {
				t.Fatalf("%s: got %v", c.text, err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: got %v, want %q", c.text, err, want)
				}
			}
			if c.want != nil {
				return
			}
			if got.Key.Reveal() != "from-KEY" || fmt.Sprint(got.Key) != "[redacted]" {
				t.Errorf("the key is %q and shows as %v", got.Key.Reveal(), got.Key)
			}
			got.Key = ""
			want := settings{URL: "x", Max: 1 << 20, Wait: 5 * time.Second, Mode: "rw",
				Limits: server.Limits{Bytes: 256 << 10, Rows: 5, Tokens: 25000, Time: 30 * time.Second}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// The gateway has resolved references; what came out of them is not looked into again.
func TestSettingsThatWereResolvedAreTakenAsTheyAre(t *testing.T) {
	var got settings
	e := &server.Env{Settings: []byte(`{"url":"$$5","key":"a${b}$c"}`)}
	if err := e.Decode(&got); err != nil || got.URL != "$$5" || got.Key.Reveal() != "a${b}$c" {
		t.Errorf("got %q and %q, %v", got.URL, got.Key.Reveal(), err)
	}
}

func TestSettingsOfAFileNameTheirPlace(t *testing.T) {
	e := &server.Env{Settings: []byte("url: x\nlimits:\n  rows: 3\n"), SettingsFile: "my.yaml"}
	if err := e.Decode(&settings{}); err == nil || !strings.HasPrefix(err.Error(), "my.yaml:3:3: limits.rows: unknown key") {
		t.Errorf("got %v", err)
	}
}

func TestDataDirectory(t *testing.T) {
	dir := t.TempDir()
	got, err := (&server.Env{Name: "notes", DataDir: dir}).Data()
	info, statErr := os.Stat(filepath.Join(dir, "notes"))
	if err != nil || statErr != nil || got != filepath.Join(dir, "notes") || info.Mode().Perm() != 0o700 {
		t.Errorf("got %q, %v, %v", got, err, statErr)
	}
	for _, name := range []string{"", "..", "../x", "a/b", "."} {
		if got, err := (&server.Env{Name: name, DataDir: dir}).Data(); err == nil {
			t.Errorf("name %q: got %q", name, got)
		}
	}
	if _, err := (&server.Env{Name: "notes"}).Data(); err == nil {
		t.Error("there is a directory where none was configured")
	}
}

func TestBudgetIsKept(t *testing.T) {
	b := server.Limits{Rows: 3, Bytes: 10}.Budget()
	for i, want := range []bool{true, true, false} {
		if got := b.Row([]byte("1234")); got != want {
			t.Errorf("row %d of 4 bytes within 10: %v", i, got)
		}
	}
	if !b.Row([]byte("x")) || b.Row(nil) || b.Rows() != 3 {
		t.Errorf("%d rows fit, want 3", b.Rows())
	}
	b = server.Limits{Bytes: 5}.Budget()
	if part, whole := b.Text("abcé"); part != "abcé" || !whole {
		t.Errorf("got %q, %v", part, whole)
	}
	b = server.Limits{Bytes: 4}.Budget()
	if part, whole := b.Text("abcé"); part != "abc" || whole {
		t.Errorf("a character was cut: %q, %v", part, whole)
	}
	if part, whole := b.Text("xyz"); part != "x" || whole {
		t.Errorf("got %q, %v, want what is left", part, whole)
	}
	b = server.Limits{Tokens: 3}.Budget()
	if part, whole := b.Text("one two three four"); part != "one two three" && part != "one two three " || whole {
		t.Errorf("got %q, %v", part, whole)
	}
	if part, whole := b.Text("more"); part != "" || whole {
		t.Errorf("got %q, %v after everything was spent", part, whole)
	}
	b = server.Limits{Rows: 5}.Budget()
	b.Lower(server.Limits{Rows: 100})
	for range 6 {
		b.Row(nil)
	}
	if b.Rows() != 5 {
		t.Errorf("a wish raised the bound to %d", b.Rows())
	}
	got := server.Limits{Rows: 7, Bytes: 1 << 30}.Within(server.Limits{Rows: 100, Bytes: 1 << 20, Time: time.Second})
	if want := (server.Limits{Rows: 7, Bytes: 1 << 20, Time: time.Second}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// The figures are those of two tokenizers, o200k_base and cl100k_base, whichever is more (2026-11-21).
func TestTokensAreNotUnderestimated(t *testing.T) {
	for text, real := range map[string]int{
		"": 0,
		"The quick brown fox jumps over the lazy dog.":                                 10,
		`{"type":"object","properties":{"tz":{"type":"string","description":"zone"}}}`: 18,
		"func (s *Server) Close() error { return errors.Join(errs...) }":               17,
		"2026-07-28T09:30:00Z": 13,
	} {
		if got := server.Tokens(text); got < real || got > 2*real+1 {
			t.Errorf("%q: got %d, tokenizers say %d", text, got, real)
		}
		if a, b := server.Tokens(text), server.Tokens([]byte(text)); a != b {
			t.Errorf("%q: %d as text, %d as bytes", text, a, b)
		}
	}
}
