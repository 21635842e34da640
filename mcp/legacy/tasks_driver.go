package legacy

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// TaskDriver is a server of the stateless era for clients of every revision, of
// which only those of the same era can take a task as the answer to a call, if
// they declare the extension io.modelcontextprotocol/tasks.
//
// To clients of that era everything passes as it is, the refusal of those who do
// not declare it too, unless there are no tasks where they call (see
// mcp.Request.NoTasks). A call of any other that the server refuses because it
// can answer only with a task (-32021, so that nothing was done) is made again
// with the extension declared, and the driver waits for the task: its questions
// become input_required, its end the result of the call, and when nobody waits
// any more, it is cancelled. Until a server refuses, nothing is declared: one
// that can answer at once shall do so.
type TaskDriver struct {
	server  mcp.Handler
	parking *Parking
	log     *slog.Logger
	driven  atomic.Int64
}

var _ mcp.Handler = (*TaskDriver)(nil)

// DriveTasks returns server behind a TaskDriver. parking holds the calls whose
// tasks have questions.
func DriveTasks(server mcp.Handler, parking *Parking, log *slog.Logger) *TaskDriver {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &TaskDriver{server: server, parking: parking, log: log}
}

// Busy reports whether tasks are waited for, in calls under way or parked.
func (d *TaskDriver) Busy() bool { return d.driven.Load() > 0 }

// Handle implements mcp.Handler.
func (d *TaskDriver) Handle(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	result, err := d.server.Handle(ctx, req)
	if req.Method != "tools/call" || !isTask(result, err) && !wantsTasks(err) {
		return result, err
	}
	own := req.Client != nil && req.Client.Revision.Modern() && !req.NoTasks
	if req.Client.TakesTasks() || err != nil && own {
		return result, err
	}
	again := *req
	again.Client = req.Client.WithTasks()
	if err != nil {
		result, err = d.handOver(ctx, &again)
	}
	if !isTask(result, err) {
		return result, err
	}
	id, ok := result.String("taskId")
	if !ok {
		return mcp.Result{}, mcp.Errorf(jsonrpc.CodeInternal, "the server answered with a task that has no id")
	}
	d.driven.Add(1)
	t := &drivenTask{driver: d, req: req, client: again.Client, id: id, interval: pollDefault, told: make(map[string]bool)}
	if ctx.Err() != nil {
		t.abort(ctx)
		return mcp.Result{}, ctx.Err()
	}
	t.note(result)
	return t.follow(ctx)
}

// handOver makes a call that becomes a task. When nobody waits for it any more,
// the server is given a moment to answer before the call is cancelled: a task
// whose id is not known would run on.
func (d *TaskDriver) handOver(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		_ = pause(late, courtesy)
		cancel()
	})()
	result, err := d.server.Handle(late, req)
	if err != nil && ctx.Err() != nil {
		return result, ctx.Err()
	}
	return result, err
}

func isTask(result mcp.Result, err error) bool {
	return err == nil && result.Type() == mcp.TaskCreated
}

// wantsTasks reports whether err says that the client has to declare the
// extension (ext-tasks, "Capability Negotiation").
func wantsTasks(err error) bool {
	var wire *mcp.Error
	if err == nil || !errors.As(err, &wire) || wire.Code != mcp.CodeMissingCapability {
		return false
	}
	data, _ := jsonrpc.Split(wire.Data)
	required, _ := jsonrpc.Split(data.Get("requiredCapabilities"))
	extensions, _ := jsonrpc.Split(required.Get("extensions"))
	return extensions.Get(mcp.ExtensionTasks) != nil
}

// maxAnswered bounds the questions that one task may ask in all.
const maxAnswered = maxQuestions * maxRounds

// drivenTask is a call that its server has made a task, and whose caller shall
// not see that.
type drivenTask struct {
	driver   *TaskDriver
	req      *mcp.Request // of the leg under way
	client   *mcp.Client  // the caller, with the extension declared
	id       string
	status   string
	interval time.Duration
	teller   teller
	faults   int              // in a row
	open     []jsonrpc.Member // questions for the caller
	told     map[string]bool  // keys of questions that were answered: they may be seen again
	left     bool             // nobody waits any more
}

