package egress_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/dragoman-mcp/dragoman/internal/egress"
)

func bufioReader(raw []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(raw)) }

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func TestAConnectionThatThePeerClosedIsNotUsedAgain(t *testing.T) {
	closed := make(chan struct{}, 10)
	url, conns := rawServer(t, func(_ int64, c net.Conn, r *bufio.Reader) {
		if readRequest(r) == nil {
			_, _ = io.WriteString(c, ok)
		}
		_ = c.Close()
		closed <- struct{}{}
	})
	rt := newNetwork(t, egress.Options{}).RoundTripper()
	for i := range 5 {
		mustDo(t, rt, request(t, "POST", url, "x"))
		<-closed
		if got := conns.Load(); got != int64(i+1) {
			t.Fatalf("%d connections after %d requests", got, i+1)
		}
	}
}

func TestWhatComesUnaskedIsNeverTakenForAnAnswer(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", secure), func(t *testing.T) {
			junk := make(chan struct{})
			var conns atomic.Int64
			hijack := func(w http.ResponseWriter, r *http.Request) {
				c, rw, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				n := conns.Add(1)
				_, _ = io.WriteString(c, ok)
				if n == 1 {
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
					close(junk)
				}
				_, _ = rw.ReadByte() // until the client goes
			}
			url, n := hijackServer(t, secure, hijack)
			mustDo(t, n.RoundTripper(), request(t, "POST", url, "x"))
			<-junk
			if _, body := mustDo(t, n.RoundTripper(), request(t, "POST", url, "x")); body != "ok" || conns.Load() != 2 {
				t.Errorf("body is %q over %d connections, want ok over 2", body, conns.Load())
			}
		})
	}
}

func hijackServer(t *testing.T, secure bool, h http.HandlerFunc) (string, *egress.Network) {
	if !secure {
		s, _ := server(t, h)
		return s.URL, newNetwork(t, egress.Options{})
	}
	s, o := tlsServer(t, "http/1.1")
	s.Config.Handler = h
	return s.URL, newNetwork(t, o)
}

// breaking answers the first request of each connection, reads the second and
// closes; on connections after the first it answers all.
func breaking(seen *atomic.Int64) func(int64, net.Conn, *bufio.Reader) {
	return func(n int64, c net.Conn, r *bufio.Reader) {
		for i := 0; readRequest(r) == nil; i++ {
			seen.Add(1)
			if n == 1 && i == 1 {
				return
			}
			_, _ = io.WriteString(c, ok)
		}
	}
}

func TestACallThatMayHaveHappenedIsNotRepeated(t *testing.T) {
	for _, tt := range []struct {
		method string
		fails  bool
		seen   int64
	}{
		{"POST", true, 2}, {"DELETE", true, 2}, {"PUT", true, 2},
		{"GET", false, 3}, {"HEAD", false, 3}, {"OPTIONS", false, 3},
	} {
		t.Run(tt.method, func(t *testing.T) {
			var seen atomic.Int64
			url, _ := rawServer(t, breaking(&seen))
			rt := newNetwork(t, egress.Options{}).RoundTripper()
			mustDo(t, rt, request(t, "GET", url, ""))
			_, _, err := do(rt, request(t, tt.method, url, ""))
			if (err != nil) != tt.fails || seen.Load() != tt.seen {
				t.Errorf("error is %v after %d requests seen, want error %v after %d", err, seen.Load(), tt.fails, tt.seen)
			}
			if errors.Is(err, egress.ErrNotSent) {
				t.Errorf("error claims that nothing was sent: %v", err)
			}
		})
	}
}

func TestANewConnectionThatBreaksIsNotTriedAgain(t *testing.T) {
	url, conns := rawServer(t, func(_ int64, _ net.Conn, r *bufio.Reader) { _ = readRequest(r) })
	rt := newNetwork(t, egress.Options{}).RoundTripper()
	if _, _, err := do(rt, request(t, "GET", url, "")); !errors.Is(err, io.ErrUnexpectedEOF) || conns.Load() != 1 {
		t.Errorf("error is %v over %d connections, want unexpected EOF over 1", err, conns.Load())
	}
}

func TestARefusalIsHeardBeforeALargeBodyHasBeenSent(t *testing.T) {
	const refusal = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig"
	url, _ := rawServer(t, func(_ int64, c net.Conn, r *bufio.Reader) {
		_, _ = r.ReadString('\n')
		_, _ = io.WriteString(c, refusal)
		_, _ = io.CopyN(io.Discard, r, 1<<16)
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, r)
	})
	n := newNetwork(t, egress.Options{})
	closed := make(chan struct{})
	req := request(t, "POST", url, "")
	req.Body, req.ContentLength = &endless{closed: closed}, 1<<40
	resp, body := mustDo(t, n.RoundTripper(), req)
	if resp.StatusCode != 413 || body != "big" {
		t.Errorf("status %d, body %q", resp.StatusCode, body)
	}
	<-closed
	until(t, "the connection is closed", func() bool { open, _ := n.Own().Open(); return open == 0 })
}

// endless is a body that does not end before it is closed.
type endless struct {
	closed chan struct{}
	once   atomic.Bool
}

