//go:build linux

package faults

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// edition is one version of the configuration.
type edition struct {
	n    int
	text string
	good bool
	want string // words of the fault that must be reported; empty when it is good
}

// faulty are ways for a configuration to be wrong, as edits of a good one, with
// words that the report must have.
var faulty = []struct {
	name, want string
	spoil      func(good string) string
}{
	{"unknown key", "colour", func(s string) string { return s + "colour: red\n" }},
	{"no YAML", "", func(s string) string { return s + "\t{[\n" }},
	{"cut in the middle", "", func(s string) string { return s[:strings.LastIndex(s, "{")+1] }},
	{"reference that leads nowhere", "NOT_SET_ANYWHERE", func(s string) string {
		return strings.Replace(s, "servers:\n", "servers:\n  ghost: {url: \"http://127.0.0.1:1/${NOT_SET_ANYWHERE}\"}\n", 1)
	}},
	{"builtin that does not exist", "weather", func(s string) string {
		return strings.Replace(s, "servers:\n", "servers:\n  ghost: {builtin: weather}\n", 1)
	}},
	{"view named like a server", "stable1", func(s string) string { return s + "  stable1: {tools: [\"*\"]}\n" }},
	{"listens to everybody without a token", "listen", func(s string) string { return strings.Replace(s, "listen: 127.0.0.1:0", "listen: 0.0.0.0:0", 1) }},
	{"server without anything", "ghost", func(s string) string {
		return strings.Replace(s, "servers:\n", "servers:\n  ghost: {title: Ghost}\n", 1)
	}},
	{"duration without unit", "timeout", func(s string) string { return strings.Replace(s, "defaults: {", "defaults: {connect_timeout: 10, ", 1) }},
	{"name twice", "stable1", func(s string) string {
		return strings.Replace(s, "servers:\n", "servers:\n  stable1: {builtin: time}\n", 1)
	}},
	{"command and url", "ghost", func(s string) string {
		return strings.Replace(s, "servers:\n", "servers:\n  ghost: {command: [true], url: \"http://127.0.0.1:1/mcp\"}\n", 1)
	}},
}

// editions makes versions of a configuration in which some servers stay, some
// change each time, and some come and go.
type editions struct {
	house            *house
	stable, changing []*peer
	guests           []*peer
	title            string // file that the title of a server is read from
}

// good is the n-th right version.
func (e *editions) good(n int) string {
	var b strings.Builder
	b.WriteString("listen: 127.0.0.1:0\nlog: {level: info}\ndefaults: {timeout: 20s, stop_timeout: 2s, restart: {min_backoff: 50ms}}\nservers:\n")
	for _, p := range e.stable {
		fmt.Fprintf(&b, "  %s: %s\n", p.name, p.section())
	}
	for i, p := range e.changing {
		if n/2%len(e.changing) == i { // one after the other; the others keep what they have
			p.turn.Store(int64(n))
		}
		section := strings.TrimSuffix(p.section(), "}")
		fmt.Fprintf(&b, "  %s: %s, max_queue: %d}\n", p.name, section, 300+p.turn.Load())
	}
	for i, p := range e.guests {
		if (n/2+i)%2 == 0 {
			fmt.Fprintf(&b, "  %s: %s\n", p.name, p.section())
		}
	}
	fmt.Fprintf(&b, "  titled: {builtin: time, title: \"${file:%s}\"}\n", e.title)
	fmt.Fprintf(&b, "views:\n  always: {tools: [%s__echo, \"*__look\"]}\n  v%d: {tools: [\"*__wait\"], rename: {slow: %s__wait}}\n",
		e.stable[0].name, n, e.stable[1].name)
	return b.String()
}

// next makes the n-th version: every other one is faulty.
func (e *editions) next(n int) edition {
	if n%2 == 0 {
		return edition{n: n, good: true, text: e.good(n)}
	}
	f := faulty[n/2%len(faulty)]
	return edition{n: n, text: f.spoil(e.good(n)), want: f.want}
}

