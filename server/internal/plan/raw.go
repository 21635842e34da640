package plan

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"reflect"
	"unicode/utf8"
)

// AppendRaw appends JSON text that somebody else has written, without white
// space between its parts, and refuses what is no JSON: one faulty value must not
// make another answer of the rest. A byte that is not UTF-8 becomes U+FFFD.
func AppendRaw(dst, raw []byte) ([]byte, error) {
	if !utf8.Valid(raw) {
		raw = bytes.ToValidUTF8(raw, []byte("\ufffd"))
	}
	r := rawReader{in: raw, out: dst}
	r.space()
	if r.value(0); r.fault == "" {
		r.space()
		if r.at < len(raw) {
			r.fail("more follows the value")
		}
	}
	if r.fault != "" {
		return dst, fmt.Errorf("encode a raw message: %w", errors.New(r.fault))
	}
	return r.out, nil
}

// Checked is JSON text that has been checked: it is written as it is.
type Checked struct{ text []byte }

// Check checks JSON text, and leaves out the white space between its parts.
func Check(raw []byte) (Checked, error) {
	text, err := AppendRaw(make([]byte, 0, len(raw)), raw)
	if err != nil {
		return Checked{}, err
	}
	return Checked{text}, nil
}

// Text is the JSON text, which must not be changed; nil of the zero value.
func (c Checked) Text() json.RawMessage { return c.text }

