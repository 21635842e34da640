package elicit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/policy/elicit"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scene is a guarded server that answers from a script, and what came of it.
type scene struct {
	mu       sync.Mutex     // guards what follows
	answers  []string       // results, first to last; the last is repeated
	err      error          // in place of answers
	requests []*mcp.Request // as the server got them
	refused  []elicit.Refusal

	judge *elicit.Judge
	now   time.Time
}

func stage(answers ...string) *scene {
	s := &scene{answers: answers, now: time.Unix(1_800_000_000, 0)}
	s.judge = elicit.New(elicit.Options{
		Now: func() time.Time { return s.now },
		Refused: func(_ context.Context, r elicit.Refusal) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.refused = append(s.refused, r)
		},
	})
	return s
}

// Handle implements mcp.Handler.
func (s *scene) Handle(_ context.Context, req *mcp.Request) (mcp.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, req)
	if s.err != nil {
		return mcp.Result{}, s.err
	}
	if req.Method == "tasks/update" || req.Abandon {
		return mcp.EmptyResult(), nil
	}
	text := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	return mcp.RawResult([]byte(text)), nil
}

func (s *scene) guard(asks config.Asks) mcp.Handler {
	return s.judge.Guard(config.Server{Name: "files", Upkeep: config.Upkeep{Asks: asks}}, s)
}

func call(params string) *mcp.Request {
	o, _ := jsonrpc.Split([]byte(params))
	capabilities, _ := jsonrpc.Split([]byte(`{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}`))
	return &mcp.Request{Method: "tools/call", Name: "do", Params: o, Client: mcp.NewClient(mcp.Revision20260728, nil, capabilities)}
}

const done = `{"content":[]}`

// asking is a result that asks by the forms or links of entries, as "key": {params}.
func asking(entries ...string) string {
	var all []string
	for _, e := range entries {
		key, params, _ := strings.Cut(e, "=")
		method := "elicitation/create"
		if m, rest, ok := strings.Cut(key, "@"); ok {
			key, method = m, rest
		}
		all = append(all, `"`+key+`":{"method":"`+method+`","params":`+params+`}`)
	}
	return `{"resultType":"input_required","inputRequests":{` + strings.Join(all, ",") + `},"requestState":"state"}`
}

func form(message, properties string) string {
	return `{"mode":"form","message":"` + message + `","requestedSchema":{"type":"object","properties":{` + properties + `}}}`
}

func link(url string) string { return `{"mode":"url","message":"Please open","url":"` + url + `"}` }

