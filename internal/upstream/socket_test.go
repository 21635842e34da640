package upstream_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/websocket"
)

// sockets serves what a program would on pipes, one conversation per socket.
type sockets struct {
	t      *testing.T
	traits []string
	work   sync.WaitGroup

	mu     sync.Mutex // guards what follows
	opened int
	conns  []mcp.Conn
	dead   map[mcp.Conn]bool // what comes on these is not seen
}

// tapped notes the connection that is taken over.
type tapped struct {
	http.ResponseWriter
	conn net.Conn
}

func (t *tapped) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(t.ResponseWriter).Hijack()
	t.conn = conn
	return conn, rw, err
}

func (s *sockets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	tap := &tapped{ResponseWriter: w}
	conn, err := websocket.Upgrade(tap, r, websocket.Options{})
	if err != nil {
		return
	}
	s.mu.Lock()
	s.opened++
	s.conns = append(s.conns, conn)
	s.mu.Unlock()
	s.work.Go(func() {
		in, lines := io.Pipe()
		served := make(chan struct{})
		peer := &server{out: frames{conn}, traits: make(map[string]string)}
		for _, trait := range s.traits {
			name, value, _ := strings.Cut(trait, "=")
			peer.traits[name] = value
		}
		go func() {
			defer close(served)
			if peer.serve(in); peer.has("rude") {
				_ = tap.conn.Close()
			}
			_ = conn.Close()
			_ = in.Close()
		}()
		for {
			message, err := conn.Read(context.Background())
			if err == nil && !s.isDead(conn) {
				_, err = lines.Write(append(message, '\n'))
			}
			if err != nil {
				break
			}
		}
		_ = lines.Close()
		<-served
	})
}

// cut breaks all sockets off.
func (s *sockets) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.conns {
		_ = conn.Close()
	}
	s.conns = nil
}

// deafen makes all sockets dead, without closing them.
func (s *sockets) deafen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = make(map[mcp.Conn]bool)
	for _, conn := range s.conns {
		s.dead[conn] = true
	}
}

func (s *sockets) isDead(conn mcp.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dead[conn]
}

func (s *sockets) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// frames writes each line as a message.
type frames struct{ conn mcp.Conn }

func (f frames) Write(line []byte) (int, error) {
	return len(line), f.conn.Write(context.Background(), bytes.TrimSuffix(line, []byte{'\n'}))
}

func atSocket(t *testing.T, traits ...string) (*sockets, func(*config.Server)) {
	peer := &sockets{t: t, traits: traits}
	s := newSite(t, peer)
	t.Cleanup(func() { peer.cut(); peer.work.Wait() })
	return peer, func(c *config.Server) { c.URL = strings.Replace(s.URL, "http:", "ws:", 1) + "?token=hush" }
}

func TestWhatAServerOnASocketSpeaksIsFoundOut(t *testing.T) {
	for name, c := range map[string]struct {
		traits []string
		want   mcp.Revision
		opened int
		again  int // sockets for the next link
	}{
		"a stateless one":                   {[]string{"modern"}, "2026-07-28", 1, 1},
		"an older one":                      {[]string{"legacy"}, "2025-11-25", 1, 1},
		"one that is silent":                {[]string{"silent"}, "2025-11-25", 1, 1},
		"one that hangs up at the question": {[]string{"exits"}, "2025-11-25", 2, 1},
		"one that breaks off, which may have been the network": {[]string{"exits", "rude"}, "2025-11-25", 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			peer, there := atSocket(t, c.traits...)
			h := newHouse(t)
			u := h.open(there)
			u.SetProbeWait(patience)
			if slices.Contains(c.traits, "silent") {
				u.SetProbeWait(time.Second)
			}
			if got := must(t, u, tool("echo", `{"text":"x"}`)); got != "x" {
				t.Errorf("got %q", got)
			}
			st := u.Status()
			if mcp.Revision(st.Revision) != c.want || st.Transport != "websocket" || peer.count() != c.opened {
				t.Errorf("speaks %s over %s after %d sockets, want %s, websocket, %d", st.Revision, st.Transport, peer.count(), c.want, c.opened)
			}
			peer.cut()
			until(t, "the end of the socket", func() bool { return u.Status().Replicas[0].Links == 0 })
			must(t, u, tool("echo", `{"text":"x"}`))
			if n := peer.count(); n != c.opened+c.again {
				t.Errorf("%d sockets were opened, want %d and then %d", n, c.opened, c.again)
			}
		})
	}
	t.Run("nobody is there, and no secret is told", func(t *testing.T) {
		h := newHouse(t)
		u := h.open(func(c *config.Server) { c.URL = strings.Replace(nobodyAt(t), "http:", "ws:", 1) + "?token=hush" })
		e := fails(t, u, tool("echo", `{}`))
		if e.Code != mcp.CodeUnavailable || !strings.Contains(e.Message, "refused") {
			t.Errorf("got %v, want code %d and that the connection was refused", e, mcp.CodeUnavailable)
		}
		if all := h.log.String() + e.Message + u.Status().Replicas[0].Reason; strings.Contains(all, "hush") {
			t.Errorf("the secret of the URL is told: %s", all)
		}
	})
}
