package text

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/text/encoding/charmap"
)

// Change replaces one text by another.
type Change struct {
	Old string
	New string
	All bool // every place rather than the only one
}

// Span is a part of a file that a change has replaced.
type Span struct {
	Line     int // of the file before this change, from 1
	Old, New string
}

// ErrNotThere says that what is to be replaced is nowhere.
var ErrNotThere = errors.New("the old text is not in the file")

// ErrAmbiguous says that what is to be replaced once is there several times.
var ErrAmbiguous = errors.New("the old text is there")

// Edit makes changes one after the other. No byte outside of what is replaced changes. A line end in Old matches \n and
// \r\n alike; those in New become what the replaced text has, or else what most lines of the file have.
func Edit(data []byte, form Form, changes []Change) ([]byte, []Span, error) {
	var spans []Span
	for i, c := range changes {
		after, made, err := form.edit(data, c)
		if err != nil {
			return nil, nil, fmt.Errorf("edit %d: %w", i+1, err)
		}
		data, spans = after, append(spans, made...)
	}
	return data, spans, nil
}

func (f Form) edit(data []byte, c Change) ([]byte, []Span, error) {
	if c.Old == "" {
		return nil, nil, errors.New("the old text is empty")
	}
	p, err := f.pattern(c.Old)
	if err != nil {
		return nil, nil, err
	}
	found := p.all(data)
	switch {
	case len(found) == 0:
		return nil, nil, ErrNotThere
	case len(found) > 1 && !c.All:
		return nil, nil, fmt.Errorf("%w %d times, first in lines %d and %d", ErrAmbiguous,
			len(found), p.line(data, found[0][0]), p.line(data, found[1][0]))
	}
	var out []byte
	var spans []Span
	line, at := 1, 0
	for _, m := range found {
		line += bytes.Count(data[at:m[0]], p.lf)
		fresh, err := f.Encode(ends(c.New, p.crlfIn(data, m)))
		if err != nil {
			return nil, nil, err
		}
		old, _ := f.Decode(data[m[0]:m[1]], true)
		spans = append(spans, Span{line, old, ends(c.New, false)})
		out = append(append(out, data[at:m[0]]...), fresh...)
		line += bytes.Count(data[m[0]:m[1]], p.lf)
		at = m[1]
	}
	return append(out, data[at:]...), spans, nil
}

// ends writes line ends as \r\n or as \n.
func ends(text string, crlf bool) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if crlf {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return text
}

// A pattern is a text in lines, in the bytes of its form.
type pattern struct {
	form     Form
	lines    [][]byte
	lf, crlf []byte
}

func (f Form) pattern(text string) (pattern, error) {
	p := pattern{form: f}
	var err error
	for line := range strings.SplitSeq(ends(text, false), "\n") {
		b, e := f.Encode(line)
		p.lines, err = append(p.lines, b), errors.Join(err, e)
	}
	lf, e1 := f.Encode("\n")
	crlf, e2 := f.Encode("\r\n")
	p.lf, p.crlf = lf, crlf
	return p, errors.Join(err, e1, e2)
}

// all finds where the pattern is, without overlaps.
func (p pattern) all(data []byte) (found [][2]int) {
	known := p.form.BOM // where a character begins
	for at := known; at <= len(data); {
		start, end := p.next(data, at)
		if start < 0 {
			return found
		}
		if !p.form.starts(data, known, start) {
			at = start + 1
			continue
		}
		found = append(found, [2]int{start, end})
		at, known = end, end
	}
	return found
}

// next finds the first place at or after at.
func (p pattern) next(data []byte, at int) (start, end int) {
	anchor := p.lines[0]
	if len(anchor) == 0 {
		anchor = p.lf
	}
	for at <= len(data) {
		i := bytes.Index(data[at:], anchor)
		if i < 0 {
			return -1, 0
		}
		start = at + i
		if len(p.lines[0]) == 0 && start-at >= len(p.crlf)-len(p.lf) && bytes.HasSuffix(data[:start+len(p.lf)], p.crlf) {
			start -= len(p.crlf) - len(p.lf)
		}
		if end = p.here(data, start); end >= 0 && start >= p.form.BOM {
			return start, end
		}
		at += i + 1
	}
	return -1, 0
}

// here gives the end of the pattern if it begins at start, and -1 if it does not.
func (p pattern) here(data []byte, start int) int {
	at := start
	for i, line := range p.lines {
		if i > 0 {
			switch rest := data[at:]; {
			case bytes.HasPrefix(rest, p.crlf):
				at += len(p.crlf)
			case bytes.HasPrefix(rest, p.lf):
				at += len(p.lf)
			default:
				return -1
			}
		}
		if !bytes.HasPrefix(data[at:], line) {
			return -1
		}
		at += len(line)
	}
	return at
}

// starts says whether a character begins at an offset: in UTF-16 half a character may look like another, and so may, in
// encodings such as Shift JIS, the second byte of one.
// One begins at known.
func (f Form) starts(data []byte, known, at int) bool {
	if u := f.Unit(); u > 1 {
		return (at-known)%u == 0
	}
	if _, single := f.enc.(*charmap.Charmap); single || f.enc == nil {
		return true
	}
	_, used := f.Decode(data[known:at], false)
	return used == at-known
}

// crlfIn says whether new lines in the place of a match end in \r\n: when its first line does, and if it has but one
// line, when that line does, and without any when most of the file do.
func (p pattern) crlfIn(data []byte, m [2]int) bool {
	if i := bytes.Index(data[m[0]:], p.lf); i >= 0 {
		return bytes.HasSuffix(data[:m[0]+i+len(p.lf)], p.crlf)
	}
	return 2*bytes.Count(data, p.crlf) > bytes.Count(data, p.lf)
}

func (p pattern) line(data []byte, at int) int { return 1 + bytes.Count(data[:at], p.lf) }
