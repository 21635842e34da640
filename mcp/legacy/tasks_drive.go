package legacy

import (
	"context"
	"fmt"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// A call that the gateway makes as a task, for a caller who does not know of
// tasks. The flight stays the same; what it waits for changes:
//
//	tools/call with task ─► the task ─► tasks/get, again and again
//	                                       │ input_required or ended
//	                                       ▼
//	                        tasks/result: questions, as in any call, then the result
//
// A tool is called once. What fails later is asked for again, a few times, or
// is the error of a call that was lost.

// Bounds of a task that is waited for.
const (
	pollDefault = time.Second // between questions, where the server does not say
	pollMin     = 100 * time.Millisecond
	pollMax     = time.Minute
	// taskTTL is how long the server is asked to keep a task beyond the deadline
	// of the call: its caller may still have to answer questions.
	taskTTL = time.Hour
	// maxTaskFaults is the number of questions after a task in a row that may fail.
	maxTaskFaults = 3
)

// taskRun is a task that the gateway waits for.
type taskRun struct {
	owner    *owner // nil while the server has not made the task
	status   string
	interval time.Duration
	teller   teller
	faults   int // in a row
}

// ended reports whether a status is the last.
func ended(status string) bool {
	return status == "completed" || status == "failed" || status == "cancelled"
}

// ripe reports whether the result, or questions, can be asked for.
func (f *flight) ripe() bool {
	return ended(f.task.status) || f.task.status == "input_required" || len(f.asked) > 0
}

// drive makes a call as a task and waits for its result.
func (c *Client) drive(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	ttl := taskTTL
	if deadline, ok := ctx.Deadline(); ok {
		ttl += time.Until(deadline)
	}
	augmented := *req
	augmented.Params = req.Params.With(jsonrpc.Edit{Name: "task", Value: fmt.Appendf(nil, `{"ttl":%d}`, ttl.Milliseconds())})
	return c.launch(ctx, &flight{client: c, req: &augmented, creating: true, task: &taskRun{interval: pollDefault}})
}

// respond handles the response to the call, or to tasks/result.
func (f *flight) respond(ctx context.Context, msg jsonrpc.Message) (mcp.Result, error) {
	f.answered = true
	if f.creating {
		if task, ok := jsonrpc.Split(msg.Result.Get("task")); ok && f.own(ctx, task) {
			f.note(task)
			return f.watch(ctx)
		}
	}
	f.leave()
	if f.task != nil && f.task.owner != nil {
		msg = f.plain(msg)
	}
	return f.answer(msg)
}

// own keeps in mind whose task was made. It reports whether the flight waits
// for it; otherwise the task is its caller's result.
func (f *flight) own(ctx context.Context, task jsonrpc.Object) bool {
	id, ok := task.String("taskId")
	if !ok {
		return false
	}
	o := &owner{id: id, principal: mcp.PrincipalOf(ctx).ID, token: f.token, callers: f.req.ProgressToken}
	if f.req.Client != nil {
		o.session = f.req.Client.Session
	}
	if f.task != nil {
		o.flight, f.task.owner = f, o
	}
	f.client.tasks.add(o)
	f.client.mu.Lock()
	defer f.client.mu.Unlock()
	f.creating = false
	return f.task != nil
}

// note takes up what the server says of the task.
func (f *flight) note(task jsonrpc.Object) {
	f.task.status, _ = task.String("status")
	if interval, ok := pollInterval(task.Get("pollInterval")); ok {
		f.task.interval = interval
	}
	message, _ := task.String("statusMessage")
	f.task.teller.tell(f.req, message)
}

// taskStatus takes up a status that came unasked, if it is of the flight's task.
func (f *flight) taskStatus(msg jsonrpc.Message) {
	id, _ := msg.Params.String("taskId")
	if f.task == nil || f.task.owner == nil || f.task.owner.id != id {
		f.client.taskEvent(msg)
		return
	}
	if !ended(f.task.status) { // else it is late
		f.note(msg.Params)
	}
}

// watch asks how the task does until there is more to ask for.
func (f *flight) watch(ctx context.Context) (mcp.Result, error) {
	for !f.ripe() {
		if err := f.await(ctx); err != nil {
			return mcp.Result{}, err
		}
		if f.ripe() {
			break
		}
		status, err := f.client.exchange(ctx, "tasks/get", taskParams(f.task.owner.id), func(msg jsonrpc.Message) { f.take(msg) })
		if err != nil {
			if err := f.fault(ctx, err); err != nil {
				return mcp.Result{}, err
			}
			continue
		}
		f.task.faults = 0
		f.note(status.Object)
	}
	return f.fetch(ctx)
}

// await waits until the task is to be asked for, or something has come of it.
func (f *flight) await(ctx context.Context) error {
	timer := time.NewTimer(f.task.interval)
	defer timer.Stop()
	for !f.ripe() {
		select {
		case <-timer.C:
			return nil
		case msg := <-f.injected:
			f.take(*msg)
		case <-f.client.Done():
			f.leave()
			return f.lostTask(f.client.Err())
		case <-ctx.Done():
			f.abort(ctx)
			return ctx.Err()
		}
	}
	return nil
}

// fetch asks for the result, which the server gives when the task has ended;
// before, it asks what it needs to know.
func (f *flight) fetch(ctx context.Context) (mcp.Result, error) {
	out := mcp.Outgoing{
		Method: "tasks/result", Params: taskParams(f.task.owner.id).Raw(),
		Logs: f.req.LogLevel != "" && f.req.Notify != nil,
	}
	call, err := f.client.ch.Start(ctx, out)
	if err != nil {
		return f.refetch(ctx, err)
	}
	f.call, f.answered = call, false
	return f.follow(ctx)
}

// refetch asks for the result again: the last time the answer was lost.
func (f *flight) refetch(ctx context.Context, err error) (mcp.Result, error) {
	f.answered = true // nothing is under way
	if err := f.fault(ctx, err); err != nil {
		return mcp.Result{}, err
	}
	if err := pause(ctx, f.task.interval); err != nil {
		f.abort(ctx)
		return mcp.Result{}, err
	}
	return f.fetch(ctx)
}

// fault counts a question after the task that failed. Its error means that the
// call is lost.
func (f *flight) fault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		f.abort(ctx)
		return ctx.Err()
	}
	f.task.faults++
	wire, answered := err.(*mcp.Error) // one that a transport has made is wrapped
	switch {
	case answered && wire.Code == jsonrpc.CodeInvalidParams: // the server does not know the task any more
		f.leave()
		return f.lostTask(err)
	case isDone(f.client.Done()), f.task.faults >= maxTaskFaults:
		f.abort(ctx)
		return f.lostTask(err)
	}
	return nil
}