// MarshalJSON implements json.Marshaler.
func (c Checked) MarshalJSON() ([]byte, error) {
	if c.text == nil {
		return []byte("null"), nil
	}
	return c.text, nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (c *Checked) UnmarshalJSON(text []byte) (err error) {
	*c, err = Check(text)
	return err
}

func encodeChecked(t *Text, v reflect.Value) error {
	text := v.Field(0).Bytes()
	if text == nil {
		text = []byte("null")
	}
	t.Bytes = append(t.Bytes, text...)
	return nil
}

// rawReader reads JSON (RFC 8259) and writes it without white space. What lies
// between from and at has been read and not been written.
type rawReader struct {
	in, out  []byte
	at, from int
	fault    string
}

// maxRawDepth is how deep JSON text may be nested; encoding/json takes as much.
const maxRawDepth = 10000

func (r *rawReader) fail(why string) {
	if r.fault == "" {
		r.fault = fmt.Sprintf("at byte %d: %s", r.at, why)
	}
}

// next is the byte at the place, 0 at the end.
func (r *rawReader) next() byte {
	if r.at < len(r.in) {
		return r.in[r.at]
	}
	return 0
}

// space passes over white space, and leaves it out.
func (r *rawReader) space() {
	if r.at < len(r.in) && r.in[r.at] > ' ' {
		return
	}
	r.blank()
}

func (r *rawReader) blank() {
	begin := r.at
	for c := r.next(); c == ' ' || c == '\n' || c == '\t' || c == '\r'; c = r.next() {
		r.at++
	}
	if r.at > begin {
		r.write(begin)
		r.from = r.at
	}
}

// write writes what was read up to a place. What lies between two spaces is short mostly: two words do.
func (r *rawReader) write(to int) {
	n, at := to-r.from, len(r.out)
	if n > 16 || r.from+16 > len(r.in) || at+16 > cap(r.out) {
		r.out = append(r.out, r.in[r.from:to]...)
		return
	}
	in, out := r.in[r.from:r.from+16], r.out[at:at+16]
	binary.LittleEndian.PutUint64(out, binary.LittleEndian.Uint64(in))
	binary.LittleEndian.PutUint64(out[8:], binary.LittleEndian.Uint64(in[8:]))
	r.out = r.out[:at+n]
}

func (r *rawReader) flush() {
	r.out = append(r.out, r.in[r.from:r.at]...)
	r.from = r.at
}

// value reads one value, before which there is no white space. The outermost
// writes what is left.
func (r *rawReader) value(depth int) {
	if depth > maxRawDepth {
		r.fail("it is nested too deep")
		return
	}
	switch c := r.next(); {
	case c == '"':
		r.text()
	case c == '{':
		r.list('}', depth, true)
	case c == '[':
		r.list(']', depth, false)
	case c == '-' || c >= '0' && c <= '9':
		r.number()
	case c == 't':
		r.word("true")
	case c == 'f':
		r.word("false")
	case c == 'n':
		r.word("null")
	default:
		r.fail("a value should stand here")
	}
	if depth == 0 && r.fault == "" {
		r.flush()
	}
}

// list reads an array, or an object, whose values have names.
func (r *rawReader) list(closing byte, depth int, named bool) {
	r.at++
	r.space()
	if r.next() == closing {
		r.at++
		return
	}
	for r.fault == "" {
		if named && !r.name() {
			return
		}
		r.value(depth + 1)
		r.space()
		c := r.next()
		if c != ',' && c != closing {
			r.fail("a comma or the end of the list should stand here")
			return
		}
		r.at++
		if c == closing {
			return
		}
		r.space()
	}
}

func (r *rawReader) name() bool {
	if r.next() != '"' {
		r.fail("a name should stand here")
		return false
	}
	r.text()
	r.space()
	if r.next() != ':' {
		r.fail("a colon should stand here")
		return false
	}
	r.at++
	r.space()
	return r.fault == ""
}

func (r *rawReader) text() {
	for i := plainEnd(r.in, r.at+1); i < len(r.in); i = plainEnd(r.in, i+1) {
		switch c := r.in[i]; {
		case c == '"':
			r.at = i + 1
			return
		case c < ' ':
			r.at = i
			r.fail("a control character stands in a string")
			return
		case c == '\\':
			n := escape(r.in[i+1:])
			if n == 0 {
				r.at = i
				r.fail("this is no escape")
				return
			}
			i += n
		}
	}
	r.at = len(r.in)
	r.fail("a string has no end")
}

// plainEnd is the offset of the first byte of text at or after i that is a quote,
// a backslash or a control character, looked for in words of eight bytes.
func plainEnd(text []byte, i int) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	for ; i+8 <= len(text); i += 8 {
		w := binary.LittleEndian.Uint64(text[i:])
		quote, slash := w^'"'*ones, w^'\\'*ones
		// The lowest mark is exact: a difference borrows only from bytes above.
		if m := ((quote-ones)&^quote | (slash-ones)&^slash | (w-' '*ones)&^w) & highs; m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	for ; i < len(text); i++ {
		if c := text[i]; c == '"' || c == '\\' || c < ' ' {
			return i
		}
	}
	return i
}

// escape is how many bytes belong to the escape behind its backslash; 0 for none.
func escape(in []byte) int {
	if len(in) == 0 {
		return 0
	}
	switch in[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
		if len(in) < 5 {
			return 0
		}
		for _, c := range in[1:5] {
			if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
				return 0
			}
		}
		return 5
	}
	return 0
}

func (r *rawReader) word(word string) {
	if !bytes.HasPrefix(r.in[r.at:], []byte(word)) {
		r.fail("this is no word of JSON")
		return
	}
	r.at += len(word)
}

// digits passes over digits, of which there must be one.
func (r *rawReader) digits() {
	begin := r.at
	for c := r.next(); c >= '0' && c <= '9'; c = r.next() {
		r.at++
	}
	if r.at == begin {
		r.fail("a digit should stand here")
	}
}

func (r *rawReader) number() {
	if r.next() == '-' {
		r.at++
	}
	if r.next() == '0' {
		r.at++
	} else {
		r.digits()
	}
	if r.next() == '.' {
		r.at++
		r.digits()
	}
	if r.next()|0x20 == 'e' {
		r.at++
		if c := r.next(); c == '+' || c == '-' {
			r.at++
		}
		r.digits()
	}
}
