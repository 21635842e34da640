package credential

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

const (
	// LoginTool is the one tool that somebody sees of a server where they have not
	// logged in.
	LoginTool = "log_in"
	// awaitFor is how long a call waits for its caller to log in after the link was
	// taken: less than clients wait for an answer, who then ask again.
	awaitFor = 45 * time.Second
	// awaitPoll is how often it looks whether that happened on another replica.
	awaitPoll = 2 * time.Second
	// maxAwaiting bounds the calls that wait so.
	maxAwaiting = 1000
	// question is the name of our question among those of an answer.
	question = "dragoman-login"
	// statePrefix begins the state of a call that waits for a login.
	statePrefix = "dragoman-login."
)

func isLogin(err error) bool { return errors.Is(err, errLogin) }

// Handler is a server behind its credentials: a call without one does not reach it.
func (s *Server) Handler(next mcp.Handler) mcp.Handler {
	return mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
		return s.handle(ctx, req, next)
	})
}

func (s *Server) handle(ctx context.Context, req *mcp.Request, next mcp.Handler) (mcp.Result, error) {
	who := whoIs(mcp.PrincipalOf(ctx).ID)
	req, answer, err := resumed(req)
	if err != nil {
		return mcp.Result{}, err
	}
	if code := s.codeIn(req, answer); code != "" {
		if err := s.redeem(ctx, who, code); err != nil {
			return s.unproven(ctx, req, who, err)
		}
	}
	h, err := s.source.token(ctx, who)
	if answer != nil && (isLogin(err) || err == nil && !h.obtained.After(answer.since())) {
		h, err = s.await(ctx, who, answer.since())
	}
	if errors.Is(err, errProof) {
		return s.unproven(ctx, req, who, err)
	}
	if err == nil && s.isLoginTool(req) {
		return textResult("You are logged in at " + s.name + ". Its tools are there now; list them again."), nil
	}
	if err == nil {
		watched, turned := watchTurned(ctx)
		result, callErr := next.Handle(watched, req)
		if callErr == nil || s.cfg.Type != "oauth" || !turned.Load() && !s.lost(ctx, who, callErr) {
			return result, callErr
		}
		// The server has not acted on what it turned away.
		if _, err := s.source.token(ctx, who); isLogin(err) {
			return s.without(ctx, req, who)
		}
		return s.ask(ctx, req, who, h)
	}
	if !isLogin(err) {
		return mcp.Result{}, err
	}
	return s.without(ctx, req, who)
}

// lost tells whether a call was not sent because its caller's token has ended,
// which was found when a connection was opened for it.
func (s *Server) lost(ctx context.Context, who string, err error) bool {
	if !errors.Is(err, mcp.ErrNotSent) {
		return false
	}
	_, err = s.source.token(ctx, who)
	return isLogin(err)
}

// without answers somebody who has not logged in.
func (s *Server) without(ctx context.Context, req *mcp.Request, who string) (mcp.Result, error) {
	switch req.Method {
	case "server/discover":
		capabilities, _ := jsonrpc.Split([]byte(`{"tools":{"listChanged":true},"prompts":{"listChanged":true},"resources":{"listChanged":true}}`))
		return mcp.Server{Revisions: []mcp.Revision{mcp.Revision20260728}, Capabilities: capabilities}.Result(), nil
	case "tools/list":
		return s.loginList(), nil
	case "prompts/list", "resources/list", "resources/templates/list":
		member := map[string]string{"prompts/list": "prompts", "resources/list": "resources"}[req.Method]
		if member == "" {
			member = "resourceTemplates"
		}
		return mcp.RawResult([]byte(`{"resultType":"complete","` + member + `":[],"ttlMs":0,"cacheScope":"private"}`)), nil
	case "subscriptions/listen":
		return s.listen(ctx, req, who)
	}
	return s.ask(ctx, req, who, held{})
}

// loginList is what there is of a server for somebody who has not logged in.
func (s *Server) loginList() mcp.Result {
	tool := map[string]any{
		"name": LoginTool, "title": "Log in at " + s.name,
		"description": "Connects your own account at " + s.name + ". Gives a link that you open in your browser; when you have logged in there, the tools of " + s.name + " appear. If the browser shows a code at the end, call it again with that. Call it when the user wants something of " + s.name + ".",
		"inputSchema": map[string]any{"type": "object", "additionalProperties": false, "properties": map[string]any{
			"code": map[string]any{"type": "string", "description": "The code that the user's browser showed at the end of the login. Leave it out to get a link."},
		}},
		"annotations": map[string]any{"readOnlyHint": true, "openWorldHint": true},
	}
	return mcp.RawResult(mustJSON(map[string]any{"resultType": "complete", "tools": []any{tool}, "ttlMs": 0, "cacheScope": "private"}))
}

// listen serves a subscription of somebody who has not logged in: it waits for
// that, and says then that everything has changed.
func (s *Server) listen(ctx context.Context, req *mcp.Request, who string) (mcp.Result, error) {
	req.Emit(mcp.Notification{
		Method: "notifications/subscriptions/acknowledged",
		Params: jsonrpc.Object{}.With(jsonrpc.Edit{Name: "notifications", Value: req.Params.Get("notifications")}),
	})
	tick := time.NewTicker(rememberFor)
	defer tick.Stop()
	for {
		news := s.broker.listen()
		if _, err := s.source.token(ctx, who); err == nil {
			break
		}
		select {
		case <-news:
		case <-tick.C:
		case <-ctx.Done():
			return mcp.Result{}, ctx.Err()
		}
	}
	wanted, _ := jsonrpc.Split(req.Params.Get("notifications"))
	for _, l := range mcp.Lists() {
		if l.In(wanted) {
			req.Emit(mcp.Notification{Method: l.Changed})
		}
	}
	return mcp.Result{}, s.unavailable("you have logged in: listen again")
}