func TestWhichQuestionsPass(t *testing.T) {
	tests := map[string]struct {
		asks     config.Asks
		question string
		want     elicit.Reason // empty: it passes as it is
	}{
		"a name and an age":                                  {question: form("Who are you?", `"name":{"type":"string"},"age":{"type":"integer"}`)},
		"a password by its name":                             {question: form("Log in", `"password":{"type":"string"}`), want: elicit.Secret},
		"a password by its title":                            {question: form("Log in", `"f1":{"type":"string","title":"Your P@ssw0rd"}`), want: elicit.Secret},
		"a password by its description":                      {question: form("Log in", `"f1":{"type":"string","description":"Enter the password of the database"}`), want: elicit.Secret},
		"a password by the message":                          {question: form("Please type your password", `"f1":{"type":"string"}`), want: elicit.Secret},
		"a password by its format":                           {question: form("Log in", `"f1":{"type":"string","format":"password"}`), want: elicit.Secret},
		"a PIN as a number":                                  {question: form("Pay", `"pin":{"type":"integer"}`), want: elicit.Secret},
		"a password by the title of the form":                {question: `{"message":"hi","requestedSchema":{"type":"object","title":"Enter your password","properties":{"a":{"type":"string"}}}}`, want: elicit.Secret},
		"a secret deeper than forms may go":                  {question: form("Log in", `"a":{"type":"object","properties":{"token":{"type":"string"}}}`), want: elicit.Secret},
		"a secret in one of several shapes":                  {question: form("Log in", `"a":{"anyOf":[{"type":"string","title":"API key"},{"type":"integer"}]}`), want: elicit.Secret},
		"a secret in a list":                                 {question: form("Log in", `"a":{"type":"array","items":{"type":"string","title":"recovery codes"}}`), want: elicit.Secret},
		"whether a password is wanted":                       {question: form("Which?", `"password_required":{"type":"boolean"},"password_policy":{"type":"string","enum":["strict","lax"]}`)},
		"a choice with titles":                               {question: form("Which?", `"token":{"type":"string","oneOf":[{"const":"a","title":"Token A"}]},"secrets":{"type":"array","items":{"type":"string","enum":["a","b"]}}`)},
		"a list of choices that is empty":                    {question: form("Which?", `"token":{"type":"string","enum":[]}`), want: elicit.Secret},
		"to confirm that a password is reset, with no field": {question: form("Please confirm: enter your password?", ``)},
		"to confirm with yes or no":                          {question: form("Delete your password?", `"ok":{"type":"boolean"}`)},
		"a form without a mode":                              {question: `{"message":"hi","requestedSchema":{"type":"object","properties":{"secret":{"type":"string"}}}}`, want: elicit.Secret},
		"a form in a mode that nobody knows":                 {question: `{"mode":"x","message":"hi","requestedSchema":{"type":"object","properties":{"secret":{"type":"string"}}}}`, want: elicit.Secret},
		"a form inside a link":                               {question: `{"mode":"url","url":"https://a.example","message":"hi","requestedSchema":{"type":"object","properties":{"secret":{"type":"string"}}}}`, want: elicit.Secret},
		"a schema that is none":                              {question: `{"message":"Type your password","requestedSchema":"x"}`, want: elicit.Secret},
		"members in capitals":                                {question: `{"Message":"Type your password","message":"hi","requestedSchema":{"type":"object","properties":{}}}`, want: elicit.Shape},
		"properties in capitals":                             {question: `{"message":"hi","requestedSchema":{"type":"object","Properties":{"secret":{"type":"string"}}}}`, want: elicit.Secret},
		"a password where that is permitted":                 {asks: config.Asks{Secrets: "pass"}, question: form("Log in", `"password":{"type":"string"}`)},
		"a form where there are none":                        {asks: config.Asks{Refuse: []string{"forms"}}, question: form("Who?", `"name":{"type":"string"}`), want: elicit.Kind},
		"a link where there are none":                        {asks: config.Asks{Refuse: []string{"links"}}, question: link("https://a.example"), want: elicit.Kind},
		"a link":                                             {question: link("https://login.example.org/a?b=c#d")},
		"a link to a page that asks for the password":        {question: `{"mode":"url","message":"Enter your password there","url":"https://a.example"}`},
		"a link among the hosts":                             {asks: config.Asks{Hosts: []string{"*.example.org"}}, question: link("https://login.example.org:8443/a")},
		"a link to another host":                             {asks: config.Asks{Hosts: []string{"*.example.org"}}, question: link("https://login.example.org.evil.example/a"), want: elicit.Link},
		"a link over http":                                   {question: link("http://login.example.org"), want: elicit.Link},
		"a link to this machine":                             {question: link("http://127.0.0.1:8000/callback")},
		"a link with a user":                                 {question: link("https://login.example.org@evil.example/"), want: elicit.Link},
		"a link that is missing":                             {question: `{"mode":"url","message":"open"}`, want: elicit.Link},
		"a script":                                           {question: link("javascript:alert(1)"), want: elicit.Link},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := stage(asking("q="+test.question), done)
			result, err := s.guard(test.asks).Handle(t.Context(), call(`{"name":"do"}`))
			if err != nil {
				t.Fatalf("call with the question %s: %v", test.question, err)
			}
			if test.want == "" {
				if got, want := string(result.Raw()), asking("q="+test.question); got != want {
					t.Errorf("the caller gets\n%s\nwant\n%s", got, want)
				}
				if len(s.refused) > 0 {
					t.Errorf("refused: %+v", s.refused)
				}
				return
			}
			if got := string(result.Raw()); got != done {
				t.Errorf("the caller gets %s, want %s", got, done)
			}
			if len(s.refused) != 1 || s.refused[0].Reason != test.want || s.refused[0].Server != "files" || s.refused[0].Tool != "do" {
				t.Fatalf("refused: %+v, want one for %q", s.refused, test.want)
			}
			s.declined(t, 1, "q")
		})
	}
}

