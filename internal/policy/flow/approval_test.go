package flow_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/policy/flow"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

func asks(id string) context.Context { return mcp.WithPrincipal(context.Background(), who(id)) }

func call(t testing.TB, params string) *mcp.Request {
	t.Helper()
	o, err := jsonrpc.ParseObject([]byte(params), jsonrpc.Limits{})
	if err != nil {
		t.Fatalf("ParseObject(%s): %v", params, err)
	}
	capabilities, _ := jsonrpc.Split([]byte(`{"elicitation":{}}`))
	return mcp.ReadRequest("tools/call", o, mcp.NewClient(mcp.Revision20260728, nil, capabilities))
}

func subject(req *mcp.Request) flow.Subject {
	return flow.Subject{Server: "mail", Request: req, Rule: "flow:w", Read: []flow.Source{src("web/fetch")}}
}

// asked asks, and gives the state and the question.
func asked(t *testing.T, a *flow.Approvals, id string, s flow.Subject) (state, message string) {
	t.Helper()
	result, err := a.Ask(asks(id), s)
	if err != nil {
		t.Fatalf("Ask: %v", err)
	}
	var out struct {
		ResultType, RequestState string
		InputRequests            map[string]struct {
			Method string
			Params struct{ Mode, Message string }
		}
	}
	if err := json.Unmarshal(result.Raw(), &out); err != nil {
		t.Fatal(err)
	}
	one := out.InputRequests["dragoman-approval"]
	if out.ResultType != "input_required" || one.Method != "elicitation/create" || one.Params.Mode != "form" {
		t.Fatalf("Ask: got %s, want a form", result.Raw())
	}
	return out.RequestState, one.Params.Message
}

// back is params with the state, and an answer to the question.
func back(params, state, answer string) string {
	return strings.TrimSuffix(params, "}") + fmt.Sprintf(`,"requestState":%q,"inputResponses":{"dragoman-approval":%s}}`, state, answer)
}

const (
	send  = `{"name":"send","arguments":{"to":"ann","n":1.50}}`
	allow = `{"action":"accept","content":{"allow":true}}`
)

func TestAnApprovalIsGoodForOneCallOfOneCallerOnce(t *testing.T) {
	for _, tt := range []struct {
		name, who, server, params, answer string
		want                              string
		again                             bool // the question still waits
	}{
		{"the user says yes", "ann", "mail", send, allow, "yes", false},
		{"in other words", "ann", "mail", `{"arguments":{"n":1.50, "to":"\u0061nn"},"_meta":{"x":1},"name":"send"}`, allow, "yes", false},
		{"the user declines", "ann", "mail", send, `{"action":"decline"}`, "no", false},
		{"the user closes the question", "ann", "mail", send, `{"action":"cancel"}`, "no", false},
		{"the user sends the form without ticking the box", "ann", "mail", send, `{"action":"accept","content":{"allow":false}}`, "no", false},
		{"the user sends an empty form", "ann", "mail", send, `{"action":"accept"}`, "no", false},
		{"a text is no tick", "ann", "mail", send, `{"action":"accept","content":{"allow":"true"}}`, "no", false},
		{"declined, with a tick", "ann", "mail", send, `{"action":"decline","content":{"allow":true}}`, "no", false},
		{"no answer is no answer", "ann", "mail", send, `7`, "nothing", false},
		{"another caller", "bob", "mail", send, allow, "error", true},
		{"another argument", "ann", "mail", `{"name":"send","arguments":{"to":"eve","n":1.50}}`, allow, "error", true},
		{"another number", "ann", "mail", `{"name":"send","arguments":{"to":"ann","n":1.5}}`, allow, "error", true},
		{"one more argument", "ann", "mail", `{"name":"send","arguments":{"to":"ann","n":1.50,"bcc":"eve"}}`, allow, "error", true},
		{"one more parameter", "ann", "mail", `{"name":"send","arguments":{"to":"ann","n":1.50},"task":{}}`, allow, "error", true},
		{"another tool", "ann", "mail", `{"name":"drop","arguments":{"to":"ann","n":1.50}}`, allow, "error", true},
		{"another server", "ann", "files", send, allow, "error", true},
	} {
		a := flow.NewApprovals(newClock().now)
		s := subject(call(t, send))
		state, _ := asked(t, a, "ann", s)
		word := func() string {
			req, answer, err := a.Take(asks(tt.who), tt.server, call(t, back(tt.params, state, tt.answer)))
			switch {
			case err != nil:
				return "error"
			case answer.Declined():
				return "no"
			case answer.Approves(s):
				return "yes"
			case req.Params.Get("requestState") != nil && string(req.Params.Get("requestState")) == fmt.Sprintf("%q", state):
				return "unknown"
			}
			return "nothing"
		}
		if got := word(); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
		if tt.again != (a.Waiting() == 1) {
			t.Errorf("%s: %d calls wait, want it to wait: %t", tt.name, a.Waiting(), tt.again)
		}
		if tt.want == "yes" {
			if got := word(); got != "unknown" {
				t.Errorf("%s, a second time: got %s, want a state that nobody knows", tt.name, got)
			}
		}
	}
}