// waited is what a call that waits for a login carries, through its client: since
// when a token is too old, and what it had brought for the server itself, which
// has its own ways to see whether that was changed.
type waited struct {
	Since     int64           `json:"since"` // microseconds since 1970
	State     json.RawMessage `json:"state,omitempty"`
	Responses json.RawMessage `json:"responses,omitempty"`

	code string // that was given in the answer; empty if none was asked for
}

// text is a requestState.
func (w waited) text() string { return statePrefix + base64.RawURLEncoding.EncodeToString(mustJSON(w)) }

func (w *waited) since() time.Time { return time.UnixMicro(w.Since) }

// ask asks a caller to log in: by the means that its client has for it, else with
// an error that has the link (2025-11-25, client/elicitation, "URL Elicitation
// Required Error").
func (s *Server) ask(ctx context.Context, req *mcp.Request, who string, h held) (mcp.Result, error) {
	link, err := s.broker.Link(ctx, s.name, mcp.PrincipalOf(ctx))
	if err != nil {
		s.log.ErrorContext(ctx, "caller cannot be asked to log in", "principal", who, "err", err)
		return mcp.Result{}, s.unavailable("you have to log in for it, and the gateway cannot give you a link to do so")
	}
	text := "Log in at " + s.name + " with your own account, so that what you ask for can be done there."
	if req.Client != nil && req.Client.Kinds.Has(mcp.ElicitURL) && mcp.MayAsk(req.Method) {
		since := int64(0)
		if !h.obtained.IsZero() {
			since = h.obtained.UnixMicro()
		}
		asked := map[string]any{"method": "elicitation/create", "params": map[string]any{"mode": "url", "url": link, "message": text}}
		return s.inputRequired(req, waited{Since: since}, asked), nil
	}
	proves := s.asks(mcp.PrincipalOf(ctx).ID)
	if s.isLoginTool(req) {
		return textResult(text + "\n\n" + howTo(link, proves)), nil
	}
	then := "then try again."
	if proves {
		then = "call the tool " + LoginTool + " of " + s.name + " with the code that it shows at the end, then try again."
	}
	return mcp.Result{}, mcp.ErrorData(mcp.CodeLegacyURLElicitation, text+" Open "+link+" in your browser, "+then,
		map[string]any{"server": s.name, "elicitations": []any{map[string]any{"mode": "url", "elicitationId": newID(), "url": link, "message": text}}})
}

// resumed takes our question, and its answer, out of a call that comes back. The
// answer is nil if it does not.
func resumed(req *mcp.Request) (*mcp.Request, *waited, error) {
	state, _ := req.Params.String("requestState")
	text, ours := strings.CutPrefix(state, statePrefix)
	if !ours {
		return req, nil, nil
	}
	var w waited
	plain, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(plain, &w) != nil {
		return nil, nil, mcp.Errorf(jsonrpc.CodeInvalidParams, "requestState is not the one that was given")
	}
	responses, _ := jsonrpc.Split(req.Params.Get("inputResponses"))
	given, _ := jsonrpc.Split(responses.Get(question))
	if action, _ := given.String("action"); action != "accept" {
		return nil, nil, mcp.Errorf(mcp.CodeUnauthenticated, "the user did not log in, so that the call was not made")
	}
	w.code = codeFrom(given)
	next := *req
	next.Params = req.Params.With(jsonrpc.Edit{Name: "requestState", Value: w.State}, jsonrpc.Edit{Name: "inputResponses", Value: w.Responses})
	return &next, &w, nil
}

// await waits for somebody to log in, with a token that is newer than since.
func (s *Server) await(ctx context.Context, who string, since time.Time) (held, error) {
	if !s.broker.enter() {
		return held{}, mcp.Busy("too many calls wait for their users to log in", 10*time.Second)
	}
	defer s.broker.leave()
	limit := time.NewTimer(awaitFor)
	defer limit.Stop()
	tick := time.NewTicker(awaitPoll)
	defer tick.Stop()
	for {
		news := s.broker.listen()
		h, err := s.source.token(ctx, who)
		if err == nil && h.obtained.After(since) || err != nil && !isLogin(err) {
			return h, err
		}
		if s.waiting(ctx, who) {
			return held{}, errProof
		}
		select {
		case <-news:
		case <-tick.C:
		case <-limit.C:
			return held{}, errLogin
		case <-ctx.Done():
			return held{}, ctx.Err()
		}
	}
}

func (b *Broker) enter() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting >= maxAwaiting {
		return false
	}
	b.waiting++
	return true
}

func (b *Broker) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting--
}

func textResult(text string) mcp.Result {
	return mcp.RawResult(mustJSON(map[string]any{
		"resultType": "complete", "content": []any{map[string]any{"type": "text", "text": text}},
	}))
}

// mustJSON writes what is of texts and numbers only.
func mustJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic("credential: a value of ours does not marshal: " + err.Error())
	}
	return text
}
