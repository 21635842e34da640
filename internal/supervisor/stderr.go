package supervisor

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"
)

// maxStderrLine bounds a line in bytes; what is longer is cut and the rest of the line dropped. A child that never writes
// a newline costs this much memory.
const maxStderrLine = 8 << 10

// stderrBurst is how many lines a child may write to the gateway's log per second; more are counted and dropped there.
// The log file gets all of them, since it is bounded by its size.
const stderrBurst = 100

// tail keeps the last lines of a child's standard error.
type tail struct {
	mu    sync.Mutex // guards lines
	lines []string   // oldest first, at most keep
	keep  int
}

func (t *tail) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == t.keep {
		t.lines = append(t.lines[:0], t.lines[1:]...)
	}
	t.lines = append(t.lines, line)
}

// last returns a copy, oldest first.
func (t *tail) last() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.lines...)
}

// readLines calls add for each line of r until r ends. Empty lines are skipped, a carriage return ends a line too
// (progress bars), control characters are dropped: the lines end up in terminals.
func readLines(r io.Reader, add func(string)) {
	buf := make([]byte, 4<<10)
	line := make([]byte, 0, 256)
	cut := false
	flush := func() {
		if text := printable(line); text != "" {
			if cut {
				text += " …(cut)"
			}
			add(text)
		}
		line, cut = line[:0], false
	}
	for {
		n, err := r.Read(buf)
		rest := buf[:n]
		for len(rest) > 0 {
			end := bytes.IndexAny(rest, "\r\n")
			part := rest
			if end >= 0 {
				part = rest[:end]
			}
			room := maxStderrLine - len(line)
			cut = cut || len(part) > room
			line = append(line, part[:min(len(part), room)]...)
			if end < 0 {
				break
			}
			flush()
			rest = rest[end+1:]
		}
		if err != nil {
			flush()
			return
		}
	}
}

// printable is line as UTF-8 text without control characters.
func printable(line []byte) string {
	text := strings.Map(func(r rune) rune {
		if r != '\t' && unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(line), "\uFFFD"))
	return strings.TrimSpace(text)
}

// throttle lets through stderrBurst lines per second. It is used by one goroutine.
type throttle struct {
	since   time.Time
	count   int
	dropped int
}

// pass reports whether this line may pass, and how many were dropped in the second that just ended.
func (t *throttle) pass(now time.Time) (ok bool, dropped int) {
	if now.Sub(t.since) >= time.Second {
		dropped = t.dropped
		*t = throttle{since: now}
	}
	t.count++
	if t.count > stderrBurst {
		t.dropped++
		return false, dropped
	}
	return true, dropped
}
