package websocket_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/websocket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

const long = 4 * time.Minute

// wait returns what ch yields, and fails when it takes longer than any test here should.
func wait[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(long):
		t.Fatalf("%s: nothing came in %s", what, long)
		panic("unreachable")
	}
}

// serve starts a server that upgrades every request and gives the connections to accepted.
func serve(t testing.TB, o websocket.Options) (url string, accepted <-chan mcp.Conn) {
	t.Helper()
	conns := make(chan mcp.Conn, 16)
	var upgrades sync.WaitGroup // the server does not wait for those whose connection was taken over
	var mu sync.Mutex           // guards open
	var open []mcp.Conn
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		upgrades.Add(1)
		defer upgrades.Done()
		c, err := websocket.Upgrade(w, r, o)
		if err != nil {
			return
		}
		mu.Lock()
		open = append(open, c)
		mu.Unlock()
		conns <- c
	}))
	t.Cleanup(func() {
		srv.Close()
		upgrades.Wait()
		for _, c := range open {
			c.Close()
		}
	})
	return srv.URL + "/mcp", conns
}

// client returns an http.Client that leaves nothing behind.
func client(t testing.TB) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// pair returns the two ends of a socket, both ours.
func pair(t testing.TB, server, dialer websocket.Options) (s, d mcp.Conn) {
	t.Helper()
	url, accepted := serve(t, server)
	dialer.HTTPClient = client(t)
	ctx, cancel := context.WithCancel(t.Context())
	d, err := websocket.Dial(ctx, url, dialer)
	cancel() // bounds the opening only
	if err != nil {
		t.Fatal(err)
	}
	s = wait(t, accepted, "accept")
	t.Cleanup(func() { // both at once, so that neither waits for the other to read
		var wg sync.WaitGroup
		wg.Go(func() { s.Close() })
		wg.Go(func() { d.Close() })
		wg.Wait()
	})
	return s, d
}

// foreign opens a socket with the library alone, as another program would.
func foreign(t testing.TB, url string, o *coder.DialOptions) *coder.Conn {
	t.Helper()
	o.HTTPClient = client(t)
	ws, _, err := coder.Dial(within(t, long), url, o)
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(-1)
	t.Cleanup(func() { ws.CloseNow() })
	return ws
}

// raw opens a socket by hand and returns it after the upgrade.
func raw(t testing.TB, url string) (net.Conn, *bufio.Reader) {
	t.Helper()
	host := strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/mcp")
	tcp, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tcp.Close() })
	fmt.Fprintf(tcp, "GET /mcp HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", host)
	in := bufio.NewReader(tcp)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade: got %v, %v", resp, err)
	}
	return tcp, in
}

// frame is a frame of a client, masked with zeros.
func frame(first byte, declared int, payload string) []byte {
	b := []byte{first, 0x80 | 127}
	b = binary.BigEndian.AppendUint64(b, uint64(declared))
	b = append(b, 0, 0, 0, 0)
	return append(b, payload...)
}

// closeCode reads frames of a server until one that closes, and returns its code.
func closeCode(in *bufio.Reader) (int, error) {
	for {
		head := make([]byte, 2)
		if _, err := io.ReadFull(in, head); err != nil {
			return 0, err
		}
		payload := make([]byte, head[1]&0x7f) // test servers say nothing long here
		if _, err := io.ReadFull(in, payload); err != nil {
			return 0, err
		}
		if head[0]&0x0f == 8 && len(payload) >= 2 {
			return int(binary.BigEndian.Uint16(payload)), nil
		}
	}
}
