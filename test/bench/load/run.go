package load

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dragoman-mcp/dragoman/test/bench/proc"
)

// Kind is what a closed loop does in each of its turns.
type Kind string

// The kinds of turns.
const (
	Echo    Kind = "echo"    // one small tools/call
	Big     Kind = "big"     // one tools/call with a result of 1 MiB
	List    Kind = "list"    // the whole list of tools
	Session Kind = "session" // initialize, notifications/initialized, DELETE
)

// Peer is one of those that are measured side by side.
type Peer struct {
	Name   string `json:"name"`
	Target Target `json:"target"`
	PID    int    `json:"pid"` // whose processor time is read
}

// Plan is one measurement. The peers take turns: each gets Slices windows, one after another, so that what else the machine
// does falls on all of them alike.
type Plan struct {
	Peers    []Peer        `json:"peers"`
	Kind     Kind          `json:"kind"`
	Revision string        `json:"revision"`
	Conns    int           `json:"conns"`
	Tools    int           `json:"tools"`  // that a list must have
	Warm     time.Duration `json:"warm"`   // load on each peer before the first window
	Window   time.Duration `json:"window"` // of each peer, in all its slices together
	Slices   int           `json:"slices"`
	Held     []int         `json:"held"`   // numbers of streams to hold through the first peer; then Kind does not count
	Settle   time.Duration `json:"settle"` // rest before the memory of held streams is read
}

// Result is what a measurement found of one peer.
type Result struct {
	Answered int64         `json:"answered"` // begun in the windows, right in every respect
	Wrong    int64         `json:"wrong"`    // in all, outside the windows too
	Broken   int64         `json:"broken"`   // connections that failed in mid-turn, in all
	Samples  []string      `json:"samples"`  // of what was wrong or broken, at most maxSamples
	Elapsed  time.Duration `json:"elapsed"`  // from the windows' beginnings to the last answers to what began in them
	CPU      time.Duration `json:"cpu"`      // of PID's process tree in that time
	P50      time.Duration `json:"p50"`
	P99      time.Duration `json:"p99"`
	Held     []Held        `json:"held"`
}

const (
	maxSamples = 5
	// maxFaults is after how many broken connections or wrong answers in a window a loop gives up.
	maxFaults = 20
	// grace is how long turns may take beyond the windows.
	grace = 15 * time.Second
)

// run is the measurement of one peer.
type run struct {
	plan    Plan
	peer    Peer
	until   time.Time
	clients []*Client
	over    atomic.Bool // the window: loops begin no more turns

	turns []time.Duration

	mu     sync.Mutex // guards result's faults while loops run; the rest is written between loops
	result Result
}

// Run makes the measurement and returns the results by the peers' names. Its error is that it could not be made; wrong answers are
// in the results.
func Run(ctx context.Context, plan Plan) (map[string]Result, error) {
	if len(plan.Held) > 0 {
		result, err := hold(ctx, plan)
		return map[string]Result{plan.Peers[0].Name: result}, err
	}
	plan.Slices = max(1, plan.Slices)
	whole := time.Duration(len(plan.Peers)) * (plan.Warm + plan.Window)
	var runs []*run
	defer func() {
		for _, r := range runs {
			r.close()
		}
	}()
	for _, peer := range plan.Peers {
		r := &run{plan: plan, peer: peer, until: time.Now().Add(whole + grace)}
		runs = append(runs, r)
		if err := r.open(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", peer.Name, err)
		}
	}
	for _, r := range runs {
		if _, err := r.load(ctx, plan.Warm); err != nil {
			return nil, fmt.Errorf("%s: %w", r.peer.Name, err)
		}
	}
	for slice := range plan.Slices {
		for i := range runs {
			r := runs[(i+slice)%len(runs)]
			if err := r.slice(ctx); err != nil {
				return nil, fmt.Errorf("%s: %w", r.peer.Name, err)
			}
		}
	}
	results := map[string]Result{}
	for _, r := range runs {
		results[r.peer.Name] = r.finish()
	}
	return results, nil
}

