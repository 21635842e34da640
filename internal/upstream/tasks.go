package upstream

import (
	"errors"
	"sync"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/legacy"
)

// driveTasks lets who does not take tasks make calls of which a server of the
// stateless era makes tasks. For servers with sessions package legacy does the
// same.
func (u *Upstream) driveTasks(o *opened) {
	if o.era() != stateless || u.around.Parking == nil {
		return
	}
	driver, busy := legacy.DriveTasks(o.handler, u.around.Parking, u.log), o.busy
	o.handler = driver
	o.busy = func() bool { return driver.Busy() || busy != nil && busy() }
}

// maxHomes bounds the tasks whose replica is remembered; the oldest are
// forgotten first.
const maxHomes = 10_000

// homes remembers which replica has made a task, since no other need know of it
// (ext-tasks, "Streamable HTTP: Routing Headers").
type homes struct {
	mu     sync.Mutex // guards what follows
	byTask map[string]*replica
	order  []string // ids, oldest first
}

// note remembers where a call has become a task, if it has.
func (h *homes) note(r *replica, req *mcp.Request, result mcp.Result) {
	if req.Method != "tools/call" {
		return
	}
	task := result.Object
	if result.Type() != mcp.TaskCreated {
		task, _ = jsonrpc.Split(result.Get("task")) // as 2025-11-25 has it
	}
	id, ok := task.String("taskId")
	if !ok {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byTask == nil {
		h.byTask = make(map[string]*replica)
	}
	if h.byTask[id] == nil {
		h.order = append(h.order, id)
	}
	h.byTask[id] = r
	if len(h.order) > maxHomes {
		delete(h.byTask, h.order[0])
		h.order = h.order[1:]
	}
}

// errAway is why a call about a task is not sent anywhere else.
var errAway = errors.New("the replica that has the task cannot be reached")

// whose chooses a replica for a call: the one that has its task, if it is about
// one.
func (u *Upstream) whose(req *mcp.Request, tried []*replica) (*replica, error) {
	r := u.homes.of(req)
	switch {
	case r == nil:
		return u.pick(tried)
	case len(tried) > 0:
		return nil, refused(errAway) // the others know nothing of it
	}
	return r, nil
}

// of returns the replica that has the task that req is about; nil when that is
// not known.
func (h *homes) of(req *mcp.Request) *replica {
	switch req.Method {
	case "tasks/get", "tasks/update", "tasks/cancel", "tasks/result":
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.byTask[req.Name]
	}
	return nil
}
