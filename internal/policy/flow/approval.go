package flow

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

const (
	// statePrefix begins the request state of a call that waits for its user.
	statePrefix = "dragoman-flow."
	// question is the name of our question among those of an answer.
	question = "dragoman-approval"
	// waits is how long a user may take.
	waits = 10 * time.Minute
	// maxWaiting bounds the calls that wait, maxWaitingOne those of one principal: when there are more, the one that
	// has waited longest is asked about again.
	maxWaiting    = 4096
	maxWaitingOne = 64
)

// Approvals asks users about single calls, and knows which of their answers are good: those to a question of this
// process, from the principal that it was put to, for the same call, once. An answer comes back with a state that
// nobody can guess and that no server ever sees, so that a server can neither ask this question nor answer it.
type Approvals struct {
	now func() time.Time

	mu      sync.Mutex // guards what follows
	waiting map[string]*waiting
	order   []string       // of waiting, oldest first, and of some that have been answered
	of      map[string]int // how many of waiting each principal has
}

// waiting is a call that comes back.
type waiting struct {
	principal string
	call      [sha256.Size]byte // digest of what is called
	about     string            // what the user was asked
	given     bool              // the user has said yes before; it is the server that has asked for something
	expires   time.Time
	state     []byte // what the call had brought for the server itself
	responses []byte
}

// NewApprovals returns Approvals that wait for nobody. Now is the clock; nil means time.Now.
func NewApprovals(now func() time.Time) *Approvals {
	if now == nil {
		now = time.Now
	}
	return &Approvals{now: now, waiting: make(map[string]*waiting), of: make(map[string]int)}
}

// Answer is what a user has said about a call.
type Answer struct {
	about string
	word  word
}

type word int

const (
	nothing word = iota
	yes
	no
)

// Declined reports whether the user has said no. The zero Answer is that nobody was asked.
func (a Answer) Declined() bool { return a.word == no }

// Approves reports whether the user has said yes to just what is asked about now.
func (a Answer) Approves(about Subject) bool { return a.word == yes && a.about == about.key() }

// Subject is what a user is asked about.
type Subject struct {
	// Server and Request are the call, Request.Name by the server's own name.
	Server  string
	Request *mcp.Request
	// Rule wants the approval, Read is what was read that is the reason; empty when it wants it always.
	Rule string
	Read []Source
}

// key tells apart subjects for which one approval is not good for the other. Of the call it says nothing: that has a digest.
func (s Subject) key() string {
	servers := make(map[string]bool)
	key := s.Rule
	for _, read := range s.Read {
		if !servers[read.Server] {
			key += "\x00" + read.Server
		}
		servers[read.Server] = true
	}
	return key
}

// Text is the question.
func (s Subject) text() string {
	var b strings.Builder
	b.WriteString("The gateway (Dragoman) asks you, not a server or the assistant. ")
	if len(s.Read) > 0 {
		fmt.Fprintf(&b, "This conversation has read content of: %s. What others have written there can make an assistant do what you do not want. Now it is about to ", Text(s.Read))
	} else {
		b.WriteString("The assistant is about to ")
	}
	fmt.Fprintf(&b, "%s %s of the server %s", done(s.Request.Method), named(s.Request.Name), named(s.Server))
	text, more := shownArguments(s.Request.Params.Get("arguments"))
	switch {
	case text == "":
		b.WriteString(", without arguments.")
	case more > 0:
		fmt.Fprintf(&b, ". NOT ALL of the arguments is shown, %d bytes in their middle are left out:%s\n", more, text)
	default:
		b.WriteString(", with:" + text + "\n")
	}
	fmt.Fprintf(&b, "Shall this one call be made? (rule %s)", named(s.Rule))
	return b.String()
}

// CanAsk reports whether the user of a call can be asked about it.
func CanAsk(req *mcp.Request) bool {
	return req.Client != nil && req.Client.Kinds.Has(mcp.ElicitForm) && mcp.MayAsk(req.Method) && !req.Abandon
}

// Ask answers a call with the question whether to make it; see [CanAsk].
func (a *Approvals) Ask(ctx context.Context, s Subject) (mcp.Result, error) {
	w := &waiting{about: s.key(), state: s.Request.Params.Get("requestState"), responses: s.Request.Params.Get("inputResponses")}
	token, err := a.put(ctx, s.Server, s.Request, w)
	if err != nil {
		return mcp.Result{}, err
	}
	asked := map[string]any{"method": "elicitation/create", "params": map[string]any{
		"mode": "form", "message": s.text(),
		"requestedSchema": map[string]any{
			"type": "object", "required": []string{"allow"},
			"properties": map[string]any{"allow": map[string]any{
				"type": "boolean", "title": "Allow this one call", "description": "Nothing is remembered of the answer.", "default": false,
			}},
		},
	}}
	text, err := json.Marshal(map[string]any{
		"resultType": "input_required", "inputRequests": map[string]any{question: asked}, "requestState": token,
	})
	if err != nil {
		return mcp.Result{}, err
	}
	return mcp.RawResult(text), nil
}

