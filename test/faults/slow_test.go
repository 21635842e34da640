//go:build linux

package faults

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// news is a resource of every peer that changes all the time.
func (p *peer) news() string { return "news://" + p.name }

// publish tells all subscribers of the peers' news, as often as a ticker says,
// until ctx ends.
func publish(ctx context.Context, h *house, every time.Duration, size int) {
	padding := strings.Repeat("x", size)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			for _, p := range h.peers {
				p.publish(padding)
			}
		case <-ctx.Done():
			return
		}
	}
}

// publish is tell for what is long and often: it is written once.
func (p *peer) publish(padding string) {
	p.mu.Lock()
	all := make([]*feed, 0, len(p.feeds))
	for f := range p.feeds {
		all = append(all, f)
	}
	p.mu.Unlock()
	for _, f := range all {
		meta := ""
		if f.tag != nil {
			meta = fmt.Sprintf(`,"_meta":{%q:%s}`, metaSubscription, encode(f.tag))
		}
		text := fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":%q,"pad":"%s"%s}}`, p.news(), padding, meta)
		_ = f.line.raw(f.line.frame(text)) // who has gone hears nothing
	}
}

// deaf is a connection whose client asks for much and never reads it.
type deaf struct {
	what string
	conn net.Conn
	in   *bufio.Reader
}

// dialDeaf connects with as small a buffer for what comes as there is.
func dialDeaf(addr string) (net.Conn, *bufio.Reader, error) {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, nil, err
	}
	_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	_ = conn.SetDeadline(time.Now().Add(patience)) // for the opening
	return conn, bufio.NewReaderSize(conn, 512), nil
}

// deafHTTP sends a request whose answer is a stream, of which it reads the first line.
func deafHTTP(what string, w *web, msg obj, method string) (*deaf, error) {
	ctx := context.Background()
	req, err := w.prepare(ctx, msg)
	if method == http.MethodGet && err == nil {
		req, err = http.NewRequestWithContext(ctx, method, w.url, nil)
		req.Header.Set("Accept", "text/event-stream")
		if w.session != "" {
			req.Header.Set("Mcp-Session-Id", w.session)
		}
	}
	if err != nil {
		return nil, err
	}
	conn, in, err := dialDeaf(req.URL.Host)
	if err != nil {
		return nil, err
	}
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	status, err := in.ReadString('\n')
	if err != nil || !strings.Contains(status, " 200 ") {
		_ = conn.Close()
		return nil, fmt.Errorf("%s: %q %w", what, status, err)
	}
	return &deaf{what: what, conn: conn, in: in}, nil
}

// deafSocket opens a WebSocket, sends messages over it and reads nothing of what
// they lead to.
func deafSocket(what, addr string, msgs ...obj) (*deaf, error) {
	conn, in, err := dialSocket(addr, "/mcp")
	if err != nil {
		return nil, err
	}
	_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	for _, msg := range msgs {
		if _, err := conn.Write(frame(opText, encode(msg), true)); err != nil {
			return nil, err
		}
	}
	return &deaf{what: what, conn: conn, in: in}, nil
}

