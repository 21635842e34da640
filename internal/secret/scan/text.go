package scan

import (
	"math"
	"strings"
)

// finder goes through a text once, from one beginning of a word to the next.
type finder struct {
	s       *Scanner
	text    string
	found   []span
	noToken int // up to here there is no JSON Web Token: it has been looked for
}

func (f *finder) run() {
	t := f.text
	for i := 0; i < len(t); {
		if classes[t[i]]&letter == 0 {
			i = f.symbol(i)
			continue
		}
		if end := formatted(t, i); end > 0 {
			i = f.add(i, end)
			continue
		}
		if t[i] == 'e' && i >= f.noToken {
			end, found := token(t, i)
			if found {
				i = f.add(i, end)
				continue
			}
			f.noToken = end
		}
		end := i + 1
		for end < len(t) && classes[t[end]]&letter != 0 {
			end++
		}
		i = f.word(i, end)
	}
}

func (f *finder) add(from, to int) int {
	if n := len(f.found); n > 0 && from <= f.found[n-1].to {
		f.found[n-1].to = max(to, f.found[n-1].to)
		return to
	}
	f.found = append(f.found, span{from, to})
	return to
}

// symbol looks at what is no letter or digit, and returns where to go on.
func (f *finder) symbol(i int) int {
	t := f.text
	switch {
	case t[i] == ':' && strings.HasPrefix(t[i:], "://"):
		return f.userinfo(i + 3)
	case t[i] == '-' && strings.HasPrefix(t[i:], pemBegin):
		return f.pem(i)
	case t[i] == '\\' && i+1 < len(t) && t[i+1] == 'u':
		return min(i+len(`\u0000`), len(t))
	case t[i] == '\\' && i+1 < len(t) && strings.IndexByte("nrtbf", t[i+1]) >= 0:
		return i + 2 // an escape, which is not the first letter of the word after it
	}
	return i + 1
}

// userinfo finds the credentials in a URL's authority, which begins at i
// (RFC 3986, section 3.2.1).
func (f *finder) userinfo(i int) int {
	t, colon := f.text, -1
	for at := i; at < len(t); at++ {
		switch c := t[at]; {
		case c == '@' && colon >= 0 && at > colon+1:
			return f.add(colon+1, at)
		case c == '@' && colon < 0 && at-i >= 16:
			return f.add(i, at)
		case c == '@':
			return at
		case c == ':' && colon < 0:
			colon = at
		case strings.IndexByte("/?# \t\r\n\"'<>\\", c) >= 0:
			return i
		}
	}
	return i
}

// pem finds a private key in PEM form (RFC 7468, section 10): all of it, and the
// rest of the text when its end is not there.
func (f *finder) pem(i int) int {
	head := f.text[i+len(pemBegin):]
	const label = 40 // RSA, EC, OPENSSH, ENCRYPTED, …
	if !strings.Contains(head[:min(len(head), label+len(pemKey))], pemKey) {
		return i + len(pemBegin)
	}
	if at := strings.Index(head, pemEnd); at >= 0 {
		end := i + len(pemBegin) + at + len(pemEnd)
		if close := strings.Index(f.text[end:], "-----"); close >= 0 {
			return f.add(i, end+close+len("-----"))
		}
	}
	return f.add(i, len(f.text))
}

// schemes are the first words of an Authorization field (RFC 9110, section
// 11.6.2), of which the rest is the secret.
var schemes = map[string]bool{"bearer": true, "basic": true, "dpop": true, "apikey": true}

// word looks at what follows the word at [from, to): a value, if the word is a
// name. It returns where to go on.
func (f *finder) word(from, to int) int {
	t := f.text
	if to >= len(t) || to-from > maxName {
		return to
	}
	switch t[to] {
	case ' ':
		if end := f.scheme(from, to); end > to {
			return end
		}
		if at := blanks(t, to); at >= len(t) || t[at] != ':' && t[at] != '=' {
			return to
		}
	case ':', '=', '"', '\'', '\\', ']', '%', '\t':
	default:
		return to
	}
	at, q := separated(t, to)
	if at >= len(t) {
		return to
	}
	for from > 0 && classes[t[from-1]]&dashed != 0 {
		from--
	}
	m := f.s.meaning(t[from:to])
	if m == entire && q.mark == 0 {
		if open := begins(t, at); open >= 0 {
			return f.add(at, nested(t, open))
		}
	}
	if m == nothing || q.mark == 0 && t[at] == '{' || strings.HasPrefix(t[at:], "${") {
		return to
	}
	end := 0
	switch {
	case q.mark != 0:
		end = q.end(t, at)
	case t[at] == '[' && m >= likely: // a list of them
		at, end = list(t, at)
	case m == perhaps:
		end = at + wordEnd(t[at:min(len(t), at+maxRandom+1)], false)
	default:
		end = at + wordEnd(t[at:], m == whole)
	}
	if secretValue(t[at:end], m, q.mark != 0) && (q.mark != 0 || m == whole || !f.s.isCode(t[at:end], t[end:])) {
		return f.add(at, end)
	}
	return to
}

// begins returns the place of the bracket with which an object, a list or a printed
// map begins at i; -1 when none does.
func begins(t string, i int) int {
	for _, how := range [...]string{"{", "[", "map[", "&{", "&map["} {
		if strings.HasPrefix(t[i:], how) {
			return i + len(how) - 1
		}
	}
	return -1
}

