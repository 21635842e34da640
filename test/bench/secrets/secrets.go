// Package secrets looks for calls that were lost, doubled or handed to another caller: many connections, all numbering their
// requests from 0, send one secret per call to a server that answers late and out of order, and some of them cancel or hang up
// in mid-call. It does not know what lies behind the MCP endpoint that it calls.
package secrets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/test/bench/load"
)

// Plan is one run.
type Plan struct {
	// Targets are the endpoints that have the tool echo; the connections are dealt to them in turn.
	Targets []load.Target
	Conns   int
	Calls   int
	// Late is the longest that an answer takes; what hangs up does so within it.
	Late time.Duration
	Seed uint64
	// Until bounds the whole run.
	Until time.Time
}

// Report is what was found. Foreign, Doubled and Lost must be 0.
type Report struct {
	Calls     int64    `json:"calls"`
	Answered  int64    `json:"answered"`  // with their own secret, once
	HungUp    int64    `json:"hungUp"`    // by closing the connection in mid-call
	Cancelled int64    `json:"cancelled"` // by notifications/cancelled
	Late      int64    `json:"late"`      // of those cancelled: answered nevertheless, rightly
	Silent    int64    `json:"silent"`    // of those cancelled: the request was left open
	Foreign   int64    `json:"foreign"`   // another call's secret arrived
	Doubled   int64    `json:"doubled"`   // two answers to one request, or bytes that nobody asked for
	Lost      int64    `json:"lost"`      // neither cancelled nor answered rightly
	Samples   []string `json:"samples"`
}

const (
	// mark begins every secret, so that a foreign one is found wherever it hides.
	mark       = "mark-"
	secretSize = len(mark) + 32
	// oneIn is how rare hanging up is, and cancelling.
	oneIn      = 64
	maxSamples = 10
	// cancelBound is how long a cancelled request may stay open before it counts as silent.
	cancelBound = time.Second
	// maxReopened bounds how often a connection may break without being asked to before its worker gives up.
	maxReopened = 100
)

// Run makes the calls. Its error is that they could not be made; what went wrong with calls is in the report.
func Run(ctx context.Context, plan Plan) (Report, error) {
	c := &count{}
	var work sync.WaitGroup
	var mu sync.Mutex // guards fault
	var fault error
	for i := range plan.Conns {
		w := &worker{plan: plan, count: c, random: rand.New(rand.NewPCG(plan.Seed, uint64(i)))}
		w.target = plan.Targets[i/2%len(plan.Targets)]
		w.revision = load.Legacy
		if i%2 == 1 {
			w.revision = load.Modern
		}
		share := plan.Calls / plan.Conns
		if i < plan.Calls%plan.Conns {
			share++
		}
		work.Go(func() {
			if err := w.run(ctx, share); err != nil {
				mu.Lock()
				defer mu.Unlock()
				fault = errors.Join(fault, fmt.Errorf("connection %d: %w", i, err))
			}
		})
	}
	work.Wait()
	return c.report, fault
}

// count is the report while it grows.
type count struct {
	mu     sync.Mutex // guards report
	report Report
}

// add counts one more in field, and keeps a sample of why if there is a reason.
func (c *count) add(field func(*Report) *int64, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*field(&c.report)++
	if why != nil && len(c.report.Samples) < maxSamples {
		c.report.Samples = append(c.report.Samples, why.Error())
	}
}

func calls(r *Report) *int64     { return &r.Calls }
func answered(r *Report) *int64  { return &r.Answered }
func hungUp(r *Report) *int64    { return &r.HungUp }
func cancelled(r *Report) *int64 { return &r.Cancelled }
func late(r *Report) *int64      { return &r.Late }
func silent(r *Report) *int64    { return &r.Silent }
func foreign(r *Report) *int64   { return &r.Foreign }
func doubled(r *Report) *int64   { return &r.Doubled }
func lost(r *Report) *int64      { return &r.Lost }

// worker is one connection with its session.
type worker struct {
	plan     Plan
	target   load.Target
	revision string
	random   *rand.Rand
	count    *count
	client   *load.Client
	side     *load.Client // a second connection of the same session, for cancellations; nil in the modern era
	reopened int
}

