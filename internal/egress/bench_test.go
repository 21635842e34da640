package egress_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/egress"
)

var call = []byte(`{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"name":"echo","arguments":{"text":"` +
	`four and twenty black birds"},"_meta":{"progressToken":"abc","io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`)

// cheapPeer answers each request with a body of size bytes and allocates
// nothing, so that what is measured is the client's.
func cheapPeer(b *testing.B, size int) string {
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Sat, 21 Nov 2026 03:00:00 GMT\r\n"+
		"Mcp-Session-Id: 0123456789abcdef\r\nContent-Length: %d\r\n\r\n%s", size, bytes.Repeat([]byte{'x'}, size))
	mark, length := []byte("\r\n\r\n"), []byte("Content-Length: "+strconv.Itoa(len(call)))
	url, _ := rawServer(b, func(_ int64, c net.Conn, _ *bufio.Reader) {
		buf := make([]byte, 4096)
		for n := 0; ; {
			k, err := c.Read(buf[n:])
			if err != nil {
				return
			}
			n += k
			at := bytes.Index(buf[:n], mark)
			if at < 0 || n < at+4+len(call) {
				continue
			}
			if !bytes.Contains(buf[:at], length) {
				b.Error("request has another length")
				return
			}
			n = 0
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	})
	return url
}

func oneCall(rt http.RoundTripper, url string, header http.Header, sink []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(call))
	if err != nil {
		return err
	}
	req.Header = header
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, sink[:resp.ContentLength]); err != nil {
		return err
	}
	_, err = resp.Body.Read(sink[:1])
	if err != io.EOF {
		return fmt.Errorf("after the body: %w", err)
	}
	return nil
}

func tunedTransport() *http.Transport {
	return &http.Transport{MaxIdleConnsPerHost: 1024, IdleConnTimeout: time.Minute, DisableCompression: true}
}

func callHeader() http.Header {
	return http.Header{
		"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"},
		"Mcp-Protocol-Version": {"2026-07-28"}, "Mcp-Method": {"tools/call"}, "Mcp-Name": {"echo"},
	}
}

