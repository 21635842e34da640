//go:build linux

package faults

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

const bodyLimit = 4 << 20 // the default of limits.body

// head begins a POST to the gateway.
func head(g *gateway, path, more string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: " + g.addr + "\r\nContent-Type: application/json\r\n" +
		"Accept: application/json, text/event-stream\r\n" + more + "\r\n"
}

// send writes what write writes, and meanwhile reads the status that comes back.
// 0 is a connection that was cut without one.
func send(g *gateway, limit time.Duration, write func(net.Conn)) (status int, took time.Duration) {
	conn, err := net.DialTimeout("tcp", g.addr, 5*time.Second)
	if err != nil {
		return -1, 0
	}
	begin := time.Now()
	_ = conn.SetDeadline(begin.Add(limit))
	var writing sync.WaitGroup
	writing.Go(func() { write(conn) })
	defer writing.Wait()
	defer conn.Close()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	took = time.Since(begin)
	if err != nil {
		return 0, took
	}
	_ = resp.Body.Close()
	return resp.StatusCode, took
}

// stream writes n bytes in pieces, as far as they are taken.
func stream(conn net.Conn, n int, wrap func([]byte) []byte) {
	piece := wrap([]byte(strings.Repeat("x", 64<<10)))
	for range n / (64 << 10) {
		if _, err := conn.Write(piece); err != nil {
			return
		}
	}
}

func same(b []byte) []byte { return b }

