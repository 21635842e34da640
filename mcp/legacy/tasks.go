package legacy

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Tasks of revision 2025-11-25 (basic/utilities/tasks), as a server has them.
//
// A caller of the same revision asks for a task itself, with params.task, and
// follows it with tasks/get and tasks/result: that passes as it is. The session
// with the server is shared, though, so that the gateway keeps in mind whose
// task is whose. What the server tells of a task unasked goes to the session
// that began it.
//
// Any other caller knows nothing of tasks. A tool that can only be called as
// one is called so on its behalf, and the caller sees an ordinary call: see
// drive in tasks_drive.go.

// Bounds of what is remembered of a server's tasks and tools.
const (
	maxTasks     = 10_000 // of them; the oldest are forgotten first
	maxToolPages = 100    // of a list of tools that is read for their task support
	// toolsWait is how long a call waits for that list; then it is made as if no
	// tool needed a task.
	toolsWait = 10 * time.Second
)

// tasks is what a session with a server knows of its tasks.
type tasks struct {
	calls   bool          // the server takes tools/call as a task
	cancels bool          // it has tasks/cancel
	asking  chan struct{} // one place: who asks for the list of tools

	mu       sync.Mutex // guards what follows
	byID     map[string]*owner
	byToken  map[string]*owner
	order    *list.List      // of *owner, oldest first
	required map[string]bool // tools that are called as tasks only; nil when that is not known
	changes  int             // of the list of tools, so that an answer that is older is not kept
}

// owner is who a task belongs to.
type owner struct {
	id        string
	principal string
	session   string // of the caller, which is told of the task
	token     string // of the task's progress, ours; empty for none
	callers   []byte // the caller's own token for the same
	flight    *flight
	place     *list.Element
}

// driven reports whether the gateway follows the task itself: its caller does
// not know of it.
func (o *owner) driven() bool { return o.flight != nil }

// read takes from the handshake what the server says of tasks.
func (t *tasks) read(s mcp.Server, r mcp.Revision) {
	t.asking, t.order = make(chan struct{}, 1), list.New()
	announced, ok := jsonrpc.Split(s.Capabilities.Get("tasks"))
	if !ok || r < mcp.Revision20251125 {
		return
	}
	t.cancels = announced.Get("cancel") != nil
	requests, _ := jsonrpc.Split(announced.Get("requests"))
	tools, _ := jsonrpc.Split(requests.Get("tools"))
	t.calls = tools.Get("call") != nil
}

func (t *tasks) add(o *owner) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID == nil {
		t.byID, t.byToken = make(map[string]*owner), make(map[string]*owner)
	}
	if was := t.byID[o.id]; was != nil {
		t.remove(was) // a server that uses an id again
	}
	if t.order.Len() >= maxTasks {
		t.remove(t.order.Front().Value.(*owner))
	}
	o.place = t.order.PushBack(o)
	t.byID[o.id] = o
	if o.token != "" {
		t.byToken[o.token] = o
	}
}

// drop forgets a task, if it is known.
func (t *tasks) drop(o *owner) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(o)
}

// remove is drop with t.mu held.
func (t *tasks) remove(o *owner) {
	if t.byID[o.id] != o {
		return
	}
	t.order.Remove(o.place)
	delete(t.byID, o.id)
	delete(t.byToken, o.token)
}

func (t *tasks) find(id string) *owner {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id]
}

func (t *tasks) ofToken(token []byte) *owner {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byToken[string(token)]
}

// mayAsk reports whether the server may ask the caller of req something. A
// server of 2025-11-25 asks for a task's input on the stream of tasks/result.
func mayAsk(req *mcp.Request) bool {
	return mcp.MayAsk(req.Method) || req.Method == "tasks/result" && req.Client.KnowsTasks()
}

