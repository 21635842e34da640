package mcp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/mcptest"
)

func TestCallsGetIdsOfTheirOwnAndTheirOwnAnswers(t *testing.T) {
	m, peer := mux(t)
	var calls []*mcp.Call
	for range 3 {
		calls = append(calls, begin(t, m, mcp.Outgoing{Method: "tools/call", Params: []byte(`{"name":"x"}`)}))
		peer.Next()
	}
	for _, i := range []int{2, 0, 1} { // in any order, with grease
		peer.Send(`{"jsonrpc":"2.0","x-grease":[1],"id":%s,"result":{"n":%d,"x-grease":null}}`, calls[i].ID(), i)
	}
	for i, call := range calls {
		want := []string{fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"n":%d,"x-grease":null}}`, call.ID(), i)}
		if diff := cmp.Diff(want, outcome(t, call)); diff != "" {
			t.Errorf("call %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestAnswersThatNobodyWaitsForAreDropped(t *testing.T) {
	m, peer := mux(t)
	gone, call := begin(t, m, mcp.Outgoing{Method: "a"}), begin(t, m, mcp.Outgoing{Method: "b"})
	gone.Abandon()
	for _, id := range []string{string(gone.ID()), `"` + string(call.ID()) + `"`, "null", "999", "-1", `"x"`} {
		peer.Send(`{"jsonrpc":"2.0","id":%s,"error":{"code":1,"message":"for nobody"}}`, id)
	}
	peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{"first":true}}`, call.ID())
	peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{"first":false}}`, call.ID())
	want := []string{fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"first":true}}`, call.ID())}
	if diff := cmp.Diff(want, outcome(t, call)); diff != "" {
		t.Errorf("call (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"error: context canceled"}, outcome(t, gone)); diff != "" {
		t.Errorf("abandoned call (-want +got):\n%s", diff)
	}
	peer.Send(`{"jsonrpc":"2.0","method":"last"}`)
	if msg, _ := wait(t, m.Events(), "event"); msg.Method != "last" {
		t.Errorf("an answer for nobody became the event %s", mcptest.Text(msg))
	}
}

func TestProgressGoesToTheCallOfItsToken(t *testing.T) {
	m, peer := mux(t)
	number := begin(t, m, mcp.Outgoing{Method: "a", ProgressToken: "7"})
	text := begin(t, m, mcp.Outgoing{Method: "b", ProgressToken: `"7"`})
	progress := func(token string) string {
		return `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":` + token + `,"progress":1}}`
	}
	for _, token := range []string{`"7"`, "7", "8", "null"} {
		peer.Send("%s", progress(token))
	}
	for _, call := range []*mcp.Call{number, text} {
		peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, call.ID())
	}
	for token, call := range map[string]*mcp.Call{"7": number, `"7"`: text} {
		got := outcome(t, call)
		if len(got) != 2 || got[0] != progress(token) {
			t.Errorf("call with token %s: got %q, want its progress and the answer", token, got)
		}
	}
	for _, token := range []string{"8", "null"} {
		if msg, _ := wait(t, m.Events(), "event"); mcptest.Text(msg) != progress(token) {
			t.Errorf("event: got %s, want %s", mcptest.Text(msg), progress(token))
		}
	}
}

// A connection that several callers share tells no caller what the server logs at
// another's call.
func TestLogsGoToACallThatIsAloneOnly(t *testing.T) {
	const log = `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"of some call"}}`
	for beside, want := range map[string]bool{"": true, "ping": true, "tools/list": true, "subscriptions/listen": true, "tools/call": false, "acme/work": false} {
		t.Run("beside "+beside, func(t *testing.T) {
			m, peer := mux(t)
			curious := begin(t, m, mcp.Outgoing{Method: "tools/call", Logs: true})
			if beside != "" {
				begin(t, m, mcp.Outgoing{Method: beside})
			}
			peer.Send("%s", log)
			peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, curious.ID())
			if got := outcome(t, curious); (got[0] == log) != want {
				t.Errorf("the call got %q, want the log message: %v", got, want)
			}
			if want {
				return
			}
			if msg, _ := wait(t, m.Events(), "event"); msg.Method != "notifications/message" {
				t.Errorf("got %s, want the message as of no call", mcptest.Text(msg))
			}
		})
	}
}

