// Package upstream keeps one configured server reachable: it opens links to its
// replicas and finds out what they speak, shares them among callers as far as
// isolation allows, chooses among replicas, notices which are ill, bounds what
// waits, and repeats only what is safe to repeat.
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
	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/legacy"
)

// Surroundings are what all upstreams of a gateway share.
type Surroundings struct {
	// HTTP reaches servers by URL. Its transport must not follow redirects.
	HTTP *http.Client
	// Processes starts servers that are commands.
	Processes *supervisor.Supervisor
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
	cfg      config.Server
	around   Surroundings
	log      *slog.Logger
	replicas []*replica
	gate     *gate
	budget   *budget
	inFlight atomic.Int64
	calls    atomic.Int64
	failures atomic.Int64
	ctx      context.Context // of links; ends with Close
	cancel   context.CancelFunc
	quiet    context.Context // of subscriptions; ends when Close begins
	hush     context.CancelFunc
	links    sync.WaitGroup
}

var _ mcp.Handler = (*Upstream)(nil)

// New returns the server that cfg describes. Nothing is opened yet.
func New(cfg config.Server, around Surroundings) (*Upstream, error) {
	if around.Log == nil {
		around.Log = slog.New(slog.DiscardHandler)
	}
	u := &Upstream{
		cfg: cfg, around: around, log: around.Log.With("server", cfg.Name),
		gate:   newGate(cfg.MaxConcurrency, cfg.MaxQueue),
		budget: newBudget(cfg.Retries.Budget),
	}
	u.ctx, u.cancel = context.WithCancel(context.Background())
	u.quiet, u.hush = context.WithCancel(u.ctx)
	opener, err := u.openers()
	if err != nil {
		u.cancel()
		return nil, err
	}
	for _, o := range opener {
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
			return nil, fmt.Errorf("server %s: %w", u.cfg.Name, err)
		}
		return []opener{&builtin{handler: h, name: u.cfg.Builtin}}, nil
	case len(u.cfg.Command) > 0:
		return []opener{&command{u: u}}, nil
	}
	var out []opener
	for _, r := range u.cfg.Replicas() {
		out = append(out, &remote{u: u, url: r.URL, weight: max(r.Weight, 1)})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("server %s: it has no command, url, urls or builtin", u.cfg.Name)
	}
	return out, nil
}

// Handle implements mcp.Handler.
func (u *Upstream) Handle(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	u.inFlight.Add(1)
	defer u.inFlight.Add(-1)
	if req.Method == "subscriptions/listen" {
		return u.listen(ctx, req)
	}
	if req.Method != "server/discover" {
		if err := u.gate.enter(ctx); err != nil {
			return mcp.Result{}, u.busy(err)
		}
		defer u.gate.leave()
	}
	u.calls.Add(1)
	timeout := u.cfg.Timeout
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if u.around.Parking != nil && u.around.Parking.Owns(req) {
		return u.around.Parking.Resume(ctx, req)
	}
	result, err := u.try(ctx, req)
	return result, u.explain(ctx, req, err)
}

// try makes the call on one replica after another, as far as that is safe.
func (u *Upstream) try(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	attempts := max(u.cfg.Retries.Attempts, 1)
	var last error
	var tried []*replica
	for n := range attempts {
		if n > 0 {
			if !u.budget.spend() || !pause(ctx, backoff(n, u.cfg.Retries.MinBackoff, u.cfg.Retries.MaxBackoff)) {
				return mcp.Result{}, last
			}
		}
		r, err := u.pick(tried)
		if err != nil {
			if last == nil {
				last = err
			}
			return mcp.Result{}, last
		}
		tried = append(tried, r)
		result, err := r.call(ctx, req)
		if err == nil || isAnswer(err) || ctx.Err() != nil {
			return result, err
		}
		last = err
		if !isUnsent(err) && !u.repeatable(req) {
			return mcp.Result{}, err
		}
	}
	return mcp.Result{}, last
}

