package jsonrpc

import "bytes"

const (
	defaultDepth = 128
	defaultBatch = 100
	// maxNumber bounds a number's text in bytes: readers that turn it into a big integer need time quadratic in its length.
	maxNumber = 1024
)

// Limits bounds what a message may hold. Its size is bounded by whoever reads it from the wire.
type Limits struct {
	// MaxDepth is how deep objects and arrays may be nested, the message itself being 1; 0 is 128.
	MaxDepth int
	// MaxBatch is how many messages a batch may hold; 0 is 100.
	MaxBatch int
}

func (l Limits) depth() int {
	if l.MaxDepth <= 0 {
		return defaultDepth
	}
	return l.MaxDepth
}

func (l Limits) batch() int {
	if l.MaxBatch <= 0 {
		return defaultBatch
	}
	return l.MaxBatch
}

// scanner checks JSON text (RFC 8259) in one pass by recursive descent. Its methods take the offset to start at and return
// the offset after what they read, or -1 after they have recorded in hard why they cannot go on. What is wrong and yet
// leaves the text readable goes to soft: the scan continues, so that the id of a bad request is found wherever it stands.
//
// No method returns a pointer into the scanner and no result is kept in it: its buffers stay on the stack of Parse.
type scanner struct {
	data []byte
	max  int
	hard fault
	soft fault
	// names belongs to the caller's stack frame, see nameStack.
	names *nameStack
}

func (s *scanner) stop(at int, why string) int {
	if !s.hard.found() {
		s.hard = fault{CodeParse, at, why}
	}
	return -1
}

// fault returns what is wrong with the text: that it is no JSON comes first.
func (s *scanner) fault() fault {
	if s.hard.found() {
		return s.hard
	}
	return s.soft
}

func (s *scanner) note(at int, why string) {
	if !s.soft.found() {
		s.soft = fault{CodeInvalidRequest, at, why}
	}
}