func TestProgressAfterTheAnswerReachesNoOtherCall(t *testing.T) {
	m, peer := mux(t)
	first := begin(t, m, mcp.Outgoing{Method: "a", ProgressToken: "7"})
	peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, first.ID())
	outcome(t, first)
	late := `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7,"progress":1}}`
	peer.Send("%s", late)
	if msg, _ := wait(t, m.Events(), "event"); mcptest.Text(msg) != late {
		t.Errorf("event: got %s, want the late progress, which belongs to no call", mcptest.Text(msg))
	}
	// The token may be used again; the end of the first call must not take it away.
	second := begin(t, m, mcp.Outgoing{Method: "b", ProgressToken: "7"})
	first.Abandon()
	peer.Send("%s", late)
	peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, second.ID())
	if got := outcome(t, second); len(got) != 2 || got[0] != late {
		t.Errorf("second call: got %q, want progress and the answer", got)
	}
}

func TestWhatBelongsToASubscriptionGoesThere(t *testing.T) {
	m, peer := mux(t)
	one, two := begin(t, m, mcp.Outgoing{Method: "subscriptions/listen"}), begin(t, m, mcp.Outgoing{Method: "subscriptions/listen"})
	changed := func(id jsonrpc.ID) string {
		return `{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":` + string(id) + `},"x-grease":1}}`
	}
	for _, id := range []jsonrpc.ID{two.ID(), one.ID(), "999", two.ID()} {
		peer.Send("%s", changed(id))
	}
	peer.Send(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
	for _, call := range []*mcp.Call{one, two} {
		peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, call.ID())
	}
	for call, n := range map[*mcp.Call]int{one: 1, two: 2} {
		got := outcome(t, call)
		if len(got) != n+1 || strings.Count(strings.Join(got, "\n"), changed(call.ID())) != n {
			t.Errorf("subscription %s: got %q, want %d changes and the end", call.ID(), got, n)
		}
	}
	for _, want := range []string{changed("999"), `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`} {
		if msg, _ := wait(t, m.Events(), "event"); mcptest.Text(msg) != want {
			t.Errorf("event: got %s, want %s", mcptest.Text(msg), want)
		}
	}
}

