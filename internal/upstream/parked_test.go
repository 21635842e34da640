package upstream_test

import (
	"context"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/upstream"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// ask calls the tool that asks its caller, and returns the state to come back with.
func ask(t testing.TB, ctx context.Context, u *upstream.Upstream) string {
	t.Helper()
	r, err := u.Handle(ctx, with(mcp.ElicitForm, tool("ask", `{"text":"name?"}`)))
	if err != nil || r.Type() != mcp.InputRequired {
		t.Fatalf("got %s, %v; want a question", r.Raw(), err)
	}
	state, _ := r.String("requestState")
	return state
}

// answer is the call made again with an answer.
func answer(state, text string) *mcp.Request {
	req := with(mcp.ElicitForm, tool("ask", `{"text":"name?"}`))
	req.Params = req.Params.With(
		jsonrpc.Edit{Name: "inputResponses", Value: []byte(`{"q1":{"action":"accept","content":{"name":"` + text + `"}}}`)},
		jsonrpc.Edit{Name: "requestState", Value: jsonrpc.AppendString(nil, state)})
	return req
}

func TestAParkedCallGoesOnWithItsAnswer(t *testing.T) {
	u := newHouse(t).open(program("legacy"))
	state := ask(t, t.Context(), u)
	if n := u.Status().InFlight; n != 0 {
		t.Errorf("%d calls in flight while it is parked, want 0: it takes no place", n)
	}
	if got := must(t, u, answer(state, "Ada")); !strings.Contains(got, "Ada") {
		t.Errorf("the server was told %q", got)
	}
}

func TestAParkedCallKeepsItsProcess(t *testing.T) {
	for name, disturb := range map[string]func(*upstream.Upstream){
		"when it is not used for long": func(u *upstream.Upstream) { u.Sweep(time.Now().Add(time.Hour)) },
		"when the program was changed": func(u *upstream.Upstream) { u.Restart() },
	} {
		t.Run(name, func(t *testing.T) {
			u := newHouse(t).open(then(program("legacy"), func(s *config.Server) { s.Start = "on-demand" }))
			state := ask(t, t.Context(), u)
			disturb(u)
			if got := must(t, u, answer(state, "Ada")); !strings.Contains(got, "Ada") {
				t.Errorf("the server was told %q", got)
			}
		})
	}
}

func TestAParkedCallWhoseProcessEndedIsAnErrorAndNotMadeAgain(t *testing.T) {
	ledger := filepath.Join(t.TempDir(), "ledger")
	u := newHouse(t).open(then(program("legacy", "ledger="+ledger), func(s *config.Server) { s.Idempotent = []string{"*"} }))
	state := ask(t, t.Context(), u)
	id := pid(t, t.Context(), u, mcp.ElicitForm, "")
	killByText(t, id)
	until(t, "the end of the process", func() bool { return u.Status().Replicas[0].Links == 0 })
	before := lines(t, ledger)
	if e := fails(t, u, answer(state, "Ada")); e.Code != mcp.CodeCallLost || !names(e, "peer") {
		t.Errorf("got %v with data %s, want code %d and the server's name", e, e.Data, mcp.CodeCallLost)
	}
	if after := lines(t, ledger); after != before {
		t.Errorf("the tool was run %d more times", after-before)
	}
}

func TestAParkedCallThatIsGivenUpIsToldToTheServer(t *testing.T) {
	u := newHouse(t).open(then(program("legacy"), func(s *config.Server) { s.MaxConcurrency = 1; s.MaxQueue = 0 }))
	state := ask(t, t.Context(), u)
	req := answer(state, "")
	req.Abandon = true
	if e := fails(t, u, req); e.Code != mcp.CodeCallLost {
		t.Errorf("got %v, want code %d", e, mcp.CodeCallLost)
	}
	until(t, "the notification", func() bool {
		return must(t, u, with(mcp.ElicitForm, tool("cancelled", `{}`))) != ""
	})
}

func TestAnAnswerToAnotherGatewaysQuestionIsPassedOn(t *testing.T) {
	var got string
	u := newHouse(t).inside(mcp.HandlerFunc(func(_ context.Context, req *mcp.Request) (mcp.Result, error) {
		got, _ = req.Params.String("requestState")
		return said("ok"), nil
	}), nil)
	must(t, u, answer("dragoman.of-the-gateway-behind", "Ada"))
	if got != "dragoman.of-the-gateway-behind" {
		t.Errorf("the server behind got %q", got)
	}
}

func killByText(t testing.TB, id string) {
	t.Helper()
	n := 0
	for _, c := range id {
		n = 10*n + int(c-'0')
	}
	if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}
