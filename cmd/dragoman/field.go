package main

import (
	"context"
	"fmt"
	"net/mail"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// field asks for one value of a form until it fits (2025-11-25,
// client/elicitation, "Requested Schema": text, numbers, truth values, and one or
// several of a list). Nil means that it was left out.
func (a *asker) field(ctx context.Context, f property) ([]byte, error) {
	prompt := a.prompt(f)
	for {
		text, err := a.read(ctx, prompt)
		if err != nil {
			return nil, err
		}
		if text == "" {
			if preset := f.at.Get("default"); preset != nil {
				return preset, nil
			}
			if !f.required {
				return nil, nil
			}
			a.screen.say("    an answer is needed")
			continue
		}
		value, err := f.answer(text)
		if err == nil {
			return value, nil
		}
		a.screen.say("    %v", err)
	}
}

// prompt is like: "  Age (integer, Enter for 30): ".
func (a *asker) prompt(f property) string {
	options := f.options()
	for i, o := range options {
		fmt.Fprintf(a.screen.err, "    %d) %s\n", i+1, oneLine(o.label))
	}
	about := f.typeName()
	switch {
	case len(options) > 0 && f.several():
		about = "numbers with commas"
	case len(options) > 0:
		about = "number"
	case f.text("format") != "":
		about = f.text("format")
	}
	if preset := f.at.Get("default"); preset != nil {
		about += ", Enter for " + plain(preset)
	} else if !f.required {
		about += ", Enter to leave out"
	}
	return fmt.Sprintf("  %s (%s): ", oneLine(f.label()), oneLine(about))
}

// option is one of the values to choose from.
type option struct {
	value []byte
	label string
}

func (f property) several() bool { return f.text("type") == "array" }

// options are what a field lets choose from: enum with or without enumNames,
// oneOf with titles, and for several values the same below items.
func (f property) options() []option {
	at := f.schema
	if f.several() {
		at = f.part(f.at.Get("items"))
	}
	var out []option
	names := make([]string, 0, 8)
	for element := range jsonrpc.Elements(at.at.Get("enumNames")) {
		names = append(names, plain(element))
	}
	for i, value := range at.ownChoices() {
		label := plain(value)
		if i < len(names) {
			label = names[i]
		}
		out = append(out, option{value, label})
	}
	for _, word := range []string{"oneOf", "anyOf"} {
		for element := range jsonrpc.Elements(at.at.Get(word)) {
			o, _ := jsonrpc.Split(element)
			value := o.Get("const")
			if value == nil {
				continue
			}
			label := plain(value)
			if title, ok := o.String("title"); ok {
				label = title
			}
			out = append(out, option{value, label})
		}
	}
	return out
}

// answer makes a value of what was typed, or says why it does not fit.
func (f property) answer(text string) ([]byte, error) {
	options := f.options()
	switch {
	case f.several() && len(options) > 0:
		return f.pickSeveral(text, options)
	case len(options) > 0:
		return pick(text, options)
	case f.text("type") == "boolean":
		return yesOrNo(text)
	}
	value, err := f.value(text)
	if err != nil {
		return nil, err
	}
	return value, f.bounds(text)
}

func pick(text string, options []option) ([]byte, error) {
	if n, err := strconv.Atoi(text); err == nil && n >= 1 && n <= len(options) {
		return options[n-1].value, nil
	}
	for _, o := range options {
		if strings.EqualFold(text, o.label) || text == plain(o.value) {
			return o.value, nil
		}
	}
	return nil, fmt.Errorf("type a number from 1 to %d", len(options))
}

func (f property) pickSeveral(text string, options []option) ([]byte, error) {
	list, n := []byte{'['}, 0
	for part := range strings.SplitSeq(text, ",") {
		value, err := pick(strings.TrimSpace(part), options)
		if err != nil {
			return nil, err
		}
		if n++; n > 1 {
			list = append(list, ',')
		}
		list = append(list, value...)
	}
	if least, ok := f.number("minItems"); ok && float64(n) < least {
		return nil, fmt.Errorf("choose at least %v", least)
	}
	if most, ok := f.number("maxItems"); ok && float64(n) > most {
		return nil, fmt.Errorf("choose at most %v", most)
	}
	return append(list, ']'), nil
}

func yesOrNo(text string) ([]byte, error) {
	switch strings.ToLower(text) {
	case "y", "yes", "true":
		return []byte("true"), nil
	case "n", "no", "false":
		return []byte("false"), nil
	}
	return nil, fmt.Errorf("type yes or no")
}

func (s schema) number(name string) (float64, bool) {
	n, err := strconv.ParseFloat(string(s.at.Get(name)), 64)
	return n, err == nil
}

// bounds checks what a server would otherwise send back.
func (f property) bounds(text string) error {
	if f.text("type") == "string" {
		return f.textBounds(text)
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil
	}
	if least, ok := f.number("minimum"); ok && n < least {
		return fmt.Errorf("it must be at least %v", least)
	}
	if most, ok := f.number("maximum"); ok && n > most {
		return fmt.Errorf("it must be at most %v", most)
	}
	return nil
}

func (f property) textBounds(text string) error {
	n := float64(utf8.RuneCountInString(text))
	if least, ok := f.number("minLength"); ok && n < least {
		return fmt.Errorf("it must have at least %v characters", least)
	}
	if most, ok := f.number("maxLength"); ok && n > most {
		return fmt.Errorf("it must have at most %v characters", most)
	}
	switch f.text("format") {
	case "email":
		if at, err := mail.ParseAddress(text); err != nil || at.Address != text {
			return fmt.Errorf("it must be an e-mail address")
		}
	case "uri":
		if u, err := url.Parse(text); err != nil || u.Scheme == "" {
			return fmt.Errorf("it must be an address like https://example.org")
		}
	case "date":
		if _, err := time.Parse(time.DateOnly, text); err != nil {
			return fmt.Errorf("it must be a date like 2026-07-28")
		}
	case "date-time":
		if _, err := time.Parse(time.RFC3339, text); err != nil {
			return fmt.Errorf("it must be a time like 2026-07-28T09:30:00Z")
		}
	}
	return nil
}