// nested returns the place after what the bracket at i begins: the end of t when it
// is not closed. Brackets in quotes do not count; how quotes are written, in a text
// in quotes itself, the first one shows.
func nested[T string | []byte](t T, i int) int {
	depth, slashes, mark, quoted := 0, 0, -1, false
	for ; i < len(t); i++ {
		switch c := t[i]; {
		case c == '\\':
			slashes++
			continue
		case c == '"':
			if mark < 0 {
				mark = slashes
			}
			if slashes%(2*(mark+1)) == mark {
				quoted = !quoted
			}
		case quoted:
		case c == '{', c == '[':
			depth++
		case c == '}', c == ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		slashes = 0
	}
	return len(t)
}

// scheme finds the credentials after a scheme: Bearer ….
func (f *finder) scheme(from, to int) int {
	t := f.text
	if to-from < len("DPoP") || to-from > len("bearer") || strings.IndexByte("bBdDaA", t[from]) < 0 {
		return to
	}
	if !schemes[strings.ToLower(t[from:to])] {
		return to
	}
	at := to + 1
	end := at
	for end < len(t) && (classes[t[end]]&(base64|path) != 0 || t[end] == '~') {
		end++
	}
	if end-at < 8 || !mixed(t[at:end]) && end-at < 20 {
		return to
	}
	return f.add(at, end)
}

// quote is what a value stands in; the zero quote is none.
type quote struct {
	mark    byte
	escaped bool // as in a text that is quoted itself
}

// separated skips what stands between a name and its value: the name's closing
// quote, : or = or =>, space, and the value's opening quote, which it returns.
// When there is no value, at is the length of the text.
func separated(t string, i int) (at int, q quote) {
	for i < len(t) && strings.IndexByte(`"'\]`, t[i]) >= 0 {
		i++
	}
	if strings.HasPrefix(t[i:], "%3D") || strings.HasPrefix(t[i:], "%3d") {
		return i + 3, q
	}
	i = blanks(t, i)
	if i >= len(t) || t[i] != ':' && t[i] != '=' || strings.HasPrefix(t[i:], "://") {
		return len(t), q
	}
	i++
	if i < len(t) && (t[i] == '>' || t[i] == '=') {
		i++
	}
	i = blanks(t, i)
	for i < len(t) && t[i] == '\\' {
		q.escaped = true
		i++
	}
	if i < len(t) && strings.IndexByte("\"'`", t[i]) >= 0 {
		q.mark = t[i]
		i++
	}
	return i, q
}

func blanks(t string, i int) int {
	for i < len(t) && (t[i] == ' ' || t[i] == '\t') {
		i++
	}
	return i
}

// end returns where the value that begins at i is closed.
func (q quote) end(t string, i int) int {
	for ; i < len(t) && t[i] != '\n' && t[i] != '\r'; i++ {
		closing := t[i] == '\\' && i+1 < len(t) && t[i+1] == q.mark
		switch {
		case t[i] == q.mark, closing && q.escaped:
			return i
		case t[i] == '\\' && i+1 < len(t):
			i++
		}
	}
	return min(i, len(t))
}

// list returns where the inside of a list begins and ends, without the quotes
// of the first and the last in it.
func list(t string, i int) (from, to int) {
	n := strings.IndexAny(t[i:], "]\r\n")
	if n < 0 {
		n = len(t) - i
	}
	inside := t[i+1 : i+n]
	from = i + 1 + len(inside) - len(strings.TrimLeft(inside, ` \"'`))
	return from, max(from, i+1+len(strings.TrimRight(inside, ` \"'`)))
}

// wordEnd returns where a value that stands in no quotes ends: at what ends a
// word, or when it is whole at the end of the line.
func wordEnd(t string, whole bool) int {
	ends := " \t\r\n\"'`,;&)]}<>\\|"
	if whole {
		ends = "\r\n\"'`\\"
	}
	if n := strings.IndexAny(t, ends); n >= 0 {
		return n
	}
	return len(t)
}

// secretValue tells whether a value is a secret under a name of this meaning.
func secretValue(value string, m meaning, quoted bool) bool {
	if value == "" || value == Redacted || strings.HasPrefix(Redacted, value) && value != "" && value[0] == '[' {
		return false
	}
	switch {
	case m >= surely:
		return quoted || !placeholder(value)
	case m == likely:
		return (quoted || !placeholder(value)) && !number(value) && len(value) >= 4
	}
	return random(value)
}

// placeholder is a value that is a word of a language, not of a person.
func placeholder(value string) bool {
	switch value {
	case "null", "nil", "true", "false", "none", "None", "True", "False", "undefined", "<nil>", "{", "[", "{}", "[]":
		return true
	}
	return value[0] == '['
}

func number(value string) bool {
	for i := range len(value) {
		if classes[value[i]]&digit == 0 && strings.IndexByte(".,- ", value[i]) < 0 {
			return false
		}
	}
	return true
}

// mixed tells whether there are letters and digits.
func mixed(value string) bool {
	digits, letters := false, false
	for i := range len(value) {
		if classes[value[i]]&digit != 0 {
			digits = true
		} else if classes[value[i]]&letter != 0 {
			letters = true
		}
	}
	return digits && letters
}

// minEntropy is in bits per byte: 16 random hexadecimal digits have about 3.2 of
// the 4 that they could have, a name with a year in it less than 3.
const minEntropy = 3.0

// maxRandom bounds a text that may look random, in bytes.
const maxRandom = 1024

// random tells whether a value looks made by a generator of random bytes: one
// word of at least 16 bytes, letters and digits, few of them often.
func random(value string) bool {
	if len(value) < 16 || len(value) > maxRandom || !mixed(value) {
		return false
	}
	var counts [256]int
	for i := range len(value) {
		if c := value[i]; classes[c]&(base64|dotted) == 0 {
			return false
		}
		counts[value[i]]++
	}
	entropy := 0.0
	for _, n := range counts {
		if n > 0 {
			p := float64(n) / float64(len(value))
			entropy -= p * math.Log2(p)
		}
	}
	return entropy >= minEntropy
}
