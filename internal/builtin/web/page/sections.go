package page

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Section is a part of a Markdown text: a heading and what stands below it.
type Section struct {
	// Level is that of the heading, from 1; 0 for what stands before the first.
	Level int
	Title string
	// Start and End are where it stands in the text, with its heading and without the sections below it.
	Start, End int
	// Below is where the sections below it end.
	Below int
}

// Sections cuts a Markdown text at its headings.
func Sections(text string) []Section {
	sections := []Section{{}}
	at, fence := 0, ""
	for line := range strings.Lines(text) {
		if fence == "" && ordinary(line[0]) {
			at += len(line)
			continue
		}
		trimmed := strings.TrimSpace(line)
		switch {
		case fence != "":
			if strings.HasPrefix(trimmed, fence) && strings.Trim(trimmed, fence[:1]) == "" {
				fence = ""
			}
		case strings.HasPrefix(trimmed, "```"), strings.HasPrefix(trimmed, "~~~"):
			fence = trimmed[:len(trimmed)-len(strings.TrimLeft(trimmed, trimmed[:1]))]
		default:
			if level, title := heading(line); level > 0 {
				sections[len(sections)-1].End = at
				sections = append(sections, Section{Level: level, Title: title, Start: at})
			}
		}
		at += len(line)
	}
	sections[len(sections)-1].End = at
	if sections[0].End == 0 && len(sections) > 1 {
		sections = sections[1:]
	}
	var open []int // sections that what follows may belong to
	for i := range sections {
		for len(open) > 0 && sections[open[len(open)-1]].Level >= sections[i].Level {
			sections[open[len(open)-1]].Below = sections[i].Start
			open = open[:len(open)-1]
		}
		open = append(open, i)
	}
	for _, i := range open {
		sections[i].Below = at
	}
	return sections
}

// ordinary says whether a line that begins like this is surely neither a heading nor the beginning of code.
func ordinary(first byte) bool {
	return first > ' ' && first < utf8.RuneSelf && first != '#' && first != '`' && first != '~'
}

func heading(line string) (level int, title string) {
	rest := strings.TrimLeft(line, "#")
	level = len(line) - len(rest)
	if level == 0 || level > 6 || rest == "" || rest[0] != ' ' {
		return 0, ""
	}
	return level, strings.TrimSpace(rest)
}

// FindSection returns the section of a title, or of what a link to it would have after #: case and signs do not
// count, and if none has the whole title, the first that contains it is meant.
func FindSection(sections []Section, title string) (Section, bool) {
	want := Slug(title)
	if want == "" {
		return Section{}, false
	}
	for _, s := range sections {
		if Slug(s.Title) == want {
			return s, true
		}
	}
	for _, s := range sections {
		if strings.Contains(Slug(s.Title), want) {
			return s, true
		}
	}
	return Section{}, false
}

// Slug writes a title as anchors are: small letters and digits, and a - for what is between.
func Slug(title string) string {
	words := strings.FieldsFunc(strings.ToLower(title), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
	})
	return strings.Join(words, "-")
}