// handshake is what opens a session on a lasting connection and subscribes.
func handshake(rev string, p *peer) []obj {
	return []obj{
		{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": initialize(rev)},
		notification("notifications/initialized", obj{}),
		{"jsonrpc": "2.0", "id": 2, "method": "resources/subscribe", "params": obj{"uri": p.news()}},
	}
}

// flow is a call whose progress has no end.
func flow(p *peer, n int, meta obj) obj {
	return progress(p, n, meta, obj{"times": 1500, "size": 8 << 10})
}

func progress(p *peer, n int, meta, arguments obj) obj {
	meta["progressToken"] = "deaf"
	arguments["secret"] = fmt.Sprintf("sec-00000000000000ff-%d", n)
	params := obj{"name": p.name + "__stream", "_meta": meta, "arguments": arguments}
	return obj{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
}

// deafClient makes the n-th client that does not read: ten ways in turn.
func deafClient(g *gateway, h *house, n int) (*deaf, error) {
	p := h.peers[n/10%len(h.peers)]
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	open := func(rev string) *web {
		if rev == revModern {
			return newWeb(g.base + "/mcp")
		}
		w, err := newSession(ctx, g.base+"/mcp", rev)
		if err != nil {
			return newWeb(g.base + "/mcp/nowhere") // fails below, with a reason
		}
		w.http.CloseIdleConnections()
		return w
	}
	switch n % 10 {
	case 0, 1:
		return deafHTTP("subscription over HTTP", open(revModern), listenRequest(list{p.news()}), http.MethodPost)
	case 2, 3:
		w := open(rev2511)
		if o := w.request(ctx, "resources/subscribe", obj{"uri": p.news()}); o.result() == nil {
			return nil, fmt.Errorf("resources/subscribe: %s", o)
		}
		w.http.CloseIdleConnections()
		return deafHTTP("stream of a session", w, nil, http.MethodGet)
	case 4:
		return deafSocket("session over WebSocket", g.addr, handshake(rev2506, p)...)
	case 5:
		return deafSocket("subscription over WebSocket", g.addr, listenRequest(list{p.news()}))
	case 6:
		return deafHTTP("call over HTTP", open(revModern), flow(p, n, modernMeta()), http.MethodPost)
	case 7:
		return deafHTTP("call of a session over HTTP", open(rev2511), flow(p, n, obj{}), http.MethodPost)
	case 8:
		return deafSocket("call over WebSocket", g.addr, flow(p, n, modernMeta()))
	}
	return deafSSE(g, p)
}

// deafSSE opens a stream of HTTP+SSE, subscribes over it and then stops reading.
func deafSSE(g *gateway, p *peer) (*deaf, error) {
	d, err := deafHTTP("stream of HTTP+SSE", newWeb(g.base+"/sse"), nil, http.MethodGet)
	if err != nil {
		return nil, err
	}
	endpoint := ""
	for endpoint == "" {
		line, err := d.in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			endpoint = strings.TrimSpace(data)
		}
	}
	for _, msg := range handshake(rev2024, p) {
		resp, err := g.http.Post(g.base+endpoint, "application/json", bytes.NewReader(encode(msg)))
		if err != nil {
			return nil, err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted {
			return nil, fmt.Errorf("POST %s: %s", endpoint, resp.Status)
		}
	}
	return d, nil
}

// served are the clients that the gateway has not cut: whose connection it
// still holds open, as the system sees it.
func served(g *gateway, all []*deaf) map[string]int {
	_, port, _ := net.SplitHostPort(g.addr)
	held := map[string]bool{} // ports of clients
	table, _ := os.ReadFile("/proc/net/tcp")
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line) // number, local, remote, state, …
		if len(fields) < 4 || fields[3] != "01" {
			continue
		}
		local, remote := strings.Split(fields[1], ":"), strings.Split(fields[2], ":")
		if len(local) == 2 && len(remote) == 2 && hexPort(local[1]) == port {
			held[hexPort(remote[1])] = true
		}
	}
	out := map[string]int{}
	for _, d := range all {
		if _, own, _ := net.SplitHostPort(d.conn.LocalAddr().String()); held[own] {
			out[d.what]++
		}
	}
	return out
}

func hexPort(hex string) string {
	n, _ := strconv.ParseUint(hex, 16, 16)
	return strconv.FormatUint(n, 10)
}

