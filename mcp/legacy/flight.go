package legacy

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

const (
	// gatherWindow is how long a parked call waits for further requests of the
	// server, so that the caller gets them in one round.
	gatherWindow = 10 * time.Millisecond
	// maxQuestions bounds the requests of a server that one call may have open.
	maxQuestions = 32
	// maxInjected bounds those that wait to be seen.
	maxInjected = 8
)

// flight is one call under way with the server. It outlives the Handle that
// began it when it is parked; then nobody receives from it until it is resumed.
type flight struct {
	client   *Client
	req      *mcp.Request // of the leg under way
	call     *mcp.Call
	injected chan *jsonrpc.Message // requests of the server that came without a link
	asked    []asked               // what the caller has to answer
	asks     int                   // how much there has been, so that keys do not repeat
	alone    bool                  // has the turn of those that ask
	token    string                // our progress token; empty when none is wanted
	answered bool                  // call has its response
	creating bool                  // the call is to make a task, whose id is not known yet; guarded by client.mu
	task     *taskRun              // what it waits for in its caller's stead; nil for an ordinary call
}

// asked is a request of the server that waits for the caller's answer.
type asked struct {
	key     string // in inputRequests
	request jsonrpc.Message
}

// interactive reports whether the server may ask this call's caller anything.
func (f *flight) interactive() bool {
	return mayAsk(f.req) && f.req.Client != nil && f.req.Client.Kinds != 0
}

// enter counts the call in; one that will ask without saying that it is this
// call waits for its turn among those.
func (f *flight) enter(ctx context.Context) error {
	c := f.client
	if c.asks(f) {
		select {
		case c.alone <- struct{}{}:
			f.alone = true
		case <-ctx.Done():
			return ctx.Err()
		case <-c.Done():
			return fmt.Errorf("%w: session ended: %w", mcp.ErrNotSent, c.Err())
		}
	}
	c.mu.Lock()
	c.flights[f] = true
	c.mu.Unlock()
	return nil
}

// leg implements parkable.
func (f *flight) leg() *mcp.Request { return f.req }

// resume implements parkable.
func (f *flight) resume(ctx context.Context, req *mcp.Request, answers jsonrpc.Object) (mcp.Result, error) {
	f.tell(answers)
	f.nextLeg(req)
	if len(f.asked) > 0 {
		return f.client.o.Parking.park(ctx, f)
	}
	return f.follow(ctx)
}

// nextLeg lets the call go on for the caller's retry.
func (f *flight) nextLeg(req *mcp.Request) {
	f.client.mu.Lock()
	defer f.client.mu.Unlock()
	f.req = req
}

func (f *flight) leave() {
	c := f.client
	c.mu.Lock()
	delete(c.flights, f)
	c.mu.Unlock()
	if f.task != nil && f.task.owner != nil {
		c.tasks.drop(f.task.owner)
	}
	if f.alone {
		f.alone = false
		<-c.alone
	}
	for {
		select {
		case msg := <-f.injected:
			c.late(*msg)
		default:
			return
		}
	}
}

// follow receives what the server says of the call until there is something to
// answer the caller: the result, or questions.
func (f *flight) follow(ctx context.Context) (mcp.Result, error) {
	var gathered <-chan time.Time
	if len(f.asked) > 0 {
		gathered = time.After(gatherWindow)
	}
	for {
		select {
		case msg, ok := <-f.call.Messages():
			if !ok && f.task != nil && f.task.owner != nil {
				return f.refetch(ctx, f.call.Err())
			}
			if !ok {
				f.leave()
				return mcp.Result{}, f.lost()
			}
			if msg.IsResponse() {
				return f.respond(ctx, msg)
			}
			if f.take(msg) && gathered == nil {
				gathered = time.After(gatherWindow)
			}
		case msg := <-f.injected:
			if f.take(*msg) && gathered == nil {
				gathered = time.After(gatherWindow)
			}
		case <-gathered:
			return f.client.o.Parking.park(ctx, f)
		case <-ctx.Done():
			f.abort(ctx)
			return mcp.Result{}, ctx.Err()
		}
	}
}