// declined checks that request i of the server brings a decline for each key, with
// a reason, and its state.
func (s *scene) declined(t *testing.T, i int, keys ...string) {
	t.Helper()
	if len(s.requests) <= i {
		t.Fatalf("the server got %d requests, want more than %d", len(s.requests), i)
	}
	var params struct {
		InputResponses map[string]struct {
			Action string
			Meta   map[string]string `json:"_meta"`
		}
	}
	if err := json.Unmarshal(s.requests[i].Params.Raw(), &params); err != nil {
		t.Fatalf("read request %d: %v", i, err)
	}
	for _, key := range keys {
		got := params.InputResponses[key]
		if got.Action != "decline" || got.Meta[mcp.MetaRefused] == "" {
			t.Errorf("question %s was answered with %+v, want a decline that says why; params %s", key, got, s.requests[i].Params.Raw())
		}
	}
}

func TestOneOfTwoQuestionsIsAskedAlone(t *testing.T) {
	good, bad := "a="+form("Who?", `"name":{"type":"string"}`), "b="+form("Log in", `"password":{"type":"string"}`)
	s := stage(asking(good, bad), asking(good))
	result, err := s.guard(config.Asks{}).Handle(t.Context(), call(`{"name":"do"}`))
	if err != nil {
		t.Fatalf("call: %v", err)
	}
	if got, want := string(result.Raw()), asking(good); got != want {
		t.Errorf("the caller gets %s, want %s", got, want)
	}
	s.declined(t, 1, "b")
	// A server without a memory asks for what was declined again, and gets the caller's answer with it.
	s.answers = []string{asking(bad), done}
	result, err = s.guard(config.Asks{}).Handle(t.Context(), call(`{"name":"do","inputResponses":{"a":{"action":"accept"}},"requestState":"state"}`))
	if err != nil || string(result.Raw()) != done {
		t.Fatalf("call with answers: %s, %v; want %s", result.Raw(), err, done)
	}
	s.declined(t, 3, "b")
	if got := string(s.requests[3].Params.Get("inputResponses")); !strings.Contains(got, `"a":{"action":"accept"}`) {
		t.Errorf("the server gets the answers %s, want the caller's among them", got)
	}
}

func TestAServerThatGoesOnAskingIsStopped(t *testing.T) {
	s := stage(asking("q=" + form("Log in", `"password":{"type":"string"}`)))
	_, err := s.guard(config.Asks{}).Handle(t.Context(), call(`{"name":"do"}`))
	var wire *mcp.Error
	if !errors.As(err, &wire) || wire.Code != mcp.CodeForbidden {
		t.Errorf("got the error %v, want one with code %d", err, mcp.CodeForbidden)
	}
	last := s.requests[len(s.requests)-1]
	if len(s.requests) > 6 || !last.Abandon {
		t.Errorf("the server got %d requests, the last of them giving up: %v; want at most 6, and true", len(s.requests), last.Abandon)
	}
}

