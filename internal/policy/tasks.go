package policy

import (
	"context"
	"sync"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// maxTasks bounds the tasks of one server whose owner is remembered; the oldest
// are forgotten first.
const maxTasks = 10_000

// owners remembers whose call has become which task: a server that is shared
// knows one client only, the gateway, and gives any task to whoever names it. Of
// a task that another replica, or an earlier process, has seen the beginning of,
// nothing is known but that its id is hard to guess.
type owners struct {
	mu    sync.Mutex // guards what follows
	of    map[string]string
	order []string // ids, oldest first
}

// note remembers who made a task, if the call has become one.
func (o *owners) note(ctx context.Context, result mcp.Result) {
	task := result.Object
	if result.Type() != mcp.TaskCreated {
		raw := result.Get("task") // as 2025-11-25 has it
		if raw == nil {
			return
		}
		task, _ = jsonrpc.Split(raw)
	}
	id, ok := task.String("taskId")
	if !ok {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of == nil {
		o.of = make(map[string]string)
	}
	if _, known := o.of[id]; known {
		return // a server that gives an id twice does not give the task away
	}
	o.of[id] = mcp.PrincipalOf(ctx).ID
	o.order = append(o.order, id)
	if len(o.order) > maxTasks {
		delete(o.of, o.order[0])
		o.order = o.order[1:]
	}
}

// permits reports whether the principal may ask for the task.
func (o *owners) permits(principal, id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	owner, known := o.of[id]
	return !known || owner == principal
}
