package builtin_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/builtin"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// samples are the settings that servers need to be made at all. DIR is a directory of the test's own.
func samples() map[string]string {
	return map[string]string{
		"httpapi": `{"document": "httpapi/testdata/small.yaml", "surface": "search"}`,
	}
}

const (
	begin = "<!-- made by: go test ./internal/builtin -args write -->\n"
	end   = "<!-- end -->\n"
)

// TestEveryServerKeepsToItsTokens checks the definitions of each server of the table and that the table of the
// documentation has their figures; with the argument write it writes them.
func TestEveryServerKeepsToItsTokens(t *testing.T) {
	var table strings.Builder
	table.WriteString(begin + "| server | tokens of its definitions |\n|---|---:|\n")
	for _, name := range builtin.Names() {
		t.Run(name, func(t *testing.T) {
			settings := strings.ReplaceAll(samples()[name], "DIR", filepath.ToSlash(t.TempDir()))
			tokens := servertest.Check(t, func(env *server.Env) (*server.Server, error) { return builtin.Open(name, env) },
				&server.Env{Settings: []byte(settings)})
			fmt.Fprintf(&table, "| [%s](%s.md) | %d |\n", name, name, tokens)
			if _, err := os.Stat(filepath.Join("../../docs/builtin", name+".md")); err != nil {
				t.Errorf("the server has no page: %v", err)
			}
		})
	}
	table.WriteString(end)
	const file = "../../docs/builtin/README.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, opened := strings.Cut(string(text), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !opened || !closed {
		t.Fatalf("%s has no table between %q and %q", file, begin, end)
	}
	fresh := head + table.String() + tail
	switch {
	case string(text) == fresh:
	case flag.Arg(0) == "write":
		if err := os.WriteFile(file, []byte(fresh), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the figures in %s are stale: go test ./internal/builtin -args write", file)
	}
}

func TestAServerThatIsNotThere(t *testing.T) {
	if _, err := builtin.Open("tme", &server.Env{}); err == nil || !strings.Contains(err.Error(), "there are: ") || !strings.Contains(err.Error(), "time") {
		t.Errorf("got %v, want those that there are", err)
	}
}