func TestModelAndFoldersAreNotAskedForWhereTheyMayNotBe(t *testing.T) {
	asks := config.Asks{Refuse: []string{"sampling", "roots", "links"}}
	s := stage(done)
	if _, err := s.guard(asks).Handle(t.Context(), call(`{"name":"do"}`)); err != nil {
		t.Fatalf("call: %v", err)
	}
	if got, want := string(s.requests[0].Client.Capabilities.Raw()), `{"elicitation":{"form":{}}}`; got != want {
		t.Errorf("the server is told of %s, want %s", got, want)
	}
	for _, method := range []string{"sampling/createMessage", "roots/list"} {
		s := stage(asking("q@"+method+"={}"), done)
		_, err := s.guard(asks).Handle(t.Context(), call(`{"name":"do"}`))
		var wire *mcp.Error
		if !errors.As(err, &wire) || wire.Code != mcp.CodeMissingCapability || !s.requests[len(s.requests)-1].Abandon {
			t.Errorf("%s: got the error %v, want one with code %d, and the call given up", method, err, mcp.CodeMissingCapability)
		}
		s = stage(asking("q@" + method + "={}"))
		if result, err := s.guard(config.Asks{}).Handle(t.Context(), call(`{"name":"do"}`)); err != nil || result.Type() != mcp.InputRequired {
			t.Errorf("%s where it is permitted: %s, %v", method, result.Raw(), err)
		}
	}
}

func TestNobodyIsAskedWithoutEnd(t *testing.T) {
	asks := config.Asks{PerMinute: 2}
	question := asking("q=" + form("Who?", `"name":{"type":"string"}`))
	ask := func(s *scene, who string) bool {
		s.answers = []string{question, done}
		ctx := mcp.WithPrincipal(t.Context(), mcp.Principal{ID: who})
		result, err := s.guard(asks).Handle(ctx, call(`{"name":"do"}`))
		if err != nil {
			t.Fatalf("call: %v", err)
		}
		return result.Type() == mcp.InputRequired
	}
	s := stage()
	var got []bool
	for range 3 {
		got = append(got, ask(s, "ann"))
	}
	got = append(got, ask(s, "bob"))
	s.now = s.now.Add(29 * time.Second)
	got = append(got, ask(s, "ann"))
	s.now = s.now.Add(2 * time.Second)
	got = append(got, ask(s, "ann"), ask(s, "ann"))
	if diff := cmp.Diff([]bool{true, true, false, true, false, true, false}, got); diff != "" {
		t.Errorf("which were asked (-want +got):\n%s", diff)
	}
	if last := s.refused[len(s.refused)-1]; last.Reason != elicit.Often {
		t.Errorf("refused for %q, want %q", last.Reason, elicit.Often)
	}
}

func TestTooManyQuestionsAtOnceEndTheCall(t *testing.T) {
	var many []string
	for i := range 33 {
		many = append(many, fmt.Sprintf("q%d=", i)+form("Who?", `"name":{"type":"string"}`))
	}
	s := stage(asking(many...))
	if _, err := s.guard(config.Asks{}).Handle(t.Context(), call(`{"name":"do"}`)); err == nil || len(s.refused) != 1 || s.refused[0].Reason != elicit.Shape {
		t.Errorf("got the error %v and %+v, want an error, and one refusal for its shape", err, s.refused)
	}
	s = stage(asking("q="+form("Who? "+strings.Repeat("x ", 40_000), `"name":{"type":"string"}`)), done)
	if _, err := s.guard(config.Asks{}).Handle(t.Context(), call(`{"name":"do"}`)); err != nil || len(s.refused) != 1 || s.refused[0].Reason != elicit.Shape {
		t.Errorf("a form with 80,000 bytes of text: %v, %+v; want one refusal for its shape", err, s.refused)
	}
	fields := make([]string, 300)
	for i := range fields {
		fields[i] = `"f` + string(rune('0'+i%10)) + strings.Repeat("x", i) + `":{"type":"string"}`
	}
	s = stage(asking("q="+form("Who?", strings.Join(fields, ","))), done)
	if _, err := s.guard(config.Asks{}).Handle(t.Context(), call(`{"name":"do"}`)); err != nil || len(s.refused) != 1 || s.refused[0].Reason != elicit.Shape {
		t.Errorf("a form with 300 fields: %v, %+v; want one refusal for its shape", err, s.refused)
	}
}