// lostTask is the error of a call whose task nobody can say anything of. It
// does not wrap err, which may say that a request was not sent: that one was
// not the call.
func (f *flight) lostTask(err error) error {
	f.client.o.Log.Debug("task of a call was lost", "method", f.req.Method, "err", err)
	return mcp.Errorf(mcp.CodeCallLost, "the call was made as a task, and the server does not say what became of it")
}

func isDone(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// plain makes of the task's result that of a call. A task that did not go well
// may have said why only in its status.
func (f *flight) plain(msg jsonrpc.Message) jsonrpc.Message {
	msg.Result = unrelated(msg.Result)
	if msg.Error != nil && f.task.status != "completed" && f.task.teller.message != "" {
		msg.Error = &mcp.Error{Code: msg.Error.Code, Data: msg.Error.Data, Message: msg.Error.Message + " (" + f.task.teller.message + ")"}
	}
	return msg
}

// cancelTask tells the server that nobody waits for the task (2025-11-25,
// basic/utilities/cancellation: a task is not cancelled by the notification). A
// task that is just being made is waited for, since without its id it would run
// on.
func (f *flight) cancelTask(ctx context.Context) {
	if f.task == nil {
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), courtesy)
	defer stop()
	if f.creating {
		f.awaitTask(ctx)
	}
	if f.task.owner == nil || ended(f.task.status) || !f.client.tasks.cancels {
		return
	}
	if _, err := f.client.roundTrip(ctx, "tasks/cancel", taskParams(f.task.owner.id)); err != nil {
		f.client.o.Log.Debug("the server did not cancel a task", "err", err)
	}
}

func (f *flight) awaitTask(ctx context.Context) {
	for !f.answered {
		select {
		case msg, ok := <-f.call.Messages():
			f.afterwards(ctx, msg, ok)
		case <-ctx.Done():
			return
		}
	}
}

// afterwards handles what the server says of a call that was given up before it
// said whether there is a task; ok is false when it says nothing any more.
func (f *flight) afterwards(ctx context.Context, msg jsonrpc.Message, ok bool) {
	switch {
	case !ok:
		f.answered = true
	case msg.IsRequest():
		f.client.refuse(msg, "its call was given up")
	case msg.IsResponse():
		f.answered = true
		if task, ok := jsonrpc.Split(msg.Result.Get("task")); ok {
			f.own(ctx, task)
		}
	}
}

func taskParams(id string) jsonrpc.Object {
	return jsonrpc.Object{}.With(jsonrpc.Edit{Name: "taskId", Value: jsonrpc.AppendString(nil, id)})
}
