package postgres

import (
	"regexp"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

// kind is what a token is. Only what the verdict needs is told apart.
type kind uint8

const (
	word     kind = iota // an identifier or a keyword, folded; see quoted
	number               // also $1
	text                 // any string constant
	symbol               // ( ) [ ] , ; : .
	operator             // a run of operator characters
)

type token struct {
	kind   kind
	text   string
	quoted bool // a word in quotes, which is no keyword
}

// maxSQL bounds a statement, in bytes.
const maxSQL = 256 << 10

// lex cuts a statement as PostgreSQL's scanner does with
// standard_conforming_strings on (documentation, 4.1 Lexical Structure). What it
// cannot be sure of it refuses; the statement itself is read by the server.
func lex(sql string) ([]token, error) {
	if len(sql) > maxSQL {
		return nil, engine.Refuse("send less", "the statement is longer than %d bytes", maxSQL)
	}
	if strings.IndexByte(sql, 0) >= 0 {
		return nil, engine.Refuse("leave it out", "the statement has a zero byte")
	}
	l := &lexer{rest: sql}
	for l.next() {
	}
	for i, t := range l.tokens {
		// A constant with escapes may go on in the next line, after comments, too, and
		// has escapes there as well: what follows would be misread.
		if i > 0 && t.kind == text && t.text[0] == '\'' && escaping(l.tokens[i-1]) {
			l.refuse("a text with escapes goes on in another line")
		}
	}
	return l.tokens, l.err
}

func escaping(t token) bool { return t.kind == text && (t.text[0] == 'e' || t.text[0] == 'E') }

type lexer struct {
	rest   string
	tokens []token
	err    error
}

func (l *lexer) emit(k kind, n int) {
	t := token{kind: k, text: l.rest[:n]}
	if k == word {
		t.text = fold(t.text)
	}
	l.tokens = append(l.tokens, t)
	l.rest = l.rest[n:]
}

func (l *lexer) refuse(what string) bool {
	l.err = engine.Refuse("close it, or write it otherwise", "%s", what)
	return false
}

const (
	spaces    = " \t\r\n\f\v"
	operators = "+-*/<>=~!@#%^&|`?"
)

// next takes one token, or white space, and says whether to go on.
func (l *lexer) next() bool {
	l.rest = strings.TrimLeft(l.rest, spaces)
	if l.rest == "" {
		return false
	}
	c := l.rest[0]
	switch {
	case strings.HasPrefix(l.rest, "--"):
		end := strings.IndexAny(l.rest, "\r\n")
		if end < 0 {
			end = len(l.rest)
		}
		l.rest = l.rest[end:]
		return true
	case strings.HasPrefix(l.rest, "/*"):
		return l.comment()
	case c == '\'':
		return l.quote(0, false)
	case c == '"':
		return l.identifier(1)
	case c == '$':
		return l.dollar()
	case starts(c):
		return l.word()
	case c >= '0' && c <= '9' || c == '.' && len(l.rest) > 1 && l.rest[1] >= '0' && l.rest[1] <= '9':
		n := len(numeral.FindString(l.rest))
		if n < len(l.rest) && (continues(l.rest[n]) || l.rest[n] == '\'') {
			return l.refuse("a number is followed by a letter or a quote")
		}
		l.emit(number, n)
	case strings.IndexByte(operators, c) >= 0:
		l.emit(operator, l.operator())
	default:
		l.emit(symbol, 1)
	}
	return true
}

// comment passes over one with those inside it, which PostgreSQL nests.
func (l *lexer) comment() bool {
	depth, i := 0, 0
	for i+1 < len(l.rest) {
		switch l.rest[i : i+2] {
		case "/*":
			depth++
			i += 2
		case "*/":
			depth--
			i += 2
			if depth == 0 {
				l.rest = l.rest[i:]
				return true
			}
		default:
			i++
		}
	}
	return l.refuse("a comment does not end")
}

// quote takes a string constant whose opening quote is at from.
func (l *lexer) quote(from int, escapes bool) bool {
	for i := from + 1; i < len(l.rest); i++ {
		switch {
		case escapes && l.rest[i] == '\\':
			i++
		case l.rest[i] == '\'' && i+1 < len(l.rest) && l.rest[i+1] == '\'':
			i++
		case l.rest[i] == '\'':
			l.emit(text, i+1)
			return true
		}
	}
	return l.refuse("a text in quotes does not end")
}

// identifier takes one in quotes, which begins at from-1.
func (l *lexer) identifier(from int) bool {
	for i := from; i < len(l.rest); i++ {
		if l.rest[i] != '"' {
			continue
		}
		if i+1 < len(l.rest) && l.rest[i+1] == '"' {
			i++
			continue
		}
		name := strings.ReplaceAll(l.rest[from:i], `""`, `"`)
		l.tokens = append(l.tokens, token{kind: word, text: name, quoted: true})
		l.rest = l.rest[i+1:]
		return true
	}
	return l.refuse("a name in quotes does not end")
}

// dollar takes $tag$text$tag$ and $1.
func (l *lexer) dollar() bool {
	n := 1
	for n < len(l.rest) && l.rest[n] >= '0' && l.rest[n] <= '9' {
		n++
	}
	if n > 1 {
		l.emit(number, n)
		return true
	}
	for n < len(l.rest) && continues(l.rest[n]) && l.rest[n] != '$' {
		n++
	}
	if n >= len(l.rest) || l.rest[n] != '$' {
		l.emit(symbol, 1)
		return true
	}
	tag := l.rest[:n+1]
	end := strings.Index(l.rest[n+1:], tag)
	if end < 0 {
		return l.refuse("a text in dollars does not end")
	}
	l.emit(text, n+1+end+len(tag))
	return true
}

func (l *lexer) word() bool {
	if len(l.rest) > 1 && l.rest[1] == '\'' && strings.IndexByte("eEbBxXnN", l.rest[0]) >= 0 {
		return l.quote(1, l.rest[0] == 'e' || l.rest[0] == 'E')
	}
	if len(l.rest) > 2 && (l.rest[0] == 'u' || l.rest[0] == 'U') && l.rest[1] == '&' && (l.rest[2] == '\'' || l.rest[2] == '"') {
		return l.refuse("names and texts with U& are not read here")
	}
	n := 1
	for n < len(l.rest) && continues(l.rest[n]) {
		n++
	}
	l.emit(word, n)
	return true
}

// numeral is a number (documentation, 4.1.2.6). What follows at once would be read
// differently by versions of the server, and is refused.
var numeral = regexp.MustCompile(`^(0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|([0-9][0-9_]*(\.[0-9_]+|\.)?|\.[0-9][0-9_]*)([eE][+-]?[0-9][0-9_]*)?)`)

// operator is how long a run of operator characters is; a comment ends it.
func (l *lexer) operator() int {
	n := 1
	for n < len(l.rest) && strings.IndexByte(operators, l.rest[n]) >= 0 {
		if strings.HasPrefix(l.rest[n:], "--") || strings.HasPrefix(l.rest[n:], "/*") {
			break
		}
		n++
	}
	return n
}

func starts(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func continues(c byte) bool { return starts(c) || c >= '0' && c <= '9' || c == '$' }

// fold makes ASCII letters small, and leaves others, as the server does for UTF-8.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, name)
}