// Carry returns the result of a call that its user has approved. When the server asks for something itself, the call
// comes back once more, and is still approved then.
func (a *Approvals) Carry(ctx context.Context, s Subject, result mcp.Result) (mcp.Result, error) {
	if result.Type() != mcp.InputRequired {
		return result, nil
	}
	token, err := a.put(ctx, s.Server, s.Request, &waiting{about: s.key(), given: true, state: result.Get("requestState")})
	if err != nil {
		return mcp.Result{}, err
	}
	return mcp.Result{Object: result.With(jsonrpc.Edit{Name: "requestState", Value: jsonrpc.AppendString(nil, token)})}, nil
}

// Take returns what a call has brought as an answer to our question, and the call as it is for the server. A state that
// is not known here is left as it is: it may be the server's, and if it was ours the user is asked again.
func (a *Approvals) Take(ctx context.Context, server string, req *mcp.Request) (*mcp.Request, Answer, error) {
	token, _ := req.Params.String("requestState")
	id, ours := strings.CutPrefix(token, statePrefix)
	if !ours {
		return req, Answer{}, nil
	}
	w, err := a.take(id, mcp.PrincipalOf(ctx).ID, digest(server, req))
	if w == nil || err != nil {
		return req, Answer{}, err
	}
	given, _ := jsonrpc.Split(req.Params.Get("inputResponses"))
	answer, own := Answer{about: w.about, word: yes}, *req
	if !w.given {
		answer.word = said(given)
		given, _ = jsonrpc.Split(w.responses)
	}
	own.Params = req.Params.With(jsonrpc.Edit{Name: "requestState", Value: w.state}, jsonrpc.Edit{Name: "inputResponses", Value: given.Raw()})
	return &own, answer, nil
}

// said reads the user's answer: yes is the form sent with the box ticked, and everything else that was sent is no
// (2025-11-25, client/elicitation, "Response Actions").
func said(responses jsonrpc.Object) word {
	given, ok := jsonrpc.Split(responses.Get(question))
	if !ok {
		return nothing
	}
	action, _ := given.String("action")
	content, _ := jsonrpc.Split(given.Get("content"))
	if action == "accept" && string(content.Get("allow")) == "true" {
		return yes
	}
	return no
}

func (a *Approvals) put(ctx context.Context, server string, req *mcp.Request, w *waiting) (token string, err error) {
	w.principal, w.call, w.expires = mcp.PrincipalOf(ctx).ID, digest(server, req), a.now().Add(waits)
	id := rand.Text()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expire()
	if a.of[w.principal] >= maxWaitingOne {
		a.dropOldest(w.principal)
	}
	if len(a.waiting) >= maxWaiting {
		return "", mcp.Busy("too many calls wait for their users' approval", time.Minute)
	}
	a.waiting[id] = w
	a.of[w.principal]++
	a.order = append(a.order, id)
	return statePrefix + id, nil
}

// expire forgets what has waited too long. a.mu is held.
func (a *Approvals) expire() {
	now := a.now()
	for len(a.order) > 0 {
		w := a.waiting[a.order[0]]
		if w != nil && w.expires.After(now) && len(a.order) <= 2*maxWaiting {
			return
		}
		a.drop(a.order[0])
		a.order = a.order[1:]
	}
}

func (a *Approvals) dropOldest(principal string) {
	for _, id := range a.order {
		if w := a.waiting[id]; w != nil && w.principal == principal {
			a.drop(id)
			return
		}
	}
}

// drop forgets a call. a.mu is held.
func (a *Approvals) drop(id string) {
	w := a.waiting[id]
	if w == nil {
		return
	}
	delete(a.waiting, id)
	if a.of[w.principal]--; a.of[w.principal] == 0 {
		delete(a.of, w.principal)
	}
}

// take gives a call that waits, once; nil when it is not known. One of somebody else, or another call, is an error and
// leaves it waiting.
func (a *Approvals) take(id, principal string, call [sha256.Size]byte) (*waiting, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := a.waiting[id]
	switch {
	case w == nil || !w.expires.After(a.now()):
		return nil, nil
	case w.principal != principal:
		return nil, mcp.Errorf(jsonrpc.CodeInvalidParams, "requestState is not valid: it belongs to another caller")
	case w.call != call:
		return nil, mcp.Errorf(jsonrpc.CodeInvalidParams, "requestState is not valid: the user was asked about another call; method and params must be the same as before")
	}
	a.drop(id)
	return w, nil
}

// digest is of all of a call that must be the same when it comes back. A client may write the same in other bytes, so
// order and spacing do not count; nor does _meta, which is about the one request.
func digest(server string, req *mcp.Request) [sha256.Size]byte {
	all := make(map[string]any)
	for _, m := range req.Params.Members() {
		if m.Name == "requestState" || m.Name == "inputResponses" || m.Name == "_meta" {
			continue
		}
		decoder := json.NewDecoder(strings.NewReader(string(m.Value)))
		decoder.UseNumber()
		var v any
		if decoder.Decode(&v) != nil {
			v = string(m.Value)
		}
		all[m.Name] = v
	}
	text, _ := json.Marshal([]any{server, req.Method, req.Name, all}) // what was decoded can be encoded
	return sha256.Sum256(text)
}