func TestReloadsUnderLoadDropNoCall(t *testing.T) {
	h := newHouse(t)
	e := &editions{house: h, title: filepath.Join(t.TempDir(), "title")}
	if err := os.WriteFile(e.title, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	e.stable = []*peer{
		h.add("stable1", pipe, rev2506, ""), h.add("stable2", modern, revModern, "proxy"), h.add("stable3", session, rev2511, "proxy"),
		h.add("stable4", sse, rev2024, "proxy"), h.add("stable5", socket, rev2511, "proxy"), h.add("stable6", pipe, revModern, ""),
	}
	e.changing = []*peer{
		h.add("change1", pipe, rev2511, ""), h.add("change2", modern, revModern, "proxy"), h.add("change3", session, rev2506, "proxy"),
		h.add("change4", socket, revModern, "proxy"), h.add("change5", sse, rev2024, "proxy"),
	}
	e.guests = []*peer{h.add("guest1", session, rev2511, "proxy"), h.add("guest2", pipe, revModern, "")}
	g := start(t, e.good(0))
	g.awaitReady(patience)
	l := newLoad(t, h, clients(t, g, 2))
	held := holdStreams(t, g)
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	valid := append(append([]*peer{}, e.stable...), e.changing...)
	work.Go(func() { l.run(ctx, either(300, 200), valid) })
	view := newLoad(t, h, []client{newWeb(g.base + "/mcp/always")}) // a view that is in every version
	defer view.clients[0].close()
	view.tools = []string{"echo", "look"}
	work.Go(func() { view.run(ctx, 20, e.stable[:1]) })
	r := &reloads{t: t, g: g, e: e, last: 0}
	for n := 1; n <= either(200, 50); n++ {
		r.apply(e.next(n), n)
	}
	r.reference()
	stop()
	work.Wait()
	held.check()
	for _, r := range l.between(time.Time{}, time.Now(), func(r record) bool { return !r.ok }) {
		l.fault("a call that was valid all the time failed: %+v", r)
	}
	for _, r := range view.between(time.Time{}, time.Now(), func(r record) bool { return !r.ok }) {
		l.fault("a call through a view that was there all the time failed: %+v", r)
	}
	view.finish()
	l.finish()
	t.Logf("%d reloads: %d good (%d by POST, %d by SIGHUP, %d by the file alone), %d faulty ones refused; slowest POST %s; RSS %s",
		either(200, 50), r.taken, r.ways["POST"], r.ways["SIGHUP"], r.ways["file"], r.refused, r.slowest, mb(g.rss()))
	t.Logf("slowest call %s", percentile(l.between(time.Time{}, time.Now(), func(record) bool { return true }), 1))
	if left := gone(3*time.Second+slack(), e.retired()...); len(left) > 0 {
		t.Errorf("processes %v of servers that are gone are still there", left)
	}
}

// retired are all processes of servers but those of now.
func (e *editions) retired() (out []int) {
	for _, p := range e.house.peers {
		now := p.pid()
		p.mu.Lock()
		for _, pid := range p.pids {
			if pid != now {
				out = append(out, pid)
			}
		}
		p.mu.Unlock()
	}
	return out
}

// reloads applies editions in turn, each by another way.
type reloads struct {
	t       *testing.T
	g       *gateway
	e       *editions
	last    int // the good edition in use
	taken   int
	refused int
	ways    map[string]int
	slowest time.Duration
}

const (
	takenUp    = "configuration taken up"
	notTakenUp = "configuration was not taken up, the old one stays in use"
)

// apply writes an edition and has it taken up by one of the three ways, and
// looks whether it was, or was refused.
func (r *reloads) apply(e edition, n int) {
	r.t.Helper()
	if r.ways == nil {
		r.ways = map[string]int{}
	}
	way := []string{"POST", "POST", "SIGHUP", "SIGHUP", "file", "file"}[n%6]
	refusedBefore := r.g.log.count(notTakenUp)
	r.g.rewrite(e.text)
	switch way {
	case "POST":
		begin := time.Now()
		status, body := r.g.reload()
		r.slowest = max(r.slowest, time.Since(begin))
		want := http.StatusOK
		if !e.good {
			want = http.StatusUnprocessableEntity
		}
		if status != want || !strings.Contains(body, e.want) {
			r.t.Errorf("edition %d: POST /reload answered %d %.300s, want %d with %q", n, status, body, want, e.want)
		}
	case "SIGHUP":
		_ = r.g.cmd.Process.Signal(syscall.SIGHUP)
	}
	if e.good {
		if !await(patience, func() bool { return r.has(e.n) }) {
			r.t.Fatalf("edition %d is not in use within 10 s after %s", n, way)
		}
		if r.last != e.n && !await(patience, func() bool { return !r.has(r.last) }) {
			r.t.Errorf("edition %d is in use, and so is what only edition %d had", n, r.last)
		}
		r.last = e.n
		r.taken++
		r.ways[way]++
		return
	}
	if !await(patience, func() bool { return r.g.log.count(notTakenUp) > refusedBefore }) {
		r.t.Errorf("edition %d: the faulty configuration is not reported in the log within 10 s after %s", n, way)
	}
	if !r.has(r.last) {
		r.t.Errorf("edition %d is faulty, and what edition %d had is gone", n, r.last)
	}
	r.refused++
}

// has reports whether the view that only one edition has is there.
func (r *reloads) has(n int) bool {
	c := newWeb(fmt.Sprintf("%s/mcp/v%d", r.g.base, n))
	defer c.close()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	o := c.request(ctx, "tools/list", obj{})
	return o.status == http.StatusOK && o.result() != nil
}

// reference changes what the configuration only refers to: nobody watches that,
// and SIGHUP takes it up.
func (r *reloads) reference() {
	r.t.Helper()
	if err := os.WriteFile(r.e.title, []byte("second"), 0o600); err != nil {
		r.t.Fatal(err)
	}
	before := r.g.log.count(takenUp)
	_ = r.g.cmd.Process.Signal(syscall.SIGHUP)
	if !await(patience, func() bool { return r.g.log.count(takenUp) > before }) {
		r.t.Error("SIGHUP without a change of the file takes nothing up")
	}
}

// streams are held open all the time and must not end.
type streams struct {
	t     *testing.T
	mu    sync.Mutex // guards ended
	ended []string
}

func (s *streams) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = append(s.ended, fmt.Sprintf(format, args...))
}

