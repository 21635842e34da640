package plan_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/server/internal/plan"
)

// TestQuotedIsWhatTheTextIs reads back what was quoted, for texts with quotes, backslashes and wide characters at every
// place of a word, and for memory that is large enough, too small, and shared with the text.
func TestQuotedIsWhatTheTextIs(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	parts := []string{`"`, `\\`, "a", "bc", "12345678", "é", "世", "\U0001F600", "\u2028", "\x7f", " "}
	for range 2000 {
		var b strings.Builder
		for range r.IntN(30) {
			b.WriteString(parts[r.IntN(len(parts))])
		}
		text := b.String()
		for _, dst := range [][]byte{nil, make([]byte, 3, 5), append(make([]byte, 0, 4096), "before"...)} {
			got := plan.AppendQuoted(dst, []byte(text))
			var back string
			if err := json.Unmarshal(got[len(dst):], &back); err != nil || back != text || string(got[:len(dst)]) != string(dst) {
				t.Fatalf("%q: got %q, which reads %q, %v", text, got, back, err)
			}
			if want := jsonrpc.AppendString(nil, text); string(want) != string(got[len(dst):]) {
				t.Fatalf("%q: got %q, want %q as for any text", text, got[len(dst):], want)
			}
		}
		shared := append(make([]byte, 0, len(text)+1), text...)
		if got, want := plan.AppendQuoted(shared, shared), text+string(jsonrpc.AppendString(nil, text)); string(got) != want {
			t.Fatalf("%q in its own memory: got %q, want %q", text, got, want)
		}
	}
}

// TestSpaceIsLeftOut compares with what encoding/json writes of the same value.
func TestSpaceIsLeftOut(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	spaces := []string{"", "", " ", "\n", "\t  ", "                  "}
	var write func(depth int) (spaced, plain string)
	write = func(depth int) (string, string) {
		gap := func() string { return spaces[r.IntN(len(spaces))] }
		if depth == 0 || r.IntN(4) == 0 {
			word := []string{"1", "-2.5e3", "true", "null", `"x y"`, `"a longer text, of more than sixteen bytes"`}[r.IntN(6)]
			return word, word
		}
		var spaced, plain []string
		for i := range r.IntN(4) {
			s, p := write(depth - 1)
			name := fmt.Sprintf(`"n%d"`, i)
			spaced, plain = append(spaced, gap()+name+gap()+":"+gap()+s+gap()), append(plain, name+":"+p)
		}
		if len(plain) == 0 {
			return "{" + gap() + "}", "{}"
		}
		return "{" + strings.Join(spaced, ",") + "}", "{" + strings.Join(plain, ",") + "}"
	}
	for range 1000 {
		spaced, want := write(4)
		for _, dst := range [][]byte{nil, make([]byte, 0, len(spaced)), make([]byte, 2, 20)} {
			got, err := plan.AppendRaw(dst, []byte(spaced))
			if err != nil || string(got[len(dst):]) != want {
				t.Fatalf("%q: got %q, %v, want %q", spaced, got[len(dst):], err, want)
			}
		}
	}
}
