// Package text tells the encoding of a file's bytes, reads them as text, and changes parts of them without touching the
// rest. It does not know files, nor who asks.
package text

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"
	"unsafe"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
	"golang.org/x/text/transform"
)

// Sample is how many bytes at the beginning of a file tell what it is.
const Sample = 8 << 10

// Form is how a text is written down.
type Form struct {
	Name string // such as utf-8, utf-16le or windows-1252
	BOM  int    // bytes of the byte order mark at the beginning
	enc  encoding.Encoding
}

// ErrBinary says that the bytes are no text.
var ErrBinary = errors.New("it is not text")

// Detect tells the form of a file of which it gets the first Sample bytes, or all. A byte order mark decides; without one,
// what is UTF-8 is UTF-8, zeros in every other byte mean UTF-16, and whatever else has no control characters is taken for
// windows-1252, of which every byte means something.
func Detect(head []byte, whole bool) (Form, error) {
	for _, m := range []struct {
		mark string
		name string
	}{{"\xff\xfe\x00\x00", "utf-32le"}, {"\x00\x00\xfe\xff", "utf-32be"}, {"\xef\xbb\xbf", "utf-8"}, {"\xff\xfe", "utf-16le"}, {"\xfe\xff", "utf-16be"}} {
		if bytes.HasPrefix(head, []byte(m.mark)) {
			f, err := named(m.name)
			f.BOM = len(m.mark)
			return f, err
		}
	}
	if !bytes.ContainsRune(head, 0) {
		if valid(head, whole) {
			return named("utf-8")
		}
		if strings.HasPrefix(http.DetectContentType(head), "text/") && controls(head) == 0 {
			return named("windows-1252")
		}
		return Form{}, ErrBinary
	}
	if name := wide(head); name != "" {
		return named(name)
	}
	return Form{}, ErrBinary
}

// valid says whether b is UTF-8 that people write, apart from a character that is cut off at the end.
func valid(b []byte, whole bool) bool {
	for i := 0; !whole && i < utf8.UTFMax && len(b) > 0 && !utf8.Valid(b); i++ {
		if r, n := utf8.DecodeLastRune(b); r != utf8.RuneError || n != 1 {
			break
		}
		b = b[:len(b)-1]
	}
	return utf8.Valid(b) && controls(b)*50 <= len(b)
}

// controls counts characters that text does not have. Eight bytes of which none is below a space are passed over at once.
func controls(b []byte) (n int) {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for len(b) >= 8 {
		if w := binary.LittleEndian.Uint64(b); (w-0x20*ones)&^w&highs != 0 {
			n += someControls(b[:8])
		}
		b = b[8:]
	}
	return n + someControls(b)
}

func someControls(b []byte) (n int) {
	for _, c := range b {
		if c < 0x20 && c != '\t' && c != '\n' && c != '\r' && c != '\f' && c != 0x1b {
			n++
		}
	}
	return n
}

// wide tells which half of each pair is zero in at least a third of all pairs, and the other hardly ever.
func wide(b []byte) string {
	var zero [2]int
	for i, c := range b {
		if c == 0 {
			zero[i%2]++
		}
	}
	pairs := len(b) / 2
	switch {
	case pairs == 0:
	case zero[1]*3 >= pairs && zero[0]*50 <= pairs:
		return "utf-16le"
	case zero[0]*3 >= pairs && zero[1]*50 <= pairs:
		return "utf-16be"
	}
	return ""
}

// Named gives the form of a name that the caller chose, any of the WHATWG's Encoding Standard, utf-32le or utf-32be. A
// byte order mark of that form is told by head.
func Named(name string, head []byte) (Form, error) {
	f, err := named(strings.ToLower(name))
	if err != nil {
		return f, err
	}
	if d, err := Detect(head, false); err == nil && d.BOM > 0 && d.Name == f.Name {
		f.BOM = d.BOM
	}
	return f, nil
}

