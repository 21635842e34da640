package jsonrpc_test

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// writer makes JSON texts that are valid but for now and then a name twice, in one spelling or another. A fuzzer that
// changes bytes seldom makes such texts.
type writer struct {
	rand *rand.Rand
	strings.Builder
}

func (w *writer) value(depth int) {
	switch n := w.rand.IntN(8); {
	case n < 2 && depth > 0:
		w.object(depth)
	case n == 2 && depth > 0:
		w.WriteString("[ ")
		for i := range w.rand.IntN(6) {
			if i > 0 {
				w.WriteByte(',')
			}
			w.value(depth - 1)
		}
		w.WriteString("]")
	case n == 3:
		w.WriteString("-1.5e+3")
	case n == 4:
		w.WriteString(`"` + strings.Repeat("x", w.rand.IntN(100)) + `\"é漢😀` + strings.Repeat("y", w.rand.IntN(40)) + `"`)
	default:
		w.WriteString([]string{"null", "true", "false", "0", `""`}[w.rand.IntN(5)])
	}
}

func (w *writer) object(depth int) {
	size := w.rand.IntN(5)
	if w.rand.IntN(10) == 0 {
		size = w.rand.IntN(150)
	}
	w.WriteByte('{')
	for i := range size {
		if i > 0 {
			w.WriteString(", ")
		}
		w.name(i)
		w.value(depth - 1)
	}
	w.WriteByte('}')
}

func (w *writer) name(i int) {
	if w.rand.IntN(60) == 0 {
		i = w.rand.IntN(i + 1)
	}
	name := []string{"", "name ", "a much longer name, é ", "io.modelcontextprotocol/"}[i%4] + strconv.Itoa(i)
	if w.rand.IntN(10) == 0 {
		last := name[len(name)-1]
		name = name[:len(name)-1] + `\u00` + strconv.FormatInt(int64(last), 16)
	}
	w.WriteString(`"` + name + `" : `)
}

func TestRandomObjectsAreJudgedAsByTheOracle(t *testing.T) {
	w := writer{rand: rand.New(rand.NewPCG(1, 2))}
	verdicts := map[bool]int{}
	for range 3000 {
		w.Reset()
		w.object(4)
		text := w.String()
		want := judge([]byte(text), 128)
		_, err := jsonrpc.ParseObject([]byte(text), jsonrpc.Limits{})
		if (err == nil) != (want == nil) {
			t.Fatalf("ParseObject(%s): got error %v, oracle says %v", text, err, want)
		}
		verdicts[err == nil]++
	}
	if verdicts[true] < 500 || verdicts[false] < 500 {
		t.Errorf("got %d accepted and %d refused, want at least 500 of each", verdicts[true], verdicts[false])
	}
}
