package upstream_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
)

func TestWhatAProgramSpeaksIsFoundOut(t *testing.T) {
	protocol := func(p string) func(*config.Server) { return func(s *config.Server) { s.Protocol = p } }
	for name, c := range map[string]struct {
		traits   []string
		protocol string
		want     mcp.Revision // empty when it cannot be opened
		says     string       // in the error then
		shakes   bool         // it is remembered that it wants a handshake
		starts   int
	}{
		"one of both eras is spoken to in the newer":                    {traits: []string{"dual"}, protocol: "auto", want: "2026-07-28", starts: 1},
		"one that refuses a handshake is stateless":                     {traits: []string{"modern"}, protocol: "auto", want: "2026-07-28", starts: 1},
		"one that does not know the question is older":                  {traits: []string{"legacy"}, protocol: "auto", want: "2025-11-25", shakes: true, starts: 1},
		"one that stays silent is older":                                {traits: []string{"silent"}, protocol: "auto", want: "2025-11-25", shakes: true, starts: 1},
		"one that ends at the question is started anew without it":      {traits: []string{"exits"}, protocol: "auto", want: "2025-11-25", shakes: true, starts: 2},
		"one that only starts slowly is not taken as older":             {traits: []string{"modern", "late=3s"}, protocol: "auto", want: "2026-07-28", starts: 2},
		"a server may agree on an older revision":                       {traits: []string{"legacy", "revision=2024-11-05"}, protocol: "auto", want: "2024-11-05", shakes: true, starts: 1},
		"a demand for sessions asks no question":                        {traits: []string{"exits"}, protocol: "legacy", want: "2025-11-25", shakes: true, starts: 1},
		"a demand for sessions goes before what a server also speaks":   {traits: []string{"dual"}, protocol: "legacy", want: "2025-11-25", shakes: true, starts: 1},
		"a revision that is demanded is asked for":                      {traits: []string{"dual"}, protocol: "2025-03-26", want: "2025-03-26", shakes: true, starts: 1},
		"a revision that is demanded and not spoken is an error":        {traits: []string{"legacy", "revision=2024-11-05"}, protocol: "2025-06-18", says: "it does not speak 2025-06-18"},
		"the stateless era that is demanded is waited for":              {traits: []string{"modern", "late=3s"}, protocol: "2026-07-28", want: "2026-07-28", starts: 1},
		"the stateless era that is demanded and not spoken is an error": {traits: []string{"legacy"}, protocol: "modern", says: "it does not speak 2026-07-28"},
		"one that ends at once is no answer to any question":            {traits: []string{"broken"}, protocol: "auto", says: "its program ended"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newHouse(t).open(then(program(c.traits...), protocol(c.protocol)))
			u.SetProbeWait(patience)
			if slices.Contains(c.traits, "silent") || slices.Contains(c.traits, "late=3s") {
				u.SetProbeWait(time.Second)
			}
			if c.want == "" {
				e := fails(t, u, tool("echo", `{"text":"x"}`))
				if e.Code != mcp.CodeUnavailable || !strings.Contains(e.Message, c.says) || !names(e, "peer") {
					t.Errorf("got %v with data %s, want code %d, %q and the server's name", e, e.Data, mcp.CodeUnavailable, c.says)
				}
				return
			}
			if got := must(t, u, tool("echo", `{"text":"hello"}`)); got != "hello" {
				t.Errorf("echo = %q", got)
			}
			st := u.Status()
			if mcp.Revision(st.Revision) != c.want || st.Transport != "stdio" || u.Shakes() != c.shakes || st.Replicas[0].Starts != c.starts {
				t.Errorf("speaks %s over %s, handshake remembered %v, %d starts; want %s, stdio, %v, %d",
					st.Revision, st.Transport, u.Shakes(), st.Replicas[0].Starts, c.want, c.shakes, c.starts)
			}
		})
	}
}

func TestWhatAProgramSpeaksIsFoundOutAgainWhenItIsAnother(t *testing.T) {
	// Each start of the program is another server.
	script := func(t *testing.T, traits ...string) func(*config.Server) {
		dir := t.TempDir()
		for i, trait := range traits {
			if err := os.WriteFile(filepath.Join(dir, string(rune('a'+i))), []byte(trait), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return func(s *config.Server) {
			program()(s)
			s.Command = []string{"/bin/sh", "-c", `f=$(ls "$0" | head -n 1); t=$(cat "$0/$f"); rm "$0/$f"; exec "$1" role:server "$t"`, dir, s.Command[0]}
		}
	}
	t.Run("a stateless program after one with sessions", func(t *testing.T) {
		u := newHouse(t).open(script(t, "exits", "exits", "modern", "modern"))
		must(t, u, tool("echo", `{"text":"x"}`))
		if got := u.Status().Revision; got != "2025-11-25" {
			t.Fatalf("speaks %s at first", got)
		}
		fails(t, u, tool("die", `{}`))
		must(t, u, tool("echo", `{"text":"x"}`))
		if got := u.Status().Revision; got != "2026-07-28" || u.Shakes() {
			t.Errorf("speaks %s with the new program, want 2026-07-28", got)
		}
	})
	t.Run("a program with sessions after a stateless one", func(t *testing.T) {
		u := newHouse(t).open(script(t, "modern", "legacy"))
		must(t, u, with(mcp.Roots, tool("echo", `{"text":"x"}`)))
		fails(t, u, tool("die", `{}`))
		must(t, u, with(mcp.Roots, tool("echo", `{"text":"x"}`)))
		if got := u.Status().Revision; got != "2025-11-25" {
			t.Errorf("speaks %s with the new program, want 2025-11-25", got)
		}
		if got := u.Kinds(); len(got) != 1 || got[0] != mcp.Roots {
			t.Errorf("its session is for %v, want what its caller can be asked for", got)
		}
	})
}
