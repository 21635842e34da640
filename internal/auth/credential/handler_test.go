package credential_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// questionOf gives the link and the state of a result that asks for a login.
func questionOf(t *testing.T, result mcp.Result, err error) (link, state string) {
	t.Helper()
	if err != nil || result.Type() != mcp.InputRequired {
		t.Fatalf("got %s, %v, want input_required", result.Raw(), err)
	}
	requests, _ := jsonrpc.Split(result.Get("inputRequests"))
	asked, _ := jsonrpc.Split(requests.Get("dragoman-login"))
	params, _ := jsonrpc.Split(asked.Get("params"))
	method, _ := asked.String("method")
	mode, _ := params.String("mode")
	message, _ := params.String("message")
	if method != "elicitation/create" || mode != "url" || message == "" {
		t.Fatalf("it asks with %s", asked.Raw())
	}
	link, _ = params.String("url")
	state, _ = result.String("requestState")
	return link, state
}

// answered is a request that comes again with the user's answer.
func answered(req *mcp.Request, state, action string) *mcp.Request {
	again := *req
	again.Params = req.Params.With(
		jsonrpc.Edit{Name: "requestState", Value: jsonrpc.AppendString(nil, state)},
		jsonrpc.Edit{Name: "inputResponses", Value: []byte(`{"dragoman-login":{"action":"` + action + `"}}`)})
	return &again
}

// codeQuestionOf gives the state of a result that asks for a code.
func codeQuestionOf(t *testing.T, result mcp.Result, err error) string {
	t.Helper()
	if err != nil || !strings.Contains(string(result.Get("inputRequests")), `"mode":"form"`) {
		t.Fatalf("got %s, %v, want a form that asks for the code", result.Raw(), err)
	}
	state, _ := result.String("requestState")
	return state
}

// coded is a request that comes again with a code.
func coded(req *mcp.Request, state, code string) *mcp.Request {
	again := answered(req, state, "accept")
	again.Params = again.Params.With(jsonrpc.Edit{Name: "inputResponses", Value: []byte(`{"dragoman-login":{"action":"accept","content":{"code":"` + code + `"}}}`)})
	return again
}

func TestAClientThatOpensLinksIsAskedAndTheCallGoesOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r, other := h.open(), h.open()
	req := request("read", true)
	result, err := h.call(r, "corp:alice", req)
	link, state := questionOf(t, result, err)

	_, err = h.call(r, "corp:alice", answered(req, state, "decline"))
	var wire *mcp.Error
	if !errors.As(err, &wire) || wire.Code != mcp.CodeUnauthenticated {
		t.Errorf("who declines gets %v", err)
	}
	if _, err := h.call(r, "corp:alice", answered(req, "dragoman-login.AAAA", "accept")); !errors.As(err, &wire) || wire.Code != jsonrpc.CodeInvalidParams {
		t.Errorf("with another state: %v", err)
	}

	// The call waits on one replica while its user logs in on another.
	type outcome struct {
		result mcp.Result
		err    error
	}
	ended := make(chan outcome, 1)
	go func() {
		result, err := h.call(r, "corp:alice", answered(req, state, "accept"))
		ended <- outcome{result, err}
	}()
	_, page := newBrowser(t).submit(strings.Replace(link, r.web.URL, other.web.URL, 1), nil)
	got := <-ended
	state = codeQuestionOf(t, got.result, got.err)
	// A wrong code is asked for again, the right one lets the call through.
	wrong, err := h.call(r, "corp:alice", coded(req, state, "AAAA-AAAA"))
	if state = codeQuestionOf(t, wrong, err); !strings.Contains(string(wrong.Raw()), "4 more may be tried") {
		t.Errorf("a wrong code is answered with %s", wrong.Raw())
	}
	got.result, got.err = h.call(other, "corp:alice", coded(req, state, codeOn(t, page)))
	if who, _ := got.result.String("who"); got.err != nil || who != "alice-at-work" {
		t.Errorf("the call that waited ends with %s, %v", got.result.Raw(), got.err)
	}
	h.resource.set(func() {
		for _, body := range h.resource.bodies {
			if strings.Contains(body, "dragoman") || strings.Contains(body, "inputResponses") || strings.Contains(body, "requestState") {
				t.Errorf("the server sees of it %s", body)
			}
		}
	})
}

func TestWhatACallHadBroughtForTheServerIsThereAfterTheLogin(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.open()
	req := request("read", true)
	req.Params = req.Params.With(
		jsonrpc.Edit{Name: "requestState", Value: []byte(`"the server's <own>"`)}, jsonrpc.Edit{Name: "inputResponses", Value: []byte(`{"q":{"action":"accept"}}`)})
	result, err := h.call(r, "corp:alice", req)
	link, state := questionOf(t, result, err)
	_, page := newBrowser(t).submit(link, nil)
	result, err = h.call(r, "corp:alice", answered(req, state, "accept"))
	state = codeQuestionOf(t, result, err)
	if _, err := h.call(r, "corp:alice", coded(req, state, codeOn(t, page))); err != nil {
		t.Fatal(err)
	}
	h.resource.set(func() {
		sent, _ := jsonrpc.Split([]byte(h.resource.bodies[0]))
		if state, _ := sent.String("requestState"); state != "the server's <own>" || string(sent.Get("inputResponses")) != `{"q":{"action":"accept"}}` {
			t.Errorf("the server got %s", h.resource.bodies[0])
		}
	})
}

