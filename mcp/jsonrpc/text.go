package jsonrpc

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Strings are scanned eight bytes at a time. For a word w of eight bytes, special(w) has the high bit of each byte set that
// needs a look: below 0x20, quote, backslash, or not ASCII. A subtraction borrows from the next byte only when it found
// something in this one, so the lowest set bit is always exact and the ones above it may not be; only the lowest is used.
// With bit 1 flipped, a quote (0x22) is 0x20, and what is below 0x20 stays there, so that one subtraction finds both.
const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

func special(w uint64) uint64 { return suspect(w) & highs }

// suspect is special with the other bits left in.
func suspect(w uint64) uint64 {
	return w | ((w ^ 0x02*ones) - 0x21*ones) | ((w ^ '\\'*ones) - ones)
}

// text scans a string from i, the byte after its opening quote, and returns the offset after its closing quote and whether
// it holds escapes; -1 when it is no string.
func (s *scanner) text(i int) (end int, escaped bool) {
	for {
		i = plainRun(s.data, i)
		if i >= len(s.data) {
			return s.stop(i, "string has no closing quote"), escaped
		}
		switch c := s.data[i]; {
		case c == '"':
			return i + 1, escaped
		case c == '\\':
			escaped = true
			if i = s.escape(i); i < 0 {
				return i, escaped
			}
		case c < ' ':
			return s.stop(i, "control character in a string, write it as an escape"), escaped
		default:
			var ok bool
			if i, ok = wideRun(s.data, i); !ok {
				return s.stop(i, "string is not valid UTF-8"), escaped
			}
		}
	}
}