// taskMethod answers tasks/*. Who does not know them is told that there are
// none: the stateless era has methods of the same names and other meanings.
func (c *Client) taskMethod(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	if !req.Client.KnowsTasks() {
		return mcp.Result{}, mcp.MethodNotFound(req.Method)
	}
	principal := mcp.PrincipalOf(ctx).ID
	if req.Method != "tasks/list" {
		if o := c.tasks.find(req.Name); o != nil && (o.driven() || o.principal != principal) {
			return mcp.Result{}, mcp.Errorf(jsonrpc.CodeInvalidParams, "task not found: %s", req.Name)
		}
		// One that is not known here was begun before the session, or by nobody:
		// its id is a secret of who began it (2025-11-25, basic/utilities/tasks,
		// "Task Isolation and Access Control").
		return c.begin(ctx, req)
	}
	result, err := c.begin(ctx, req)
	if err != nil {
		return result, err
	}
	return c.tasks.visible(result, principal), nil
}

// visible takes out of a list the tasks of others. A task that is not known
// here is shown only where all callers are the same.
func (t *tasks) visible(result mcp.Result, principal string) mcp.Result {
	kept, changed := []byte{'['}, false
	for element := range jsonrpc.Elements(result.Get("tasks")) {
		task, _ := jsonrpc.Split(element)
		id, _ := task.String("taskId")
		o := t.find(id)
		if o == nil && principal != "" || o != nil && (o.driven() || o.principal != principal) {
			changed = true
			continue
		}
		if len(kept) > 1 {
			kept = append(kept, ',')
		}
		kept = append(kept, element...)
	}
	if !changed {
		return result
	}
	return mcp.Result{Object: result.With(jsonrpc.Edit{Name: "tasks", Value: append(kept, ']')})}
}

// callTool makes a call at a server that may take it as a task.
func (c *Client) callTool(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	if req.Params.Get("task") != nil {
		if req.Client.KnowsTasks() {
			return c.launch(ctx, &flight{client: c, req: req, creating: true})
		}
		// Not a request for a task in the caller's own revision.
		plain := *req
		plain.Params = req.Params.With(jsonrpc.Edit{Name: "task"})
		req = &plain
	}
	if c.needsTask(ctx, req.Name, false) {
		return c.drive(ctx, req)
	}
	result, err := c.begin(ctx, req)
	if refusesPlain(err) && c.needsTask(ctx, req.Name, true) {
		return c.drive(ctx, req)
	}
	return result, err
}

// refusesPlain reports whether err is one that a server gives to a call that
// should have been a task ("Tool-Level Negotiation", "Protocol Errors"). The
// same codes mean other things too: only with the list of tools saying that the
// tool is always a task does it prove that nothing was done.
func refusesPlain(err error) bool {
	wire, ok := err.(*mcp.Error) // one that a transport has made is wrapped
	return ok && (wire.Code == jsonrpc.CodeMethodNotFound || wire.Code == jsonrpc.CodeInvalidRequest)
}

// needsTask reports whether a tool can be called only as a task. The list of
// tools is asked for when it is not known, or anew says so.
func (c *Client) needsTask(ctx context.Context, tool string, anew bool) bool {
	t := &c.tasks
	known := func() (bool, bool) {
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.required[tool], t.required != nil
	}
	if required, ok := known(); ok && !anew {
		return required
	}
	select {
	case t.asking <- struct{}{}:
		defer func() { <-t.asking }()
	case <-ctx.Done():
		return false
	}
	if required, ok := known(); ok && !anew {
		return required // somebody else has asked
	}
	t.mu.Lock()
	changes := t.changes
	t.mu.Unlock()
	required, err := c.taskTools(ctx)
	if err != nil {
		c.o.Log.Debug("tools could not be listed for their task support", "err", err)
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.changes == changes {
		t.required = required
	}
	return required[tool]
}

// taskTools asks which tools can be called only as tasks.
func (c *Client) taskTools(ctx context.Context) (map[string]bool, error) {
	ctx, stop := context.WithTimeout(ctx, toolsWait)
	defer stop()
	required := make(map[string]bool)
	params := jsonrpc.Object{}
	for range maxToolPages {
		page, err := c.roundTrip(ctx, "tools/list", params)
		if err != nil {
			return nil, err
		}
		for element := range jsonrpc.Elements(page.Get("tools")) {
			tool, _ := jsonrpc.Split(element)
			execution, _ := jsonrpc.Split(tool.Get("execution"))
			name, _ := tool.String("name")
			if support, _ := execution.String("taskSupport"); support == "required" {
				required[name] = true
			}
		}
		cursor := page.Get("nextCursor")
		if cursor == nil || cursor[0] != '"' {
			break
		}
		params = jsonrpc.Object{}.With(jsonrpc.Edit{Name: "cursor", Value: cursor})
	}
	return required, nil
}

// toolsChanged lets the list of tools be asked for again.
func (t *tasks) toolsChanged() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.required = nil
	t.changes++
}

