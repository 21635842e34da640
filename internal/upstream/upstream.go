// Package upstream keeps one configured server reachable: it opens links to its
// replicas and finds out what they speak, shares them among callers as far as
// isolation allows, chooses among replicas, notices which are ill, bounds what
// waits, and repeats only what is safe to repeat.
//
//	Handle ── gate ── try ──► replica ── breaker ── link ──► handler of a transport
//	                   └────► replica …              └─ opened when there is none, kept, drained, closed
//	Run ────────────────────► replica: checked, opened again, unused links let go
//
// It does not know what clients there are, what the server's tools are called
// for them, or that there are other servers.
package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/legacy"
)

// Surroundings are what all upstreams of a gateway share.
type Surroundings struct {
	// Network reaches servers by URL; each gets connections of its own.
	Network *egress.Network
	// Authorize has what is sent over a link carry the credential of whom the link
	// is for; nil where headers say all. A server may then turn away one caller and
	// serve another.
	Authorize func(p mcp.Principal, next http.RoundTripper) http.RoundTripper
	// Processes starts servers that are commands.
	Processes *supervisor.Supervisor
	// Admit is asked before a program is started: see supervisor.Spec. Nil admits everything.
	Admit func(ctx context.Context, contents []byte) error
	// Builtin makes a server of this binary.
	Builtin func(name string, settings json.RawMessage) (mcp.Handler, error)
	// Parking holds calls that wait for their callers' input.
	Parking *legacy.Parking
	// Info is the JSON text of our Implementation object.
	Info []byte
	// Limits and MaxMessage bound what servers send.
	Limits     jsonrpc.Limits
	MaxMessage int64
	Log        *slog.Logger
}

// Upstream is one server as a Handler. Run it; Close it when nobody calls any more.
type Upstream struct {
	cfg       config.Server
	around    Surroundings
	log       *slog.Logger
	replicas  []*replica
	pool      *egress.Pool // nil unless it is reached by URL
	gate      *gate
	budget    *budget
	homes     homes
	probeWait time.Duration
	inFlight  atomic.Int64
	resuming  atomic.Int64 // calls that were parked and go on
	calls     atomic.Int64
	failures  atomic.Int64
	changes   changes
	ctx       context.Context // of links; ends with Close
	cancel    context.CancelFunc
	usual     patience
	lists     patience
	quiet     context.Context // of subscriptions; ends when Close begins
	hush      context.CancelFunc
	links     sync.WaitGroup
	closing   sync.Once
	closed    error // what Close returned; set by closing
}

var _ mcp.Handler = (*Upstream)(nil)

// New returns the server that cfg describes. Nothing is opened yet.
func New(cfg config.Server, around Surroundings) (*Upstream, error) {
	if around.Log == nil {
		around.Log = slog.New(slog.DiscardHandler)
	}
	u := &Upstream{
		cfg: cfg, around: around, log: around.Log.With("server", cfg.Name),
		gate: newGate(cfg.MaxConcurrency, cfg.MaxQueue), budget: newBudget(cfg.Retries.Budget),
		probeWait: probeWait,
	}
	openers, err := u.openers()
	if err != nil {
		return nil, fmt.Errorf("server %s: %w", cfg.Name, err)
	}
	u.usual.span, u.lists.span = cfg.Timeout, min(cfg.ListTimeout, cfg.Timeout)
	u.ctx, u.cancel = context.WithCancel(context.Background())
	u.quiet, u.hush = context.WithCancel(u.ctx)
	for _, o := range openers {
		u.replicas = append(u.replicas, newReplica(u, o))
	}
	return u, nil
}

// openers returns how each replica is reached.
func (u *Upstream) openers() ([]opener, error) {
	switch {
	case u.cfg.Builtin != "":
		h, err := u.around.Builtin(u.cfg.Builtin, u.cfg.Settings)
		if err != nil {
			return nil, err
		}
		return []opener{&builtin{handler: h, name: u.cfg.Builtin}}, nil
	case len(u.cfg.Command) > 0:
		return []opener{newCommand(u)}, nil
	}
	var out []opener
	for _, r := range u.cfg.Replicas() {
		out = append(out, newRemote(u, r.URL, r.Weight))
	}
	if len(out) == 0 {
		return nil, errors.New("it has no command, url, urls or builtin")
	}
	idle := u.cfg.KeepConnections
	if idle == 0 {
		idle = -1 // none, where 0 would be the default
	}
	u.pool = u.around.Network.Pool(egress.Limits{IdlePerHost: idle, ConnsPerHost: u.cfg.MaxConnections, Pins: u.cfg.TLSPins})
	return out, nil
}

