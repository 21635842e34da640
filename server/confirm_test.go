package server_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/servertest"
)

type path struct {
	Path  string `json:"path"`
	Depth int    `json:"depth,omitempty"`
}

type removed struct {
	Path string `json:"path"`
}

func TestConfirmNeedsTheUsersWord(t *testing.T) {
	now := time.Date(2026, 7, 28, 0, 0, 0, 0, time.UTC)
	c := servertest.Open(t, making(func(s *server.Server) {
		server.AddTool(s, tool("remove"), func(_ context.Context, c *server.Call, in path) (removed, error) {
			if err := c.Confirm("Remove " + in.Path + "?"); err != nil {
				return removed{}, err
			}
			return removed{in.Path}, nil
		})
	}), &server.Env{Now: func() time.Time { return now }})
	h, err := c.Server.Handler()
	if err != nil {
		t.Fatal(err)
	}
	call := func(capabilities, params string) string {
		t.Helper()
		kinds, _ := jsonrpc.Split([]byte(capabilities))
		o, ok := jsonrpc.Split([]byte(params))
		if !ok {
			t.Fatalf("no object: %s", params)
		}
		r, err := h.Handle(t.Context(), mcp.ReadRequest("tools/call", o, mcp.NewClient(mcp.Revision20260728, nil, kinds)))
		if err != nil {
			t.Fatal(err)
		}
		return string(r.Raw())
	}
	const form = `{"elicitation":{"form":{}}}`
	for _, capabilities := range []string{`{}`, `{"elicitation":{"url":{}}}`, `{"sampling":{}}`} {
		if got := call(capabilities, `{"name":"remove","arguments":{"path":"/x"}}`); !strings.Contains(got, "whom this client cannot ask") {
			t.Errorf("a client with %s: got %s, want a refusal", capabilities, got)
		}
	}
	question := call(form, `{"name":"remove","arguments":{"path":"/x","depth":1}}`)
	var asked struct{ ResultType, RequestState string }
	if err := json.Unmarshal([]byte(question), &asked); err != nil || asked.ResultType != "input_required" || !strings.Contains(question, "Remove /x?") {
		t.Fatalf("got %s, want a question", question)
	}
	answer := func(arguments, action, state string) string {
		return call(form, `{"name":"remove","arguments":`+arguments+`,"requestState":"`+state+`","inputResponses":{"confirm":{"action":"`+action+`","content":{}}}}`)
	}
	for _, c := range []struct{ name, got, want string }{
		{"the user agrees", answer(`{"depth":1, "path":"/x"}`, "accept", asked.RequestState), `"structuredContent":{"path":"/x"}`},
		{"the user does not", answer(`{"path":"/x","depth":1}`, "decline", asked.RequestState), "the user has not agreed"},
		{"the user looks away", answer(`{"path":"/x","depth":1}`, "cancel", asked.RequestState), "the user has not agreed"},
		{"an answer to another question", answer(`{"path":"/y","depth":1}`, "accept", asked.RequestState), "asked about another call"},
		{"an answer to no question", answer(`{"path":"/x","depth":1}`, "accept", ""), "asked about another call"},
		{"an answer that somebody has made up", answer(`{"path":"/x","depth":1}`, "accept", "AAAA"), "asked about another call"},
	} {
		if !strings.Contains(c.got, c.want) {
			t.Errorf("%s: got %s, want %s", c.name, c.got, c.want)
		}
	}
	now = now.Add(16 * time.Minute)
	if got := answer(`{"path":"/x","depth":1}`, "accept", asked.RequestState); !strings.Contains(got, "too long ago") {
		t.Errorf("consent of long ago: got %s", got)
	}
}