// note takes up what the server says of the task.
func (t *drivenTask) note(task mcp.Result) {
	t.status, _ = task.String("status")
	if interval, ok := pollInterval(task.Get("pollIntervalMs")); ok {
		t.interval = interval
	}
	message, _ := task.String("statusMessage")
	t.teller.tell(t.req, message)
}

// follow asks how the task does until there is something to answer the caller.
func (t *drivenTask) follow(ctx context.Context) (mcp.Result, error) {
	wait := t.interval
	if t.status != "working" {
		wait = 0 // there is more to know than the server's first word tells
	}
	for {
		if err := t.pause(ctx, wait); err != nil {
			return mcp.Result{}, err
		}
		task, err := t.call(ctx, "tasks/get")
		if err != nil {
			return mcp.Result{}, err
		}
		t.note(task)
		if ended(t.status) {
			t.leave()
			return t.outcome(task)
		}
		if t.status == "input_required" {
			if err := t.collect(ctx, task); err != nil {
				return mcp.Result{}, err
			}
		}
		if len(t.open) > 0 {
			return t.driver.parking.park(ctx, t)
		}
		wait = t.interval
	}
}

func (t *drivenTask) pause(ctx context.Context, d time.Duration) error {
	err := pause(ctx, d)
	if err != nil {
		t.abort(ctx)
	}
	return err
}

// call sends a request about the task. All of them may be sent again when it is
// not known what became of them.
func (t *drivenTask) call(ctx context.Context, method string, more ...jsonrpc.Edit) (mcp.Result, error) {
	req := &mcp.Request{
		Method: method, Name: t.id, Params: taskParams(t.id).With(more...),
		Client: t.client, TraceParent: t.req.TraceParent,
	}
	for {
		result, err := t.driver.server.Handle(ctx, req)
		if err == nil {
			t.faults = 0
			return result, nil
		}
		if err := t.fault(ctx, err); err != nil {
			return mcp.Result{}, err
		}
		if err := t.pause(ctx, t.interval); err != nil {
			return mcp.Result{}, err
		}
	}
}

// fault counts a request about the task that failed. Its error means that the
// call is lost; it does not wrap err, which may say that a request was not sent:
// that one was not the call.
func (t *drivenTask) fault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		t.abort(ctx)
		return ctx.Err()
	}
	t.faults++
	var wire *mcp.Error
	unknown := errors.As(err, &wire) && (wire.Code == jsonrpc.CodeInvalidParams || wire.Code == jsonrpc.CodeMethodNotFound)
	if !unknown && t.faults < maxTaskFaults {
		return nil
	}
	t.driver.log.Debug("task of a call was lost", "method", t.req.Method, "err", err)
	if unknown {
		t.leave()
	} else {
		t.abort(ctx)
	}
	return mcp.Errorf(mcp.CodeCallLost, "the server made a task of the call, and does not say what became of it")
}

// outcome is what became of the call.
func (t *drivenTask) outcome(task mcp.Result) (mcp.Result, error) {
	switch t.status {
	case "completed":
		object, ok := jsonrpc.Split(task.Get("result"))
		if result := (mcp.Result{Object: object}); ok && result.Type() == mcp.Complete {
			return result, nil
		}
		return mcp.Result{}, mcp.Errorf(jsonrpc.CodeInternal, "the server's task ended without the result of a call")
	case "failed":
		return mcp.Result{}, t.failure(task)
	default:
		return mcp.Result{}, mcp.Errorf(jsonrpc.CodeInternal, "the server cancelled the task that it had made of the call%s", t.reason())
	}
}