// Handle implements mcp.Handler.
func (u *Upstream) Handle(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	u.inFlight.Add(1)
	defer u.inFlight.Add(-1)
	if req.Method == "subscriptions/listen" {
		return u.listen(ctx, req)
	}
	parked := u.around.Parking != nil && u.around.Parking.Owns(req)
	if req.Abandon {
		return u.abandon(ctx, req, parked)
	}
	u.calls.Add(1)
	p := u.patienceFor(req.Method)
	c := &call{req: req, who: u.askerOf(req), began: time.Now()}
	c.own = mcp.NewCallContextUntil(ctx, c.began.Add(p.span))
	defer c.cancel()
	p.enter(c)
	defer p.leave(c)
	if err := u.gate.enter(c.own); err != nil {
		return mcp.Result{}, u.busy(ctx, err)
	}
	defer u.gate.leave()
	var result mcp.Result
	var err error
	if parked {
		u.resuming.Add(1)
		defer u.resuming.Add(-1)
		defer context.AfterFunc(u.ctx, c.cancel)()
		result, err = u.around.Parking.Resume(c.own, req)
	} else {
		result, err = u.try(c.own, c)
	}
	if err != nil {
		err = u.explain(outcome{caller: ctx, own: c.own, method: req.Method, err: err})
	}
	return result, err
}

// patienceFor holds a call to its time: a page of a list to what the whole list
// may take.
func (u *Upstream) patienceFor(method string) *patience {
	switch method {
	case "tools/list", "prompts/list", "resources/list", "resources/templates/list", "server/discover":
		return &u.lists
	}
	return &u.usual
}

// abandon lets go of a parked call. A state that is the server's own stands for
// nothing here, and that its caller gives up is not told to servers: making the
// call again without an answer might run it.
func (u *Upstream) abandon(ctx context.Context, req *mcp.Request, parked bool) (mcp.Result, error) {
	if parked {
		return u.around.Parking.Resume(ctx, req)
	}
	return mcp.Result{}, mcp.Errorf(mcp.CodeCallLost, "the call was given up")
}

func (u *Upstream) busy(caller context.Context, err error) error {
	switch {
	case errors.Is(err, errFull):
		return u.fail(err, mcp.CodeBusy, "is busy: %d calls run and %d wait; try again later", u.cfg.MaxConcurrency, u.cfg.MaxQueue)
	case caller.Err() != nil:
		return caller.Err()
	}
	return u.fail(err, mcp.CodeBusy, "is busy: this call has waited for its turn in vain and was not sent; try again later")
}

// closePoll is how often Close looks whether calls are still under way.
const closePoll = 10 * time.Millisecond

// Close waits until no call is under way, at most until ctx ends, then closes
// all links and stops the server's processes. Calls that are still under way
// end with an error, parked calls are lost.
func (u *Upstream) Close(ctx context.Context) error {
	u.closing.Do(func() { u.closed = u.close(ctx) })
	return u.closed
}

func (u *Upstream) close(ctx context.Context) error {
	tick := time.NewTicker(closePoll)
	defer tick.Stop()
	u.hush()
	for u.inFlight.Load() > 0 && ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	u.Abort()
	u.links.Wait()
	u.usual.stop()
	u.lists.stop()
	var errs []error
	for _, r := range u.replicas {
		errs = append(errs, r.opener.close())
	}
	if u.pool != nil {
		u.pool.Close()
	}
	return errors.Join(errs...)
}

// Abort ends the calls under way with an error, and takes no more. It does not
// wait; Close must follow.
func (u *Upstream) Abort() {
	for _, r := range u.replicas {
		r.close()
	}
	u.cancel()
}

// Restart lets the server's processes and connections go, one by one as their
// calls end; the next call finds new ones. It is how a changed program is taken
// up, and how a server that was given up gets a new chance.
func (u *Upstream) Restart() {
	for _, r := range u.replicas {
		r.renew()
	}
}
