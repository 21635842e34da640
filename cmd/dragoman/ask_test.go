package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// scripted answers with one result after the other, and keeps what it was asked.
type scripted struct {
	results []string
	asked   []*mcp.Request
}

func (s *scripted) Handle(_ context.Context, req *mcp.Request) (mcp.Result, error) {
	s.asked = append(s.asked, req)
	if req.Abandon {
		return mcp.Result{}, mcp.Errorf(mcp.CodeCallLost, "given up")
	}
	result := s.results[0]
	if len(s.results) > 1 {
		s.results = s.results[1:]
	}
	return mcp.RawResult([]byte(result)), nil
}

func toolCall() *mcp.Request {
	params, _ := jsonrpc.Split([]byte(`{"name":"t","arguments":{"a":1}}`))
	return mcp.ReadRequest("tools/call", params, nil)
}

func TestACallIsMadeUntilItsResultIsTheLastWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		h := &scripted{results: []string{
			`{"resultType":"input_required","inputRequests":{"q1":{"method":"elicitation/create","params":{"message":"Who?","requestedSchema":{"type":"object","properties":{"name":{"type":"string"}}}}}},"requestState":"s1"}`,
			`{"resultType":"input_required","requestState":"s2"}`,
			`{"resultType":"input_required","inputRequests":{"u":{"method":"elicitation/create","params":{"mode":"url","message":"Pay","url":"https://example.org/\u001bpay"}},"r":{"method":"roots/list"}},"requestState":"s3"}`,
			`{"content":[]}`,
		}}
		a := &asker{screen: &screen{err: &out}, in: strings.NewReader("y\nAda\nn\n"), roots: []string{"/work"}, wait: watch(&screen{}, "x")}
		result, err := a.complete(t.Context(), h, toolCall())
		if err != nil || result.Type() != mcp.Complete {
			t.Fatalf("complete = %s, %v", result.Raw(), err)
		}
		want := []string{
			`{"name":"t","arguments":{"a":1}}`,
			`{"name":"t","arguments":{"a":1},"inputResponses":{"q1":{"action":"accept","content":{"name":"Ada"}}},"requestState":"s1"}`,
			`{"name":"t","arguments":{"a":1},"inputResponses":{},"requestState":"s2"}`,
			`{"name":"t","arguments":{"a":1},"inputResponses":{"u":{"action":"decline"},"r":{"roots":[{"uri":"file:///work","name":"work"}]}},"requestState":"s3"}`,
		}
		for i, req := range h.asked {
			if got := string(req.Params.Raw()); i >= len(want) || got != want[i] {
				t.Errorf("request %d = %s, want %s", i, got, want[min(i, len(want)-1)])
			}
		}
		if !strings.Contains(out.String(), `https://example.org/\x1bpay`) {
			t.Errorf("the address was not shown whole and harmless: %q", out.String())
		}
	})
}

func TestACallThatCannotBeAnsweredIsGivenUp(t *testing.T) {
	tests := []struct{ name, method, want string }{
		{"a question without a terminal", "elicitation/create", "the tool has a question for a person, and standard input is no terminal"},
		{"a model", "sampling/createMessage", "the tool wants a model to answer"},
		{"roots that were not named", "roots/list", "name directories with --root"},
		{"something new", "dream/create", "the tool asks for dream/create, which this command does not know"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := &scripted{results: []string{`{"resultType":"input_required","inputRequests":{"q":{"method":"` + test.method + `"}},"requestState":"s"}`}}
			a := &asker{screen: &screen{err: &strings.Builder{}}, wait: watch(&screen{}, "x")}
			_, err := a.complete(t.Context(), h, toolCall())
			var coded *exitError
			if !errors.As(err, &coded) || coded.code != exitFailure || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %s", err, test.want)
			}
			if last := h.asked[len(h.asked)-1]; !last.Abandon || string(last.Params.Get("requestState")) != `"s"` {
				t.Errorf("the server was not told that the call is given up: %+v", last)
			}
		})
	}
}

func TestAServerThatNeverStopsAskingIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &asker{screen: &screen{}, roots: []string{"/"}, wait: watch(&screen{}, "x")}
		again := &scripted{results: []string{`{"resultType":"input_required","inputRequests":{"r":{"method":"roots/list"}}}`}}
		if _, err := a.complete(t.Context(), again, toolCall()); err == nil || len(again.asked) != maxRounds {
			t.Errorf("after %d rounds: %v, want an error after %d", len(again.asked), err, maxRounds)
		}
		later := &scripted{results: []string{`{"resultType":"input_required","requestState":"s"}`}}
		if _, err := a.complete(t.Context(), later, toolCall()); err == nil || len(later.asked) != maxShed+1 {
			t.Errorf("after %d times: %v, want an error after %d", len(later.asked), err, maxShed+1)
		}
	})
}
