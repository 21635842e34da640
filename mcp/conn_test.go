package mcp_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

func note(t testing.TB, n int) jsonrpc.Message {
	return parse(t, fmt.Sprintf(`{"jsonrpc":"2.0","method":"n","params":{"n":%d}}`, n))
}

const response = `{"jsonrpc":"2.0","id":1,"result":{}}`

func TestACallThatIsFullKeepsRoomForItsResponse(t *testing.T) {
	call := mcp.NewCall("1", 2, nil)
	var taken []bool
	for n := range 4 {
		taken = append(taken, call.Deliver(note(t, n)))
	}
	taken = append(taken, call.Deliver(parse(t, response)), call.Deliver(parse(t, response)), call.Deliver(note(t, 9)))
	if diff := cmp.Diff([]bool{true, true, false, false, true, false, false}, taken); diff != "" {
		t.Errorf("taken (-want +got):\n%s", diff)
	}
	want := []string{
		`{"jsonrpc":"2.0","method":"n","params":{"n":0}}`,
		`{"jsonrpc":"2.0","method":"n","params":{"n":1}}`,
		response,
	}
	if diff := cmp.Diff(want, outcome(t, call)); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

func TestMessagesThatWaitKeepTheirOrder(t *testing.T) {
	for _, end := range []func(*mcp.Call){func(c *mcp.Call) { c.Deliver(parse(t, response)) }, func(c *mcp.Call) { c.Finish(errors.New("end")) }} {
		call := mcp.NewCall("1", 101, nil)
		go func() {
			for n := range 100 {
				call.Deliver(note(t, n))
			}
			end(call)
		}()
		for n := range 100 {
			msg, _ := wait(t, call.Messages(), "message")
			if got := string(msg.Params.Get("n")); got != fmt.Sprint(n) {
				t.Fatalf("message %d: got %s", n, got)
			}
		}
		if got := outcome(t, call); len(got) != 1 {
			t.Errorf("got %q, want the end", got)
		}
	}
}

func TestACallIsAbandonedWithMessagesWaiting(t *testing.T) {
	for name, before := range map[string]func(*mcp.Call){
		"before it has finished":   func(*mcp.Call) {},
		"after its response":       func(c *mcp.Call) { c.Deliver(parse(t, response)) },
		"after it has failed":      func(c *mcp.Call) { c.Finish(errors.New("end")) },
		"when some were received":  func(c *mcp.Call) { <-c.Messages(); <-c.Messages() },
		"when it was left already": func(c *mcp.Call) { c.Abandon() },
	} {
		t.Run(name, func(t *testing.T) {
			call := mcp.NewCall("1", 100, nil)
			for n := range 50 {
				call.Deliver(note(t, n))
			}
			before(call)
			call.Abandon()
			for {
				if _, ok := wait(t, call.Messages(), "end"); !ok {
					break
				}
			}
			if call.Deliver(note(t, 0)) || call.Deliver(parse(t, response)) {
				t.Error("an abandoned call took a message")
			}
		})
	}
}

func TestACallWithoutRoomStillTakesItsResponse(t *testing.T) {
	call := mcp.NewCall("1", 0, nil)
	if call.Deliver(note(t, 1)) || !call.Deliver(parse(t, response)) {
		t.Error("want the notification dropped and the response taken")
	}
}

func TestACallFinishesOnce(t *testing.T) {
	first := errors.New("first")
	tests := map[string]struct {
		steps func(*mcp.Call)
		want  error
	}{
		"the first error stays":               {func(c *mcp.Call) { c.Finish(first); c.Finish(errors.New("second")) }, first},
		"an error after the response is none": {func(c *mcp.Call) { c.Deliver(parse(t, response)); c.Finish(first) }, nil},
		"abandoning after an error is late":   {func(c *mcp.Call) { c.Finish(first); c.Abandon() }, first},
		"abandoning cancels":                  {func(c *mcp.Call) { c.Abandon(); c.Abandon() }, context.Canceled},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			call := mcp.NewCall("1", 1, nil)
			test.steps(call)
			for range call.Messages() {
			}
			if err := call.Err(); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestAbandonReleasesWhatTheChannelKeeps(t *testing.T) {
	released := 0
	mcp.NewCall("1", 1, func() { released++ }).Abandon()
	if released != 1 {
		t.Errorf("released %d times, want once", released)
	}
}

func TestACallMayBeUsedByAllAtOnce(t *testing.T) {
	call := mcp.NewCall("1", 3, nil)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for n := range 500 {
				call.Deliver(note(t, n))
			}
		})
	}
	wg.Go(func() { call.Deliver(parse(t, response)) })
	responses := 0
	for msg := range call.Messages() {
		if msg.IsResponse() {
			responses++
		}
	}
	wg.Wait()
	if responses != 1 || call.Err() != nil {
		t.Errorf("got %d responses, %v, want one", responses, call.Err())
	}
}

func TestOutgoingTextIsWholeWhateverItsMethod(t *testing.T) {
	m, peer := mux(t)
	for method, params := range map[string]string{"a": "", `we"ird/é` + "\x01": `{"big":123456789012345678901234567890}`, strings.Repeat("m", 300): "{\n \"a\":[]\n}"} {
		out := mcp.Outgoing{Method: method}
		if params != "" {
			out.Params = []byte(params)
		}
		begin(t, m, out).Abandon()
		got := peer.Next()
		if got.Method != method || string(got.Params.Raw()) != params {
			t.Errorf("sent %q with %s: got %q with %s", method, params, got.Method, got.Params.Raw())
		}
	}
}
