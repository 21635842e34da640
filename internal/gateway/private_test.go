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

// split is a server of which each principal has a session of its own.
type split struct {
	mu     sync.Mutex // guards what follows
	suffix map[string]string
	notify map[string]func(mcp.Notification)
	end    chan struct{}
}

func (s *split) Handle(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	who := mcp.PrincipalOf(ctx).ID
	switch req.Method {
	case "server/discover":
		return mcp.RawResult([]byte(`{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true}}}`)), nil
	case "tools/list":
		s.mu.Lock()
		defer s.mu.Unlock()
		return mcp.RawResult([]byte(`{"tools":[` + tool("t"+who+s.suffix[who]) + `]}`)), nil
	case "subscriptions/listen":
		s.mu.Lock()
		s.notify[who] = req.Notify
		end := s.end
		s.mu.Unlock()
		req.Emit(mcp.Notification{Method: "notifications/subscriptions/acknowledged"})
		select {
		case <-end:
			return mcp.Result{}, mcp.Errorf(mcp.CodeUnavailable, "listen again")
		case <-ctx.Done():
			return mcp.Result{}, ctx.Err()
		}
	}
	return mcp.Result{}, mcp.MethodNotFound(req.Method)
}

func TestWhoDoesNotShareAServerHearsOfItsLists(t *testing.T) {
	for name, change := range map[string]func(s *split){
		"when the server says so": func(s *split) { s.notify["ann"](mcp.Notification{Method: "notifications/tools/list_changed"}) },
		"when it may have been missed": func(s *split) {
			close(s.end)
			s.end = make(chan struct{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &split{suffix: map[string]string{}, notify: map[string]func(mcp.Notification){}, end: make(chan struct{})}
				g := open(t, gateway.Options{}, []gateway.Server{{Name: "s", Handler: s, Isolation: gateway.PerPrincipal}})
				h, _ := g.Endpoint("")
				c := mcp.NewClient(mcp.Revision20260728, nil, jsonrpc.Object{})
				heard := map[string]chan string{"ann": make(chan string, 100), "bob": make(chan string, 100)}
				list := func(who string) string {
					r, err := h.Handle(mcp.WithPrincipal(t.Context(), mcp.Principal{ID: who}), &mcp.Request{Method: "tools/list", Client: c})
					if err != nil {
						t.Error(err)
					}
					return string(r.Raw())
				}
				var work sync.WaitGroup
				ctx, cancel := context.WithCancel(t.Context())
				for who, heard := range heard {
					params, _ := jsonrpc.Split([]byte(`{"notifications":{"toolsListChanged":true}}`))
					req := &mcp.Request{Method: "subscriptions/listen", Params: params, Client: c}
					req.Notify = func(n mcp.Notification) { heard <- n.Method }
					work.Go(func() { _, _ = h.Handle(mcp.WithPrincipal(ctx, mcp.Principal{ID: who}), req) })
				}
				synctest.Wait()
				for who := range heard {
					if got := list(who); !strings.Contains(got, `"s__t`+who+`"`) {
						t.Errorf("%s lists %s", who, got)
					}
				}
				<-time.After(time.Minute)
				for _, heard := range heard {
					for len(heard) > 0 {
						<-heard
					}
				}
				s.mu.Lock()
				s.suffix["ann"] = "2"
				notify := name == "when the server says so"
				if !notify {
					change(s)
				}
				s.mu.Unlock()
				if notify {
					change(s)
				}
				if got := <-heard["ann"]; got != "notifications/tools/list_changed" {
					t.Errorf("ann heard %s", got)
				}
				if got := list("ann"); !strings.Contains(got, `"s__tann2"`) {
					t.Errorf("ann then lists %s", got)
				}
				if notify && len(heard["bob"]) > 0 {
					t.Errorf("bob heard %s", <-heard["bob"])
				}
				cancel()
				work.Wait()
			})
		})
	}
}