func TestACallThatIsNotReceivedLosesProgressButNotItsAnswer(t *testing.T) {
	m, peer := mux(t)
	for name, out := range map[string]mcp.Outgoing{
		"with progress":  {Method: "a", ProgressToken: "1"},
		"a subscription": {Method: "subscriptions/listen"},
	} {
		call := begin(t, m, out)
		peer.Next()
		for n := range mcp.MaxCallQueue + 100 {
			if out.ProgressToken != "" {
				peer.Send(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":%d}}`, n)
				continue
			}
			peer.Send(`{"jsonrpc":"2.0","method":"n","params":{"n":%d,"_meta":{"io.modelcontextprotocol/subscriptionId":%s}}}`, n, call.ID())
		}
		peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{"done":true}}`, call.ID())
		peer.Send(`{"jsonrpc":"2.0","method":"sync"}`)
		wait(t, m.Events(), "all that came before")
		got := outcome(t, call)
		if last := got[len(got)-1]; !strings.Contains(last, `"done":true`) {
			t.Errorf("%s: the last of %d is %s, want the answer", name, len(got), last)
		}
		if len(got) < 2 || len(got) > mcp.MaxCallQueue+1 {
			t.Errorf("%s: got %d messages, want at most the bound of %d and the answer", name, len(got), mcp.MaxCallQueue)
		}
	}
}

func TestEventsThatAreNotReceivedAreBounded(t *testing.T) {
	m, peer := mux(t)
	call := begin(t, m, mcp.Outgoing{Method: "a"})
	peer.Next()
	for n := range 256 {
		peer.Send(`{"jsonrpc":"2.0","method":"note","params":{"n":%d}}`, n)
	}
	peer.Send(`{"jsonrpc":"2.0","method":"dropped"}`)
	peer.Send(`{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage"}`)
	if busy := peer.Next(); busy.ID != `"q"` || busy.Error == nil || busy.Error.Code != mcp.CodeBusy {
		t.Errorf("a request that finds no room: got %s, want code %d", mcptest.Text(busy), mcp.CodeBusy)
	}
	peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, call.ID())
	if got := outcome(t, call); len(got) != 1 {
		t.Errorf("call: got %q, want the answer", got)
	}
	peer.Close()
	count := 0
	for msg := range m.Events() {
		if msg.Method != "note" {
			t.Errorf("event: got %s, want the first notes", mcptest.Text(msg))
		}
		count++
	}
	if count != 256 {
		t.Errorf("got %d events, want 256", count)
	}
}

func TestTheEndOfTheConnectionFinishesAllCalls(t *testing.T) {
	m, peer := mux(t)
	calls := []*mcp.Call{begin(t, m, mcp.Outgoing{Method: "a", ProgressToken: "1"}), begin(t, m, mcp.Outgoing{Method: "b"})}
	peer.Close()
	for _, call := range calls {
		if got := outcome(t, call); len(got) != 1 || !strings.Contains(got[0], "ended before the answer") || !errors.Is(call.Err(), io.EOF) {
			t.Errorf("got %q, want an error that says that the connection has ended", got)
		}
	}
	wait(t, m.Done(), "done")
	if err := m.Err(); !errors.Is(err, io.EOF) {
		t.Errorf("why: got %v, want EOF", err)
	}
	if _, ok := wait(t, m.Events(), "events"); ok {
		t.Error("events: got one, want that they are closed")
	}
	if _, err := m.Start(t.Context(), mcp.Outgoing{Method: "c"}); !errors.Is(err, io.EOF) {
		t.Errorf("start afterwards: got %v, want EOF", err)
	}
	calls[0].Abandon() // harmless
}

func TestABatchIsTakenApart(t *testing.T) {
	m, peer := mux(t)
	one, two := begin(t, m, mcp.Outgoing{Method: "a"}), begin(t, m, mcp.Outgoing{Method: "b"})
	peer.Send(`[{"jsonrpc":"2.0","id":%s,"result":{}},{"jsonrpc":"2.0","method":"n"},{"jsonrpc":"2.0","id":%s,"result":{}}]`, two.ID(), one.ID())
	for _, call := range []*mcp.Call{one, two} {
		if got := outcome(t, call); len(got) != 1 {
			t.Errorf("call %s: got %q, want its answer", call.ID(), got)
		}
	}
	if msg, _ := wait(t, m.Events(), "event"); msg.Method != "n" {
		t.Errorf("event: got %s", mcptest.Text(msg))
	}
}

func TestGarbageIsSkippedUntilThereIsTooMuch(t *testing.T) {
	m, peer := mux(t)
	call := begin(t, m, mcp.Outgoing{Method: "a"})
	peer.Next()
	garbage := []string{`{"jsonrpc":"2.0"`, `{}`, `[]`, `{"jsonrpc":"1.0","id":1,"result":{}}`, `{"jsonrpc":"2.0","id":1,"id":2,"result":{}}`, "\xff", `"text"`}
	for i := range 999 {
		peer.Send("%s", garbage[i%len(garbage)])
	}
	peer.Send(`{"jsonrpc":"2.0","method":"sane"}`)
	if msg, _ := wait(t, m.Events(), "event"); msg.Method != "sane" {
		t.Errorf("event: got %s", mcptest.Text(msg))
	}
	for i := range 1000 {
		peer.Send("%s", garbage[i%len(garbage)])
	}
	if got := outcome(t, call); len(got) != 1 || !strings.Contains(got[0], "1000 messages in a row are not MCP") {
		t.Errorf("call: got %q, want the end of the connection", got)
	}
}

// stuck is a connection whose peer neither says anything nor takes anything.
type stuck struct {
	mcp.Conn
	closed chan struct{}
}

func (s *stuck) Read(ctx context.Context) ([]byte, error) {
	select {
	case <-s.closed:
	case <-ctx.Done():
	}
	select {
	case <-s.closed:
		return nil, io.ErrClosedPipe
	default:
		return nil, errors.New("the context ended before the connection was closed")
	}
}

func (s *stuck) Write(ctx context.Context, _ []byte) error {
	select {
	case <-s.closed:
		return io.ErrClosedPipe
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *stuck) Close() error {
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	return nil
}

func TestAStartThatCannotBeSentIsForgotten(t *testing.T) {
	m := mcp.NewMux(&stuck{closed: make(chan struct{})}, jsonrpc.Limits{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Start(ctx, mcp.Outgoing{Method: "a"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
	errs := make(chan error, 1)
	go func() {
		_, err := m.Start(context.Background(), mcp.Outgoing{Method: "b"})
		errs <- err
	}()
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err, _ := wait(t, errs, "start"); err == nil {
		t.Error("start on a connection that was closed meanwhile: got no error")
	}
	if err := m.Err(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("why it ended: got %v, want that it was closed, before any context ended", err)
	}
	m.Close() // again, harmless
}
