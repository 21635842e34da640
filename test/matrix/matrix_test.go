package matrix

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/upstream"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// kind is a kind of client or server.
type kind struct{ rev, transport string }

// The transports of a revision. HTTP+SSE is that of 2024-11-05, kept by servers
// and clients of later revisions with sessions; Streamable HTTP begins with
// 2025-03-26. stdio is in all revisions, WebSocket in none and possible in all.
// Built-in servers speak the newest revision only.
func transportsOf(rev string, serves bool) []string {
	all := []string{"stdio"}
	if rev >= rev2503 {
		all = append(all, "http")
	}
	if rev < revModern {
		all = append(all, "sse")
	}
	all = append(all, "websocket")
	if serves && rev == revModern {
		all = append(all, "in-process")
	}
	return all
}

func kinds(serves bool) []kind {
	var all []kind
	for _, rev := range revisions() {
		for _, transport := range transportsOf(rev, serves) {
			all = append(all, kind{rev, transport})
		}
	}
	return all
}

// name is what the configuration calls a server.
func (k kind) name() string {
	return k.transport + "-" + strings.ReplaceAll(k.rev, "-", "")
}

// site is the gateway between its servers and clients.
type site struct {
	app  *app.App
	addr string
}

// open starts the servers and the gateway; the test's end stops them.
func open(t *testing.T) *site {
	t.Helper()
	h := newHouse(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	servers, handlers := obj{}, map[string]mcp.Handler{}
	for _, k := range kinds(true) {
		s := newScript(k.name(), k.rev)
		servers[s.name] = obj{"url": "http://" + h.addr + "/" + s.name}
		switch {
		case k.transport == "stdio":
			servers[s.name] = obj{"command": list{self, "serve:" + s.name}}
		case k.transport == "in-process":
			servers[s.name] = obj{"builtin": s.name}
			handlers[s.name] = inProcess{s}
		case k.transport == "websocket":
			servers[s.name] = obj{"url": "ws://" + h.addr + "/" + s.name}
			h.serveSocket(s)
		case k.transport == "sse":
			h.serveSSE(s)
		case k.rev == revModern:
			h.serveNewHTTP(s)
		default:
			h.serveOldHTTP(s)
		}
	}
	text := encode(obj{
		"listen": "127.0.0.1:0", "servers": servers, "catalog": obj{"page_size": 8},
		// Health checks have their own tests; here they would only take time.
		"defaults": obj{"health": obj{"interval": "0s"}},
		"log":      obj{"level": "debug", "format": "text"},
	})
	cfg, err := config.Parse("matrix.yaml", text, nil)
	if err != nil {
		t.Fatal(err)
	}
	log := &journal{t: t}
	a, err := app.Open(cfg, app.Options{
		Version: "matrix", Environ: os.Environ(), LogOutput: log, QuietCalls: true,
		Builtin: func(name string, _ json.RawMessage) (mcp.Handler, error) {
			if handlers[name] == nil {
				return nil, fmt.Errorf("no handler for %s", name)
			}
			return handlers[name], nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	server, err := a.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := server.Run(ctx); err != nil {
			t.Errorf("run the gateway: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
		closing, stop := context.WithTimeout(context.Background(), 30*time.Second)
		defer stop()
		if err := a.Close(closing); err != nil {
			t.Errorf("close the gateway: %v", err)
		}
		log.tell()
	})
	g := &site{app: a, addr: server.Addr().String()}
	g.settle(t)
	return g
}

// settle waits until every server has been listed. One of them does not answer
// the question of which era it is, which takes 5 seconds.
func (g *site) settle(t *testing.T) {
	t.Helper()
	var out []string
	if !awaitFor(t.Context(), time.Minute, func() bool {
		out = nil
		for _, st := range g.app.Statuses() {
			if st.State != upstream.Ready || st.Tools == 0 || st.Resources == 0 || st.Prompts == 0 || st.Listed != "" {
				out = append(out, fmt.Sprintf("%s is %s (%s), %d tools (%s)", st.Server, st.State, st.Reason, st.Tools, st.Listed))
			}
		}
		return out == nil
	}) {
		t.Fatalf("not all servers are ready:\n%s", strings.Join(out, "\n"))
	}
}

// journal keeps the gateway's log for a test that fails.
type journal struct {
	t  *testing.T
	mu sync.Mutex
	b  strings.Builder
}

// Write implements io.Writer.
func (j *journal) Write(text []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.b.Len() < 4<<20 {
		j.b.Write(text)
	}
	return len(text), nil
}

func (j *journal) tell() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.t.Failed() && os.Getenv("MATRIX_LOG") != "" {
		j.t.Logf("the gateway's log:\n%s", j.b.String())
	}
}

// connect opens a client's conversation with an endpoint.
func (g *site) connect(t *testing.T, k kind, endpoint string, caps obj) *client {
	t.Helper()
	c := newClient(k.rev, k.transport)
	c.caps = caps
	var err error
	switch k.transport {
	case "stdio":
		err = connectStdio(g.app, c, endpoint)
	case "websocket":
		err = connectSocket(g.addr, c, endpoint)
	case "sse":
		err = connectSSE(g.addr, c, endpoint)
	default:
		err = connectHTTP(g.addr, c, endpoint)
	}
	if err != nil {
		t.Fatalf("connect over %s: %v", k.transport, err)
	}
	if err := c.greet(t.Context()); err != nil {
		c.close()
		t.Fatal(err)
	}
	return c
}

// retire ends a client and tells what it has noticed.
func (p *pair) retire(t *testing.T, c *client) {
	t.Helper()
	c.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.faults {
		t.Errorf("the client noticed: %s", f)
	}
	c.faults = nil
}

// dial opens another conversation of the pair's client.
func (p *pair) dial(t *testing.T, endpoint string, caps obj) *client {
	t.Helper()
	return p.site.connect(t, kind{p.c.rev, p.c.transport}, endpoint, caps)
}

// TestEveryPairOfClientAndServerWorksAsFarAsBothCan is the matrix.
func TestEveryPairOfClientAndServerWorksAsFarAsBothCan(t *testing.T) {
	g := open(t)
	found := newFindings()
	t.Run("pairs", func(t *testing.T) {
		for _, server := range kinds(true) {
			// Clients come one after the other: who shares a session of a server
			// that does not say to which call a question belongs is told to wait.
			t.Run("server "+server.name(), func(t *testing.T) {
				t.Parallel()
				for _, k := range kinds(false) {
					t.Run("client "+k.name(), func(t *testing.T) { g.pair(t, k, server, found) })
				}
			})
		}
	})
	if found.complete() {
		found.compare(t)
	}
}

// pair lets one client use one server.
func (g *site) pair(t *testing.T, k, server kind, found *findings) {
	c := g.connect(t, k, server.name(), capsOf(k.rev))
	p := &pair{site: g, c: c, s: target{name: server.name(), rev: server.rev, transport: server.transport}}
	for _, f := range features() {
		works := false
		ok := t.Run(f.head, func(t *testing.T) { works = f.run(t, p) })
		found.note(k, server, f.head, works, ok)
	}
	if faults := c.tool(t, "faults", nil); faults != "" {
		t.Errorf("the server noticed: %s", faults)
	}
	p.retire(t, c)
}
