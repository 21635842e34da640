package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/dragoman-mcp/dragoman/internal/config/strict"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// maxArguments bounds arguments that are read from a file or from standard
// input; the gateway takes no longer messages by default either.
const maxArguments = 64 << 20

// arguments are those of a call as they stand on the command line.
type arguments struct {
	whole jsonrpc.Object // all at once, from JSON; absent when none were given so
	named []given
	stdin bool // whole was read from standard input
}

// given is one NAME=VALUE or NAME:=JSON.
type given struct {
	name, text string
	json       bool
}

// readArguments reads the words after the tool's name. object is what
// --args-json says, empty for nothing.
func readArguments(words []string, object string, in io.Reader) (arguments, error) {
	var a arguments
	if object != "" {
		if err := a.take([]byte(object), "--args-json"); err != nil {
			return a, err
		}
	}
	for _, word := range words {
		if err := a.word(word, in); err != nil {
			return a, err
		}
	}
	return a, nil
}

func (a *arguments) word(word string, in io.Reader) error {
	if word == "-" || strings.HasPrefix(word, "@") {
		return a.file(word, in)
	}
	name, text, ok := strings.Cut(word, "=")
	if !ok || name == "" || name == ":" {
		return fmt.Errorf("%q is no argument: write NAME=VALUE, NAME:=JSON, @FILE for all as JSON, or - to read that from standard input", word)
	}
	g := given{name: name, text: text}
	if short, isJSON := strings.CutSuffix(name, ":"); isJSON {
		g.name, g.json = short, true
	}
	if g.json && !json.Valid([]byte(text)) {
		return fmt.Errorf("%s: %q is not JSON; for plain text write %s=%s", g.name, text, g.name, text)
	}
	if !utf8.ValidString(word) {
		return fmt.Errorf("%s: the value is not UTF-8 text", g.name)
	}
	if slices.ContainsFunc(a.named, func(other given) bool { return other.name == g.name }) {
		return fmt.Errorf(`%s is given twice; a list is written %s:='["a","b"]'`, g.name, g.name)
	}
	a.named = append(a.named, g)
	return nil
}

// file reads all arguments from @FILE or, for "-", from standard input.
func (a *arguments) file(word string, in io.Reader) error {
	name := strings.TrimPrefix(word, "@")
	if word == "-" {
		name, a.stdin = "standard input", true
	} else {
		f, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("read arguments: %w", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxArguments+1))
	if err != nil {
		return fmt.Errorf("read arguments from %s: %w", name, err)
	}
	if len(text) > maxArguments {
		return fmt.Errorf("the arguments in %s are longer than %d MiB", name, maxArguments>>20)
	}
	return a.take(text, name)
}

func (a *arguments) take(text []byte, from string) error {
	if !a.whole.IsZero() {
		return errors.New("all arguments are given twice: keep one of @FILE, - and --args-json")
	}
	o, err := jsonrpc.ParseObject(text, jsonrpc.Limits{})
	if err != nil {
		return fmt.Errorf("the arguments in %s are not one JSON object: %w", from, err)
	}
	a.whole = o
	return nil
}

// fit makes the arguments that the tool takes. Plain values become what its
// schema says; all that does not fit is reported at once. Remarks are for what
// may be wrong.
func (a arguments) fit(input schema) (text []byte, remarks []string, err error) {
	properties := input.properties()
	names := make([]string, len(properties))
	for i, p := range properties {
		names[i] = p.name
	}
	var faults []string
	edits := make([]jsonrpc.Edit, 0, len(a.named))
	for _, g := range a.named {
		at := slices.Index(names, g.name)
		if at < 0 {
			problem := unknownName(g.name, names)
			if input.closed() {
				faults = append(faults, problem)
				continue
			}
			remarks = append(remarks, problem)
		}
		value, err := g.value(properties, at)
		if err != nil {
			faults = append(faults, fmt.Sprintf("%s: %v", g.name, err))
			continue
		}
		edits = append(edits, jsonrpc.Edit{Name: g.name, Value: value})
	}
	text = a.whole.Append(nil, edits...)
	faults = append(faults, a.missing(properties)...)
	if len(faults) > 0 {
		return nil, nil, errors.New(strings.Join(append(faults, remarks...), "\n"))
	}
	return text, remarks, nil
}

func (g given) value(properties []property, at int) ([]byte, error) {
	switch {
	case g.json:
		return []byte(strings.TrimSpace(g.text)), nil
	case at < 0:
		return jsonrpc.AppendString(nil, g.text), nil
	}
	return properties[at].value(g.text)
}

func unknownName(name string, names []string) string {
	problem := fmt.Sprintf("%s: the tool has no such argument", name)
	if guess := strict.Suggest(name, names); guess != "" {
		return problem + fmt.Sprintf("; did you mean %s?", guess)
	}
	if len(names) == 0 {
		return problem + ", nor any other"
	}
	return problem + "; there are: " + strings.Join(names, ", ")
}

// missing names what is required and was not given, and what it is for.
func (a arguments) missing(properties []property) []string {
	var out []string
	for _, p := range properties {
		has := a.whole.Get(p.name) != nil || slices.ContainsFunc(a.named, func(g given) bool { return g.name == p.name })
		if !p.required || has {
			continue
		}
		about := fmt.Sprintf("%s: is missing (%s)", p.name, p.typeName())
		if description := oneLine(p.text("description")); description != "" {
			about += ": " + cut(description, 100)
		}
		out = append(out, about)
	}
	return out
}
