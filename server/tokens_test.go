package server_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/dragoman-mcp/dragoman/server"
)

// random is text of pieces that meet in every way.
func random(r *rand.Rand, size int) string {
	pieces := []string{
		"a", "word", "internationalization", strings.Repeat("x", 40), "A", "AB", "ABC", "HTTPServer", "camelCase", "1", "12", "123456789",
		" ", "  ", strings.Repeat(" ", 17), "\n", "\t", `{"`, `":`, "-----", "é", "É", "naïve", "ÄÖÜ", "漢字", "😀", "\u202f", "ſ", "ß", "\x00",
	}
	var b strings.Builder
	for b.Len() < size {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return b.String()
}

func TestTokensAreThoseOfTheDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 2000 {
		text := random(r, r.IntN(1+i*2))
		if got, want := server.Tokens(text), server.DefinedTokens(text); got != want {
			t.Fatalf("Tokens(%q): got %d, want %d", text, got, want)
		}
		if most, want := server.AtMost(text), server.DefinedTokens(text); most < want {
			t.Fatalf("atMost(%q): got %d, want %d at least", text, most, want)
		}
	}
}

// TestBudgetOfTextIsTheLongestPart compares each cut with the definition.
func TestBudgetOfTextIsTheLongestPart(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		text, most := random(r, r.IntN(3000)), 1+r.IntN(600)
		part, whole := server.Limits{Tokens: most}.Budget().Text(text)
		if got := server.DefinedTokens(part); got > most || whole != (part == text) || !strings.HasPrefix(text, part) {
			t.Fatalf("Text(%q) of %d tokens: got %q, %t, which is %d", text, most, part, whole, got)
		}
		if whole {
			continue
		}
		_, size := utf8.DecodeRuneInString(text[len(part):])
		if more := text[:len(part)+size]; server.DefinedTokens(more) <= most {
			t.Fatalf("Text(%q) of %d tokens: got %q, want %q at least", text, most, part, more)
		}
	}
}

// What is not counted yet counts when it matters: however a text is put in, as much of it fits.
func TestBudgetCountsLateWhatItMustCount(t *testing.T) {
	const row = `{"id":17,"name":"Somebody"}`
	each := server.DefinedTokens(row)
	for _, most := range []int{each, 10 * each, 99*each + 3, 1000 * each} {
		b := server.Limits{Tokens: most}.Budget()
		buffer, n := make([]byte, 0, 64), 0
		for ; n <= most && b.Row(append(buffer[:0], row...)); n++ {
			clear(buffer[:cap(buffer)])
		}
		if n != most/each {
			t.Errorf("rows of %d tokens in a budget of %d: got %d, want %d", each, most, n, most/each)
		}
		b = server.Limits{Tokens: most}.Budget()
		for n = 0; n <= most; n++ {
			if _, whole := b.Text(row); !whole {
				break
			}
		}
		if n != most/each {
			t.Errorf("texts of %d tokens in a budget of %d: got %d, want %d", each, most, n, most/each)
		}
	}
}

// BenchmarkTokens compares Tokens with its definition, in turn.
func BenchmarkTokens(b *testing.B) {
	for name, text := range map[string]string{
		"prose":              strings.Repeat("A line of text with some words.\n", 2048),
		"JSON":               strings.Repeat(`{"id":1,"name":"Somebody","mail":"somebody@example.org"},`, 1200),
		"words beyond ASCII": strings.Repeat("Zwölf Boxkämpfer jagen – wie immer – Viktor über den großen Sylter Deich. ", 800),
		"short":              `{"id":1,"name":"Somebody","mail":"somebody@example.org"}`,
	} {
		b.Run(name, func(b *testing.B) {
			took := inTurn(b, func() { server.Tokens(text) }, func() { server.DefinedTokens(text) })
			b.ReportMetric(float64(took[0])/float64(took[1]), "ours/definition")
			b.ReportMetric(float64(took[0])/float64(time.Nanosecond)/float64(b.N*len(text)), "ns/byte")
		})
	}
}
