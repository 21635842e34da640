package gateway_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/gateway"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// slowStart is a server with sessions that takes its time to start a process. The
// first is started for whoever asks first; others, one for each set of kinds, only
// when that is there and has shown that kinds matter.
type slowStart struct {
	each time.Duration

	mu    sync.Mutex // guards what follows
	first chan struct{}
	there map[mcp.Kinds]chan struct{} // closed when its process has started
}

func newSlowStart() *slowStart {
	return &slowStart{each: 9 * time.Second, there: map[mcp.Kinds]chan struct{}{}}
}

// start returns what is closed when the process for kinds is there.
func (s *slowStart) start(kinds mcp.Kinds) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if there := s.there[kinds]; there != nil {
		return there
	}
	there, before := make(chan struct{}), s.first
	s.there[kinds] = there
	if s.first == nil {
		s.first = there
	}
	go func() { // goes on when who has asked first leaves
		defer close(there)
		if before != nil {
			<-before
		}
		<-time.After(s.each)
	}()
	return there
}

func (s *slowStart) Handle(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	select {
	case <-s.start(req.Client.Kinds):
	case <-ctx.Done():
		return mcp.Result{}, ctx.Err()
	}
	switch req.Method {
	case "server/discover":
		return mcp.RawResult([]byte(`{"supportedVersions":["2025-11-25"],"capabilities":{"tools":{"listChanged":true}}}`)), nil
	case "tools/list":
		if req.Client.Kinds.Has(mcp.Sampling) {
			return mcp.RawResult([]byte(`{"tools":[` + tool("plain") + `,` + tool("asking") + `]}`)), nil
		}
		return mcp.RawResult([]byte(`{"tools":[` + tool("plain") + `]}`)), nil
	case "subscriptions/listen":
		req.Emit(mcp.Notification{Method: "notifications/subscriptions/acknowledged"})
		<-ctx.Done()
		return mcp.Result{}, ctx.Err()
	}
	return mcp.Result{}, mcp.MethodNotFound(req.Method)
}

// count returns how often the caller has heard of a change until now.
func (c *caller) count() int {
	synctest.Wait()
	n := len(c.heard)
	for range n {
		<-c.heard
	}
	return n
}

func TestAServerThatIsStartedAgainForACallerShowsWhatItHasShown(t *testing.T) {
	for name, c := range map[string]struct {
		kinds mcp.Kinds
		then  string // what it shows when its process has started
		news  int    // how often the caller hears that it is another list
	}{
		"and stays silent when that is all":         {mcp.Roots, "plain", 0},
		"and tells when there is more for a caller": {mcp.Sampling, "asking", 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSlowStart()
				g := open(t, gateway.Options{}, []gateway.Server{{Name: "s", Handler: s}})
				begun := time.Now()
				at := func(d time.Duration) { <-time.After(time.Until(begun.Add(d))) }
				synctest.Wait() // the gateway has asked first
				who := call(t, g, c.kinds)
				if got := who.list(); strings.Contains(got, "s__plain") || !strings.Contains(got, `"lastKnown":false`) || time.Since(begun) != 5*time.Second {
					t.Errorf("after %s: %s; want that nothing is known after 5 s", time.Since(begun), got)
				}
				at(9100 * time.Millisecond)
				if n := who.count(); n != 1 {
					t.Errorf("when the first process is there, %d changes were told, want 1", n)
				}
				if got := who.list(); !strings.Contains(got, "s__plain") || !strings.Contains(got, `"lastKnown":true`) || time.Since(begun) > 10*time.Second {
					t.Errorf("after %s: %s; want at once what the first process has shown, and that it is old", time.Since(begun), got)
				}
				at(30 * time.Second)
				if n := who.count(); n != c.news {
					t.Errorf("when the second process is there, %d changes were told, want %d", n, c.news)
				}
				if got := who.list(); !strings.Contains(got, "s__"+c.then) || strings.Contains(got, "lastKnown") {
					t.Errorf("then: %s; want its own list", got)
				}
			})
		})
	}
}

