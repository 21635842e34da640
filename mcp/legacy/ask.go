package legacy

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Bounds of one call that needs input: how often it may ask, and how often a
// server may say "come again" without asking anything (load shedding).
const (
	maxRounds = 32
	maxShed   = 4
	shedDelay = 250 * time.Millisecond
)

// complete makes a call until its result is the last word: what the server asks
// for becomes requests on the client's stream.
func (s *Session) complete(ctx context.Context, req *mcp.Request, out mcp.Stream) (mcp.Result, error) {
	shed := 0
	for range maxRounds {
		result, err := s.server.handler.Handle(ctx, req)
		if err != nil || result.Type() == mcp.Complete {
			return result, err
		}
		if kind := result.Type(); kind != mcp.InputRequired {
			// One that is not known is not valid (2026-07-28, basic/index, "ResultType").
			return mcp.Result{}, mcp.Errorf(jsonrpc.CodeInternal, "the server answered with a result of type %q, which this client's revision does not have", kind)
		}
		inputs, ok := jsonrpc.Split(result.Get("inputRequests"))
		if !ok || len(inputs.Members()) == 0 {
			if shed++; shed > maxShed {
				return mcp.Result{}, mcp.Errorf(mcp.CodeBusy, "the server asked %d times to come again", shed)
			}
			if err := pause(ctx, shedDelay<<shed); err != nil {
				return mcp.Result{}, err
			}
		}
		answers, err := s.ask(ctx, inputs, out)
		if err != nil {
			req.GiveUp(ctx, s.server.handler, result, courtesy)
			return mcp.Result{}, err
		}
		req = req.Again(result, answers)
	}
	return mcp.Result{}, mcp.Errorf(jsonrpc.CodeInternal, "the server asked for input %d times, that is too often", maxRounds)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// question is one request of the server's, on its way to the client.
type question struct {
	key    string
	method string
	id     jsonrpc.ID
	answer chan jsonrpc.Message
}

// ask sends every input request to the client and returns the text of the
// inputResponses object.
func (s *Session) ask(ctx context.Context, inputs jsonrpc.Object, out mcp.Stream) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.server.o.InputTimeout,
		mcp.Errorf(mcp.CodeTimeout, "the client did not answer within %s", s.server.o.InputTimeout))
	defer cancel()
	var questions []question
	defer func() { s.unask(questions) }()
	for _, m := range inputs.Members() {
		request, ok := jsonrpc.Split(m.Value)
		method, _ := request.String("method")
		if !ok || !s.mayBeAsked(method, request) {
			return nil, mcp.Errorf(mcp.CodeMissingCapability, "the server needs %q, which this client did not declare", method)
		}
		q := question{key: m.Name, method: method, id: jsonrpc.StringID(rand.Text()), answer: make(chan jsonrpc.Message, 1)}
		questions = append(questions, q)
		s.expect(q)
		params, _ := jsonrpc.Split(request.Get("params"))
		msg := jsonrpc.Message{ID: q.id, Method: method, Params: legacyQuestion(method, params, s.client.Revision)}
		if err := out.Send(ctx, msg); err != nil {
			return nil, mcp.Errorf(mcp.CodeCallLost, "the client could not be asked for input: it has gone")
		}
	}
	return s.collect(ctx, questions)
}

func (s *Session) collect(ctx context.Context, questions []question) ([]byte, error) {
	var edits []jsonrpc.Edit
	for _, q := range questions {
		select {
		case msg := <-q.answer:
			value, err := answerOf(q.method, msg)
			if err != nil {
				return nil, err
			}
			edits = append(edits, jsonrpc.Edit{Name: q.key, Value: value})
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-s.done:
			return nil, mcp.Errorf(mcp.CodeCallLost, "the session ended while the call waited for input")
		}
	}
	return jsonrpc.Object{}.Append(nil, edits...), nil
}

// answerOf is what a client's response is in inputResponses. Those have no form
// for errors: an elicitation that failed counts as cancelled by the user, for
// anything else the call has failed.
func answerOf(method string, msg jsonrpc.Message) ([]byte, error) {
	switch {
	case msg.Error == nil:
		return msg.Result.Raw(), nil
	case method == "elicitation/create":
		return []byte(`{"action":"cancel"}`), nil
	default:
		return nil, mcp.Errorf(jsonrpc.CodeInternal, "the client refused %s: %s", method, msg.Error.Message)
	}
}

func (s *Session) expect(q question) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked == nil {
		s.asked = make(map[jsonrpc.ID]chan jsonrpc.Message)
	}
	s.asked[q.id] = q.answer
}

func (s *Session) unask(questions []question) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range questions {
		delete(s.asked, q.id)
	}
}

// mayBeAsked reports whether the client declared what method needs
// (2026-07-28, basic/patterns/mrtr: a server must not ask for the undeclared).
func (s *Session) mayBeAsked(method string, request jsonrpc.Object) bool {
	params, _ := jsonrpc.Split(request.Get("params"))
	kind, ok := kindOf(method, params)
	return ok && s.client.Kinds.Has(kind)
}

// kindOf returns the capability that a client needs to answer a request of a server.
func kindOf(method string, params jsonrpc.Object) (mcp.Kinds, bool) {
	switch method {
	case "elicitation/create":
		if mode, _ := params.String("mode"); mode == "url" {
			return mcp.ElicitURL, true
		}
		return mcp.ElicitForm, true
	case "sampling/createMessage":
		if params.Get("tools") != nil {
			return mcp.Sampling | mcp.SamplingTools, true
		}
		return mcp.Sampling, true
	case "roots/list":
		return mcp.Roots, true
	}
	return 0, false
}