func (s *streams) check() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, why := range s.ended {
		s.t.Error("a stream ended meanwhile: ", why)
	}
}

// holdStreams opens a subscription of 2026-07-28, the stream of a session and a
// stream of HTTP+SSE, on endpoints that are there all the time.
func holdStreams(t *testing.T, g *gateway) *streams {
	t.Helper()
	s := &streams{t: t}
	ctx, cancel := context.WithCancel(context.Background())
	transport := &http.Transport{}
	var work sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		work.Wait()
		transport.CloseIdleConnections()
	})
	open := func(what string, req *http.Request) {
		resp, err := (&http.Client{Transport: transport}).Do(req.WithContext(ctx))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: status %d", what, resp.StatusCode)
		}
		work.Go(func() {
			defer resp.Body.Close()
			in := bufio.NewReader(resp.Body)
			for {
				line, err := in.ReadString('\n')
				switch {
				case ctx.Err() != nil:
					return
				case err == io.EOF || err != nil:
					s.note("%s: %v", what, err)
					return
				case strings.Contains(line, `"result"`):
					s.note("%s: %s", what, line)
					return
				}
			}
		})
	}
	for _, path := range []string{"/mcp", "/mcp/always", "/mcp/stable2"} {
		w := newWeb(g.base + path)
		req, err := w.prepare(ctx, listenRequest(nil))
		if err != nil {
			t.Fatal(err)
		}
		open("subscription at "+path, req)
	}
	session, err := newSession(ctx, g.base+"/mcp/stable1", rev2511)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.close)
	req, _ := http.NewRequest(http.MethodGet, session.url, nil)
	req.Header.Set("Mcp-Session-Id", session.session)
	req.Header.Set("Accept", "text/event-stream")
	open("stream of a session", req)
	req, _ = http.NewRequest(http.MethodGet, g.base+"/sse", nil)
	req.Header.Set("Accept", "text/event-stream")
	open("stream of HTTP+SSE", req)
	return s
}

// listenRequest subscribes to all lists, and to resources.
func listenRequest(uris list) obj {
	wanted := obj{"toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true}
	if uris != nil {
		wanted["resourceSubscriptions"] = uris
	}
	return obj{"jsonrpc": "2.0", "id": "listen", "method": "subscriptions/listen", "params": withMeta(obj{"notifications": wanted})}
}

// Who edits the file and then says so has it read once, not again when the change
// of the file has been noticed.
func TestAnEditThatIsAnnouncedIsTakenUpOnce(t *testing.T) {
	t.Parallel()
	const edits = 6
	g := start(t, "log: {level: info}\nservers:\n  time: {builtin: time}\n")
	for n := 1; n <= edits; n++ {
		before := g.log.count(takenUp)
		g.rewrite(fmt.Sprintf("listen: %s\nlog: {level: info}\nservers:\n  time: {builtin: time}\n# edition %d\n", g.addr, n))
		if n < edits { // the change of the last is noticed after all those before
			_ = g.cmd.Process.Signal(syscall.SIGHUP)
		}
		poll(t, patience, fmt.Sprintf("edition %d is taken up", n), func() bool { return g.log.count(takenUp) > before })
	}
	if n := g.log.count(takenUp); n > edits+2 { // on a busy machine a signal may come after the change was noticed
		t.Errorf("%d edits were taken up %d times", edits, n)
	}
}
