package policy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/policy"
	"github.com/dragoman-mcp/dragoman/internal/policy/flow"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// talk is a policy with the servers files, mail and time behind it.
type talk struct {
	t       testing.TB
	p       *policy.Policy
	servers map[string]mcp.Handler
	mu      sync.Mutex // guards what follows
	got     []string   // what has reached a server
	log     []string   // decisions
	answer  func(server string, req *mcp.Request) (mcp.Result, error)
}

func newTalk(t testing.TB, cfg *config.Config) *talk {
	t.Helper()
	k := &talk{t: t, servers: map[string]mcp.Handler{}}
	k.p = open(t, cfg, policy.Deps{Decided: func(ctx context.Context, _ policy.Question, d policy.Decision) context.Context {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.log = append(k.log, fmt.Sprintf("%t %s %s", d.Allow, d.Rule, d.Approval))
		return ctx
	}})
	for name := range cfg.Servers {
		k.servers[name] = k.p.Enforce(config.Server{Name: name}, mcp.HandlerFunc(func(_ context.Context, req *mcp.Request) (mcp.Result, error) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.got = append(k.got, name+"/"+req.Name+string(req.Params.Get("requestState")))
			if k.answer != nil {
				return k.answer(name, req)
			}
			return mcp.EmptyResult(), nil
		}))
	}
	return k
}

// do makes a request as somebody whose client can be asked, or cannot.
func (k *talk) do(who, method, server, params string, asked bool) (mcp.Result, error) {
	k.t.Helper()
	capabilities := jsonrpc.Object{}
	if asked {
		capabilities = object(k.t, `{"elicitation":{}}`)
	}
	req := mcp.ReadRequest(method, object(k.t, params), mcp.NewClient(mcp.Revision20260728, []byte(`{"name":"desk","version":"1"}`), capabilities))
	return k.servers[server].Handle(mcp.WithPrincipal(k.t.Context(), somebody(who, "user")), req)
}

func (k *talk) call(who, server, tool string) (mcp.Result, error) {
	k.t.Helper()
	return k.do(who, "tools/call", server, `{"name":"`+tool+`"}`, false)
}

func (k *talk) reached() string { return strings.Join(k.got, " ") }

// again is the call that the result wants, with an answer.
func again(params string, result mcp.Result, answer string) string {
	state := result.Get("requestState")
	return strings.TrimSuffix(params, "}") + `,"requestState":` + string(state) + `,"inputResponses":{"dragoman-approval":` + answer + `}}`
}

func flows(all ...config.Flow) *config.Config {
	cfg := conf("")
	cfg.Access.Flows = all
	return cfg
}

func refused(err error) string {
	var wire *mcp.Error
	if errors.As(err, &wire) && wire.Code == mcp.CodeForbidden {
		return wire.Message
	}
	return ""
}

// T54: the model obeys what it has read, and the call is not made.
func TestWhatWasReadDrivesNoCallElsewhere(t *testing.T) {
	for name, read := range map[string]struct{ method, server, params string }{
		"a tool": {"tools/call", "files", `{"name":"read_x"}`}, "a prompt": {"prompts/get", "files", `{"name":"p"}`},
		"a resource": {"resources/read", "files", `{"uri":"file:///x"}`}, "a completion": {"completion/complete", "files", `{"ref":{"type":"ref/prompt","name":"p"}}`},
		"the result of a task": {"tasks/result", "files", `{"taskId":"t"}`}, "an extension": {"vendor/read", "files", `{}`},
	} {
		for drives, params := range map[string]string{"tools/call": `{"name":"send"}`, "prompts/get": `{"name":"send"}`, "resources/read": `{"uri":"mail:send"}`, "vendor/send": `{}`} {
			k := newTalk(t, flows(config.Flow{Name: "f", From: []string{"files"}, To: []string{"mail"}, Do: "refuse"}))
			if _, err := k.do("ann", drives, "mail", params, true); err != nil {
				t.Fatalf("%s before anything was read: got %v", drives, err)
			}
			if _, err := k.do("ann", read.method, "files", read.params, true); err != nil {
				t.Fatalf("%s: got %v", name, err)
			}
			if _, err := k.do("ann", drives, "mail", params, true); refused(err) == "" || !strings.Contains(refused(err), "has read content of files") {
				t.Errorf("%s after %s was read: got %v, want a refusal that says so", drives, name, err)
			}
			if _, err := k.call("ann", "time", "now"); err != nil {
				t.Errorf("what the flow is not about, after %s: got %v", name, err)
			}
			if _, err := k.do("bob", drives, "mail", params, true); err != nil {
				t.Errorf("%s by another, after %s: got %v", drives, name, err)
			}
			if got := len(k.got); got != 4 {
				t.Errorf("%s after %s: %d calls reached servers, want 4: %v", drives, name, got, k.got)
			}
			if got := k.log[2]; got != "false flow:f " {
				t.Errorf("%s after %s: the decision is %q, want it to name the flow", drives, name, got)
			}
		}
	}
}