// repeatable reports whether making the call twice does no harm: it only reads,
// or the operator has vouched for the tool. What the server says of its tool
// does not count.
func (u *Upstream) repeatable(req *mcp.Request) bool {
	switch req.Method {
	case "server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list",
		"prompts/get", "completion/complete", "ping":
		return true
	case "resources/read":
		return req.Params.Get("requestState") == nil
	case "tools/call":
		return req.Params.Get("requestState") == nil && u.cfg.Repeatable(req.Name)
	}
	return false
}

// listen follows a subscription on a link of the caller's class. It does not
// start a server that is only started on demand: who listens to a server that
// does not run hears nothing of it.
func (u *Upstream) listen(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	r, err := u.pick(nil)
	if err != nil {
		return mcp.Result{}, u.explain(ctx, req, err)
	}
	l, err := r.link(ctx, req.Client, u.cfg.Start == "always" || wantsResources(req))
	if err != nil {
		return mcp.Result{}, u.explain(ctx, req, err)
	}
	defer l.release()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.retired, cancel)()
	defer context.AfterFunc(u.quiet, cancel)()
	result, err := l.handler.Handle(ctx, req)
	return result, u.explain(ctx, req, err)
}

func wantsResources(req *mcp.Request) bool {
	wanted, _ := jsonrpc.Split(req.Params.Get("notifications"))
	return wanted.Get("resourceSubscriptions") != nil
}

// isAnswer reports whether the server has answered, if with an error: that is
// no fault of the way to it.
func isAnswer(err error) bool {
	var wire *mcp.Error
	return errors.As(err, &wire) && wire.Code != mcp.CodeCallLost
}

// explain says for the caller what went wrong on the way.
func (u *Upstream) explain(ctx context.Context, req *mcp.Request, err error) error {
	if err == nil || isAnswer(err) {
		return err
	}
	u.failures.Add(1)
	data := map[string]any{"server": u.cfg.Name}
	var lost *mcp.Error
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return mcp.ErrorData(mcp.CodeTimeout, fmt.Sprintf("server %s did not answer %s within %s", u.cfg.Name, req.Method, u.cfg.Timeout), data)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &lost):
		return mcp.ErrorData(lost.Code, fmt.Sprintf("server %s: %s", u.cfg.Name, lost.Message), data)
	}
	u.log.Warn("call failed on the way", "method", req.Method, "err", err)
	if isUnsent(err) {
		data["reason"] = publicReason(err)
		return mcp.ErrorData(mcp.CodeUnavailable, fmt.Sprintf("server %s cannot be reached: %s", u.cfg.Name, publicReason(err)), data)
	}
	return mcp.ErrorData(mcp.CodeCallLost, fmt.Sprintf("server %s was lost during the call; whether it took effect is not known, and it was not repeated", u.cfg.Name), data)
}

func (u *Upstream) busy(err error) error {
	if !errors.Is(err, errFull) {
		return err
	}
	return mcp.ErrorData(mcp.CodeBusy, fmt.Sprintf("server %s is busy: %d calls run and %d wait", u.cfg.Name, u.cfg.MaxConcurrency, u.cfg.MaxQueue), map[string]any{"server": u.cfg.Name})
}

// Close waits until no call is under way, at most until ctx ends, then closes
// all links and stops the server's processes. Parked calls are lost.
func (u *Upstream) Close(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	u.hush()
	for u.inFlight.Load() > 0 && ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	for _, r := range u.replicas {
		r.close()
	}
	u.cancel()
	u.links.Wait()
	var errs []error
	for _, r := range u.replicas {
		errs = append(errs, r.opener.close())
	}
	return errors.Join(errs...)
}

// Restart lets the server's processes and connections go, one by one as their
// calls end; the next call finds new ones. It is how a changed program is taken up.
func (u *Upstream) Restart() {
	for _, r := range u.replicas {
		r.renew()
	}
}
