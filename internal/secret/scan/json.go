package scan

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// cutText bounds one text in a view, in bytes; overlap is how far beyond it is
// looked for secrets that begin before it and end after.
const (
	cutText = 512
	overlap = 4096
)

// AppendView appends to dst a view of raw, which must be valid JSON: without
// what looks like a secret, long texts cut, and at most about most bytes. What
// does not fit is left out and "[cut]" stands at the end of its list, or as the
// value of a last member "…" of its object. The view is valid JSON.
func (s *Scanner) AppendView(dst, raw []byte, most int) []byte {
	v := viewer{s: s, raw: raw, dst: dst, until: len(dst) + most, text: min(cutText, most)}
	v.value(v.space(0), nothing)
	return v.dst
}

// JSON returns raw, which must be valid JSON, without what looks like a secret,
// and with nothing left out.
func (s *Scanner) JSON(raw []byte) []byte {
	const unbounded = 1 << 40
	v := viewer{s: s, raw: raw, dst: make([]byte, 0, len(raw)), until: unbounded, text: unbounded}
	v.value(v.space(0), nothing)
	return v.dst
}

// viewer walks through a JSON text. Its methods take the place of a value and
// return the place after it, or stopped when the view is full: then everything
// that is open closes itself.
type viewer struct {
	s     *Scanner
	raw   []byte
	dst   []byte
	until int // length of dst from which the view is full
	text  int // most bytes of one text
}

const stopped = -1

func (v *viewer) put(text string) { v.dst = append(v.dst, text...) }

func (v *viewer) full() bool { return len(v.dst) >= v.until }

func (v *viewer) inside(i int) bool { return i < len(v.raw) }

func (v *viewer) space(i int) int {
	for v.inside(i) && (v.raw[i] == ' ' || v.raw[i] == '\n' || v.raw[i] == '\t' || v.raw[i] == '\r') {
		i++
	}
	return i
}

// value copies a value that has a name of this meaning, its own or that of what
// it is in.
func (v *viewer) value(i int, m meaning) int {
	if !v.inside(i) {
		return stopped
	}
	switch {
	case m == entire:
		v.put(`"` + Redacted + `"`)
		return v.after(i)
	case v.raw[i] == '"':
		end := stringEnd(v.raw, i)
		v.string(v.raw[i:end], m)
		return end
	case v.raw[i] == '{':
		return v.object(i+1, m)
	case v.raw[i] == '[':
		return v.array(i+1, m)
	}
	end := v.after(i)
	if c := v.raw[i]; m >= surely && (c == '-' || classes[c]&digit != 0) {
		v.put(`"` + Redacted + `"`)
	} else {
		v.dst = append(v.dst, v.raw[i:end]...)
	}
	return end
}

// after returns the place after the value at i.
func (v *viewer) after(i int) int {
	switch v.raw[i] {
	case '"':
		return stringEnd(v.raw, i)
	case '{', '[':
		return nested(v.raw, i)
	}
	for v.inside(i) && strings.IndexByte(",]} \n\r\t", v.raw[i]) < 0 {
		i++
	}
	return i
}

func (v *viewer) object(i int, m meaning) int {
	v.put("{")
	for first := true; ; first = false {
		i = v.space(i)
		if !v.inside(i) || v.raw[i] == '}' {
			v.put("}")
			return i + 1
		}
		if v.raw[i] == ',' {
			i = v.space(i + 1)
		}
		if !first {
			v.put(",")
		}
		if v.full() {
			v.put(`"…":"[cut]"}`)
			return stopped
		}
		end := stringEnd(v.raw, i)
		name := v.raw[i:end]
		inner := max(m, v.s.meaning(string(unquoted(name))))
		v.string(name, nothing)
		v.put(":")
		if i = v.value(v.space(v.space(end)+1), inner); i == stopped {
			v.put("}")
			return stopped
		}
	}
}

func (v *viewer) array(i int, m meaning) int {
	v.put("[")
	for first := true; ; first = false {
		i = v.space(i)
		if !v.inside(i) || v.raw[i] == ']' {
			v.put("]")
			return i + 1
		}
		if v.raw[i] == ',' {
			i = v.space(i + 1)
		}
		if !first {
			v.put(",")
		}
		if v.full() {
			v.put(`"[cut]"]`)
			return stopped
		}
		if i = v.value(i, m); i == stopped {
			v.put("]")
			return stopped
		}
	}
}

// string copies a text, quoted, unless its name or the text itself says that it
// is a secret.
func (v *viewer) string(raw []byte, m meaning) {
	body := unquoted(short(raw, v.text+overlap))
	if len(body) > 0 && (m >= likely || m == perhaps && random(string(body))) {
		v.put(`"` + Redacted + `"`)
		return
	}
	window := string(body[:min(len(body), v.text+overlap)])
	var buf [4]span
	found := v.s.find(window, buf[:0])
	if len(found) == 0 && len(body) <= v.text && len(raw) <= most(v.text+overlap) {
		v.dst = append(v.dst, raw...)
		return
	}
	text, err := json.Marshal(cut(window, found, v.text))
	if err != nil {
		text = []byte(`"` + Redacted + `"`) // a string always marshals
	}
	v.dst = append(v.dst, text...)
}

// cut writes at most about most bytes of text, without the secrets in it.
func cut(text string, found []span, most int) string {
	var b strings.Builder
	at := 0
	for _, f := range found {
		if f.from >= most {
			break
		}
		b.WriteString(text[at:f.from])
		b.WriteString(Redacted)
		at = f.to
	}
	if at >= len(text) {
		return b.String()
	}
	end := len(text)
	if end > most {
		end = max(at, most)
		for end > at && !utf8.RuneStart(text[end]) {
			end--
		}
	}
	b.WriteString(text[at:end])
	if end < len(text) {
		b.WriteString("…")
	}
	return b.String()
}

// most is how many bytes a JSON string has at most for a text of so many.
func most(text int) int { return len(`\u0000`)*text + 2 }

// short returns a JSON string that stands for the beginning of what raw stands
// for, and at least for so many bytes of it.
func short(raw []byte, text int) []byte {
	if len(raw) <= most(text) {
		return raw
	}
	i := 1
	for i < most(text)-1 {
		switch {
		case raw[i] != '\\':
			i++
		case raw[i+1] == 'u':
			i += len(`\u0000`)
		default:
			i += 2
		}
	}
	return append(append(make([]byte, 0, i+1), raw[:i]...), '"')
}

// unquoted returns what a JSON string stands for.
func unquoted(raw []byte) []byte {
	body := raw[1 : len(raw)-1]
	for _, c := range body {
		if c == '\\' {
			var text string
			if json.Unmarshal(raw, &text) != nil {
				return body
			}
			return []byte(text)
		}
	}
	return body
}

// stringEnd returns the place after the string that begins at i.
func stringEnd(raw []byte, i int) int {
	for i++; i < len(raw); i++ {
		switch raw[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(raw)
}