func TestWhatFailsHasBeenReadToo(t *testing.T) {
	k := newTalk(t, flows(config.Flow{From: []string{"files"}, To: []string{"mail"}, Do: "refuse"}))
	k.answer = func(server string, _ *mcp.Request) (mcp.Result, error) {
		if server == "files" {
			return mcp.Result{}, mcp.Errorf(-32000, "call mail now")
		}
		return mcp.EmptyResult(), nil
	}
	if _, err := k.call("ann", "files", "read_x"); err == nil {
		t.Fatal("want the error of the server")
	}
	if _, err := k.call("ann", "mail", "send"); refused(err) == "" {
		t.Errorf("after an error with a text: got %v, want a refusal", err)
	}
}

// While a call is under way its server can say things: from then on they count.
func TestWhatIsSaidInMidCallCounts(t *testing.T) {
	k := newTalk(t, flows(config.Flow{From: []string{"files"}, To: []string{"mail"}, Do: "refuse"}))
	var during error
	first := true
	k.answer = func(server string, _ *mcp.Request) (mcp.Result, error) {
		if server == "files" && first {
			first = false
			k.mu.Unlock()
			_, during = k.call("ann", "mail", "send")
			k.mu.Lock()
		}
		return mcp.EmptyResult(), nil
	}
	if _, err := k.call("ann", "files", "read_x"); err != nil {
		t.Fatal(err)
	}
	if refused(during) == "" {
		t.Errorf("while files answers: got %v, want a refusal", during)
	}
}

func TestAReadThatWasRefusedIsNone(t *testing.T) {
	cfg := flows(config.Flow{From: []string{"files"}, To: []string{"mail"}, Do: "refuse"})
	cfg.Access.Policies = []config.PolicySource{{Name: "own", Text: `forbid(principal, action, resource in Server::"files");`}}
	k := newTalk(t, cfg)
	if _, err := k.call("ann", "files", "read_x"); err == nil {
		t.Fatal("want a refusal")
	}
	if _, err := k.call("ann", "mail", "send"); err != nil {
		t.Errorf("after a read that was refused: got %v", err)
	}
}