// space returns the offset of the first byte at or after i that is not white space.
func (s *scanner) space(i int) int {
	for i < len(s.data) && s.data[i] <= ' ' && isSpace(s.data[i]) {
		i++
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// value scans the value that begins at i, which is not white space. depth is that of the container around it.
func (s *scanner) value(i, depth int) int {
	if i >= len(s.data) {
		return s.stop(i, "text ends where a value should be")
	}
	switch c := s.data[i]; c {
	case '"':
		end, _ := s.text(i + 1)
		return end
	case '{':
		return s.object(i+1, depth+1)
	case '[':
		return s.array(i+1, depth+1)
	case 't':
		return s.literal(i, "true")
	case 'f':
		return s.literal(i, "false")
	case 'n':
		return s.literal(i, "null")
	default:
		if c == '-' || isDigit(c) {
			return s.number(i)
		}
	}
	return s.stop(i, "not the start of a value")
}

func (s *scanner) literal(i int, word string) int {
	if end := i + len(word); end <= len(s.data) && string(s.data[i:end]) == word {
		return end
	}
	return s.stop(i, "not the start of a value, only true, false and null are words")
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func (s *scanner) number(i int) int {
	start := i
	if s.data[i] == '-' {
		i++
	}
	if i < len(s.data) && s.data[i] == '0' {
		i++
	} else if i = s.digits(i); i < 0 {
		return i
	}
	if i < len(s.data) && s.data[i] == '.' {
		if i = s.digits(i + 1); i < 0 {
			return i
		}
	}
	if i < len(s.data) && s.data[i]|0x20 == 'e' {
		i++
		if i < len(s.data) && (s.data[i] == '+' || s.data[i] == '-') {
			i++
		}
		if i = s.digits(i); i < 0 {
			return i
		}
	}
	if i-start > maxNumber {
		s.note(start, "number is longer than 1024 characters, send it as a string")
	}
	return i
}

// digits scans one digit or more.
func (s *scanner) digits(i int) int {
	start := i
	for i < len(s.data) && isDigit(s.data[i]) {
		i++
	}
	if i == start {
		return s.stop(i, "a digit is missing in a number")
	}
	return i
}

// enter refuses a container that is nested too deep. i is the offset after its opening bracket.
func (s *scanner) enter(i, depth int) bool {
	if depth <= s.max {
		return true
	}
	s.stop(i-1, "objects and arrays are nested too deep")
	s.hard.code = CodeInvalidRequest
	return false
}

// array scans an array from i, the offset after its bracket.
func (s *scanner) array(i, depth int) int {
	if !s.enter(i, depth) {
		return -1
	}
	if i = s.space(i); i < len(s.data) && s.data[i] == ']' {
		return i + 1
	}
	for {
		if i = s.value(i, depth); i < 0 {
			return i
		}
		var last bool
		if i, last = s.next(i, ']'); last || i < 0 {
			return i
		}
	}
}

// object scans an object from i, the offset after its brace.
func (s *scanner) object(i, depth int) int {
	if !s.enter(i, depth) {
		return -1
	}
	if i = s.space(i); i < len(s.data) && s.data[i] == '}' {
		return i + 1
	}
	names := nameSet{base: len(s.names.all())}
	for {
		if _, i = s.name(i, &names); i < 0 {
			return i
		}
		if i = s.value(i, depth); i < 0 {
			return i
		}
		var last bool
		if i, last = s.next(i, '}'); last || i < 0 {
			s.names.cut(names.base)
			return i
		}
	}
}

// next scans what follows an element: a comma, and then it returns where the next element begins, or the closing bracket,
// and then it returns the offset after it and true.
func (s *scanner) next(i int, closing byte) (int, bool) {
	i = s.space(i)
	if i >= len(s.data) {
		return s.stop(i, "text ends within an object or array"), false
	}
	switch s.data[i] {
	case ',':
		return s.space(i + 1), false
	case closing:
		return i + 1, true
	}
	if closing == ']' {
		return s.stop(i, "expected a comma or ] after an element"), false
	}
	return s.stop(i, "expected a comma or } after a member"), false
}

// name scans a member's name and colon, records the name in names, and returns it and where the member's value begins.
func (s *scanner) name(i int, names *nameSet) ([]byte, int) {
	if i >= len(s.data) || s.data[i] != '"' {
		return nil, s.stop(i, "expected a member name in quotes")
	}
	at := i
	k := key{start: i + 1}
	if i, k.print = shortName(s.data, k.start); i > 0 {
		k.n = i - 1 - k.start
	} else if k, i = s.longName(k.start); i < 0 {
		return nil, i
	}
	name := s.nameAt(k)
	if !s.add(names, k, name) {
		s.note(at, "member "+quoted(name)+" stands twice in one object, send it once")
	}
	if i = s.space(i); i >= len(s.data) || s.data[i] != ':' {
		return nil, s.stop(i, "expected a colon after a member name")
	}
	return name, s.space(i + 1)
}

// longName scans a name of any kind from i, the offset after its opening quote. It returns where the name as it reads is
// kept, and the offset after its closing quote.
func (s *scanner) longName(i int) (key, int) {
	k := key{start: i}
	end, escaped := s.text(i)
	if end < 0 {
		return k, end
	}
	if k.n = end - 1 - i; escaped {
		k = s.unescape(k)
	}
	k.print = fingerprint(s.nameAt(k))
	return k, end
}

// unescape returns where the name that stands at k is kept with its escapes resolved.
func (s *scanner) unescape(k key) key {
	start := len(s.names.unescaped)
	text, ok := unescape(s.names.unescaped, s.data[k.start:][:k.n])
	if !ok {
		s.note(k.start-1, "lone surrogate in a member name")
	}
	s.names.unescaped = text
	return key{start: ^start, n: len(text) - start}
}

// begin scans white space, which may surround a JSON text, and refuses a byte order mark (RFC 8259 §8.1: "MUST NOT add").
func (s *scanner) begin() int {
	if bytes.HasPrefix(s.data, []byte("\xef\xbb\xbf")) {
		return s.stop(0, "byte order mark, send UTF-8 without one")
	}
	i := s.space(0)
	if i == len(s.data) {
		return s.stop(i, "message is empty")
	}
	return i
}

// end refuses anything but white space from i.
func (s *scanner) end(i int) {
	if i < 0 {
		return
	}
	if i = s.space(i); i < len(s.data) {
		s.stop(i, "more bytes after the end of the message")
	}
}

// quoted returns name for an error message, bounded.
func quoted(name []byte) string {
	const most = 64
	if len(name) > most {
		return string(AppendString(nil, string(name[:most]))) + "…"
	}
	return string(AppendString(nil, string(name)))
}