func named(name string) (Form, error) {
	switch name {
	case "utf-8", "utf8":
		return Form{Name: "utf-8"}, nil
	case "utf-16le", "utf-16":
		return Form{Name: "utf-16le", enc: unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)}, nil
	case "utf-16be":
		return Form{Name: name, enc: unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)}, nil
	case "utf-32le":
		return Form{Name: name, enc: utf32.UTF32(utf32.LittleEndian, utf32.IgnoreBOM)}, nil
	case "utf-32be":
		return Form{Name: name, enc: utf32.UTF32(utf32.BigEndian, utf32.IgnoreBOM)}, nil
	}
	enc, err := htmlindex.Get(name)
	if err != nil {
		return Form{}, fmt.Errorf("there is no encoding %q", name)
	}
	if canonical, err := htmlindex.Name(enc); err == nil {
		name = canonical
	}
	return Form{Name: name, enc: enc}, nil
}

// Unit is how many bytes the smallest character has.
func (f Form) Unit() int {
	switch {
	case strings.HasPrefix(f.Name, "utf-16"):
		return 2
	case strings.HasPrefix(f.Name, "utf-32"):
		return 4
	}
	return 1
}

// Decode gives the text of bytes; what is no character becomes U+FFFD. Unless they are the last ones, a character that
// is cut off at the end is left out: used is how many bytes the text stands for.
func (f Form) Decode(b []byte, last bool) (text string, used int) {
	if used, plain := f.plain(b, last); plain {
		return string(b[:used]), used
	}
	return f.convert(b, last)
}

// View is Decode without a copy where none is needed: the bytes must not change as long as the text is there.
func (f Form) View(b []byte, last bool) (text string, used int) {
	if used, plain := f.plain(b, last); plain {
		return unsafe.String(unsafe.SliceData(b), used), used
	}
	return f.convert(b, last)
}

// plain says whether bytes are their text, apart from a character that is cut off at the end.
func (f Form) plain(b []byte, last bool) (used int, plain bool) {
	if f.enc != nil {
		return 0, false
	}
	used = complete(b, last)
	return used, utf8.Valid(b[:used]) // many times faster than to convert
}

func (f Form) convert(b []byte, last bool) (text string, used int) {
	if f.enc != nil {
		out, n := run(f.enc.NewDecoder(), b, last)
		return string(out), n
	}
	used = complete(b, last)
	return strings.ToValidUTF8(string(b[:used]), "\uFFFD"), used
}

// complete is the length of UTF-8 without a character that is cut off at the end, unless that is the end of all.
func complete(b []byte, last bool) int {
	for cut := 1; !last && cut < utf8.UTFMax && cut <= len(b); cut++ {
		if at := b[len(b)-cut:]; utf8.RuneStart(at[0]) {
			if !utf8.FullRune(at) {
				return len(b) - cut
			}
			break
		}
	}
	return len(b)
}

// Bytes is how many of the bytes give the first n bytes of their text, or the next more where a character would be cut.
func (f Form) Bytes(b []byte, n int) int {
	if f.enc == nil && utf8.Valid(b[:min(n, len(b))]) {
		return min(n, len(b))
	}
	d := decoderOf(f)
	_, used, _ := d.Transform(make([]byte, n), b, true)
	return used
}

func decoderOf(f Form) transform.Transformer {
	if f.enc == nil {
		return unicode.UTF8.NewDecoder()
	}
	return f.enc.NewDecoder()
}

// Encode gives the bytes of a text. It fails for characters that the form does not have.
func (f Form) Encode(text string) ([]byte, error) {
	if f.enc == nil {
		return []byte(text), nil
	}
	b, err := f.enc.NewEncoder().Bytes([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("the text has characters that %s does not have", f.Name)
	}
	return b, nil
}

// run transforms all of src that it can.
func run(t transform.Transformer, src []byte, last bool) (out []byte, used int) {
	buf := make([]byte, 2*len(src)+64)
	for {
		nDst, nSrc, err := t.Transform(buf, src[used:], last)
		out = append(out, buf[:nDst]...)
		used += nSrc
		if !errors.Is(err, transform.ErrShortDst) || nDst+nSrc == 0 {
			return out, used
		}
	}
}

// Decoder decodes a stream, after its byte order mark.
func (f Form) Decoder() transform.Transformer { return decoderOf(f) }