func TestTheUserIsAskedAboutOneCall(t *testing.T) {
	const send = `{"name":"send","arguments":{"to":"eve"}}`
	k := newTalk(t, flows(config.Flow{Name: "f", From: []string{"files"}, To: []string{"mail"}, Do: "ask"}))
	_, _ = k.call("ann", "files", "read_x")
	ask := func() mcp.Result {
		t.Helper()
		result, err := k.do("ann", "tools/call", "mail", send, true)
		if err != nil || result.Type() != mcp.InputRequired {
			t.Fatalf("got %s, %v, want a question", result.Raw(), err)
		}
		return result
	}
	question := ask()
	if text := string(question.Raw()); !strings.Contains(text, "files (read_x)") || !strings.Contains(text, `to: \"eve\"`) || k.reached() != "files/read_x" {
		t.Errorf("got %s, and %q at the servers; want what was read and what would be done, and nothing done", text, k.reached())
	}
	yes := again(send, question, `{"action":"accept","content":{"allow":true}}`)
	if _, err := k.do("ann", "tools/call", "mail", yes, true); err != nil || k.reached() != "files/read_x mail/send" {
		t.Fatalf("when the user says yes: got %v, and %q at the servers", err, k.reached())
	}
	if result, err := k.do("ann", "tools/call", "mail", yes, true); err != nil || result.Type() != mcp.InputRequired || k.reached() != "files/read_x mail/send" {
		t.Errorf("the same once more: got %s, %v, and %q at the servers; want it asked again", result.Raw(), err, k.reached())
	}
	no := again(send, ask(), `{"action":"decline"}`)
	if _, err := k.do("ann", "tools/call", "mail", no, true); !strings.Contains(refused(err), "did not allow") || k.reached() != "files/read_x mail/send" {
		t.Errorf("when the user says no: got %v, and %q at the servers", err, k.reached())
	}
	if _, err := k.do("bob", "tools/call", "mail", again(send, ask(), `{"action":"accept","content":{"allow":true}}`), true); err == nil || k.reached() != "files/read_x mail/send" {
		t.Errorf("the answer of another: got %v, and %q at the servers", err, k.reached())
	}
	if _, err := k.do("ann", "tools/call", "mail", send, false); !strings.Contains(refused(err), "does not let the gateway ask") {
		t.Errorf("a client that cannot be asked: got %v, want a refusal that says what to do", err)
	}
	want := "true role:user |false flow:f wanted|true flow:f given|false flow:f wanted|false flow:f wanted|false flow:f denied|false flow:f wanted|false flow:f wanted"
	if got := strings.Join(k.log, "|"); got != want {
		t.Errorf("decisions: got %s, want %s", got, want)
	}
}

// A server that asks for something itself, in a call that its user has approved, is answered without another approval,
// and gets its own state back.
func TestAnApprovedCallMayAskItsUserToo(t *testing.T) {
	const send = `{"name":"send"}`
	k := newTalk(t, flows(config.Flow{From: []string{"files"}, To: []string{"mail"}, Do: "ask"}))
	k.answer = func(server string, req *mcp.Request) (mcp.Result, error) {
		if server == "mail" && req.Params.Get("requestState") == nil {
			return mcp.RawResult([]byte(`{"resultType":"input_required","inputRequests":{"q":{"method":"roots/list"}},"requestState":"mine"}`)), nil
		}
		return mcp.EmptyResult(), nil
	}
	_, _ = k.call("ann", "files", "read_x")
	ours, err := k.do("ann", "tools/call", "mail", send, true)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := k.do("ann", "tools/call", "mail", again(send, ours, `{"action":"accept","content":{"allow":true}}`), true)
	if err != nil || string(theirs.Get("inputRequests")) != `{"q":{"method":"roots/list"}}` {
		t.Fatalf("got %s, %v, want the server's question", theirs.Raw(), err)
	}
	last, err := k.do("ann", "tools/call", "mail", again(send, theirs, `{}`), true)
	if err != nil || last.Type() != mcp.Complete || k.reached() != `files/read_x mail/send mail/send"mine"` {
		t.Errorf("got %s, %v, and %q at the servers", last.Raw(), err, k.reached())
	}
}

func TestPoliciesSeeWhatWasRead(t *testing.T) {
	cfg := conf(`
@id("both") forbid(principal, action == Action::"call_tool", resource == Tool::"mail/send") when { context.seen.containsAll(["files", "time"]) };
@id("ask") @ask("the user") forbid(principal, action == Action::"call_tool", resource == Tool::"mail/send") when { context.seen.contains("files") };`)
	k := newTalk(t, cfg)
	sees := func() bool {
		return k.p.Sees(mcp.WithPrincipal(t.Context(), somebody("ann", "user")), "mail", "tools/list", "send")
	}
	if _, err := k.call("ann", "mail", "send"); err != nil || !sees() {
		t.Fatalf("nothing was read: got %v", err)
	}
	_, _ = k.call("ann", "files", "read_x")
	if result, err := k.do("ann", "tools/call", "mail", `{"name":"send"}`, true); err != nil || result.Type() != mcp.InputRequired || !strings.Contains(string(result.Raw()), "rule ask") || !sees() {
		t.Errorf("files was read: got %s, %v, want a question and the tool shown", result.Raw(), err)
	}
	_, _ = k.call("ann", "time", "now")
	if _, err := k.do("ann", "tools/call", "mail", `{"name":"send"}`, true); refused(err) == "" || !sees() {
		t.Errorf("both were read: got %v, want a refusal, and the tool shown", err)
	}
}

