package index

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// maxProgram bounds a regular expression, in bytes. Matching takes time linear in the text (RE2).
const maxProgram = 1000

// A matcher finds a text in lines.
type matcher struct {
	needle   string // to be found as it is, or in lower case when folded
	folded   bool
	re       *regexp.Regexp // instead of needle
	trigrams []uint32       // what every file that matches has
	lower    []byte         // the line in lower case, used again
}

func newMatcher(q Query) (*matcher, error) {
	if !q.Regexp && (q.Exact || ascii(q.Text)) {
		m := &matcher{needle: q.Text, folded: !q.Exact, trigrams: wanted([]string{q.Text}, false)}
		if m.folded {
			m.needle = strings.ToLower(q.Text)
		}
		return m, nil
	}
	text, flags := q.Text, syntax.Perl
	if !q.Regexp {
		text = regexp.QuoteMeta(text)
	}
	if !q.Exact {
		text = "(?i:" + text + ")"
	}
	if len(text) > maxProgram {
		return nil, &syntax.Error{Code: syntax.ErrLarge, Expr: text[:40]}
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	tree, err := syntax.Parse(text, flags)
	if err != nil {
		return nil, err
	}
	return &matcher{re: re, trigrams: required(tree.Simplify())}, nil
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// find gives where the first match in a line is, or -1.
func (m *matcher) find(line string) (start, end int) {
	if m.re != nil {
		if at := m.re.FindStringIndex(line); at != nil {
			return at[0], at[1]
		}
		return -1, -1
	}
	if m.folded {
		m.lower = append(m.lower[:0], line...)
		for i, c := range m.lower {
			m.lower[i] = fold(c)
		}
		start = strings.Index(string(m.lower), m.needle)
	} else {
		start = strings.Index(line, m.needle)
	}
	return start, start + len(m.needle)
}

// required gives trigrams of the texts that whatever matches re must have, as far as they are easily told.
func required(re *syntax.Regexp) []uint32 {
	switch re.Op {
	case syntax.OpLiteral:
		return wanted([]string{string(re.Rune)}, re.Flags&syntax.FoldCase != 0)
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return required(re.Sub[0])
		}
	case syntax.OpConcat:
		var all []uint32
		for _, sub := range re.Sub {
			all = append(all, required(sub)...)
		}
		return all
	}
	return nil
}

// Check says what is wrong with the text of a query.
func (q Query) Check() error {
	if q.Text == "" {
		return nil
	}
	_, err := newMatcher(q)
	return err
}
