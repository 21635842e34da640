package flow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Bounds of what a user is shown of a call, in bytes: people answer what they can read. Of longer arguments the
// beginning and the end are shown, and before them how much is not.
const (
	maxShown  = 4000
	shownHead = 3000
	shownTail = 800
	maxName   = 200
	maxNamed  = 4 // sources that are named one by one
)

// visible is text of others for a person: what has no shape, or changes the shape of the rest, is written as what it
// is. That is controls, directions of writing, characters without width, other spaces and selectors of variants.
func visible(text string) string {
	if strings.IndexFunc(text, hidden) < 0 && utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case !hidden(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func hidden(r rune) bool {
	return !unicode.IsPrint(r) || r == utf8.RuneError || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) || r == '\u2800'
}

// named is the name of something for a person, on one line and bounded.
func named(text string) string { return cutMiddle(visible(text), maxName, maxName-60, 40) }

// cutMiddle returns text of at most about limit bytes, with how much was left out where it was.
func cutMiddle(text string, limit, head, tail int) string {
	if len(text) <= limit {
		return text
	}
	for head > 0 && !utf8.RuneStart(text[head]) {
		head--
	}
	end := len(text) - tail
	for end < len(text) && !utf8.RuneStart(text[end]) {
		end++
	}
	return text[:head] + fmt.Sprintf(" […%d bytes…] ", end-head) + text[end:]
}

// arguments are those of a call for a person: one line for each, as JSON that has nothing hidden. More is how many
// bytes are not shown.
func shownArguments(raw []byte) (text string, more int) {
	o, ok := jsonrpc.Split(raw)
	if !ok || len(o.Members()) == 0 {
		return "", 0
	}
	var b strings.Builder
	for _, m := range o.Members() {
		b.WriteString("\n  " + named(m.Name) + ": " + visible(oneLine(m.Value)))
	}
	text = b.String()
	if len(text) <= maxShown {
		return text, 0
	}
	return cutMiddle(text, maxShown, shownHead, shownTail), len(text) - shownHead - shownTail
}

// oneLine is a JSON value with its characters as themselves, so that escapes hide nothing.
func oneLine(raw []byte) string {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var v any
	if decoder.Decode(&v) != nil {
		return string(raw)
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(v) != nil {
		return string(raw)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Text names what was read, for people: "web (fetch), mail".
func Text(read []Source) string {
	var out []string
	for i, s := range read {
		if i == maxNamed {
			out = append(out, fmt.Sprintf("%d more", len(read)-i))
			break
		}
		text := named(s.Server)
		if s.Name != "" {
			text += " (" + named(s.Name) + ")"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// kinds are what is done, by its method, for people.
func done(method string) string {
	switch method {
	case "tools/call":
		return "call the tool"
	case "prompts/get":
		return "get the prompt"
	case "resources/read":
		return "read"
	}
	return "use (" + named(method) + ")"
}
