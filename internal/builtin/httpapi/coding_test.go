package httpapi_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi"
	"github.com/dragoman-mcp/dragoman/server/servertest"
)

// An API that compresses as it likes is told apart from one that is down: the caller learns what is wrong, and nothing is tried again.
func TestAnAnswerInACodingThatWasNotAskedForIsRefusedAtOnce(t *testing.T) {
	var asked atomic.Int64
	base := serving(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Encoding", "br")
		_, _ = w.Write([]byte("\x8b\x00\x80a\x03"))
	})
	c := servertest.Open(t, httpapi.New, settings(t, base, args{"surface": "search"}))
	r, err := c.Call(t.Context(), "call", args{"operation": "getNote", "arguments": args{"id": "7"}})
	want := `answer is compressed in a way that was not asked for: it comes as "br", asked for was gzip`
	if err != nil || !r.IsError || !strings.Contains(r.Text(), want) || !strings.Contains(r.Text(), "Accept-Encoding") {
		t.Errorf("got %q, %v, want %q and what to do about it", r.Text(), err, want)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the API was asked %d times, want once", n)
	}
}
