package server

import (
	"cmp"
	"time"
	"unicode/utf8"
)

// Limits bound one call and its answer. As a section of settings, its keys are
// max_bytes, max_rows, max_tokens and timeout.
type Limits struct {
	// Most bytes of one answer. Default 256 KiB.
	Bytes Size `yaml:"max_bytes" default:"256KiB" min:"1KiB" max:"64MiB"`
	// Most rows, entries or matches of one answer. Default 1000.
	Rows int `yaml:"max_rows" default:"1000" min:"1" max:"1000000"`
	// Most tokens of one answer, as Tokens counts them. Default 25000.
	Tokens int `yaml:"max_tokens" default:"25000" min:"100" max:"10000000"`
	// Most time that one call may take. Default 30 s.
	Time time.Duration `yaml:"timeout" default:"30s" min:"1ms" max:"1h"`
}

func (l Limits) complete() Limits {
	return l.over(Limits{Bytes: 256 << 10, Rows: 1000, Tokens: 25000, Time: 30 * time.Second})
}

// over returns l with what it does not set taken from others.
func (l Limits) over(others Limits) Limits {
	return Limits{
		Bytes: cmp.Or(l.Bytes, others.Bytes), Rows: cmp.Or(l.Rows, others.Rows),
		Tokens: cmp.Or(l.Tokens, others.Tokens), Time: cmp.Or(l.Time, others.Time),
	}
}

// Within returns l where it is set and not above what most allows, and most
// elsewhere: what a caller wishes, within what it may have.
func (l Limits) Within(most Limits) Limits {
	return Limits{
		Bytes: least(l.Bytes, most.Bytes), Rows: least(l.Rows, most.Rows),
		Tokens: least(l.Tokens, most.Tokens), Time: least(l.Time, most.Time),
	}
}

func least[T Size | int | time.Duration](wish, most T) T {
	if wish <= 0 || most > 0 && wish > most {
		return most
	}
	return wish
}

// Budget returns what may be spent within l, nothing of it spent; fields that
// are zero have no bound.
func (l Limits) Budget() *Budget { return &Budget{most: l} }

// Budget counts what an answer has room for. It must not be used concurrently.
//
// Tokens are counted only when it matters, since most answers are far from the
// limit: a token has a byte at least. Until then texts are held, to be counted
// all at once if need be.
type Budget struct {
	most   Limits
	bytes  int
	rows   int
	tokens int      // of what has been counted
	held   []byte   // rows that have not, each with a space behind it
	texts  []string // texts that have not
	owed   int      // tokens that both have at most
}

// maxHeld bounds the bytes of rows that are held.
const maxHeld = 64 << 10

// Lower lowers what may be spent altogether to the caller's wishes, which never
// raise it.
func (b *Budget) Lower(wish Limits) { b.most = wish.Within(b.most) }

// Row reports whether one more row, entry or match of this text fits, and counts
// it if it does. When the very first does not fit, no other page will help: the
// call should fail with an [Error] that says how to ask for less.
func (b *Budget) Row(text []byte) bool {
	if exceeds(b.rows+1, b.most.Rows) || exceeds(b.bytes+len(text), int(b.most.Bytes)) || !b.rowTokens(text) {
		return false
	}
	b.rows++
	b.bytes += len(text)
	return true
}

func (b *Budget) rowTokens(text []byte) bool {
	if b.most.Tokens <= 0 {
		return true
	}
	if !b.surely(len(text)) || len(b.held)+len(text) >= maxHeld {
		b.settle()
	}
	if len(text) < maxHeld && b.surely(len(text)) {
		b.held = append(append(b.held, text...), ' ')
		b.owed += len(text)
		return true
	}
	tokens := tokensOf(text)
	if b.tokens+tokens > b.most.Tokens {
		return false
	}
	b.tokens += tokens
	return true
}

// surely reports whether n tokens more fit whatever those are that are held.
func (b *Budget) surely(n int) bool { return b.tokens+b.owed+n <= b.most.Tokens }

// settle counts what is held.
func (b *Budget) settle() {
	b.tokens += tokensOf(b.held)
	for _, text := range b.texts {
		b.tokens += Tokens(text)
	}
	b.held, b.texts, b.owed = b.held[:0], b.texts[:0], 0
}

// Text returns as much of text as fits, ending between two characters, counts it,
// and says whether that is all of it.
func (b *Budget) Text(text string) (part string, whole bool) {
	n := len(text)
	if b.most.Bytes > 0 {
		n = min(n, max(0, int(b.most.Bytes)-b.bytes))
	}
	for n > 0 && n < len(text) && !utf8.RuneStart(text[n]) {
		n--
	}
	n = b.textTokens(text[:n])
	b.bytes += n
	return text[:n], n == len(text)
}

// textTokens counts the longest beginning of text that fits, and returns its length.
func (b *Budget) textTokens(text string) int {
	if b.most.Tokens <= 0 {
		return len(text)
	}
	most := len(text)
	if !b.surely(most) {
		most = atMost([]byte(text))
	}
	if !b.surely(most) {
		b.settle()
	}
	if b.surely(most) {
		b.texts = append(b.texts, text)
		b.owed += most
		return len(text)
	}
	room := max(0, b.most.Tokens-b.tokens)
	if len(text)/sparse <= room {
		if tokens := Tokens(text); tokens <= room {
			b.tokens += tokens
			return len(text)
		}
	}
	n, left := prefix([]byte(text), room)
	b.tokens += room - left
	return n
}

// sparse is how many bytes a token has in text that is counted whole although it
// may not fit; longer text hardly ever does.
const sparse = 8

// Rows says how many rows were counted.
func (b *Budget) Rows() int { return b.rows }

func exceeds(n, most int) bool { return most > 0 && n > most }

// Page is embedded into results that may be cut.
type Page struct {
	Truncated  bool   `json:"truncated" jsonschema:"whether there is more"`
	NextCursor string `json:"next_cursor,omitempty" jsonschema:"pass as cursor for what follows"`
}

func (p Page) cut() bool { return p.Truncated }
