//go:build linux

package safety

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// observer hears from servers which calls have begun and which have ended.
type observer struct {
	mu     sync.Mutex // guards what follows
	begun  map[string]int
	ended  map[string][]time.Time
	signal chan struct{} // closed and made anew with each change
}

func newObserver() *observer {
	return &observer{begun: map[string]int{}, ended: map[string][]time.Time{}, signal: make(chan struct{})}
}

func (o *observer) hear(what, id string) {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if what == "begun" {
		o.begun[id]++
	} else {
		o.ended[id] = append(o.ended[id], now)
	}
	close(o.signal)
	o.signal = make(chan struct{})
}

// wait waits until done is true, which is called with the lock held.
func (o *observer) wait(done func() bool) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		o.mu.Lock()
		ok, signal := done(), o.signal
		o.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-signal:
		case <-timer.C:
			return false
		}
	}
}

// listen hears from programs over a socket, until the test ends.
func (o *observer) listen(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "heard") // its name is short enough for a socket's
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	conn, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	var reader sync.WaitGroup
	reader.Go(func() {
		buf := make([]byte, 1024)
		for {
			n, _, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if what, id, ok := strings.Cut(string(buf[:n]), " "); ok {
				o.hear(what, id)
			}
		}
	})
	t.Cleanup(func() {
		_ = conn.Close()
		reader.Wait()
		_ = os.RemoveAll(dir)
	})
	return path
}

// TestACancelledCallEndsAtTheServer gives up calls in each way in which clients do
// so, to servers of both kinds, while another call to the same server goes on. The
// server hears of each once, and the other call is not disturbed (promise P11). The
// figures are printed and not judged: they are those of the machine.
func TestACancelledCallEndsAtTheServer(t *testing.T) {
	n := times(t, "DRAGOMAN_CANCELS", 48)
	o := newObserver()
	id := func(arguments object) string { text, _ := arguments["id"].(string); return text }
	up := httptest.NewServer(&leaky{
		called: func(arguments object) { o.hear("begun", id(arguments)) },
		ended:  func(arguments object) { o.hear("ended", id(arguments)) },
	})
	t.Cleanup(up.Close)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	g := start(t, home(t), object{
		"servers":  object{"web": object{"url": up.URL}, "program": object{"command": []string{self, "talker", o.listen(t)}}},
		"defaults": object{"breaker": object{"failures": 0}, "health": object{"interval": "0s"}}, // a slow machine is no fault
	})
	ways := map[string]func(*testing.T, string) func(id string) (cancel func()){
		"the connection is closed":             g.closing,
		"a session is told that it was enough": g.telling,
	}
	for _, server := range []string{"web", "program"} {
		for name, way := range ways {
			t.Run(server+": "+name, func(t *testing.T) {
				begin := way(t, server+"__hang")
				bystander := server + name
				release := begin(bystander)
				took := make([]time.Duration, n)
				slots := make(chan struct{}, 4) // calls at once
				var calls sync.WaitGroup
				for i := range n {
					slots <- struct{}{}
					calls.Go(func() {
						defer func() { <-slots }()
						took[i] = o.cancelled(t, fmt.Sprintf("%s %d", bystander, i), begin)
					})
				}
				calls.Wait()
				o.mu.Lock()
				if o.begun[bystander] != 1 || len(o.ended[bystander]) != 0 {
					t.Errorf("the call beside them: begun %d times and ended %d times, want once and not yet", o.begun[bystander], len(o.ended[bystander]))
				}
				o.mu.Unlock()
				release()
				if !o.wait(func() bool { return len(o.ended[bystander]) == 1 }) {
					t.Error("the call beside them did not end when it was cancelled")
				}
				slices.Sort(took)
				t.Logf("%d cancels: half within %v, 99 %% within %v, all within %v", n, took[n/2], took[n*99/100], took[n-1])
			})
		}
	}
}

// cancelled begins a call, cancels it when the server has it, and tells how long
// it took until the server knew.
func (o *observer) cancelled(t *testing.T, id string, begin func(string) func()) time.Duration {
	cancel := begin(id)
	if !o.wait(func() bool { return o.begun[id] > 0 }) {
		t.Errorf("call %s did not reach the server", id)
		return 0
	}
	from := time.Now()
	cancel()
	if !o.wait(func() bool { return len(o.ended[id]) > 0 }) {
		t.Errorf("call %s did not end at the server", id)
		return 0
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.begun[id] != 1 || len(o.ended[id]) != 1 || o.ended[id][0].Before(from) {
		t.Errorf("call %s: begun %d times, ended %d times, want each once and the end after it was cancelled", id, o.begun[id], len(o.ended[id]))
	}
	return o.ended[id][0].Sub(from)
}

// closing cancels calls as clients of 2026-07-28 do: by closing the connection
// that they wait on.
func (g *gateway) closing(t *testing.T, tool string) func(string) func() {
	c := g.caller("")
	return func(id string) func() {
		ctx, cancel := context.WithCancel(t.Context())
		return g.begin(t, c, ctx, cancel, object{"name": tool, "arguments": object{"id": id}, "_meta": object{
			"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": object{}}}, 1,
			http.Header{"Mcp-Protocol-Version": {"2026-07-28"}, "Mcp-Method": {"tools/call"}, "Mcp-Name": {tool}}, nil)
	}
}

// telling cancels calls as clients with sessions do: by notifications/cancelled.
func (g *gateway) telling(t *testing.T, tool string) func(string) func() {
	c := g.caller("")
	header := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	body := `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.url+"/mcp", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header.Clone()
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	session := http.Header{"Mcp-Session-Id": {resp.Header.Get("Mcp-Session-Id")}, "Mcp-Protocol-Version": {"2025-06-18"}}
	tell := func(method string, params object) {
		text, _ := json.Marshal(object{"jsonrpc": "2.0", "method": method, "params": params})
		h := header.Clone()
		for name, values := range session {
			h[name] = values
		}
		if status, answer, err := c.do(http.MethodPost, "/mcp", text, h); err != nil || status != http.StatusAccepted {
			t.Errorf("%s: got %d, %s, %v, want 202", method, status, answer, err)
		}
	}
	tell("notifications/initialized", object{})
	return func(id string) func() {
		ctx, cancel := context.WithCancel(t.Context())
		request := "request " + id
		return g.begin(t, c, ctx, cancel, object{"name": tool, "arguments": object{"id": id}}, request, session, func() {
			tell("notifications/cancelled", object{"requestId": request, "reason": "enough"})
		})
	}
}

// begin sends a call and gives what cancels it: notify if there is such, and else
// the end of its request. The test waits for all of them.
func (g *gateway) begin(t *testing.T, c *caller, ctx context.Context, cancel func(), params object, id any, header http.Header, notify func()) func() {
	text, err := json.Marshal(object{"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url+"/mcp", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	for name, values := range header {
		req.Header[name] = values
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if resp, err := c.http.Do(req); err == nil {
			_, _ = new(bytes.Buffer).ReadFrom(resp.Body) // until it is cancelled
			_ = resp.Body.Close()
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	if notify != nil {
		return notify
	}
	return cancel
}
