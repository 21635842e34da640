package openapi

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The path of a request has exactly the segments of its template, whoever reads
// it on the way and however often it decodes: a value may hold nothing that could
// become a separator of segments, or make a segment . or .. (T46). That is judged
// on what the value is, and on what decoding it once more, and again, would make
// of it.

// placeholders are the names of a template's parameters, each once.
func placeholders(path string) []string {
	var names []string
	seen := map[string]bool{}
	for _, part := range pieces(path) {
		if part.name && !seen[part.text] {
			seen[part.text] = true
			names = append(names, part.text)
		}
	}
	return names
}

// piece is a part of a template: the name of a parameter or text as it is.
type piece struct {
	text string
	name bool
}

// braces find the parameters of a template.
var braces = regexp.MustCompile(`\{([^{}/]+)\}`)

func pieces(template string) []piece {
	var out []piece
	at := 0
	for _, m := range braces.FindAllStringSubmatchIndex(template, -1) {
		if m[0] > at {
			out = append(out, piece{text: template[at:m[0]]})
		}
		out = append(out, piece{text: template[m[2]:m[3]], name: true})
		at = m[1]
	}
	if at < len(template) {
		out = append(out, piece{text: template[at:]})
	}
	return out
}

// checkTemplate refuses templates that are no path or that would leave it.
func checkTemplate(path string) error {
	if !strings.HasPrefix(path, "/") {
		return errors.New("its path does not begin with /")
	}
	if len(path) > 2048 {
		return errors.New("its path is longer than 2048 bytes")
	}
	for _, part := range pieces(path) {
		if part.name {
			continue
		}
		if strings.ContainsAny(part.text, "?#\\{}") {
			return fmt.Errorf("its path has one of ? # \\ { } where the specification allows none")
		}
		if err := harmless(part.text); err != nil {
			return fmt.Errorf("its path: %w", err)
		}
	}
	for _, segment := range strings.Split(path, "/") {
		if dots(segment) {
			return errors.New("its path has . or .. as a segment")
		}
	}
	return nil
}

// dots reports whether a segment leads elsewhere, for those too who end it at a
// semicolon.
func dots(segment string) bool {
	segment, _, _ = strings.Cut(segment, ";")
	return segment == "." || segment == ".."
}

// harmless refuses text that has no place in a URL in whichever form.
func harmless(s string) error {
	if !utf8.ValidString(s) {
		return errors.New("it is no valid UTF-8")
	}
	for _, r := range s {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return fmt.Errorf("it has the control character U+%04X", r)
		}
	}
	return nil
}

// maxDecodes is how many times a value is decoded to see what it could become.
const maxDecodes = 8

// checkSegment judges the value of a path parameter. slashes says whether it may
// have / in it, which is then sent as %2F.
func checkSegment(value string, slashes bool) error {
	if value == "" {
		return errors.New("it is empty, which would make another path")
	}
	for range maxDecodes {
		if err := harmless(value); err != nil {
			return err
		}
		if !slashes && strings.Contains(value, "/") || strings.Contains(value, `\`) {
			return errors.New("it has a slash, which would begin another segment of the path")
		}
		for _, part := range strings.Split(value, "/") {
			if dots(part) || slashes && part == "" {
				return errors.New("it would lead to another path (., .. or //)")
			}
		}
		next, err := url.PathUnescape(value)
		if err != nil {
			next = lenient(value)
		}
		if next == value {
			return nil
		}
		value = next
	}
	return errors.New("it is encoded too many times over")
}

// lenient decodes what can be decoded and leaves the rest, as some servers do.
func lenient(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if b, err := url.PathUnescape(s[i : i+3]); err == nil {
				out.WriteString(b)
				i += 2
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

// escape encodes everything but what RFC 3986 §2.3 calls unreserved, and what
// keep has.
func escape(s, keep string) string {
	const digits = "0123456789ABCDEF"
	var out strings.Builder
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~", c) >= 0,
			keep != "" && strings.IndexByte(keep, c) >= 0:
			out.WriteByte(c)
		default:
			out.WriteByte('%')
			out.WriteByte(digits[c>>4])
			out.WriteByte(digits[c&15])
		}
	}
	return out.String()
}