// failure is the error that the server's task ended with.
func (t *drivenTask) failure(task mcp.Result) error {
	object, _ := jsonrpc.Split(task.Get("error"))
	message, ok := object.String("message")
	code, err := strconv.Atoi(string(object.Get("code")))
	if !ok || err != nil {
		return mcp.Errorf(jsonrpc.CodeInternal, "the server's task failed%s", t.reason())
	}
	return &mcp.Error{Code: code, Message: message, Data: object.Get("data")}
}

func (t *drivenTask) reason() string {
	if t.teller.message == "" {
		return ""
	}
	return ": " + t.teller.message
}

// collect takes the questions that the caller has not answered yet. The same
// are seen again until the server has taken the answers up.
func (t *drivenTask) collect(ctx context.Context, task mcp.Result) error {
	inputs, _ := jsonrpc.Split(task.Get("inputRequests"))
	for _, m := range inputs.Members() {
		if t.told[m.Name] || len(t.open) >= maxQuestions {
			continue
		}
		request, _ := jsonrpc.Split(m.Value)
		method, _ := request.String("method")
		params, _ := jsonrpc.Split(request.Get("params"))
		kind, ok := kindOf(method, params)
		switch {
		case !ok || t.req.Client == nil || !t.req.Client.Kinds.Has(kind):
			t.abort(ctx)
			return mcp.Errorf(mcp.CodeMissingCapability, "the server needs %q, which this client did not declare", method)
		case len(t.told) >= maxAnswered:
			t.abort(ctx)
			return mcp.Errorf(jsonrpc.CodeInternal, "the server asked %d questions, that is too many", maxAnswered)
		}
		t.open = append(t.open, m)
	}
	return nil
}

// leg implements parkable.
func (t *drivenTask) leg() *mcp.Request { return t.req }

// questions implements parkable.
func (t *drivenTask) questions() []byte {
	var edits []jsonrpc.Edit
	for _, m := range t.open {
		edits = append(edits, jsonrpc.Edit(m))
	}
	return jsonrpc.Object{}.Append(nil, edits...)
}

// check implements parkable.
func (t *drivenTask) check(answers jsonrpc.Object) error {
	for _, m := range t.open {
		value := answers.Get(m.Name)
		if _, ok := jsonrpc.Split(value); value != nil && !ok {
			return mcp.Errorf(jsonrpc.CodeInvalidParams, "inputResponses[%q] must be an object", m.Name)
		}
	}
	return nil
}

// resume implements parkable: the answers go to the task, and what was not
// answered is asked again.
func (t *drivenTask) resume(ctx context.Context, req *mcp.Request, answers jsonrpc.Object) (mcp.Result, error) {
	t.req = req
	var given []jsonrpc.Edit
	var open []jsonrpc.Member
	for _, m := range t.open {
		if value := answers.Get(m.Name); value != nil {
			given = append(given, jsonrpc.Edit{Name: m.Name, Value: value})
			continue
		}
		open = append(open, m)
	}
	if given != nil {
		responses := jsonrpc.Object{}.Append(nil, given...)
		if _, err := t.call(ctx, "tasks/update", jsonrpc.Edit{Name: "inputResponses", Value: responses}); err != nil {
			return mcp.Result{}, err
		}
	}
	for _, g := range given {
		t.told[g.Name] = true
	}
	if t.open = open; len(open) > 0 {
		return t.driver.parking.park(ctx, t)
	}
	t.status = "working"
	return t.follow(ctx)
}

// abort implements parkable: nobody waits for the task any more.
func (t *drivenTask) abort(ctx context.Context) {
	if t.left {
		return
	}
	t.leave()
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), courtesy)
	defer stop()
	req := &mcp.Request{Method: "tasks/cancel", Name: t.id, Params: taskParams(t.id), Client: t.client, TraceParent: t.req.TraceParent}
	if _, err := t.driver.server.Handle(ctx, req); err != nil {
		t.driver.log.Debug("the server did not cancel a task", "err", err)
	}
}

func (t *drivenTask) leave() {
	if !t.left {
		t.left = true
		t.driver.driven.Add(-1)
	}
}
