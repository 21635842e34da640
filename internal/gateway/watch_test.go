package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/gateway"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// moody is a server with sessions, as upstreams make it look: it has a list of
// tools for each set of kinds, and its subscriptions end now and then.
type moody struct {
	mu      sync.Mutex // guards what follows
	lists   map[mcp.Kinds]string
	fetches int
	broken  error  // of lists
	dead    error  // of everything
	refuses bool   // subscriptions
	before  func() // a subscription is acknowledged
	end     chan struct{}
	notify  func(mcp.Notification) // nil while nobody listens
}

func newMoody() *moody { return &moody{lists: map[mcp.Kinds]string{}, end: make(chan struct{})} }

func (s *moody) Handle(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	s.mu.Lock()
	dead, broken := s.dead, s.broken
	s.mu.Unlock()
	if dead != nil {
		return mcp.Result{}, dead
	}
	switch req.Method {
	case "server/discover":
		return mcp.RawResult([]byte(`{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true}}}`)), nil
	case "tools/list":
		s.mu.Lock()
		defer s.mu.Unlock()
		s.fetches++
		if broken != nil {
			return mcp.Result{}, broken
		}
		return mcp.RawResult([]byte(`{"tools":[` + tool("t"+s.lists[req.Client.Kinds]) + `]}`)), nil
	case "subscriptions/listen":
		return s.listen(ctx, req)
	}
	return mcp.Result{}, mcp.MethodNotFound(req.Method)
}

func (s *moody) listen(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	s.mu.Lock()
	if s.before != nil {
		s.before()
	}
	if s.refuses {
		defer s.mu.Unlock()
		return mcp.Result{}, mcp.MethodNotFound(req.Method)
	}
	s.notify = req.Notify
	end := s.end
	s.mu.Unlock()
	req.Emit(mcp.Notification{Method: "notifications/subscriptions/acknowledged"})
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.notify = nil
	}()
	select {
	case <-end:
		return mcp.Result{}, mcp.Errorf(mcp.CodeUnavailable, "listen again")
	case <-ctx.Done():
		return mcp.Result{}, ctx.Err()
	}
}

// change gives the callers of kinds another list, and tells who listens; false
// when nobody does.
func (s *moody) change(kinds mcp.Kinds, to string) bool {
	s.mu.Lock()
	s.lists[kinds] = to
	notify := s.notify
	s.mu.Unlock()
	if notify != nil {
		notify(mcp.Notification{Method: "notifications/tools/list_changed"})
	}
	return notify != nil
}

// hang up ends the subscription under way.
func (s *moody) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.end)
	s.end = make(chan struct{})
}

func (s *moody) set(f func(*moody)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// caller is a client with kinds that listens to changed tools, and lists again
// whenever it hears of one.
type caller struct {
	t     *testing.T
	g     *gateway.Gateway
	kinds mcp.Kinds
	heard chan string
}

func (c *caller) client() *mcp.Client {
	capabilities, _ := jsonrpc.Split(c.kinds.Capabilities(mcp.Revision20260728))
	return mcp.NewClient(mcp.Revision20260728, nil, capabilities)
}

func call(t *testing.T, g *gateway.Gateway, kinds mcp.Kinds) *caller {
	c := &caller{t: t, g: g, kinds: kinds, heard: make(chan string, 100)}
	h, _ := g.Endpoint("")
	params, _ := jsonrpc.Split([]byte(`{"notifications":{"toolsListChanged":true}}`))
	req := &mcp.Request{Method: "subscriptions/listen", Params: params, Client: c.client()}
	req.Notify = func(n mcp.Notification) { c.heard <- n.Method }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = h.Handle(ctx, req)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	if got := <-c.heard; got != "notifications/subscriptions/acknowledged" {
		t.Errorf("first came %s", got)
	}
	return c
}

func (c *caller) list() string {
	h, _ := c.g.Endpoint("")
	result, err := h.Handle(c.t.Context(), &mcp.Request{Method: "tools/list", Client: c.client()})
	if err != nil {
		c.t.Errorf("tools/list: %v", err)
	}
	return string(result.Raw())
}

// settle passes over what was said so far.
func (c *caller) settle() {
	<-time.After(10 * time.Second)
	for len(c.heard) > 0 {
		<-c.heard
		c.list()
		synctest.Wait()
	}
}

// hears waits until the caller has heard that the list has changed, and has
// listed want.
func (c *caller) hears(want string, within time.Duration) {
	c.t.Helper()
	limit := time.NewTimer(within)
	defer limit.Stop()
	got := ""
	for !strings.Contains(got, `"s__t`+want+`"`) {
		select {
		case <-c.heard:
			got = c.list()
		case <-limit.C:
			c.t.Fatalf("not within %s: that there is s__t%s; last listed: %s", within, want, got)
		}
	}
}

func TestNoChangeIsMissed(t *testing.T) {
	for name, happens := range map[string]func(s *moody, c *caller){
		"it is announced": func(s *moody, c *caller) { s.change(c.kinds, "new") },
		"it happens while the subscription to the server is opened anew": func(s *moody, c *caller) {
			s.hangUp()
			synctest.Wait()
			if s.change(c.kinds, "new") {
				c.t.Error("somebody listens, so that this says nothing")
			}
		},
		"the server hangs up right after it": func(s *moody, c *caller) {
			s.change(c.kinds, "new")
			s.hangUp()
		},
		"the changed list cannot be fetched at first": func(s *moody, c *caller) {
			s.set(func(s *moody) { s.broken = errors.New("out of order") })
			s.change(c.kinds, "new")
			<-time.After(20 * time.Second) // of the bubble
			s.set(func(s *moody) { s.broken = nil })
		},
		"the lists cannot be fetched after the subscription was opened anew": func(s *moody, c *caller) {
			s.set(func(s *moody) { s.broken = errors.New("out of order") })
			s.hangUp()
			synctest.Wait()
			s.change(c.kinds, "new")
			<-time.After(20 * time.Second)
			s.set(func(s *moody) { s.broken = nil })
		},
		"the server was dead meanwhile": func(s *moody, c *caller) {
			s.set(func(s *moody) { s.dead = errors.New("connection refused") })
			s.hangUp()
			synctest.Wait()
			s.change(c.kinds, "new")
			<-time.After(20 * time.Second)
			s.set(func(s *moody) { s.dead = nil })
		},
	} {
		for _, kinds := range []mcp.Kinds{0, mcp.Sampling} {
			t.Run(name+", for callers of kinds "+string(kinds.Capabilities(mcp.Revision20260728)), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newMoody()
					g := open(t, gateway.Options{}, []gateway.Server{{Name: "s", Handler: s}})
					c := call(t, g, kinds)
					c.list()
					c.settle()
					happens(s, c)
					c.hears("new", 3*time.Minute)
				})
			})
		}
	}
}

func TestAServerThatDoesNotAnswerIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := newMoody()
		s.dead = errors.New("connection refused")
		o := gateway.Options{Log: slog.New(slog.NewTextHandler(&log, nil))}
		open(t, o, []gateway.Server{{Name: "s", Handler: s}})
		<-time.After(25 * time.Minute)
		s.set(func(s *moody) { s.dead = nil })
		<-time.After(2 * time.Minute)
		synctest.Wait()
		for line, want := range map[string]int{
			"server does not answer the gateway, it is asked again": 1,
			"server still does not answer the gateway":              2, // after 10 and 20 minutes
			"server answers the gateway again":                      1,
			"\n":                                                    4,
		} {
			if got := strings.Count(log.String(), line); got != want {
				t.Errorf("%q is %d times in the log, want %d:\n%s", line, got, want, log.String())
			}
		}
	})
}

func TestAServerThatRefusesSubscriptionsIsNotAskedAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMoody()
		s.refuses = true
		g := open(t, gateway.Options{}, []gateway.Server{{Name: "s", Handler: s}})
		<-time.After(time.Hour)
		synctest.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.fetches > 150 {
			t.Errorf("%d fetches of its tools in an hour, want about two a minute at most", s.fetches)
		}
		if st := g.Status()[0]; !st.Known || st.Tools != 1 {
			t.Errorf("known: %t, tools: %d, want that its list is known", st.Known, st.Tools)
		}
	})
}

func TestWhatWaitsForASubscriberIsBoundedInBytes(t *testing.T) {
	a := &fake{capabilities: `{"resources":{"subscribe":true}}`, results: map[string]string{"resources/list": `{"resources":[{"uri":"a://1","name":"one"}]}`}}
	g := open(t, gateway.Options{}, []gateway.Server{{Name: "a", Handler: a}})
	h, _ := g.Endpoint("")
	params, _ := jsonrpc.Split([]byte(`{"notifications":{"resourceSubscriptions":["a://1"]}}`))
	stuck, first := make(chan bool), make(chan bool, 1)
	req := &mcp.Request{Method: "subscriptions/listen", Params: params, Client: &mcp.Client{Revision: mcp.Revision20260728}}
	seen := 0
	req.Notify = func(n mcp.Notification) {
		if n.Method == "notifications/resources/updated" {
			if seen++; seen == 1 {
				first <- true
				<-stuck
			}
		}
	}
	done := make(chan error, 1)
	go func() { _, err := h.Handle(t.Context(), req); done <- err }()
	long := `{"uri":"a://1","pad":"` + strings.Repeat("x", 1<<20) + `"}`
	eventually(t, func() bool { return a.tell("notifications/resources/updated", long) })
	<-first
	for range 5 { // of which four find room
		a.tell("notifications/resources/updated", long)
	}
	close(stuck)
	if e := mcp.WireError(<-done); e.Code != mcp.CodeBusy {
		t.Errorf("the subscription ended with %v, want code %d", e, mcp.CodeBusy)
	}
	if seen != 4 {
		t.Errorf("%d updates came, want 4: one, and three that had room", seen)
	}
}
