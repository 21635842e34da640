// Package plaintext takes out of a text what nobody sees who reads it: control
// characters and the sequences that steer terminals, characters that turn the
// direction of text, tags, characters without width, and selectors in which
// bytes can be carried. A model reads all of that, and a terminal obeys some of
// it, while a person who approves the text does not know that it is there.
//
// What scripts and emoji need stays: line ends and tabs, one joiner after a
// letter of a script that joins, the joiners and selectors of emoji, the flags
// of England, Scotland and Wales. A text with nothing hidden in it comes back
// as it is, byte for byte.
//
// It does not know whose text it is, who reads it, nor whether what is plain to
// see in it is true or harmless.
package plaintext

import (
	"strings"
	"unicode/utf8"
)

// Clean returns s without what nobody sees in it, and what that was. The result
// is valid UTF-8, is never longer than s, and cleaning it again changes nothing.
func Clean(s string) (string, Found) {
	var found Found
	at := suspect(s)
	if at == len(s) {
		return s, found
	}
	r := reader{text: s, at: at, before: last(s[:at])}
	var b strings.Builder
	kept := 0 // what is before it has been written
	for r.at < len(s) {
		from := r.at
		sort := r.next()
		if sort == plain {
			continue
		}
		found.count[sort]++
		b.WriteString(s[kept:from])
		kept = r.at
		if sort == lineEnd {
			b.WriteByte('\n')
		}
	}
	if !found.Any() {
		return s, found
	}
	b.WriteString(s[kept:])
	return b.String(), found
}

// Escape returns s with what Clean would take out written in ASCII, as in Go:
// for people, who shall see that it is there.
func Escape(s string) string {
	at := suspect(s)
	if at == len(s) {
		return s
	}
	r := reader{text: s, at: at, before: last(s[:at])}
	var b strings.Builder
	b.WriteString(s[:at])
	for r.at < len(s) {
		from := r.at
		if r.next() == plain {
			b.WriteString(s[from:r.at])
			continue
		}
		escape(&b, s[from:r.at])
		r.before = '\\' // what follows stands behind ASCII now
	}
	return b.String()
}

// Hides says whether Clean would change s.
func Hides(s string) bool {
	r := reader{text: s, at: suspect(s)}
	r.before = last(s[:r.at])
	for r.at < len(s) {
		if r.next() != plain {
			return true
		}
	}
	return false
}

// suspect returns where the first byte is that is not plain to see by itself;
// len(s) when all are.
func suspect(s string) int {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\n' && c != '\t' || c >= 0x7f {
			return i
		}
	}
	return len(s)
}

func last(s string) rune {
	if s == "" {
		return 0
	}
	r, _ := utf8.DecodeLastRuneInString(s)
	return r
}

// reader walks a text.
type reader struct {
	text   string
	at     int
	before rune // the last one that stays; 0 at the start
}

// next goes over what comes next, which is one character, or a sequence of
// them that belong together, and says of what sort it is.
func (r *reader) next() Sort {
	rest := r.text[r.at:]
	c, size := utf8.DecodeRuneInString(rest)
	sort, n := r.judge(c, size)
	r.at += n
	switch sort {
	case plain:
		r.before = c
		if n > size {
			r.before, _ = utf8.DecodeLastRuneInString(rest[:n])
		}
	case lineEnd:
		r.before = '\n'
	}
	return sort
}

// judge returns the sort of what begins with c, and how many bytes that has.
func (r *reader) judge(c rune, size int) (Sort, int) {
	rest := r.text[r.at:]
	switch {
	case c == utf8.RuneError && size == 1:
		return broken, 1
	case c < 0x20 || c >= 0x7f && c < 0xa0:
		return control(rest, c, size)
	case c < 0xad:
		return plain, size
	case c == waving && tagged(rest[size:]) > 0:
		return plain, size + tagged(rest[size:])
	case isJoiner(c):
		return r.joiner(c, rest[size:]), size
	case isSelector(c):
		return r.selector(c, rest[size:]), size
	}
	return sortOf(c), size
}

// control judges the characters that have no form.
func control(rest string, c rune, size int) (Sort, int) {
	switch c {
	case '\n', '\t':
		return plain, size
	case '\r':
		if strings.HasPrefix(rest, "\r\n") {
			return plain, size
		}
		return lineEnd, size
	case '\v', '\f', 0x85:
		return lineEnd, size
	}
	if n := sequence(rest, c, size); n > 0 {
		return steering, n
	}
	return controls, size
}