func (e *endless) Read(p []byte) (int, error) {
	if e.once.Load() {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

func (e *endless) Close() error {
	if e.once.CompareAndSwap(false, true) {
		close(e.closed)
	}
	return nil
}

func TestABodyThatFailsEndsTheRequest(t *testing.T) {
	url, _ := rawServer(t, func(_ int64, _ net.Conn, r *bufio.Reader) { _, _ = io.Copy(io.Discard, r) })
	n := newNetwork(t, egress.Options{})
	broken := errors.New("disk is gone")
	for _, size := range []int64{10, 1 << 20, -1} {
		req := request(t, "POST", url, "")
		req.Body = io.NopCloser(io.MultiReader(strings.NewReader(strings.Repeat("x", int(max(size, 200_000))-5)[:max(size-5, 5)]), failing{broken}))
		req.ContentLength = size
		if _, _, err := do(n.RoundTripper(), req); !errors.Is(err, broken) {
			t.Errorf("size %d: error is %v, want the body's", size, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestASlowHeadIsWaitedForAndASilentPeerIsNot(t *testing.T) {
	url, _ := rawServer(t, func(_ int64, c net.Conn, r *bufio.Reader) {
		for readRequest(r) == nil {
			for i := range len(ok) {
				if _, err := io.WriteString(c, ok[i:i+1]); err != nil {
					return
				}
			}
		}
	})
	rt := newNetwork(t, egress.Options{}).RoundTripper()
	if _, body := mustDo(t, rt, request(t, "POST", url, "x")); body != "ok" {
		t.Errorf("body is %q", body)
	}
	silent, _ := rawServer(t, func(_ int64, c net.Conn, r *bufio.Reader) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nA")
		_, _ = io.Copy(io.Discard, r)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, _, err := do(rt, request(t, "POST", silent, "x").WithContext(ctx)); !isTimeout(err) {
		t.Errorf("error is %v, want the deadline", err)
	}
}

func TestAnUpgradedConnectionBelongsToTheCaller(t *testing.T) {
	url, _ := rawServer(t, func(_ int64, c net.Conn, r *bufio.Reader) {
		req, err := http.ReadRequest(r)
		if err != nil || req.Header.Get("Upgrade") != "echo" || req.Header.Get("Connection") != "Upgrade" {
			t.Errorf("request is %v, %v", req, err)
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nfirst ")
		_, _ = io.Copy(c, r)
	})
	n := newNetwork(t, egress.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	req := request(t, "GET", url, "").WithContext(ctx)
	req.Header.Set("Connection", "keep-alive, Upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err := n.HTTPClient().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	cancel() // no longer matters
	both, isBoth := resp.Body.(io.ReadWriteCloser)
	if !isBoth || resp.StatusCode != 101 {
		t.Fatalf("status %d, body is %T", resp.StatusCode, resp.Body)
	}
	if _, err := io.WriteString(both, "second"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len("first second"))
	if _, err := io.ReadFull(both, got); err != nil || string(got) != "first second" {
		t.Errorf("read %q, %v", got, err)
	}
	_ = both.Close()
	_ = both.Close()
	if open, idle := n.Own().Open(); open != 0 || idle != 0 {
		t.Errorf("%d open, %d idle; want none", open, idle)
	}
}

func TestCloseWakesARead(t *testing.T) {
	gone := make(chan struct{})
	url, _ := rawServer(t, func(_ int64, c net.Conn, r *bufio.Reader) {
		_ = readRequest(r)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		_, _ = r.ReadByte()
		close(gone)
	})
	n := newNetwork(t, egress.Options{})
	resp, err := n.RoundTripper().RoundTrip(request(t, "GET", url, ""))
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error)
	go func() {
		_, err := resp.Body.Read(make([]byte, 10))
		result <- err
	}()
	_ = resp.Body.Close()
	if err := <-result; !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("read ends with %v", err)
	}
	<-gone // the peer has seen the end
	if _, err := resp.Body.Read(nil); !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("read after close is %v", err)
	}
	until(t, "the connection is given up", func() bool { open, _ := n.Own().Open(); return open == 0 })
}

func TestAnAnswerThatHasComeWholeMayBeLeftUnread(t *testing.T) {
	url, conns := rawServer(t, answering(ok))
	rt := newNetwork(t, egress.Options{}).RoundTripper()
	for range 3 {
		resp, err := rt.RoundTrip(request(t, "POST", url, "x"))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if _, err := resp.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("read after close is %v", err)
		}
	}
	if conns.Load() != 1 {
		t.Errorf("%d connections, want 1", conns.Load())
	}
}

func TestAWebSocketGoesThrough(t *testing.T) {
	s, o := tlsServer(t, "http/1.1")
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = c.CloseNow() }()
		kind, message, err := c.Read(r.Context())
		if err == nil {
			err = c.Write(r.Context(), kind, message)
		}
		if err != nil {
			t.Error(err)
		}
	})
	n := newNetwork(t, o)
	c, _, err := websocket.Dial(t.Context(), strings.Replace(s.URL, "https:", "wss:", 1), &websocket.DialOptions{HTTPClient: n.HTTPClient()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseNow() }()
	if err := c.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, got, err := c.Read(t.Context()); err != nil || string(got) != "hello" {
		t.Errorf("read %q, %v", got, err)
	}
}