// lost is the error of a call that ended without a response. A transport that
// says what it means, such as that nothing was sent, knows better; and some
// servers refuse a method that they do not know before they answer in the
// protocol.
func (f *flight) lost() error {
	err := f.call.Err()
	var wire *mcp.Error
	says := errors.As(err, &wire)
	switch {
	case says && wire.Code == jsonrpc.CodeInvalidRequest && !isCore(f.req.Method):
		return mcp.MethodNotFound(f.req.Method)
	case !says && !errors.Is(err, mcp.ErrNotSent):
		return fmt.Errorf("%w: %w", mcp.Errorf(mcp.CodeCallLost, "the server ended the call without an answer"), err)
	}
	return fmt.Errorf("call %s: %w", f.req.Method, err)
}

// isCore reports whether every server knows of method, whether or not it has it.
func isCore(method string) bool {
	switch method {
	case "tools/list", "tools/call", "prompts/list", "prompts/get", "resources/list", "resources/read",
		"resources/templates/list", "completion/complete":
		return true
	}
	return false
}

// abort ends the call because nobody waits for it any more. Until the server has
// been told, the call counts as under way: what it still asks belongs to it.
func (f *flight) abort(ctx context.Context) {
	f.client.behind(func() {
		f.cancelTask(ctx)
		if !f.answered {
			f.call.Abandon()
			f.client.tellCancelled(ctx, f.call.ID())
		}
		f.dismiss()
		f.leave()
	})
}

// dismiss answers what the server still asks, so that it does not wait for ever.
func (f *flight) dismiss() {
	for _, a := range f.asked {
		if a.request.Method == "elicitation/create" {
			cancelled, _ := jsonrpc.Split([]byte(`{"action":"cancel"}`))
			f.client.reply(jsonrpc.Message{ID: a.request.ID, Result: related(cancelled, a.request.Params)})
			continue
		}
		f.client.refuse(a.request, "its call was given up")
	}
	f.asked = nil
}

// take handles a message of the server that is not the response. It reports
// whether the caller has to be asked.
func (f *flight) take(msg jsonrpc.Message) bool {
	switch {
	case msg.Method == "notifications/message":
		level, _ := msg.Params.String("level")
		if want := severity(f.req.LogLevel); want >= 0 && severity(level) >= want {
			f.req.Emit(mcp.Notification{Method: msg.Method, Params: msg.Params})
		}
	case msg.Method == "notifications/tasks/status":
		f.taskStatus(msg)
	case msg.Method == "notifications/progress" && f.foreign(msg):
		f.client.taskEvent(msg)
	case msg.Method == "notifications/progress" && f.task != nil:
		f.task.teller.pass(f.req, msg)
	case msg.Method == "notifications/progress" && f.req.ProgressToken == nil:
		// the first leg asked for progress, this one does not
	case isNews(msg.Method):
		f.client.news(msg)
	case msg.IsNotification():
		f.req.Emit(mcp.OwnNotification(f.req, msg))
	case msg.Method == "ping":
		f.client.refuse(msg, "")
	default:
		return f.question(msg)
	}
	return false
}

func (f *flight) question(msg jsonrpc.Message) bool {
	kind, ok := kindOf(msg.Method, msg.Params)
	switch {
	case !ok:
		f.client.reply(jsonrpc.Message{ID: msg.ID, Error: mcp.MethodNotFound(msg.Method)})
	case !f.interactive() || !f.req.Client.Kinds.Has(kind):
		f.client.refuse(msg, "the client of this call did not declare the capability")
	case len(f.asked) >= maxQuestions:
		f.client.refuse(msg, "too many requests are open for this call")
	default:
		f.asks++
		f.asked = append(f.asked, asked{key: "q" + strconv.Itoa(f.asks), request: msg})
		return true
	}
	return false
}

// answer is the result for the caller.
func (f *flight) answer(msg jsonrpc.Message) (mcp.Result, error) {
	f.dismiss()
	if msg.Error == nil {
		return mcp.Result{Object: msg.Result}, nil
	}
	if msg.Error.Code == mcp.CodeLegacyURLElicitation && mcp.MayAsk(f.req.Method) {
		return urlsFirst(f.req, msg.Error)
	}
	return mcp.Result{}, modernError(f.req, msg.Error)
}

