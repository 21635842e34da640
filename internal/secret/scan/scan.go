// Package scan finds what looks like a secret in text, in JSON and in log
// records, and puts [redacted] in its place, so that no secret gets to a disk
// by way of a log or of the audit log.
//
// Three things make a secret of a text: that its format is one that only
// secrets have (see formats.go), that the name beside it says so (see
// names.go), or that it is one that the program itself holds (see
// [Scanner.Learn]). A name that says so half, such as "key", counts when the
// text looks random. What is none of these is not found: a password in the
// middle of a sentence, for one.
//
// The package does not know who writes where, and it reads nothing but what it
// is given.
package scan

import (
	"strings"
	"sync/atomic"
)

// Redacted stands where a secret stood.
const Redacted = "[redacted]"

// Scanner finds secrets. It may be used concurrently. The zero Scanner works
// and has no names of its own.
type Scanner struct {
	names map[string]bool // further names of secrets, as [fold] writes them
	known atomic.Pointer[known]
	read  [maxRemembered]atomic.Pointer[remembered]
}

// New returns a Scanner to which values of these names are secrets too.
// Case and separators in them do not matter.
func New(names []string) *Scanner {
	s := &Scanner{names: make(map[string]bool, len(names))}
	for _, name := range names {
		s.names[string(joined(fold(make([]byte, 0, maxName), name)))] = true
	}
	return s
}

// Text returns text without what looks like a secret: text itself when there is
// nothing.
func (s *Scanner) Text(text string) string {
	var buf [4]span
	found := s.find(text, buf[:0])
	if len(found) == 0 {
		return text
	}
	var b strings.Builder
	b.Grow(len(text))
	at := 0
	for _, f := range found {
		b.WriteString(text[at:f.from])
		b.WriteString(Redacted)
		at = f.to
	}
	b.WriteString(text[at:])
	return b.String()
}

// span is a secret in a text.
type span struct{ from, to int }

// find appends the secrets in text, in order and apart from each other.
func (s *Scanner) find(text string, found []span) []span {
	if len(text) < minSecret {
		return found
	}
	f := finder{s: s, text: text, found: found}
	f.run()
	if k := s.known.Load(); k != nil {
		f.found = k.find(text, f.found)
	}
	return f.found
}

// minSecret is the least number of bytes in which a secret and its context fit.
const minSecret = 6