const opening = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`

// entire sends a body with its length.
func entire(g *gateway, path, body string) func(net.Conn) {
	return func(conn net.Conn) {
		_, _ = conn.Write([]byte(head(g, path, fmt.Sprintf("Content-Length: %d\r\n", len(body))) + body))
	}
}

func TestHugeSlowAndDeepRequestsAreRefused(t *testing.T) {
	h := newHouse(t)
	p := h.add("s1", modern, revModern, "proxy")
	g := start(t, "log: {level: warn}\nlimits: {body_timeout: 2s, header_timeout: 1s}\nservers:\n  s1: "+p.section()+"\n")
	g.awaitReady(patience)
	l := newLoad(t, h, clients(t, g, 1))
	before := g.rss()
	top := g.watchRSS()
	alive := func(t *testing.T) {
		t.Helper()
		for _, c := range l.clients {
			if r := l.call(c, p, "echo"); !r.ok || r.took > 2*slack() {
				t.Errorf("a right call afterwards, over %s: %+v", c.kind(), r)
			}
		}
	}
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	var wide strings.Builder
	for n := range 200_000 {
		fmt.Fprintf(&wide, `"k%d":1,`, n)
	}
	modernHead := "Mcp-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: x\r\n"
	for _, tt := range []struct {
		name   string
		want   []int // statuses that are right; 0 for a connection that is cut
		within time.Duration
		write  func(net.Conn)
	}{
		{"1 GiB that is announced", []int{413}, slack(), func(conn net.Conn) {
			_, _ = conn.Write([]byte(head(g, "/mcp", fmt.Sprintf("Content-Length: %d\r\n", 1<<30)) + opening))
			stream(conn, 1<<30, same)
		}},
		{"1 GiB in chunks", []int{413}, 4 * slack(), func(conn net.Conn) {
			_, _ = conn.Write([]byte(head(g, "/mcp", "Transfer-Encoding: chunked\r\n")))
			stream(conn, 1<<30, chunk)
		}},
		{"1 GiB in chunks of a byte", []int{413, 408}, 4 * slack(), func(conn net.Conn) {
			_, _ = conn.Write([]byte(head(g, "/mcp", "Transfer-Encoding: chunked\r\n")))
			stream(conn, 1<<30, func([]byte) []byte { return []byte(strings.Repeat("1\r\nx\r\n", 10_000)) })
		}},
		{"50 MB text", []int{413}, 4 * slack(), entire(g, "/mcp", opening+strings.Repeat("x", 50_000_000)+`"}}`)},
		{"1 GiB for HTTP+SSE", []int{413, 404, 400}, 4 * slack(), func(conn net.Conn) {
			_, _ = conn.Write([]byte(head(g, "/sse?sessionId=none", fmt.Sprintf("Content-Length: %d\r\n", 1<<30))))
			stream(conn, 1<<30, same)
		}},
		{"1 GiB for /reload", []int{413, 422, 200}, 4 * slack(), func(conn net.Conn) {
			_, _ = conn.Write([]byte(head(g, "/reload", fmt.Sprintf("Content-Length: %d\r\n", 1<<30))))
			stream(conn, 1<<30, same)
		}},
		{"100,000 deep", []int{400}, slack(), entire(g, "/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"x":`+deep+`}}`)},
		{"100,000 deep and never closed", []int{400}, slack(), entire(g, "/mcp", deep[:100_000])},
		{"200,000 names", []int{400, 200}, 2 * slack(), entire(g, "/mcp", opening+`x","a":{`+strings.TrimSuffix(wide.String(), ",")+`}}}`)},
		{"number of 1,000,000 digits", []int{400, 200}, slack(), entire(g, "/mcp", `{"jsonrpc":"2.0","id":`+strings.Repeat("9", 1_000_000)+`,"method":"ping"}`)},
		{"number beyond all bounds", []int{400, 200}, slack(), entire(g, "/mcp", `{"jsonrpc":"2.0","id":1e999999999,"method":"ping"}`)},
		{"header of 1 MiB", []int{431}, slack(), func(conn net.Conn) {
			_, _ = conn.Write([]byte(head(g, "/mcp", "X-Long: "+strings.Repeat("x", 1<<20)+"\r\n")))
		}},
		{"100,000 headers", []int{431}, slack(), func(conn net.Conn) {
			_, _ = conn.Write([]byte(head(g, "/mcp", strings.Repeat("X-Many: y\r\n", 100_000))))
		}},
		{"request line of 1 MiB", []int{431, 414}, slack(), func(conn net.Conn) {
			_, _ = conn.Write([]byte("GET /mcp/" + strings.Repeat("x", 1<<20) + " HTTP/1.1\r\nHost: " + g.addr + "\r\n\r\n"))
		}},
		{"headers without end", []int{0, 408}, 2 * slack(), func(conn net.Conn) {
			_, _ = conn.Write([]byte("POST /mcp HTTP/1.1\r\nHost: x\r\n"))
		}},
		{"body without end", []int{408}, 2*time.Second + slack(), func(conn net.Conn) {
			_, _ = conn.Write([]byte(head(g, "/mcp", "Content-Length: 100000\r\n"+modernHead) + opening))
		}},
		{"body with less than announced", []int{400, 408}, 2*time.Second + slack(), func(conn net.Conn) {
			_, _ = conn.Write([]byte(head(g, "/mcp", "Content-Length: 100000\r\n"+modernHead) + opening))
			_ = conn.(*net.TCPConn).CloseWrite()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, took := send(g, 15*time.Second, tt.write)
			if !contains(tt.want, status) || took > tt.within+slack() {
				t.Errorf("status %d after %s, want one of %v within %s", status, took, tt.want, tt.within)
			}
			alive(t)
		})
	}
	t.Run("64 slow bodies at once", func(t *testing.T) { slowBodies(t, g, alive) })
	t.Run("over WebSocket", func(t *testing.T) { hugeMessages(t, g, deep, alive) })
	most := top()
	if limit := before + 64*bodyLimit + 128<<20; most > limit {
		t.Errorf("the gateway held %s, want at most %s (%s before)", mb(most), mb(limit), mb(before))
	}
	l.finish()
	t.Logf("RSS %s before, %s at most", mb(before), mb(most))
}

func contains(all []int, one int) bool {
	for _, x := range all {
		if x == one {
			return true
		}
	}
	return false
}

