package streamhttp_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Headers of usual requests are kept between calls: none may get those of another.
func TestEachCallHasItsOwnHeadersHoweverManyToolsThereAre(t *testing.T) {
	p := newRemote(t, func(w http.ResponseWriter, _ *http.Request, msg jsonrpc.Message) {
		respondResult(w, msg, `{"resultType":"complete"}`)
	})
	c := p.client()
	const names, callers, trace = 300, 4, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for n := range names {
				name := fmt.Sprintf("tool%d", (n*(caller+1))%names)
				if n%50 == 0 {
					name += strings.Repeat("x", 200) // too long to be kept
				}
				req := asked("tools/call", `{"name":"`+name+`"}`)
				if n%7 == 0 {
					req.TraceParent = trace
				}
				if _, err := c.Handle(context.Background(), req); err != nil {
					t.Errorf("call of %s: %v", name, err)
				}
			}
		})
	}
	wg.Wait()
	traces := 0
	for _, r := range p.got() {
		name, _ := r.msg.Params.String("name")
		if got := r.header.Get("Mcp-Name"); got != name || r.header.Get("Mcp-Method") != "tools/call" || r.header.Get("Authorization") != "Bearer s" {
			t.Errorf("call of %s: got headers %v", name, r.header)
		}
		if r.header.Get("Traceparent") != "" {
			traces++
		}
	}
	if want := callers * ((names + 6) / 7); traces != want {
		t.Errorf("%d calls said which trace they belong to, want %d", traces, want)
	}
}
