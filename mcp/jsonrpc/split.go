package jsonrpc

import (
	"bytes"
	"encoding/binary"
	"iter"
	"math/bits"
)

// Split returns the members of text that Parse or ParseObject has checked, or that this program wrote. It looks only for
// where values end and does not check again: given anything else it may return nonsense, but does not panic. It is false
// when raw is no object.
func Split(raw []byte) (Object, bool) {
	i := skipSpace(raw, 0)
	if i >= len(raw) || raw[i] != '{' {
		return Object{}, false
	}
	var names stringPool
	var buf [8]Member
	members := buf[:0]
	start := i
	if i = skipSpace(raw, i+1); i < len(raw) && raw[i] == '}' {
		return Object{raw: raw[start : i+1 : i+1]}, true
	}
	for i < len(raw) && raw[i] == '"' {
		m, end := splitMember(raw, i, &names)
		if end >= len(raw) {
			return Object{}, false
		}
		members = append(members, m)
		switch raw[end] {
		case '}':
			return Object{raw: raw[start : end+1 : end+1], members: copied(members)}, true
		case ',':
			i = skipSpace(raw, end+1)
		default:
			return Object{}, false
		}
	}
	return Object{}, false
}

// Lookup returns the value of a member of text that Parse or ParseObject has checked, as Split and Get would, without
// taking any memory: for one or two members of an object. It is nil when there is none, or raw is no object.
func Lookup(raw []byte, name string) []byte {
	i := skipSpace(raw, 0)
	if i >= len(raw) || raw[i] != '{' {
		return nil
	}
	for i = skipSpace(raw, i+1); i < len(raw) && raw[i] == '"'; {
		m, value, end := nextMember(raw, i)
		if end >= len(raw) {
			return nil
		}
		if string(m) == name || bytes.IndexByte(m, '\\') >= 0 && unescaped(m) == name {
			return value
		}
		i = skipSpace(raw, end+1)
	}
	return nil
}

// Within looks into the member name, which is an object, for several of its members in one look, and without taking memory: the
// values of those that wanted names are put into it, where they are.
func (o Object) Within(name string, wanted []Member) {
	raw := o.Get(name)
	i := skipSpace(raw, 0)
	if i >= len(raw) || raw[i] != '{' {
		return
	}
	for i = skipSpace(raw, i+1); i < len(raw) && raw[i] == '"'; {
		text, value, end := nextMember(raw, i)
		if end >= len(raw) {
			return
		}
		if bytes.IndexByte(text, '\\') >= 0 {
			text, _ = unescape(nil, text)
		}
		for w := range wanted {
			if string(text) == wanted[w].Name {
				wanted[w].Value = value
			}
		}
		i = skipSpace(raw, end+1)
	}
}

// nextMember returns the name, as it is written, and the value of the member that begins at i, and the offset of the comma
// or brace after it, len(raw) when there is no member.
func nextMember(raw []byte, i int) (name, value []byte, after int) {
	end := skipString(raw, i+1)
	colon := skipSpace(raw, end)
	if colon >= len(raw) || raw[colon] != ':' {
		return nil, nil, len(raw)
	}
	begin := skipSpace(raw, colon+1)
	valueEnd := skipValue(raw, begin)
	if valueEnd == begin {
		return nil, nil, len(raw)
	}
	return raw[i+1 : end-1], raw[begin:valueEnd:valueEnd], skipSpace(raw, valueEnd)
}

func unescaped(name []byte) string {
	text, _ := unescape(nil, name)
	return string(text)
}

// splitMember returns the member whose name begins at i and the offset of the comma or brace after it, len(raw) when there
// is no member.
func splitMember(raw []byte, i int, names *stringPool) (Member, int) {
	text, value, after := nextMember(raw, i)
	if value == nil {
		return Member{}, after
	}
	if bytes.IndexByte(text, '\\') >= 0 {
		text, _ = unescape(nil, text)
	}
	for _, known := range metaNames { // which the objects that are split most often have
		if string(text) == known {
			return Member{known, value}, after
		}
	}
	return Member{names.keep(text), value}, after
}

// copied returns members in memory of the right size, so that the buffer they were gathered in can stay on the stack.
func copied(members []Member) []Member {
	out := make([]Member, len(members))
	copy(out, members)
	return out
}

// Elements yields the elements of an array that has been checked, as Split does the members of an object. It yields nothing
// when raw is no array. The slices alias raw.
func Elements(raw []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		i := skipSpace(raw, 0)
		if i >= len(raw) || raw[i] != '[' {
			return
		}
		i = skipSpace(raw, i+1)
		for i < len(raw) && raw[i] != ']' {
			end := skipValue(raw, i)
			if end <= i || !yield(raw[i:end:end]) {
				return
			}
			if i = skipSpace(raw, end); i < len(raw) && raw[i] == ',' {
				i = skipSpace(raw, i+1)
			}
		}
	}
}

// The skip functions return the offset after what begins at i, at most len(d), whatever d holds.

func skipSpace(d []byte, i int) int {
	for i < len(d) && isSpace(d[i]) {
		i++
	}
	return min(i, len(d))
}

// skipString skips the rest of a string; i is the offset after its opening quote.
func skipString(d []byte, i int) int {
	for i < len(d) {
		i = quoteOrSlash(d, i)
		if i < len(d) && d[i] == '"' {
			return i + 1
		}
		i += 2
	}
	return len(d)
}

// quoteOrSlash returns the offset of the first quote or backslash at or after i.
func quoteOrSlash(d []byte, i int) int {
	for ; i+8 <= len(d); i += 8 {
		w := binary.LittleEndian.Uint64(d[i:])
		quote, slash := w^'"'*ones, w^'\\'*ones
		if m := ((quote-ones)&^quote | (slash-ones)&^slash) & highs; m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	for i < len(d) && d[i] != '"' && d[i] != '\\' {
		i++
	}
	return i
}

func skipValue(d []byte, i int) int {
	if i >= len(d) {
		return len(d)
	}
	switch d[i] {
	case '"':
		return skipString(d, i+1)
	case '{', '[':
		return skipNested(d, i)
	}
	for i < len(d) && d[i] != ',' && d[i] != '}' && d[i] != ']' && !isSpace(d[i]) {
		i++
	}
	return i
}

// skipNested skips the object or array whose opening bracket is at i.
func skipNested(d []byte, i int) int {
	depth := 0
	for i < len(d) {
		switch d[i] {
		case '"':
			i = skipString(d, i+1)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return len(d)
}
