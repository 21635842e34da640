package plaintext

import (
	"encoding/json"
	"unicode/utf8"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// JSON returns text, which has been checked, with all that Clean would take out
// of the strings in it taken out, however it is escaped. A member whose name
// hides something goes as a whole: under another name it would be another
// member. With most above 0, the values of members that are called title,
// description and instructions are cut to so many bytes.
//
// What is not changed is not written anew: without anything found the result is
// text itself, and otherwise every other byte stays as it was.
func JSON(text []byte, most int) ([]byte, Found) {
	if most > 0 && len(text) <= most {
		most = 0 // nothing in it can be too long
	}
	if most <= 0 && !maybe(text) {
		return text, Found{}
	}
	w := walker{text: text, most: most, out: make([]byte, 0, len(text))}
	w.value("")
	if !w.found.Any() {
		return text, Found{}
	}
	w.out = append(w.out, text[w.at:]...)
	return w.out, w.found
}

// maybe says whether there can be anything in text to take out: it has
// characters beyond ASCII, or escapes other than the usual ones.
func maybe(text []byte) bool {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c >= 0x7f:
			return true
		case c != '\\':
			continue
		}
		if i++; i < len(text) && text[i] != 'n' && text[i] != '"' && text[i] != '\\' && text[i] != '/' && text[i] != 't' {
			return true
		}
	}
	return false
}

// walker copies JSON, string by string. It goes as deep as the text, whose depth
// was bounded when it was read.
type walker struct {
	text  []byte
	at    int
	out   []byte
	most  int
	found Found
}

// value copies the value that begins here, of the member of that name.
func (w *walker) value(member string) {
	w.space()
	if w.at >= len(w.text) {
		return
	}
	switch w.text[w.at] {
	case '"':
		w.out = append(w.out, w.plain(w.literal(), w.bound(member))...)
	case '{':
		w.object()
	case '[':
		w.array()
	default:
		from := w.at
		for w.at < len(w.text) && w.text[w.at] > ' ' && w.text[w.at] != ',' && w.text[w.at] != '}' && w.text[w.at] != ']' {
			w.at++
		}
		w.out = append(w.out, w.text[from:w.at]...)
	}
}

// bound is how long the value of a member may be; 0 for any length.
func (w *walker) bound(member string) int {
	switch member {
	case "title", "description", "instructions":
		return w.most
	}
	return 0
}

func (w *walker) array() {
	w.byte()
	for w.space(); w.at < len(w.text) && w.text[w.at] != ']'; w.space() {
		if w.text[w.at] == ',' {
			w.byte()
		}
		from := w.at
		w.value("")
		if w.at == from {
			return // no JSON
		}
	}
	w.byte()
}

// object copies members. One that goes takes the comma before it along, or the
// one behind it when it is the first.
func (w *walker) object() {
	w.byte()
	some := false
	for w.space(); w.at < len(w.text) && w.text[w.at] != '}'; w.space() {
		begin := len(w.out)
		if w.text[w.at] == ',' {
			w.at++
			if some {
				w.out = append(w.out, ',')
			}
			w.space()
		}
		if w.at >= len(w.text) || w.text[w.at] != '"' {
			return // no JSON
		}
		literal := w.literal()
		name, ok := jsonrpc.Unquote(literal)
		goes := !ok || Hides(name)
		found := w.found
		w.out = append(w.out, literal...)
		w.space()
		w.byte() // the colon
		w.value(name)
		if goes {
			w.out, w.found = w.out[:begin], found
			w.found.Names++
			continue
		}
		some = true
	}
	w.byte()
}

// byte copies one.
func (w *walker) byte() {
	if w.at < len(w.text) {
		w.out = append(w.out, w.text[w.at])
		w.at++
	}
}

func (w *walker) space() {
	for w.at < len(w.text) && w.text[w.at] <= ' ' {
		w.byte()
	}
}

// literal returns the string that begins here, with its quotes, and goes past it.
func (w *walker) literal() []byte {
	from := w.at
	for w.at++; w.at < len(w.text) && w.text[w.at] != '"'; w.at++ {
		if w.text[w.at] == '\\' {
			w.at++
		}
	}
	w.at = min(w.at+1, len(w.text))
	return w.text[from:w.at]
}

// plain returns a string as it shall be read.
func (w *walker) plain(literal []byte, most int) []byte {
	if (most == 0 || len(literal) <= most) && !maybe(literal) {
		return literal
	}
	text, ok := jsonrpc.Unquote(literal)
	var found Found
	if !ok { // half of a pair of surrogates: it becomes U+FFFD, which can be seen
		found.count[broken]++
		if json.Unmarshal(literal, &text) != nil {
			return literal
		}
	}
	text, more := Clean(text)
	found = found.Add(more)
	text, more = Cut(text, most)
	if found = found.Add(more); !found.Any() {
		return literal
	}
	w.found = w.found.Add(found)
	return jsonrpc.AppendString(nil, text)
}

// cutMark ends a text that was cut.
const cutMark = " … (cut here: too long)"

// Cut returns s, which was cleaned, in at most so many bytes, its end saying
// that it was cut; s itself with most 0. A bound with no room for that is not held.
func Cut(s string, most int) (string, Found) {
	if most <= 0 || len(s) <= most || most < len(cutMark) {
		return s, Found{}
	}
	keep := most - len(cutMark)
	for keep > 0 && !utf8.RuneStart(s[keep]) {
		keep--
	}
	begin, _ := Clean(s[:keep]) // what a character at the end was kept for may be gone
	return begin + cutMark, Found{Cut: 1}
}
