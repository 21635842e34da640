package upstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/dragoman-mcp/dragoman/mcp"
)

// try makes the call on one replica after another, as far as that is safe. What
// was not sent goes to another replica at once. A call that harms nobody when it
// is made twice is tried again after a pause, as often as configured and as long
// as the budget lasts.
func (u *Upstream) try(ctx context.Context, c *call) (mcp.Result, error) {
	u.budget.earn()
	var tried []*replica
	var last error
	for n := 1; ; n++ {
		r, err := u.whose(c.req, tried)
		if err != nil {
			if last != nil {
				err = last
			}
			return mcp.Result{}, err
		}
		result, err := r.call(ctx, c)
		f := fateOf(err)
		if f == answered || ctx.Err() != nil {
			if len(u.replicas) > 1 {
				u.homes.note(r, c.req, result)
			}
			return result, err
		}
		last = err
		tried = append(tried, r)
		switch {
		case f == unsent && u.hasOther(tried):
		case n >= u.cfg.Retries.Attempts || hopeless(err) || !u.repeatable(c.req):
			return mcp.Result{}, err
		case !u.budget.spend() || !pause(ctx, backoff(n, u.cfg.Retries.MinBackoff, u.cfg.Retries.MaxBackoff)):
			return mcp.Result{}, err
		}
		if f == lost {
			c.req = silenced(c.req)
		}
	}
}

// silenced is a request to be made again whose caller may have seen progress
// already, which must not go back (2026-07-28, basic/utilities/progress).
func silenced(req *mcp.Request) *mcp.Request {
	again := *req
	again.ProgressToken = nil
	return &again
}

// repeatable reports whether making the call twice does no harm: it only reads,
// or the operator has vouched for the tool. What the server says of its tool
// does not count. A call that answers a server's questions is another matter:
// the answers are good for one use.
func (u *Upstream) repeatable(req *mcp.Request) bool {
	if req.Params.Get("requestState") != nil || req.Params.Get("inputResponses") != nil {
		return false
	}
	switch req.Method {
	case "server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list",
		"resources/read", "prompts/get", "completion/complete":
		return true
	case "tools/call":
		return u.cfg.Repeatable(req.Name)
	}
	return false
}

// pick chooses a replica that may be called: of two that chance has chosen by
// their weight, the one with less to do for its weight (Mitzenmacher, "The power
// of two choices", 2001). One that was tried before is taken only when there is
// no other.
func (u *Upstream) pick(tried []*replica) (*replica, error) {
	if len(u.replicas) == 1 {
		if r := u.replicas[0]; r.fit() {
			return r, nil
		}
		return nil, refused(u.nobody())
	}
	fit := make([]*replica, 0, len(u.replicas))
	for _, r := range u.replicas {
		if r.fit() && !slices.Contains(tried, r) {
			fit = append(fit, r)
		}
	}
	if len(fit) == 0 {
		for _, r := range tried {
			if r.fit() && !slices.Contains(fit, r) {
				fit = append(fit, r)
			}
		}
	}
	switch len(fit) {
	case 0:
		return nil, refused(u.nobody())
	case 1:
		return fit[0], nil
	}
	a := draw(fit)
	fit = slices.DeleteFunc(fit, func(r *replica) bool { return r == a })
	if b := draw(fit); b.load() < a.load() {
		return b, nil
	}
	return a, nil
}

// draw chooses at random, by weight.
func draw(from []*replica) *replica {
	total := 0
	for _, r := range from {
		total += r.opener.weight()
	}
	at := rand.IntN(total)
	for _, r := range from {
		if at -= r.opener.weight(); at < 0 {
			return r
		}
	}
	return from[len(from)-1]
}

// hasOther reports whether a replica may be called that was not tried.
func (u *Upstream) hasOther(tried []*replica) bool {
	return slices.ContainsFunc(u.replicas, func(r *replica) bool { return r.fit() && !slices.Contains(tried, r) })
}

func (r *replica) load() float64 {
	return float64(r.inFlight.Load()) / float64(r.opener.weight())
}

// fit reports whether a call may go to r. It does not take the breaker's trial.
func (r *replica) fit() bool { return !r.health.ill.Load() && !r.breaker.open() }

// nobody says why no replica may be called.
func (u *Upstream) nobody() error {
	for _, r := range u.replicas {
		if why := r.health.reason(); why != nil {
			return why
		}
		if _, row, because := r.breaker.state(); because != nil {
			return &illError{why: fmt.Sprintf("its circuit breaker is open after %d failures in a row", row), cause: because}
		}
	}
	return &illError{why: "no replica can be called", cause: errors.New("try again")}
}