// slowBodies sends 64 bodies of nearly the allowed size, the end of which comes
// byte by byte, and meanwhile calls as ever.
func slowBodies(t *testing.T, g *gateway, alive func(*testing.T)) {
	before := g.rss()
	top := g.watchRSS()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var work sync.WaitGroup
	statuses := make(chan int, 64)
	for n := range 64 {
		work.Go(func() {
			status, _ := send(g, 10*time.Second, func(conn net.Conn) {
				_, _ = conn.Write([]byte(head(g, "/mcp", fmt.Sprintf("Content-Length: %d\r\n", bodyLimit)) + opening))
				if n%2 == 0 {
					stream(conn, bodyLimit-(256<<10), same)
				}
				for pause(ctx, 50*time.Millisecond) {
					if _, err := conn.Write([]byte{'x'}); err != nil {
						return
					}
				}
			})
			statuses <- status
		})
	}
	alive(t)
	work.Wait()
	close(statuses)
	got := map[int]int{}
	for status := range statuses {
		got[status]++
	}
	if got[http.StatusRequestTimeout] != 64 {
		t.Errorf("64 bodies that do not come in time were answered with %v, want 64 times 408", got)
	}
	most := top()
	if limit := before + 64*bodyLimit + 32<<20; most > limit {
		t.Errorf("the gateway held %s, want at most %s (%s before)", mb(most), mb(limit), mb(before))
	}
	t.Logf("RSS %s before, %s at most", mb(before), mb(most))
	alive(t)
}

// hugeMessages sends over WebSockets what must end them, or be refused.
func hugeMessages(t *testing.T, g *gateway, deep string, alive func(*testing.T)) {
	ping := func(id, params string) []byte {
		return []byte(`{"jsonrpc":"2.0","id":` + id + `,"method":"ping","params":` + params + `}`)
	}
	for _, tt := range []struct {
		name string
		want string // in the answer; or the code with which the socket is closed
		code int
		wire func(conn net.Conn)
	}{
		{"1 GiB that is announced", "", 1009, func(conn net.Conn) {
			_, _ = conn.Write(frameHead(opText, 1<<30, true))
			stream(conn, 1<<30, same)
		}},
		{"1 GiB in small frames", "", 1009, func(conn net.Conn) {
			_, _ = conn.Write([]byte{opText, 0x80, 0, 0, 0, 0})
			more := append([]byte{0, 0x80 | 126, 0x40, 0, 0, 0, 0, 0}, make([]byte, 0x4000)...)
			for range 1 << 30 / 0x4000 {
				if _, err := conn.Write(more); err != nil {
					return
				}
			}
		}},
		{"100,000 deep", "error", 0, func(conn net.Conn) { _, _ = conn.Write(frame(opText, ping("1", `{"x":`+deep+`}`), true)) }},
		{"no JSON", "error", 0, func(conn net.Conn) { _, _ = conn.Write(frame(opText, []byte("hello"), true)) }},
		{"binary", "", 1003, func(conn net.Conn) { _, _ = conn.Write(frame(0x2, ping("1", "{}"), true)) }},
		{"not masked", "", 1002, func(conn net.Conn) { _, _ = conn.Write(frame(opText, ping("1", "{}"), false)) }},
		{"not UTF-8", "", 1007, func(conn net.Conn) { _, _ = conn.Write(frame(opText, []byte{'"', 0xff, 0xfe, '"'}, true)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, in, err := dialSocket(g.addr, "/mcp")
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(patience))
			var writing sync.WaitGroup
			writing.Go(func() { tt.wire(conn) })
			defer writing.Wait()
			defer conn.Close()
			op, _, payload, err := readFrame(in)
			for op == opPing && err == nil {
				op, _, payload, err = readFrame(in)
			}
			code := 0
			if op == opClose && len(payload) >= 2 {
				code = int(payload[0])<<8 | int(payload[1])
			}
			answered := op == opText && strings.Contains(string(payload), tt.want)
			if tt.code != code || tt.code == 0 && !answered {
				t.Errorf("came frame %d %.200q (%v), close code %d; want %q or close code %d", op, payload, err, code, tt.want, tt.code)
			}
			alive(t)
		})
	}
}
