// Package strict reads YAML and JSON into Go structs and refuses whatever it does not understand. It reports all faults
// of a document at once, each with its place, what is wrong and what to do. It resolves references to the environment
// and to files on the way, and remembers where each value came from.
//
// It does not know what any key means: the structs and their tags say what is allowed (see Field).
package strict

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Place is where a value was written. A Line of 0 means that File is not a file with lines, but for example
// "environment DRAGOMAN_LISTEN".
type Place struct {
	File         string
	Line, Column int
}

// String gives file:line:column, the form that editors and terminals make links of.
func (p Place) String() string {
	s := p.File
	if p.Line > 0 {
		s += ":" + strconv.Itoa(p.Line)
	}
	if p.Line > 0 && p.Column > 0 {
		s += ":" + strconv.Itoa(p.Column)
	}
	return s
}

// Fault is one thing that is wrong.
type Fault struct {
	Place Place
	// Path leads to the value: servers.files.command[0]. Empty for the document as a whole.
	Path string
	// Problem says what is wrong, Remedy what to do about it. A remedy may be empty.
	Problem, Remedy string
	// Unresolved marks a reference to something that is not there. A caller may let it pass in a part that is not used.
	Unresolved bool
}

// String gives place: path: problem; remedy.
func (f Fault) String() string {
	s := f.Place.String()
	if f.Path != "" {
		s += ": " + f.Path
	}
	s += ": " + f.Problem
	if f.Remedy != "" {
		s += "; " + f.Remedy
	}
	return strings.TrimPrefix(s, ": ")
}

// Faults is all that is wrong with one document. It is an error when it is not empty; Err says so.
type Faults []Fault

// Error gives one line per fault, in the order of the document.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].String()
	}
	return strings.Join(lines, "\n")
}

// Err is nil when there are no faults, and otherwise the faults in the order of the document, each once.
func (f Faults) Err() error {
	if len(f) == 0 {
		return nil
	}
	sorted := slices.Clone(f)
	slices.SortStableFunc(sorted, func(a, b Fault) int {
		return cmp.Or(
			cmp.Compare(a.Place.File, b.Place.File),
			cmp.Compare(a.Place.Line, b.Place.Line),
			cmp.Compare(a.Place.Column, b.Place.Column))
	})
	return slices.Compact(sorted)
}