// plainRun returns the offset of the first byte of d at or after i that ends a run of plain ASCII. The first words are
// judged one by one, for runs that are short; then four together, so that there is one branch for 32 bytes.
func plainRun(d []byte, i int) int {
	for short := min(i+8, len(d)-8); i <= short; i += 8 {
		if m := special(binary.LittleEndian.Uint64(d[i:])); m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	for ; i+32 <= len(d); i += 32 {
		b := d[i : i+32 : i+32]
		m0, m1 := suspect(binary.LittleEndian.Uint64(b)), suspect(binary.LittleEndian.Uint64(b[8:]))
		m2, m3 := suspect(binary.LittleEndian.Uint64(b[16:])), suspect(binary.LittleEndian.Uint64(b[24:]))
		if (m0|m1|m2|m3)&highs != 0 {
			return i + lowest(m0, m1, m2, m3)
		}
	}
	return plainTail(d, i)
}

// lowest returns the number of the first byte that is special, of four words of which one has one.
func lowest(m0, m1, m2, m3 uint64) int {
	switch {
	case m0&highs != 0:
		return bits.TrailingZeros64(m0&highs) >> 3
	case m1&highs != 0:
		return 8 + bits.TrailingZeros64(m1&highs)>>3
	case m2&highs != 0:
		return 16 + bits.TrailingZeros64(m2&highs)>>3
	}
	return 24 + bits.TrailingZeros64(m3&highs)>>3
}

// plainTail is plainRun word by word.
func plainTail(d []byte, i int) int {
	for ; i+8 <= len(d); i += 8 {
		if m := special(binary.LittleEndian.Uint64(d[i:])); m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	for ; i < len(d); i++ {
		if c := d[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return i
		}
	}
	return i
}

// wideRun returns the offset of the first ASCII byte at or after i; it is false, and the offset that of the fault, when what
// stands before is not UTF-8 (RFC 3629 §4). Sequences of two and three bytes are checked here, where most of the world's text
// is; the rare forms are left to the standard library.
func wideRun(d []byte, i int) (int, bool) {
	for i < len(d) && d[i] >= utf8.RuneSelf {
		if i+4 <= len(d) {
			w := binary.LittleEndian.Uint32(d[i:])
			if w&0xc0e0 == 0x80c0 && w&0x1e != 0 { // the first byte is not C0 or C1
				i += 2
				continue
			}
			if w&0xc0c0f0 == 0x8080e0 && w&0x200f != 0 && w&0x200f != 0x200d { // not E0 80..9F, not ED A0..BF
				i += 3
				continue
			}
		}
		r, n := utf8.DecodeRune(d[i:])
		if r == utf8.RuneError && n == 1 {
			return i, false
		}
		i += n
	}
	return i, true
}

// escape checks the escape sequence whose backslash is at i and returns the offset after it. A lone surrogate is JSON
// (RFC 8259 §8.2) and passes here; names are held to more.
func (s *scanner) escape(i int) int {
	if i+1 >= len(s.data) {
		return s.stop(i, "string ends within an escape")
	}
	switch s.data[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		if i+6 <= len(s.data) && hex4(s.data[i+2:]) >= 0 {
			return i + 6
		}
		return s.stop(i, `\u is not followed by four hexadecimal digits`)
	}
	return s.stop(i, "unknown escape in a string")
}

// hex4 returns the value of the four hexadecimal digits at the start of d, -1 when they are not that.
func hex4(d []byte) rune {
	if len(d) < 4 {
		return -1
	}
	var r rune
	for _, c := range d[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// Unquote returns the Go string that a JSON string stands for. It is false when raw is not a JSON string, or holds the
// escape of a lone surrogate: such a string has no form in Go, and a replacement would make different strings equal.
func Unquote(raw []byte) (string, bool) {
	body, ok := stringBody(raw)
	if !ok {
		return "", false
	}
	if bytes.IndexByte(body, '\\') < 0 {
		return string(body), true
	}
	text, ok := unescape(make([]byte, 0, len(body)), body)
	if !ok {
		return "", false
	}
	return string(text), true
}

// IsString says whether raw is the JSON string that stands for s, taking no memory where it has no escapes.
func IsString(raw []byte, s string) bool {
	body, ok := stringBody(raw)
	if !ok {
		return false
	}
	if bytes.IndexByte(body, '\\') < 0 {
		return string(body) == s
	}
	text, ok := Unquote(raw)
	return ok && text == s
}

// replaceLone is Unquote for text that only people read: what has no form in Go becomes U+FFFD.
func replaceLone(raw []byte) string {
	body, ok := stringBody(raw)
	if !ok {
		return ""
	}
	text, _ := unescape(make([]byte, 0, len(body)), body)
	return string(text)
}

// stringBody returns what stands between the quotes of raw.
func stringBody(raw []byte) ([]byte, bool) {
	if len(raw) < 2 || raw[0] != '"' || raw[len(raw)-1] != '"' {
		return nil, false
	}
	return raw[1 : len(raw)-1], true
}

// unescape appends body to dst with its escapes resolved. It is false when an escape is broken or is a lone surrogate; the
// text then has U+FFFD in its place.
func unescape(dst, body []byte) ([]byte, bool) {
	ok := true
	for i := 0; i < len(body); {
		c := body[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		r, n := unescapeOne(body[i:])
		ok = ok && r >= 0
		if r < 0 {
			r = utf8.RuneError
		}
		dst = utf8.AppendRune(dst, r)
		i += n
	}
	return dst, ok
}

// unescapeOne returns the character that the escape at the start of d stands for and how many bytes it takes, a surrogate
// pair being one; the character is -1 when there is none.
func unescapeOne(d []byte) (rune, int) {
	if len(d) < 2 {
		return -1, len(d)
	}
	switch c := d[1]; c {
	case '"', '\\', '/':
		return rune(c), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		return unescapeUnicode(d)
	}
	return -1, 2
}

func unescapeUnicode(d []byte) (rune, int) {
	r := hex4(d[2:])
	if r < 0 {
		return -1, 2
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(d) >= 12 && d[6] == '\\' && d[7] == 'u' {
		if pair := utf16.DecodeRune(r, hex4(d[8:])); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return -1, 6
}

// stringPool makes the strings of one message or object, side by side, so that most need memory for all of them once.
type stringPool struct{ strings.Builder }

func (p *stringPool) keep(text []byte) string {
	if p.Cap() == 0 {
		p.Grow(max(len(text), 64))
	}
	p.Write(text)
	all := p.String()
	return all[len(all)-len(text):]
}

// AppendString appends s to dst as a quoted JSON string. The result is valid UTF-8 always: bytes of s that are not become
// U+FFFD. Only what RFC 8259 §7 demands is escaped. s may be a part of dst, as when JSON is told as text once more.
func AppendString[T string | []byte](dst []byte, s T) []byte {
	d := []byte(s) // the compiler makes no copy of what is only read
	dst = append(slices.Grow(dst, len(d)+len(d)/16+2*room), '"')
	for i := 0; ; {
		dst, i = appendPlain(dst, d, i)
		switch {
		case i >= len(d):
			return append(dst, '"')
		case d[i] < utf8.RuneSelf:
			dst = appendEscape(dst, d[i])
			i++
		default:
			start, ok := i, false
			i, ok = wideRun(d, i)
			dst = append(dst, d[start:i]...)
			if !ok {
				dst = utf8.AppendRune(dst, utf8.RuneError)
				i++
			}
		}
	}
}

// room is what a step of appendPlain may write: eight bytes, and an escape of two behind seven of them.
const room = 16

// appendPlain appends d from i on up to the first byte that is not ASCII or has no short escape. Words are written whole before
// they are judged.
func appendPlain(dst, d []byte, i int) ([]byte, int) {
	n, out := len(dst), dst[:cap(dst)]
	for i+8 <= len(d) {
		if n+room > len(out) {
			dst = slices.Grow(out[:n], len(d)-i+len(d)/4+room)
			out = dst[:cap(dst)]
		}
		w := binary.LittleEndian.Uint64(d[i:])
		binary.LittleEndian.PutUint64(out[n:], w)
		m := special(w)
		if m == 0 {
			i, n = i+8, n+8
			continue
		}
		k := bits.TrailingZeros64(m) >> 3
		i, n = i+k, n+k
		letter := shortEscape(d[i])
		if letter == 0 {
			return out[:n], i
		}
		out[n], out[n+1] = '\\', letter
		i, n = i+1, n+2
	}
	dst = out[:n]
	for ; i < len(d); i++ {
		if c := d[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			break
		}
		dst = append(dst, d[i])
	}
	return dst, i
}

// shortEscape is the letter of the escape of two characters that c has; 0 when it has none.
func shortEscape(c byte) byte {
	switch c {
	case '"', '\\':
		return c
	case '\n':
		return 'n'
	case '\r':
		return 'r'
	case '\t':
		return 't'
	}
	return 0
}

// appendEscape appends an ASCII character that may not stand in a string as it is.
func appendEscape(dst []byte, c byte) []byte {
	const digits = "0123456789abcdef"
	if letter := shortEscape(c); letter != 0 {
		return append(dst, '\\', letter)
	}
	return append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
}