func TestTheServersNameComesFirst(t *testing.T) {
	s := stage(asking("a="+form("[github] Who?", `"name":{"type":"string"}`), "b="+link("https://Bücher.example/ä?q")))
	result, err := s.guard(config.Asks{Named: true}).Handle(t.Context(), call(`{"name":"do"}`))
	if err != nil {
		t.Fatalf("call: %v", err)
	}
	want := asking("a="+form("[files] [github] Who?", `"name":{"type":"string"}`),
		`b={"mode":"url","message":"[files, leads to xn--bcher-kva.example] Please open","url":"https://xn--bcher-kva.example/%C3%A4?q"}`)
	if got := string(result.Raw()); got != want {
		t.Errorf("the caller gets\n%s\nwant\n%s", got, want)
	}
}

func TestATaskAsksNoMoreThanItMay(t *testing.T) {
	bad := `"b":{"method":"elicitation/create","params":` + form("Log in", `"password":{"type":"string"}`) + `}`
	good := `"a":{"method":"elicitation/create","params":` + form("Who?", `"name":{"type":"string"}`) + `}`
	task := func(inputs, status string) string {
		if inputs != "" {
			inputs = `,"inputRequests":{` + inputs + `}`
		}
		return `{"taskId":"t1","status":"` + status + `"` + inputs + `}`
	}
	tests := map[string]struct{ said, want string }{
		"one of two": {task(good+","+bad, "input_required"), task(good, "input_required")},
		"the only":   {task(bad, "input_required"), task("", "working")},
		"none":       {task(good, "input_required"), task(good, "input_required")},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := stage(test.said)
			req := call(`{"taskId":"t1"}`)
			req.Method, req.Name = "tasks/get", "t1"
			result, err := s.guard(config.Asks{}).Handle(t.Context(), req)
			if got := string(result.Raw()); err != nil || got != test.want {
				t.Errorf("the caller gets %s, %v; want %s", got, err, test.want)
			}
			if test.said != test.want {
				s.declined(t, 1, "b")
			}
			// The same as a notification.
			var told []mcp.Notification
			s = stage(done)
			listening := mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
				if req.Method == "subscriptions/listen" {
					params, _ := jsonrpc.Split([]byte(test.said))
					req.Notify(mcp.Notification{Method: "notifications/tasks", Params: params})
				}
				return s.Handle(ctx, req)
			})
			req = call(`{}`)
			req.Method, req.Notify = "subscriptions/listen", func(n mcp.Notification) { told = append(told, n) }
			if _, err := s.judge.Guard(config.Server{Name: "files"}, listening).Handle(t.Context(), req); err != nil {
				t.Fatalf("listen: %v", err)
			}
			if len(told) != 1 || string(told[0].Params.Raw()) != test.want {
				t.Errorf("the subscriber gets %v, want %s", told, test.want)
			}
		})
	}
}

func TestLinksOfErrorsAreJudged(t *testing.T) {
	s := stage()
	s.err = &mcp.Error{Code: mcp.CodeMissingCapability, Message: "open these first",
		Data: []byte(`{"requiredCapabilities":{"elicitation":{"url":{}}},"elicitations":[{"mode":"url","url":"https://a.example"},{"mode":"url","url":"https://a.example@evil.example"}]}`)}
	_, err := s.guard(config.Asks{}).Handle(t.Context(), call(`{"name":"do"}`))
	var wire *mcp.Error
	if !errors.As(err, &wire) {
		t.Fatalf("got %v, want an error of the protocol", err)
	}
	want := `{"requiredCapabilities":{"elicitation":{"url":{}}},"elicitations":[{"mode":"url","url":"https://a.example"}]}`
	if got := string(wire.Data); got != want || len(s.refused) != 1 {
		t.Errorf("the caller gets %s, and %d refusals; want %s and 1", got, len(s.refused), want)
	}
}
