package matrix

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/test/peers"
)

// crowd is a client that calls a lot, with peers/clients/stress.mjs.
type crowd struct {
	name     string // how the page calls it
	way      string
	base     string
	endpoint string
	tool     string
	server   string
	calls    int
}

func crowds() []crowd {
	const tool = "trigger-long-running-operation"
	return []crowd{
		{"fetch over Streamable HTTP, 2026-07-28", "modern", "/mcp", "", "everything-http__" + tool, "everything-http", 1500},
		{"fetch over Streamable HTTP, 2025-11-25", "sessions", "/mcp", "everything-http", tool, "everything-http", 1500},
		{"TypeScript SDK 1's HTTP+SSE, 2025-11-25", "sse", "/sse", "everything-sse", tool, "everything-sse", 1500},
	}
}

// abreast is how many calls a crowd has under way.
const abreast = 24

// run makes all calls, each of which has to have its own answer.
func (c crowd) run(t *testing.T, w *world, number int) {
	plan := obj{
		"url": "http://" + w.addr + pathOf(c.base, c.endpoint), "tool": c.tool, "way": c.way,
		"client": number, "calls": c.calls, "concurrency": abreast,
	}
	said := lines(t, peers.Path(t, peers.Node), peers.Script(t, "stress.mjs"), string(encode(plan)))
	var found struct {
		Calls, Answered, Events, Progress, Lost, Foreign, Doubled int
		Example                                                   string
	}
	if err := json.Unmarshal([]byte(said[len(said)-1]), &found); err != nil {
		t.Fatalf("the client said %q: %v", said, err)
	}
	if found.Calls != c.calls || found.Answered != c.calls || found.Lost+found.Foreign+found.Doubled != 0 {
		t.Errorf("of %d calls %d have their own answer, %d are lost, %d have another's, %d have two; the first: %s",
			c.calls, found.Answered, found.Lost, found.Foreign, found.Doubled, found.Example)
	}
	// What reports on itself is answered with an event stream, which is what
	// breaks in other gateways.
	if found.Events < c.calls*9/10 || found.Progress < c.calls*9/10 {
		t.Errorf("%d of %d answers were event streams with %d reports, want nearly all", found.Events, c.calls, found.Progress)
	}
	t.Logf("%s: %+v", strings.TrimSpace(c.name), found)
	w.found.crowd(c, found.Answered)
}