// attentive is a subscriber that reads; it counts the news.
func attentive(t *testing.T, g *gateway, p *peer) *atomic.Int64 {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := newWeb(g.base + "/mcp")
	req, err := w.prepare(ctx, listenRequest(list{p.news()}))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := w.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	var count atomic.Int64
	var work sync.WaitGroup
	work.Go(func() {
		defer resp.Body.Close()
		in := bufio.NewReaderSize(resp.Body, 64<<10)
		for {
			line, err := in.ReadSlice('\n')
			if bytes.Contains(line, []byte("notifications/resources/updated")) {
				count.Add(1)
			}
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				if ctx.Err() == nil {
					t.Errorf("the stream of who reads ended too: %v", err)
				}
				return
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		work.Wait()
		w.close()
	})
	return &count
}

func TestClientsThatDoNotReadAreCut(t *testing.T) {
	const readers = 50
	h := newHouse(t)
	config := "log: {level: warn}\nlimits: {write_timeout: 2s, keep_alive: 2s}\ndefaults: {timeout: 60s}\nservers:\n"
	for i, how := range []string{modern, session, pipe} {
		p := h.add(fmt.Sprintf("s%d", i), how, []string{revModern, rev2511, rev2506}[i], "proxy")
		p.events = true
		config += fmt.Sprintf("  %s: %s\n", p.name, p.section())
	}
	g := start(t, config)
	g.awaitReady(patience)
	l := newLoad(t, h, clients(t, g, 1))
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	work.Go(func() { l.run(ctx, 100, h.peers) })
	news := attentive(t, g, h.peers[0])
	calm := time.Now()
	pause(ctx, either(5*time.Second, 2*time.Second))
	base := percentile(l.between(calm, time.Now(), func(record) bool { return true }), 0.99)
	rss := g.rss()
	top := g.watchRSS()
	var all []*deaf
	defer func() {
		for _, d := range all {
			_ = d.conn.Close()
		}
	}()
	for n := range readers {
		d, err := deafClient(g, h, n)
		if err != nil {
			t.Fatalf("client %d: %v", n, err)
		}
		all = append(all, d)
	}
	stormy := time.Now()
	work.Go(func() { publish(ctx, h, 50*time.Millisecond, 64<<10) })
	var open map[string]int
	await(patience, func() bool { // write_timeout, and what their buffers took before
		open = served(g, all)
		return len(open) == 0
	})
	took := time.Since(stormy)
	pause(ctx, either(10*time.Second, time.Second))
	most := top()
	others := l.between(stormy, time.Now(), func(record) bool { return true })
	stop()
	work.Wait()
	if len(open) > 0 {
		t.Errorf("of %d clients that do not read these are still served: %v", readers, open)
	}
	if limit := rss + readers*(8<<20); most > limit { // of which about 1 MiB is alive, and the rest is what the collector lets be
		t.Errorf("the gateway held %s, want at most %s (%s before)", mb(most), mb(limit), mb(rss))
	}
	for _, r := range l.between(time.Time{}, time.Now(), func(r record) bool { return !r.ok }) {
		l.fault("a call of somebody else failed meanwhile: %+v", r)
	}
	p99 := percentile(others, 0.99)
	if limit := max(10*base, slack()/2); p99 > limit {
		t.Errorf("p99 of the others is %s, want at most %s (%s before)", p99, limit, base)
	}
	if n := news.Load(); n < 50 {
		t.Errorf("who reads got %d news, want at least 50", n)
	}
	l.finish()
	t.Logf("%d clients that do not read were cut within %s; RSS %s before, %s at most; p99 of others %s before, %s meanwhile; who reads got %d news",
		readers, took.Round(10*time.Millisecond), mb(rss), mb(most), base, p99, news.Load())
}

// What waits for a client that does not read is bounded in bytes, also while the
// client has not been cut yet: with the default write timeout that takes 30 s.
func TestLongNewsForWhoDoesNotReadHoldLittle(t *testing.T) {
	t.Parallel()
	const readers = 10
	h := newHouse(t)
	p := h.add("s0", modern, revModern, "proxy")
	g := start(t, "log: {level: warn}\nservers:\n  s0: "+p.section()+"\n")
	g.awaitReady(patience)
	for range readers {
		d, err := deafHTTP("subscription over HTTP", newWeb(g.base+"/mcp"), listenRequest(list{p.news()}), http.MethodPost)
		if err != nil {
			t.Fatal(err)
		}
		defer d.conn.Close()
	}
	before := g.rss()
	top := g.watchRSS()
	ctx, stop := context.WithTimeout(t.Context(), either(40*time.Second, 7*time.Second))
	defer stop()
	publish(ctx, h, 100*time.Millisecond, 1<<20)
	most := top()
	if limit := before + 384<<20; most > limit {
		t.Errorf("for %d clients that do not read, the gateway held %s, want at most %s (%s before)", readers, mb(most), mb(limit), mb(before))
	}
	t.Logf("RSS %s before, %s at most", mb(before), mb(most))
}

// The same for the progress of calls, from every kind of server.
func TestLongProgressForWhoDoesNotReadHoldsLittle(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	config := "log: {level: warn}\nservers:\n"
	for i, how := range []string{pipe, modern, session, sse, socket} {
		p := h.add(fmt.Sprintf("s%d", i), how, []string{rev2506, revModern, rev2511, rev2024, rev2511}[i], "proxy")
		p.events = true
		config += fmt.Sprintf("  %s: %s\n", p.name, p.section())
	}
	g := start(t, config)
	g.awaitReady(patience)
	before := g.rss()
	top := g.watchRSS()
	for n, p := range h.peers {
		msg := progress(p, n, modernMeta(), obj{"times": 200, "size": 1 << 20})
		d, err := deafHTTP("call over HTTP", newWeb(g.base+"/mcp"), msg, http.MethodPost)
		if err != nil {
			t.Fatal(err)
		}
		defer d.conn.Close()
	}
	pause(t.Context(), either(20*time.Second, 5*time.Second))
	most := top()
	if limit := before + 384<<20; most > limit {
		t.Errorf("for %d clients that do not read, the gateway held %s, want at most %s (%s before)", len(h.peers), mb(most), mb(limit), mb(before))
	}
	t.Logf("RSS %s before, %s at most", mb(before), mb(most))
}
