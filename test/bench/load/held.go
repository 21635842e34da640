package load

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dragoman-mcp/dragoman/test/bench/h1"
	"github.com/dragoman-mcp/dragoman/test/bench/proc"
)

// Held is what holding N sessions, each with one event stream, costs.
type Held struct {
	N       int           `json:"n"`
	Before  int64         `json:"before"`  // resident bytes with none
	RSS     int64         `json:"rss"`     // resident bytes with N
	Opening time.Duration `json:"opening"` // of the sessions and streams since the step before
	Alive   int           `json:"alive"`   // streams that were still open when RSS was read
}

// PerStream is the growth of resident memory for one session with its stream, in bytes.
func (h Held) PerStream() float64 { return float64(h.RSS-h.Before) / float64(h.N) }

const (
	openers = 8
	// openBound is the time for all sessions and streams; a peer that needs longer has failed.
	openBound = 60 * time.Second
)

// hold opens sessions with one GET stream each, up to each number in plan.Held in turn, and reads the resident memory there.
func hold(ctx context.Context, plan Plan) (Result, error) {
	r := &run{plan: plan, peer: plan.Peers[0], until: time.Now().Add(openBound + time.Duration(len(plan.Held)+1)*plan.Settle)}
	if err := wait(ctx, plan.Settle); err != nil {
		return Result{}, err
	}
	before, err := proc.RSS(plan.Peers[0].PID)
	if err != nil {
		return Result{}, err
	}
	var streams []net.Conn
	defer func() {
		for _, s := range streams {
			_ = s.Close()
		}
	}()
	for _, n := range plan.Held {
		begin := time.Now()
		more, err := r.openStreams(ctx, n-len(streams))
		streams = append(streams, more...)
		if err != nil {
			return r.result, fmt.Errorf("hold %d streams, %d open: %w", n, len(streams), err)
		}
		h := Held{N: n, Before: before, Opening: time.Since(begin)}
		if err := wait(ctx, plan.Settle); err != nil {
			return r.result, err
		}
		if h.RSS, err = proc.RSS(plan.Peers[0].PID); err != nil {
			return r.result, err
		}
		h.Alive = alive(streams)
		r.result.Held = append(r.result.Held, h)
		if h.Alive != n {
			r.note(fmt.Errorf("%w: %d of %d held streams are open", ErrWrong, h.Alive, n))
		}
	}
	return r.result, nil
}

// openStreams opens n sessions and streams, openers at a time.
func (r *run) openStreams(ctx context.Context, n int) ([]net.Conn, error) {
	var next atomic.Int64
	more := func() bool { return next.Add(1) <= int64(n) }
	var mu sync.Mutex // guards opened and fault
	var opened []net.Conn
	var fault error
	var work sync.WaitGroup
	for range openers {
		work.Go(func() {
			own, err := r.openWhile(ctx, more)
			mu.Lock()
			defer mu.Unlock()
			opened = append(opened, own...)
			fault = cmp.Or(fault, err)
		})
	}
	work.Wait()
	return opened, fault
}

// openWhile opens sessions and streams one after another, the sessions over one connection.
func (r *run) openWhile(ctx context.Context, more func() bool) (opened []net.Conn, err error) {
	c, err := Dial(ctx, r.peer.Target, Legacy, r.until)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for err == nil && more() {
		var stream net.Conn
		if stream, err = r.openStream(ctx, c); err == nil {
			opened = append(opened, stream)
		}
	}
	return opened, err
}

// openStream opens a session over c and its stream on a connection of its own.
func (r *run) openStream(ctx context.Context, c *Client) (net.Conn, error) {
	if err := c.Initialize(); err != nil {
		return nil, err
	}
	s := &Client{Target: c.Target, Revision: c.Revision, session: c.session}
	if err := s.Redial(ctx, r.until); err != nil {
		return nil, err
	}
	s.in = h1.NewReader(s.conn, 1<<10)
	s.head("GET", "", "")
	s.out = append(s.out, "\r\n"...)
	_, err := s.conn.Write(s.out)
	if err == nil {
		err = s.in.ReadHead(&s.m)
	}
	if err == nil && (s.m.Status() != 200 || s.m.Sized() || !bytes.HasPrefix(s.m.Get("Content-Type"), []byte("text/event-stream"))) {
		err = fmt.Errorf("%w: GET answered with no open stream: status %d, content type %q", ErrWrong, s.m.Status(), s.m.Get("Content-Type"))
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	if lastChunk(s.in.Buffered()) {
		return s.conn, s.conn.Close() // not alive then
	}
	return s.conn, nil
}

// alive counts the streams that their peer has not ended. It takes what they have sent meanwhile: comments that keep them open.
func alive(streams []net.Conn) int {
	count := 0
	for _, s := range streams {
		if open(s) {
			count++
		}
	}
	return count
}

func open(stream net.Conn) bool {
	buf := make([]byte, 4<<10)
	for {
		// A read that would wait ends at the deadline; one that finds the end of the connection does not.
		_ = stream.SetReadDeadline(time.Now().Add(100 * time.Microsecond))
		n, err := stream.Read(buf)
		if lastChunk(buf[:n]) {
			return false
		}
		if err != nil {
			return errors.Is(err, os.ErrDeadlineExceeded)
		}
	}
}

// lastChunk reports whether what a stream sent ends with the chunk that ends a body, though the connection may go on.
func lastChunk(sent []byte) bool {
	const last = "0\r\n\r\n"
	return string(sent) == last || bytes.HasSuffix(sent, []byte("\r\n"+last))
}
