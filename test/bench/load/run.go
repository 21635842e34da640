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

// Plan is one measurement. The peers take turns: each gets Slices windows, one after another's, so that what else the machine
// does falls on all of them alike.
type Plan struct {
	Peers    []Peer        `json:"peers"`
	Kind     Kind          `json:"kind"`
	Revision string        `json:"revision"`
	Conns    int           `json:"conns"`
	Tools    int           `json:"tools"`  // that a list must have
	Warm     time.Duration `json:"warm"`   // load before a peer's first window
	Lead     time.Duration `json:"lead"`   // load before each later one
	Window   time.Duration `json:"window"` // in all its slices together
	Slices   int           `json:"slices"`
	Held     []int         `json:"held"`   // numbers of streams to hold through the first peer; then Kind does not count
	Settle   time.Duration `json:"settle"` // rest before the memory of held streams is read
}

// Result is what a measurement found of one peer.
type Result struct {
	Answered int64         `json:"answered"` // in the windows, right in every respect
	Wrong    int64         `json:"wrong"`    // in all, outside the windows too
	Broken   int64         `json:"broken"`   // connections that failed in mid-turn, in all
	Samples  []string      `json:"samples"`  // of what was wrong or broken, at most maxSamples
	Elapsed  time.Duration `json:"elapsed"`  // the windows as they were
	CPU      time.Duration `json:"cpu"`      // of PID's process tree in the windows
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

// The phases of a window.
const (
	warming int32 = iota
	measuring
	finished
)

// run is the measurement of one peer.
type run struct {
	plan    Plan
	peer    Peer
	until   time.Time
	clients []*Client
	phase   atomic.Int32

	mu     sync.Mutex // guards result and turns
	result Result
	turns  []time.Duration
}

// Run makes the measurement and returns the results by the peers' names. Its error is that it could not be made; wrong answers are
// in the results.
func Run(ctx context.Context, plan Plan) (map[string]Result, error) {
	if len(plan.Held) > 0 {
		result, err := hold(ctx, plan)
		return map[string]Result{plan.Peers[0].Name: result}, err
	}
	plan.Slices = max(1, plan.Slices)
	whole := time.Duration(len(plan.Peers)) * (plan.Warm + time.Duration(plan.Slices)*plan.Lead + plan.Window)
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
	for slice := range plan.Slices {
		for i := range runs {
			r := runs[(i+slice)%len(runs)]
			if err := r.slice(ctx, slice == 0); err != nil {
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

// slice runs all loops through one window.
func (r *run) slice(ctx context.Context, first bool) error {
	lead := r.plan.Lead
	if first {
		lead = r.plan.Warm
	}
	r.phase.Store(warming)
	var loops sync.WaitGroup
	for i, c := range r.clients {
		loops.Go(func() { r.loop(ctx, i, c) })
	}
	err := r.window(ctx, lead)
	r.phase.Store(finished)
	loops.Wait()
	return err
}

// finish ends the sessions and returns what was found.
func (r *run) finish() Result {
	for _, c := range r.clients {
		r.note(c.End())
	}
	r.result.P50, r.result.P99 = quantile(r.turns, 0.50), quantile(r.turns, 0.99)
	return r.result
}

// window waits through the lead, then reads clock and processor time at both ends of the window.
func (r *run) window(ctx context.Context, lead time.Duration) error {
	if err := wait(ctx, lead); err != nil {
		return err
	}
	before, err := proc.CPU(r.peer.PID)
	if err != nil {
		return err
	}
	start := time.Now()
	r.phase.Store(measuring)
	if err := wait(ctx, r.plan.Window/time.Duration(r.plan.Slices)); err != nil {
		return err
	}
	r.phase.Store(finished)
	elapsed := time.Since(start)
	after, err := proc.CPU(r.peer.PID)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Elapsed += elapsed
	r.result.CPU += after - before
	return err
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

// loop makes turns until the window is over. A turn counts when it ends in the window: what began before it stands for what ends
// after it.
func (r *run) loop(ctx context.Context, n int, c *Client) {
	var turns []time.Duration
	for faults := 0; faults < maxFaults && r.phase.Load() != finished; {
		begin := time.Now()
		err := r.turn(c, n)
		if err == nil {
			if r.phase.Load() == measuring {
				turns = append(turns, time.Since(begin))
			}
			continue
		}
		faults++
		r.note(err)
		if !errors.Is(err, ErrWrong) && r.reopen(ctx, c) != nil {
			break
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turns = append(r.turns, turns...)
	r.result.Answered += int64(len(turns))
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
