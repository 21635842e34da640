package supervisor_test

import (
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
)

func TestStatLines(t *testing.T) {
	rest := " 7 8 9 0 -1 4194560 1 2 3 4 11 22 33 44 20 0 %T 0 100 5000 6 18446744073709551615 1 1"
	line := func(name, state string, threads string) string {
		text := "42 (" + name + ") " + state
		for i := range rest {
			if rest[i] == '%' {
				return text + rest[:i] + threads + rest[i+2:]
			}
		}
		return text
	}
	for _, c := range []struct {
		name, stat string
		alive      bool
	}{
		{"a plain name", line("sleep", "S", "1"), true},
		{"a name that looks like fields", line("a) R 1 1 1", "S", "1"), true},
		{"a name with a line end", line("a\nb", "R", "1"), true},
		{"a zombie", line("sleep", "Z", "1"), false},
		{"a leader that ended before its threads", line("sleep", "Z", "3"), true},
		{"a dead process", line("sleep", "X", "1"), false},
		{"nothing, for a process that is gone", "", false},
		{"a line that is cut", "42 (sleep) S 7 8", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			parent, group, rss, cpu, alive := supervisor.ParseStat([]byte(c.stat))
			if alive != c.alive {
				t.Fatalf("alive: got %t, want %t for %q", alive, c.alive, c.stat)
			}
			if alive && (parent != 7 || group != 8 || rss != 6*4096 || cpu != 1100*time.Millisecond) {
				t.Errorf("got parent %d, group %d, %d bytes, %s; want 7, 8, 24576, 1.1s for %q", parent, group, rss, cpu, c.stat)
			}
		})
	}
}
