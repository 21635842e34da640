package audit_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/audit"
	"github.com/dragoman-mcp/dragoman/internal/secret/scan"
)

// FuzzDamage gives a log that anybody may have written to verification and to a
// start: neither panics, and a start never makes a log that has faults whole.
func FuzzDamage(f *testing.F) {
	c := settings(f.TempDir())
	l := open(f, audit.Options{Config: c})
	for range 3 {
		if err := l.Event(context.Background(), audit.Event{Name: "x"}); err != nil {
			f.Fatal(err)
		}
	}
	closeLog(f, l)
	const segment, seals = "audit-00000000000000000001.jsonl", "checkpoints.jsonl"
	text, err := os.ReadFile(filepath.Join(c.Dir, segment))
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := os.ReadFile(filepath.Join(c.Checkpoints, seals))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text, sealed)
	f.Add(text[:len(text)/2], sealed)
	f.Add([]byte(`{"seq":18446744073709551615,"batch":1,"kind":"intent"}`), []byte(`{"n":1}`))
	f.Add([]byte("\n\n"), []byte("\n"))
	f.Fuzz(func(t *testing.T, text, sealed []byte) {
		d := copyOf(t, c)
		for path, text := range map[string][]byte{filepath.Join(d.Dir, segment): text, filepath.Join(d.Checkpoints, seals): sealed} {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		before := verify(t, d)
		l, err := audit.Open(audit.Options{Config: d, Redactor: scan.New(nil)})
		if err != nil {
			return
		}
		closeLog(t, l)
		if after := verify(t, d); len(after.Faults) > 0 {
			t.Errorf("a start went on with a log that has faults: %v (before: %v)", after.Faults, before.Faults)
		}
	})
}