// calls makes n calls from so many callers at once.
func calls(b *testing.B, rt http.RoundTripper, url string, n, callers, size int) {
	var all sync.WaitGroup
	header := callHeader()
	for i := range callers {
		share := n / callers
		if i < n%callers {
			share++
		}
		all.Go(func() {
			sink := make([]byte, size+1)
			for range share {
				if err := oneCall(rt, url, header, sink); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, size := range []int{200, 1 << 20} {
		url := cheapPeer(b, size)
		n := newNetwork(b, egress.Options{})
		std := tunedTransport()
		b.Cleanup(std.CloseIdleConnections)
		for _, callers := range []int{1, 16} {
			for _, side := range []struct {
				name string
				rt   http.RoundTripper
			}{{"egress", n.RoundTripper()}, {"nethttp", std}} {
				b.Run(fmt.Sprintf("%dB/%dcallers/%s", size, callers, side.name), func(b *testing.B) {
					b.ReportAllocs()
					calls(b, side.rt, url, b.N, callers, size)
				})
			}
		}
	}
}

// BenchmarkAgainstNetHTTP prints what a call costs here as a part of what it
// costs with net/http's Transport: medians over interleaved rounds, wall time
// and processor time. Both sides contain what no client can save: the peer, the
// system calls of both and the making of the request. "own" leaves that out,
// as measured with a client that writes fixed bytes and reads until it has as
// many as it expects.
func BenchmarkAgainstNetHTTP(b *testing.B) {
	const size, round, rounds = 200, 2000, 11
	url := cheapPeer(b, size)
	n := newNetwork(b, egress.Options{})
	std := tunedTransport()
	b.Cleanup(std.CloseIdleConnections)
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("%dcallers", callers), func(b *testing.B) {
			floor := newFloor(b, url, n, callers)
			var wall, cpu, own, allocs, ours, theirs []float64
			for b.Loop() {
				for range rounds {
					_, c0, _ := cost(func() { floor.calls(b, round) })
					w1, c1, a1 := cost(func() { calls(b, n.RoundTripper(), url, round, callers, size) })
					w2, c2, a2 := cost(func() { calls(b, std, url, round, callers, size) })
					wall, cpu, allocs = append(wall, w1/w2), append(cpu, c1/c2), append(allocs, a1/a2)
					own = append(own, (c1-c0)/(c2-c0))
					ours, theirs = append(ours, c1/round/1e3), append(theirs, c2/round/1e3)
				}
			}
			b.ReportMetric(median(wall), "wall/nethttp")
			b.ReportMetric(median(cpu), "cpu/nethttp")
			b.ReportMetric(median(own), "own-cpu/nethttp")
			b.ReportMetric(median(allocs), "allocs/nethttp")
			b.ReportMetric(median(ours), "cpu-us/call")
			b.ReportMetric(median(theirs), "nethttp-cpu-us/call")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// floor is a client that does nothing but the system calls, and makes the
// request without using it.
type floor struct {
	url    string
	conns  []net.Conn
	out    []byte
	answer int
}

func newFloor(b *testing.B, url string, n *egress.Network, callers int) *floor {
	resp, err := n.RoundTripper().RoundTrip(mustRequest(b, url))
	if err != nil {
		b.Fatal(err)
	}
	_, _ = readAll(resp)
	f := &floor{url: url}
	for range callers {
		c, err := net.Dial("tcp", url[len("http://"):])
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = c.Close() })
		f.conns = append(f.conns, c)
	}
	f.out = fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(call), call)
	if _, err := f.conns[0].Write(f.out); err != nil {
		b.Fatal(err)
	}
	f.answer, err = f.conns[0].Read(make([]byte, 4096))
	if err != nil {
		b.Fatal(err)
	}
	return f
}

func mustRequest(b *testing.B, url string) *http.Request {
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(call))
	if err != nil {
		b.Fatal(err)
	}
	return req
}

func (f *floor) calls(b *testing.B, n int) {
	var all sync.WaitGroup
	for _, c := range f.conns {
		all.Go(func() {
			buf := make([]byte, f.answer)
			for range n / len(f.conns) {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				_ = mustRequest(b, f.url).WithContext(ctx)
				if _, err := c.Write(f.out); err != nil {
					b.Error(err)
				}
				if _, err := io.ReadFull(c, buf); err != nil {
					b.Error(err)
				}
				cancel()
			}
		})
	}
	all.Wait()
}

// cost measures f: wall time and processor time in ns, and allocations.
func cost(f func()) (wall, cpu, allocs float64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c, t := processorTime(), time.Now()
	f()
	wall, cpu = float64(time.Since(t)), float64(processorTime()-c)
	runtime.ReadMemStats(&after)
	return wall, cpu, float64(after.Mallocs - before.Mallocs)
}

func processorTime() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// BenchmarkIdleConnection prints the memory (heap and stacks) of a connection
// between two requests, and of one whose event stream is read by a goroutine
// and quiet. The peer's half is in all figures: "bare" is that and a plain
// connection of which nobody reads.
func BenchmarkIdleConnection(b *testing.B) {
	const many = 1000
	for _, kind := range []string{"between-requests", "quiet-stream"} {
		for _, side := range []string{"bare", "egress", "nethttp"} {
			b.Run(kind+"/"+side, func(b *testing.B) {
				for b.Loop() {
					b.ReportMetric(idleBytes(b, side, many, kind == "quiet-stream"), "B/conn")
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

func idleBytes(b *testing.B, side string, many int, stream bool) float64 {
	arrived := make(chan struct{}, many)
	release := make(chan struct{})
	url, _ := rawServer(b, func(_ int64, c net.Conn, _ *bufio.Reader) {
		buf := make([]byte, 1024)
		_, _ = c.Read(buf)
		arrived <- struct{}{}
		<-release
		if stream {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n:hi\n\n\r\n")
		} else {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
		_, _ = c.Read(buf)
	})
	rt, done := sideOf(side, many)
	defer done()
	before := inUse()
	var opened, ended sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	opened.Add(many)
	for range many {
		ended.Go(func() { readFirst(ctx, b, rt, url, &opened) })
	}
	for range many {
		<-arrived
	}
	close(release)
	opened.Wait()
	if !stream {
		ended.Wait()
	}
	held := (inUse() - before) / float64(many)
	cancel()
	ended.Wait()
	return held
}

func sideOf(side string, many int) (http.RoundTripper, func()) {
	switch side {
	case "egress":
		n := egress.New(egress.Options{Limits: egress.Limits{IdlePerHost: many}})
		return n.RoundTripper(), func() { _ = n.Close() }
	case "nethttp":
		std := &http.Transport{MaxIdleConnsPerHost: many, DisableCompression: true}
		return std, std.CloseIdleConnections
	default:
		bare := bareTransport{make(chan net.Conn, many)}
		return bare, func() {
			close(bare.conns)
			for c := range bare.conns {
				_ = c.Close()
			}
		}
	}
}

// readFirst reads what there is, says so, and reads on until ctx ends.
func readFirst(ctx context.Context, b *testing.B, rt http.RoundTripper, url string, opened *sync.WaitGroup) {
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	resp, err := rt.RoundTrip(req)
	if err != nil {
		b.Error(err)
		opened.Done()
		return
	}
	defer resp.Body.Close()
	p := make([]byte, 64)
	_, err = resp.Body.Read(p)
	opened.Done()
	for err == nil {
		_, err = resp.Body.Read(p)
	}
}

// bareTransport opens a connection, asks, waits for the first byte and leaves
// the connection open until the context ends.
type bareTransport struct{ conns chan net.Conn }

func (t bareTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	c, err := net.Dial("tcp", req.URL.Host)
	if err != nil {
		return nil, err
	}
	t.conns <- c
	var one [1]byte
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return nil, err
	}
	if _, err := c.Read(one[:]); err != nil {
		return nil, err
	}
	return &http.Response{Body: http.NoBody}, nil
}

func inUse() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse + m.StackInuse)
}