// urlsFirst turns 2025-11-25's error "open these URLs, then call again" into
// questions. The call has not been made, so that the retry makes it. A caller
// that cannot be asked is told what it lacks, and which URLs they are.
func urlsFirst(req *mcp.Request, err *mcp.Error) (mcp.Result, error) {
	data, _ := jsonrpc.Split(err.Data)
	elicitations := data.Get("elicitations")
	var edits []jsonrpc.Edit
	for element := range jsonrpc.Elements(elicitations) {
		params, ok := jsonrpc.Split(element)
		if !ok || len(edits) >= maxQuestions {
			continue
		}
		question := modernQuestion(jsonrpc.Message{Method: "elicitation/create", Params: params})
		edits = append(edits, jsonrpc.Edit{Name: "q" + strconv.Itoa(len(edits)+1), Value: question})
	}
	if len(edits) == 0 {
		return mcp.Result{}, err
	}
	if req.Client == nil || !req.Client.Kinds.Has(mcp.ElicitURL) {
		lacking := jsonrpc.Object{}.Append(nil,
			jsonrpc.Edit{Name: "requiredCapabilities", Value: []byte(`{"elicitation":{"url":{}}}`)},
			jsonrpc.Edit{Name: "elicitations", Value: elicitations})
		return mcp.Result{}, &mcp.Error{
			Code: mcp.CodeMissingCapability, Data: lacking,
			Message: "the client cannot be asked to open a URL, which the server needs first: " + err.Message,
		}
	}
	return inputRequired(jsonrpc.Object{}.Append(nil, edits...), ""), nil
}

// inputRequired writes a result that asks; state may be empty.
func inputRequired(requests []byte, state string) mcp.Result {
	edits := []jsonrpc.Edit{
		{Name: "resultType", Value: []byte(`"input_required"`)},
		{Name: "inputRequests", Value: requests},
	}
	if state != "" {
		edits = append(edits, jsonrpc.Edit{Name: "requestState", Value: jsonrpc.AppendString(nil, state)})
	}
	return mcp.Result{Object: jsonrpc.Object{}.With(edits...)}
}

// questions writes the open questions as inputRequests.
func (f *flight) questions() []byte {
	var edits []jsonrpc.Edit
	for _, a := range f.asked {
		request := a.request
		if f.task != nil {
			request.Params = unrelated(request.Params) // its caller knows no task
		}
		edits = append(edits, jsonrpc.Edit{Name: a.key, Value: modernQuestion(request)})
	}
	return jsonrpc.Object{}.Append(nil, edits...)
}

// check implements parkable.
func (f *flight) check(answers jsonrpc.Object) error {
	for _, a := range f.asked {
		value := answers.Get(a.key)
		if _, ok := jsonrpc.Split(value); value != nil && !ok {
			return mcp.Errorf(jsonrpc.CodeInvalidParams, "inputResponses[%q] must be an object, the result of %s", a.key, a.request.Method)
		}
	}
	return nil
}

// tell gives the server the answers that have come, and keeps open what was not
// answered.
func (f *flight) tell(answers jsonrpc.Object) {
	var open []asked
	for _, a := range f.asked {
		result, ok := jsonrpc.Split(answers.Get(a.key))
		if !ok {
			open = append(open, a)
			continue
		}
		if why, refused := refusal(result); refused {
			f.client.reply(jsonrpc.Message{ID: a.request.ID, Error: mcp.Errorf(jsonrpc.CodeInvalidParams, "%s", why)})
			continue
		}
		f.client.reply(jsonrpc.Message{ID: a.request.ID, Result: related(result, a.request.Params)})
	}
	f.asked = open
}

// refusal returns why an answer says that nobody was asked.
func refusal(answer jsonrpc.Object) (why string, refused bool) {
	meta, _ := jsonrpc.Split(answer.Get("_meta"))
	return meta.String(mcp.MetaRefused)
}