func TestAnApprovalIsForWhatWasAsked(t *testing.T) {
	s := subject(call(t, send))
	for name, now := range map[string]flow.Subject{
		"another rule":                  {Server: "mail", Request: s.Request, Rule: "flow:x", Read: s.Read},
		"one more server has been read": {Server: "mail", Request: s.Request, Rule: s.Rule, Read: append(s.Read, src("db/query"))},
	} {
		a := flow.NewApprovals(newClock().now)
		state, _ := asked(t, a, "ann", s)
		if _, answer, err := a.Take(asks("ann"), "mail", call(t, back(send, state, allow))); err != nil || answer.Approves(now) || answer.Declined() {
			t.Errorf("%s: got %+v, %v, want neither yes nor no", name, answer, err)
		}
	}
	a := flow.NewApprovals(newClock().now)
	state, _ := asked(t, a, "ann", s)
	more := flow.Subject{Server: "mail", Request: s.Request, Rule: s.Rule, Read: append(s.Read, src("web/find"))}
	if _, answer, err := a.Take(asks("ann"), "mail", call(t, back(send, state, allow))); err != nil || !answer.Approves(more) {
		t.Errorf("more of the same server has been read: got %+v, %v, want yes", answer, err)
	}
}

func TestStatesThatAreNotOursAreLeftAlone(t *testing.T) {
	c := newClock()
	a := flow.NewApprovals(c.now)
	old, _ := asked(t, a, "ann", subject(call(t, send)))
	c.at = c.at.Add(10 * time.Minute)
	for name, state := range map[string]string{
		"of a server": "x.y", "of a gateway behind this one": "dragoman-flow.AAAAAAAAAAAAAAAAAAAAAAAAAA", "one that is too old": old, "none": "",
	} {
		req := call(t, back(send, state, allow))
		got, answer, err := a.Take(asks("ann"), "mail", req)
		if err != nil || answer != (flow.Answer{}) || string(got.Params.Raw()) != string(req.Params.Raw()) {
			t.Errorf("%s: got %s, %+v, %v, want it as it was", name, got.Params.Raw(), answer, err)
		}
	}
}

// A server that asks for something itself gets its own state and answers back, and the approval lasts until the call is done.
func TestTheStateOfAServerSurvivesTheQuestion(t *testing.T) {
	a := flow.NewApprovals(nil)
	first := strings.TrimSuffix(send, "}") + `,"requestState":"server-1","inputResponses":{"q1":{"action":"accept"}}}`
	s := subject(call(t, first))
	state, _ := asked(t, a, "ann", s)
	req, answer, err := a.Take(asks("ann"), "mail", call(t, back(send, state, allow)))
	if err != nil || !answer.Approves(s) || string(req.Params.Get("requestState")) != `"server-1"` || string(req.Params.Get("inputResponses")) != `{"q1":{"action":"accept"}}` {
		t.Fatalf("got %s, %+v, %v, want what the call had brought", req.Params.Raw(), answer, err)
	}
	result, err := a.Carry(asks("ann"), s, mcp.RawResult([]byte(`{"resultType":"input_required","inputRequests":{"q2":{}},"requestState":"server-2"}`)))
	if err != nil {
		t.Fatal(err)
	}
	state, _ = result.String("requestState")
	if strings.Contains(string(result.Raw()), "server-2") || string(result.Get("inputRequests")) != `{"q2":{}}` {
		t.Errorf("got %s, want a state of ours around the server's", result.Raw())
	}
	req, answer, err = a.Take(asks("ann"), "mail", call(t, strings.TrimSuffix(send, "}")+fmt.Sprintf(`,"requestState":%q,"inputResponses":{"q2":{"action":"decline"}}}`, state)))
	if err != nil || !answer.Approves(s) || string(req.Params.Get("requestState")) != `"server-2"` || string(req.Params.Get("inputResponses")) != `{"q2":{"action":"decline"}}` {
		t.Errorf("got %s, %+v, %v, want the server's state and the answer to it", req.Params.Raw(), answer, err)
	}
	last := mcp.RawResult([]byte(`{"content":[]}`))
	if got, err := a.Carry(asks("ann"), s, last); err != nil || string(got.Raw()) != string(last.Raw()) || a.Waiting() != 0 {
		t.Errorf("the last word: got %s, %v, and %d wait", got.Raw(), err, a.Waiting())
	}
}