// open connects all clients and, where turns run within a session, opens their sessions.
func (r *run) open(ctx context.Context) error {
	for n := range r.plan.Conns {
		c, err := Dial(ctx, r.peer.Target, r.plan.Revision, r.until)
		c.token = r.peer.Target.token(n)
		r.clients = append(r.clients, c)
		if err == nil && r.plan.Kind != Session {
			err = c.Initialize()
		}
		if err != nil {
			return fmt.Errorf("open client %d: %w", n, err)
		}
	}
	return nil
}

func (r *run) close() {
	for _, c := range r.clients {
		c.Close()
	}
}

// slice measures one window. It ends when everything that began in it is answered, so that each turn is measured whole: a slow
// peer gets no fewer of its costs counted than a fast one.
func (r *run) slice(ctx context.Context) error {
	before, err := proc.CPU(r.peer.PID)
	if err != nil {
		return err
	}
	start := time.Now()
	turns, err := r.load(ctx, r.plan.Window/time.Duration(r.plan.Slices))
	if err != nil {
		return err
	}
	r.result.Elapsed += time.Since(start)
	after, err := proc.CPU(r.peer.PID)
	r.result.CPU += after - before
	r.result.Answered += int64(len(turns))
	r.turns = append(r.turns, turns...)
	return err
}

// load runs all loops for d and until their last turns are over, and returns how long each turn took that was answered rightly.
func (r *run) load(ctx context.Context, d time.Duration) ([]time.Duration, error) {
	r.over.Store(false)
	turns := make([][]time.Duration, len(r.clients))
	var loops sync.WaitGroup
	for i, c := range r.clients {
		loops.Go(func() { turns[i] = r.loop(ctx, i, c) })
	}
	err := wait(ctx, d)
	r.over.Store(true)
	loops.Wait()
	return slices.Concat(turns...), err
}

// finish ends the sessions and returns what was found.
func (r *run) finish() Result {
	for _, c := range r.clients {
		r.note(c.End())
	}
	r.result.P50, r.result.P99 = quantile(r.turns, 0.50), quantile(r.turns, 0.99)
	return r.result
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// loop makes turns, at least one, until the window is over.
func (r *run) loop(ctx context.Context, n int, c *Client) (turns []time.Duration) {
	for faults := 0; faults < maxFaults; {
		begin := time.Now()
		err := r.turn(c, n)
		if err == nil {
			turns = append(turns, time.Since(begin))
		} else {
			faults++
			r.note(err)
		}
		if err != nil && !errors.Is(err, ErrWrong) && r.reopen(ctx, c) != nil {
			break
		}
		if r.over.Load() {
			break
		}
	}
	return turns
}

func (r *run) turn(c *Client, n int) error {
	switch r.plan.Kind {
	case Big:
		return c.Big()
	case List:
		return c.List(r.plan.Tools)
	case Session:
		if err := c.Initialize(); err != nil {
			return err
		}
		return c.End()
	}
	var text [24]byte // names connection and call, so that an answer to another call shows
	return c.Call(string(fill(text[:0], n, c.LastID()+1)))
}

// fill appends 24 bytes: the connection, the call, and zeros between them.
func fill(to []byte, conn int, call int64) []byte {
	to = append(strconv.AppendInt(append(to, 'c'), int64(conn), 10), '-')
	var digits [20]byte
	number := strconv.AppendInt(digits[:0], call, 10)
	for len(to)+len(number) < 24 {
		to = append(to, '0')
	}
	return append(to, number...)
}

func (r *run) reopen(ctx context.Context, c *Client) error {
	if err := c.Redial(ctx, r.until); err != nil {
		return err
	}
	if r.plan.Kind == Session {
		return nil
	}
	return c.Initialize()
}

// note counts a fault.
func (r *run) note(err error) {
	if err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if errors.Is(err, ErrWrong) {
		r.result.Wrong++
	} else {
		r.result.Broken++
	}
	if len(r.result.Samples) < maxSamples {
		r.result.Samples = append(r.result.Samples, err.Error())
	}
}

// quantile returns the value below which the part q of the values lies; it sorts them.
func quantile(values []time.Duration, q float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(len(values)-1, int(q*float64(len(values))))]
}