func (w *worker) run(ctx context.Context, share int) error {
	var err error
	if w.client, err = load.Dial(ctx, w.target, w.revision, w.plan.Until); err != nil {
		return err
	}
	defer func() { w.client.Close() }()
	if err := w.client.Initialize(); err != nil {
		return err
	}
	if w.revision == load.Legacy {
		if w.side, err = load.Dial(ctx, w.target, w.revision, w.plan.Until); err != nil {
			return err
		}
		defer w.side.Close()
		w.side.Join(w.client.Session())
	}
	for id := range share {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := w.turn(ctx, int64(id)); err != nil {
			return err
		}
	}
	return w.client.End()
}

// turn makes one call and decides what becomes of it. Its error is that the connection cannot be had again.
func (w *worker) turn(ctx context.Context, id int64) error {
	secret := fmt.Sprintf("%s%016x%016x", mark, w.random.Uint64(), w.random.Uint64())
	w.count.add(calls, nil)
	w.client.Number(id)
	if err := w.client.Send(secret); err != nil {
		w.count.add(lost, fmt.Errorf("send call %d: %w", id, err))
		return w.reopen(ctx)
	}
	switch draw := w.random.IntN(oneIn); {
	case draw == 0:
		return w.hangUp(ctx)
	case draw == 1 && w.side != nil:
		return w.cancel(ctx, id, secret)
	}
	err := w.receive(secret)
	if err == nil {
		w.count.add(answered, nil)
		return nil
	}
	w.count.add(lost, fmt.Errorf("call %d: %w", id, err))
	if errors.Is(err, load.ErrWrong) {
		return nil
	}
	return w.reopen(ctx)
}

// receive reads one answer and holds it to the secret that was sent.
func (w *worker) receive(secret string) error {
	if err := w.client.Receive(); err != nil {
		return err
	}
	m := w.client.Response()
	w.search(m.Body, secret)
	for _, field := range m.Fields {
		w.search(field.Value, secret)
	}
	if n := w.client.Unsolicited(); n > 0 {
		w.count.add(doubled, fmt.Errorf("%d bytes after the answer", n))
	}
	message, err := w.client.Message()
	if err != nil {
		if errors.Is(err, load.ErrTwice) {
			w.count.add(doubled, err)
		}
		return err
	}
	return w.client.CheckText(message, secret)
}

// search counts every secret in text that is not the one that was sent.
func (w *worker) search(text []byte, secret string) {
	for {
		at := bytes.Index(text, []byte(mark))
		if at < 0 {
			return
		}
		text = text[at:]
		found := text[:min(secretSize, len(text))]
		if string(found) != secret {
			w.count.add(foreign, fmt.Errorf("sent %s, got %s", secret, found))
		}
		text = text[len(mark):]
	}
}

// hangUp closes the connection in mid-call. In the modern era that is a cancellation, in the legacy one it is not; in neither may
// the answer reach anybody.
func (w *worker) hangUp(ctx context.Context) error {
	w.count.add(hungUp, nil)
	if err := pause(ctx, time.Duration(w.random.Int64N(int64(w.plan.Late)+1))); err != nil {
		return err
	}
	return w.client.Redial(ctx, w.plan.Until)
}

// cancel sends notifications/cancelled beside the call. After that the server may answer, may answer with an error, may end the
// response without an answer: anything but a foreign secret.
func (w *worker) cancel(ctx context.Context, id int64, secret string) error {
	w.count.add(cancelled, nil)
	notification := `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":` + strconv.FormatInt(id, 10) + `}}`
	if err := w.side.Notify(notification); err != nil {
		w.count.add(lost, fmt.Errorf("cancel call %d: %w", id, err))
		if err := w.side.Redial(ctx, w.plan.Until); err != nil {
			return err
		}
	}
	if err := w.client.Deadline(time.Now().Add(cancelBound)); err != nil {
		return err
	}
	err := w.receive(secret)
	switch {
	case err == nil:
		w.count.add(late, nil)
	case load.IsTimeout(err):
		w.count.add(silent, nil)
	}
	if err != nil && !errors.Is(err, load.ErrWrong) {
		return w.client.Redial(ctx, w.plan.Until)
	}
	return w.client.Deadline(w.plan.Until)
}

// reopen replaces a connection that broke.
func (w *worker) reopen(ctx context.Context) error {
	if w.reopened++; w.reopened > maxReopened {
		return fmt.Errorf("the connection broke %d times", w.reopened)
	}
	return w.client.Redial(ctx, w.plan.Until)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