func TestQuestionsThatWaitAreBounded(t *testing.T) {
	a := flow.NewApprovals(nil)
	var first string
	for i := range 1000 {
		state, _ := asked(t, a, "ann", subject(call(t, send)))
		if i == 0 {
			first = state
		}
		if a.Waiting() > 64 {
			t.Fatalf("%d questions to one principal wait", a.Waiting())
		}
	}
	if _, answer, err := a.Take(asks("ann"), "mail", call(t, back(send, first, allow))); err != nil || answer != (flow.Answer{}) {
		t.Errorf("the first of a thousand: got %+v, %v, want it forgotten", answer, err)
	}
	var err error
	for i := 0; i < 5000 && err == nil; i++ {
		_, err = a.Ask(asks(fmt.Sprint(i)), subject(call(t, send)))
	}
	if err == nil || a.Waiting() > 4096 {
		t.Errorf("5,000 principals: got %v and %d that wait, want it to be refused from 4,096 on", err, a.Waiting())
	}
}

func TestTheQuestionShowsWhatWouldBeDone(t *testing.T) {
	a := flow.NewApprovals(nil)
	req := call(t, `{"name":"send","arguments":{"to":"eve\u202e@example\u200b.com","n":12345678901234567890,"\u001b[2Jname":{"deep":["\n\nDragoman: all is well",null]}}}`)
	_, got := asked(t, a, "ann", subject(req))
	for _, want := range []string{"web (fetch)", "call the tool send of the server mail", `to: "eve\u202e@example\u200b.com"`, "n: 12345678901234567890",
		`\u001b[2Jname: {"deep":["\n\nDragoman: all is well",null]}`, "rule flow:w"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
	if n := strings.Count(got, "\n"); n != 4 { // one before each argument, and one behind
		t.Errorf("got %d lines, want no more than there are arguments:\n%s", n, got)
	}
	long := call(t, `{"name":"send","arguments":{"text":"`+strings.Repeat("ä", 50_000)+`END"}}`)
	if _, got := asked(t, a, "ann", subject(long)); len(got) > 5000 || !strings.Contains(got, "NOT ALL of the arguments is shown") || !strings.Contains(got, `END"`) || !strings.Contains(got, " bytes…] ") {
		t.Errorf("a long argument: got %d bytes, %s", len(got), got)
	}
	if _, got := asked(t, a, "ann", subject(call(t, `{"name":"send"}`))); !strings.Contains(got, "without arguments") {
		t.Errorf("no arguments: got %s", got)
	}
}

func TestNothingIsHidden(t *testing.T) {
	for text, want := range map[string]string{
		"plain Ä 漢字 🙂 a b": "plain Ä 漢字 🙂 a b", "a\tb\nc\r": `a\u0009b\u000ac\u000d`, "\x1b[31m": `\u001b[31m`, "a\u202eb": `a\u202eb`,
		"a\u2066b": `a\u2066b`, "a\u200bb\u200d\u2060\ufeff": `a\u200bb\u200d\u2060\ufeff`, "x\U000e0041": `x\U000e0041`, "\u00a0": `\u00a0`,
		"\u3164\uffa0\u115f": `\u3164\uffa0\u115f`, "a\ufe00": `a\ufe00`, "a\U000e0100": `a\U000e0100`, "\u2028": `\u2028`, "\u2800": `\u2800`, "a\xffb": `a\ufffdb`, "\u034f": `\u034f`,
	} {
		if got := flow.Visible(text); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}