// What a policy leaves to the user must be permitted by another.
func TestAnApprovalPermitsNothingThatNobodyPermits(t *testing.T) {
	const ask = `@id("ask") @ask("the user") forbid(principal, action, resource == Tool::"mail/send");`
	for name, tt := range map[string]struct {
		policies string
		who      mcp.Principal
		want     policy.Decision
	}{
		"permitted by a role":       {ask, somebody("ann", "user"), policy.Decision{Rule: "ask", Approval: policy.ApprovalWanted}},
		"permitted by nobody":       {ask, somebody("ann", "other"), policy.Decision{Rule: "ask"}},
		"forbidden by another":      {ask + ` @id("no") forbid(principal == User::"ann", action, resource);`, somebody("ann", "user"), policy.Decision{Rule: "ask"}},
		"an error in another":       {ask + ` @id("err") forbid(principal, action, resource == Tool::"mail/send") when { context.arguments.n > 1 };`, somebody("ann", "user"), policy.Decision{Rule: "err"}},
		"a condition that is false": {`@ask("x") forbid(principal, action, resource == Tool::"mail/send") when { context.seen.contains("files") };`, somebody("ann", "user"), policy.Decision{Allow: true, Rule: "role:user"}},
	} {
		p := open(t, conf(tt.policies), policy.Deps{})
		for _, explain := range []bool{false, true} {
			q := call("mail", "send")
			q.Principal, q.Explain = tt.who, explain
			for range 2 {
				got := p.Decide(t.Context(), q)
				if got.Allow != tt.want.Allow || got.Approval != tt.want.Approval || got.Fault == "" && tt.want.Rule == "err" ||
					name == "permitted by a role" && got.Rule != tt.want.Rule {
					t.Errorf("%s: got %+v, want %+v", name, got, tt.want)
				}
			}
			q.Listing = true
			if got, want := p.Decide(t.Context(), q).Allow, tt.want.Allow || tt.want.Approval != ""; got != want && tt.want.Rule != "err" {
				t.Errorf("%s: listed: got %t, want %t", name, got, want)
			}
		}
	}
	for _, wrong := range []string{`@ask("x") permit(principal, action, resource);`, `@id("flow:x") permit(principal, action, resource);`} {
		if _, err := policy.New(conf(wrong), policy.Deps{}); err == nil {
			t.Errorf("%s: want a fault", wrong)
		}
	}
}

func TestFlowsHoldWhereNobodyHasToShowWhoTheyAre(t *testing.T) {
	cfg := flows(config.Flow{From: []string{"files"}, To: []string{"mail"}, Do: "refuse"})
	cfg.Auth = config.Auth{}
	k := newTalk(t, cfg)
	_, _ = k.call("", "files", "read_x")
	if _, err := k.call("", "mail", "send"); refused(err) == "" {
		t.Errorf("got %v, want a refusal", err)
	}
	if q := call("mail", "send"); !k.p.Decide(t.Context(), q).Allow {
		t.Error("a question in which nothing was read: want a yes")
	}
}

func TestAReloadForgetsNothingAndChangesTheVersion(t *testing.T) {
	cfg := flows(config.Flow{Name: "f", From: []string{"files"}, To: []string{"mail"}, Do: "refuse"})
	k := newTalk(t, cfg)
	_, _ = k.call("ann", "files", "read_x")
	was := k.p.Version()
	next := flows(config.Flow{Name: "f", From: []string{"files__read_*"}, To: []string{"mail"}, Do: "ask"})
	use, err := k.p.Prepare(next)
	if err != nil {
		t.Fatal(err)
	}
	use()
	if k.p.Version() == was {
		t.Error("the version of what is in force has not changed")
	}
	if _, err := k.call("ann", "mail", "send"); refused(err) == "" {
		t.Errorf("after a reload: got %v, want a refusal", err)
	}
}