// taskEvent handles what a server tells of a task outside of any call. It
// reports whether msg is such a thing.
func (c *Client) taskEvent(msg jsonrpc.Message) bool {
	var o *owner
	n := mcp.Notification{Method: msg.Method, Params: msg.Params}
	switch msg.Method {
	case "notifications/tasks/status":
		id, _ := msg.Params.String("taskId")
		o = c.tasks.find(id)
	case "notifications/progress":
		if o = c.tasks.ofToken(msg.Params.Get("progressToken")); o != nil {
			n.Params = n.Params.With(jsonrpc.Edit{Name: "progressToken", Value: o.callers})
		}
	default:
		return false
	}
	switch {
	case o == nil: // of nobody's
	case o.driven():
		select {
		case o.flight.injected <- &msg:
		default: // it is asked for anyway
		}
	default:
		c.hub.tellThose(n, func(s *subscriber) bool { return s.tasks && s.session == o.session })
	}
	return true
}

// foreign reports whether progress is that of another call, a task's, whose
// server sends it on whatever stream is open.
func (f *flight) foreign(msg jsonrpc.Message) bool {
	token := msg.Params.Get("progressToken")
	return string(token) != f.token && f.client.tasks.ofToken(token) != nil
}

// addressee returns the call that a request of the server belongs to, and how
// many it may be.
func (c *Client) addressee(p *puzzle) (*flight, int) {
	id := relatedTask(p.msg.Params)
	if id == "" {
		found := c.candidates(p)
		if len(found) != 1 {
			return nil, len(found)
		}
		return found[0], 1
	}
	o := c.tasks.find(id)
	if o != nil && o.driven() {
		return o.flight, 1
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var found *flight
	n := 0
	for f := range c.flights {
		if f.req.Method == "tasks/result" && f.req.Name == id {
			return f, 1
		}
		if f.creating && o == nil { // it may be the task of this call, whose id is not known yet
			found = f
			n++
		}
	}
	return found, n
}

// relatedTask returns the id of the task that a message is linked to; empty for none.
func relatedTask(params jsonrpc.Object) string {
	meta, _ := jsonrpc.Split(params.Get("_meta"))
	related, _ := jsonrpc.Split(meta.Get(mcp.MetaRelatedTask))
	id, _ := related.String("taskId")
	return id
}

// related returns the answer to a request with the link to a task that the
// request has ("Related Task Metadata": all messages of a task have it).
func related(answer, request jsonrpc.Object) jsonrpc.Object {
	if relatedTask(request) == "" || relatedTask(answer) != "" {
		return answer
	}
	asked, _ := jsonrpc.Split(request.Get("_meta"))
	meta, _ := jsonrpc.Split(answer.Get("_meta"))
	text := meta.Append(nil, jsonrpc.Edit{Name: mcp.MetaRelatedTask, Value: asked.Get(mcp.MetaRelatedTask)})
	return answer.With(jsonrpc.Edit{Name: "_meta", Value: text})
}

// unrelated returns an object without the link to a task in its _meta.
func unrelated(o jsonrpc.Object) jsonrpc.Object {
	meta, _ := jsonrpc.Split(o.Get("_meta"))
	if meta.Get(mcp.MetaRelatedTask) == nil {
		return o
	}
	text := meta.Append(nil, jsonrpc.Edit{Name: mcp.MetaRelatedTask})
	if len(meta.Members()) == 1 {
		text = nil
	}
	return o.With(jsonrpc.Edit{Name: "_meta", Value: text})
}