func TestTheEndpointOfASlowServerShowsWhatItHasShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlowStart()
		g := open(t, gateway.Options{}, []gateway.Server{{Name: "s", Handler: s}})
		begun := time.Now()
		synctest.Wait()
		h, _ := g.Endpoint("s")
		capabilities, _ := jsonrpc.Split(mcp.Roots.Capabilities(mcp.Revision20260728))
		client := mcp.NewClient(mcp.Revision20260728, nil, capabilities)
		result, err := h.Handle(t.Context(), &mcp.Request{Method: "tools/list", Client: client})
		if err != nil || !strings.Contains(string(result.Raw()), `"plain"`) {
			t.Errorf("got %s, %v", result.Raw(), err)
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("that took %s, want it as soon as the first process was there", took)
		}
		result, err = h.Handle(t.Context(), &mcp.Request{Method: "server/discover", Client: client})
		if err != nil || !strings.Contains(string(result.Raw()), `"tools"`) || time.Since(begun) > 10*time.Second {
			t.Errorf("after %s got %s, %v; want at once what the first process has said of itself", time.Since(begun), result.Raw(), err)
		}
		<-time.After(time.Minute)
	})
}

func TestAChangeIsToldOnce(t *testing.T) {
	for name, happens := range map[string]func(s *moody){
		"when its server says so": func(s *moody) { s.change(mcp.Sampling, "new") },
		"when its server says so in several sessions": func(s *moody) {
			s.change(mcp.Sampling, "new")
			<-time.After(10 * time.Millisecond)
			s.change(0, "new")
			<-time.After(10 * time.Millisecond)
			s.change(mcp.Roots, "new")
		},
		"when it was not heard of": func(s *moody) {
			s.hangUp()
			synctest.Wait()
			s.change(mcp.Sampling, "new")
			s.change(0, "new")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newMoody()
				g := open(t, gateway.Options{}, []gateway.Server{{Name: "s", Handler: s}})
				<-time.After(10 * time.Second)
				listing, other, silent := call(t, g, mcp.Sampling), call(t, g, mcp.Roots), call(t, g, mcp.Sampling|mcp.Roots)
				listing.list()
				other.list()
				<-time.After(10 * time.Second)
				for _, c := range []*caller{listing, other, silent} {
					if n := c.count(); n != 0 {
						t.Errorf("nothing has changed, and who has just come (%s) heard of %d changes", c.kinds.Capabilities(mcp.Revision20260728), n)
					}
				}
				happens(s)
				<-time.After(2 * time.Minute)
				if n := listing.count(); n != 1 {
					t.Errorf("who has the list heard of %d changes, want 1", n)
				}
				if n := other.count(); n > 1 {
					t.Errorf("who has another list heard of %d changes, want one at most", n)
				}
				if n := silent.count(); n > 1 {
					t.Errorf("who has no list heard of %d changes, want one at most", n)
				}
			})
		})
	}
}

func TestAChangeOfResourcesAndTemplatesIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{capabilities: `{"resources":{"listChanged":true}}`, results: map[string]string{
			"resources/list":           `{"resources":[{"uri":"a://1","name":"one"}]}`,
			"resources/templates/list": `{"resourceTemplates":[{"uriTemplate":"a://{x}","name":"x"}]}`,
		}}
		g := open(t, gateway.Options{}, []gateway.Server{{Name: "s", Handler: f}})
		<-time.After(10 * time.Second)
		h, _ := g.Endpoint("")
		client := mcp.NewClient(mcp.Revision20251125, nil, jsonrpc.Object{})
		for _, method := range []string{"resources/list", "resources/templates/list"} {
			if _, err := h.Handle(t.Context(), &mcp.Request{Method: method, Client: client}); err != nil {
				t.Error(err)
			}
		}
		params, _ := jsonrpc.Split([]byte(`{"notifications":{"resourcesListChanged":true}}`))
		heard := make(chan string, 100)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = h.Handle(ctx, &mcp.Request{Method: "subscriptions/listen", Params: params, Client: client, Notify: func(n mcp.Notification) { heard <- n.Method }})
		}()
		if got := <-heard; got != "notifications/subscriptions/acknowledged" {
			t.Errorf("first came %s", got)
		}
		for i := range 3 {
			f.tell("notifications/resources/list_changed", `{}`)
			<-time.After(10 * time.Second)
			if n := len(heard); n != i+1 {
				t.Errorf("after %d changes %d were told", i+1, n)
			}
		}
		cancel()
		<-done
	})
}