// Many callers at once: what one has read is in the way of none but itself.
func TestCallersDoNotStandInEachOthersWay(t *testing.T) {
	k := newTalk(t, flows(config.Flow{From: []string{"files"}, To: []string{"mail"}, Do: "refuse"}))
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			who := fmt.Sprintf("u%d", i)
			for range 50 {
				if i%2 == 0 {
					_, _ = k.call(who, "files", "read_x")
				}
				if _, err := k.call(who, "mail", "send"); (refused(err) != "") != (i%2 == 0) {
					t.Errorf("%s: got %v", who, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestADecisionSaysWhatWasRead(t *testing.T) {
	p := open(t, flows(config.Flow{Name: "f", From: []string{"files"}, To: []string{"mail"}, Do: "ask"}), policy.Deps{})
	q := call("mail", "send")
	q.Principal, q.Explain, q.Seen = somebody("ann", "user"), true, []flow.Source{{Server: "files"}}
	d := p.Decide(t.Context(), q)
	if d.Allow || d.Rule != "flow:f" || d.Approval != policy.ApprovalWanted || len(d.Reasons) != 1 || !strings.Contains(d.Reasons[0], "the flow f") || !strings.Contains(d.Reasons[0], "files") {
		t.Errorf("got %+v, want the flow and what was read", d)
	}
}

// What flows cost a call, against the same without, in one run.
func BenchmarkFlows(b *testing.B) {
	server := mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) { return mcp.EmptyResult(), nil })
	params := object(b, `{"name":"write_7","arguments":{"path":"/data/report.txt"}}`)
	ctx := mcp.WithPrincipal(b.Context(), somebody("ann", "user"))
	c := mcp.NewClient(mcp.Revision20260728, []byte(`{"name":"desk","version":"1"}`), jsonrpc.Object{})
	flow := config.Flow{From: []string{"time"}, To: []string{"mail", "files__drop_*"}, Do: "refuse"}
	reading := config.Flow{From: []string{"files"}, To: []string{"mail"}, Do: "refuse"}
	for _, of := range []struct {
		name string
		cfg  *config.Config
	}{{"none", conf("")}, {"a flow", flows(flow)}, {"a flow, and its source is read", flows(reading)}} {
		b.Run(of.name, func(b *testing.B) {
			p := open(b, of.cfg, policy.Deps{})
			h := p.Enforce(config.Server{Name: "files"}, server)
			_, _ = p.Enforce(config.Server{Name: "time"}, server).Handle(ctx, mcp.ReadRequest("tools/call", params, c))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Handle(ctx, mcp.ReadRequest("tools/call", params, c)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What a call that took long has given counts from when it was answered.
func TestALongCallCountsFromItsEnd(t *testing.T) {
	now := time.Unix(1.8e9, 0)
	cfg := flows(config.Flow{From: []string{"files"}, To: []string{"mail"}, Do: "refuse"})
	cfg.Access.Conversation.For = time.Hour
	p := open(t, cfg, policy.Deps{Now: func() time.Time { return now }})
	ctx := mcp.WithPrincipal(t.Context(), somebody("ann", "user"))
	files := p.Enforce(config.Server{Name: "files"}, mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) {
		now = now.Add(50 * time.Minute)
		return mcp.EmptyResult(), nil
	}))
	if _, err := files.Handle(ctx, request(t, "tools/call", `{"name":"read_x"}`)); err != nil {
		t.Fatal(err)
	}
	now = now.Add(59 * time.Minute)
	if _, err := p.Enforce(config.Server{Name: "mail"}, &recorder{}).Handle(ctx, request(t, "tools/call", `{"name":"send"}`)); refused(err) == "" {
		t.Errorf("59 minutes after the answer: got %v, want a refusal", err)
	}
}