func TestWhoHasNotLoggedInSeesTheToolToDoSo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.open()
	list := func(method string) mcp.Result {
		result, err := h.call(r, "corp:alice", &mcp.Request{Method: method, Client: request("", false).Client})
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		return result
	}
	if tools := string(list("tools/list").Get("tools")); !strings.Contains(tools, `"name":"log_in"`) {
		t.Errorf("tools %s", tools)
	}
	for method, member := range map[string]string{"prompts/list": "prompts", "resources/list": "resources", "resources/templates/list": "resourceTemplates"} {
		if got := string(list(method).Get(member)); got != "[]" {
			t.Errorf("%s gives %q", method, got)
		}
	}
	if about := mcp.ReadServer(list("server/discover")); !slices.Contains(about.Revisions, mcp.Revision20260728) || about.Capabilities.Get("tools") == nil {
		t.Errorf("the server says of itself %+v", about)
	}
	result, err := h.call(r, "corp:alice", request("log_in", false))
	if err != nil {
		t.Fatal(err)
	}
	_, link, _ := strings.Cut(string(result.Get("content")), r.web.URL)
	link, _, _ = strings.Cut(link, `"`)
	if !strings.Contains(string(result.Get("content")), "with the code that the browser shows") {
		t.Errorf("the tool says %s, want what to do with the code", result.Raw())
	}
	_, page := newBrowser(t).submit(r.web.URL+link, nil)
	h.prove(r, "corp:alice", page)
	if result, err = h.call(r, "corp:alice", request("log_in", false)); err != nil || !strings.Contains(string(result.Get("content")), "You are logged in") {
		t.Errorf("the tool says %s, %v after the login", result.Raw(), err)
	}
}

func TestWhoListensHearsOfTheLogin(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.open()
	wanted, _ := jsonrpc.Split([]byte(`{"notifications":{"toolsListChanged":true}}`))
	heard := make(chan string, 8) // more than are sent
	req := &mcp.Request{Method: "subscriptions/listen", Params: wanted, Client: request("", false).Client}
	req.Notify = func(n mcp.Notification) { heard <- n.Method }
	ended := make(chan error, 1)
	go func() {
		_, err := h.call(r, "corp:alice", req)
		ended <- err
	}()
	if got := <-heard; got != "notifications/subscriptions/acknowledged" {
		t.Fatalf("first came %s", got)
	}
	h.login(r, "corp:alice", "alice-at-work")
	if got := <-heard; got != "notifications/tools/list_changed" {
		t.Errorf("then came %s", got)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "listen again") {
		t.Errorf("it ends with %v", err)
	}
}

func TestMoreScopesAreAskedForWhereTheServerWantsThem(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.open()
	h.login(r, "corp:alice", "alice-at-work")
	h.resource.set(func() { h.resource.scope = "admin" })
	req := request("read", true)
	result, err := h.call(r, "corp:alice", req)
	link, state := questionOf(t, result, err)
	b := newBrowser(t)
	var scope string
	b.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		if s := req.URL.Query().Get("scope"); s != "" {
			scope = s
		}
		return nil
	}
	h.clock.advance(time.Second)
	_, page := b.submit(link, nil)
	h.prove(r, "corp:alice", page)
	if scope != "admin read write" {
		t.Errorf("asked for %q, want what was granted, what the server asks for and what it asked for now", scope)
	}
	h.resource.set(func() { h.resource.scope = "" })
	if result, err = h.call(r, "corp:alice", answered(req, state, "accept")); err != nil || result.Type() != mcp.Complete {
		t.Errorf("then the call gives %s, %v", result.Raw(), err)
	}
}

func TestCallsThatWaitForALoginAreBounded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.open()
	req := request("read", true)
	result, err := h.call(r, "corp:alice", req)
	_, state := questionOf(t, result, err)
	ctx, cancel := context.WithCancel(as(t.Context(), "corp:alice"))
	defer cancel()
	const calls = 1100 // 1,000 may wait
	refused := make(chan struct{}, calls)
	var all sync.WaitGroup
	for range calls {
		all.Go(func() {
			_, err := r.server.Handler(mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) {
				return mcp.EmptyResult(), nil
			})).Handle(ctx, answered(req, state, "accept"))
			var wire *mcp.Error
			if errors.As(err, &wire) && wire.Code == mcp.CodeBusy {
				refused <- struct{}{}
			}
		})
	}
	for range 100 {
		<-refused
	}
	cancel()
	all.Wait()
	if n := len(refused); n != 0 {
		t.Errorf("%d more than 100 were refused", n)
	}
}
