package streamhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/sse"
)

// maxAttempts bounds how often in a row the rest of a call's stream is asked for
// in vain. A server that only sends its client away to poll is not in vain.
const maxAttempts = 5

// minWait is the least wait before a stream is asked for again, whatever the
// server says.
const minWait = 10 * time.Millisecond

// reconnect asks for a stream again that was cut.
type reconnect struct {
	ch     *channel
	lastID string
	retry  time.Duration // what the server asked for; 0 for nothing
	opened time.Time
	quiet  int // connections in a row that were short and brought no event
	failed int // attempts in a row that brought no connection
}

// note remembers where a connection ended.
func (a *reconnect) note(r *eventReader) {
	if r.read == 0 && time.Since(a.opened) < a.ch.c.o.MinReconnect {
		a.quiet++
		return
	}
	a.quiet = 0
	if r.lastID != "" {
		a.lastID = r.lastID
	}
	if r.retry > 0 {
		a.retry = r.retry
	}
}

// worthwhile reports whether asking again after err may help.
func (a *reconnect) worthwhile(err error) bool {
	return !errors.Is(err, sse.ErrTooLarge) && !errors.Is(err, errTooManyStrikes)
}

// wait waits as long as the server has asked for (2025-11-25, basic/transports:
// "The client MUST respect the retry field"); longer, twice as long each time,
// when nothing came of it. Without the server's word the wait has jitter, so
// that not all clients come back at once.
func (a *reconnect) wait(ctx context.Context) error {
	o := &a.ch.c.o
	d := max(a.retry, minWait)
	if a.retry == 0 {
		d = o.MinReconnect/2 + rand.N(o.MinReconnect/2+1)
	}
	d = min(d<<min(a.quiet+a.failed, 10), max(o.MaxReconnect, minWait))
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// open asks for the rest of a call's stream until the server gives it, or says
// that it will not.
func (a *reconnect) open(ctx context.Context) (io.ReadCloser, error) {
	for {
		if err := a.wait(ctx); err != nil {
			return nil, err
		}
		body, err := a.get(ctx)
		if err == nil {
			a.failed = 0
			return body, nil
		}
		a.failed++
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if final(err) || a.failed >= maxAttempts {
			return nil, lost(err, "the server's answer broke off and its rest could not be had")
		}
	}
}

// get asks for a stream once.
func (a *reconnect) get(ctx context.Context) (io.ReadCloser, error) {
	h := a.ch.header(a.ch.c.fixed.events)
	if a.lastID != "" {
		h[headerLastEvent] = []string{a.lastID}
	}
	resp, _, err := a.ch.c.roundTrip(ctx, http.MethodGet, h, nil)
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return nil, a.ch.failed(resp)
	case !isMedia(resp.Header.Get("Content-Type"), mediaEvents):
		_ = resp.Body.Close()
		return nil, errNoStream
	}
	a.opened = time.Now()
	return resp.Body, nil
}

// errNoStream is the error of a GET whose answer is no event stream.
var errNoStream = errors.New("the server gives no event stream")

// final reports whether a server that answered so to a GET will not answer
// otherwise when asked again.
func final(err error) bool {
	var status *StatusError
	switch {
	case errors.Is(err, mcp.ErrSessionLost), errors.Is(err, errNoStream):
		return true
	case !errors.As(err, &status):
		return false
	}
	switch status.Status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status.Status < 500 || status.Status == http.StatusNotImplemented
}

// listen reads the standalone stream, for as long as the channel lives and the
// server gives one (2025-11-25, basic/transports, "Listening for Messages from
// the Server": 405 says that it gives none). It is the only sender of events.
func (ch *channel) listen(ctx context.Context) {
	defer close(ch.events)
	select {
	case <-ch.ready:
	case <-ctx.Done():
		return
	}
	again := reconnect{ch: ch}
	for {
		body, err := again.get(ctx)
		ch.settle.Do(func() { close(ch.asked) })
		switch {
		case err == nil:
			again.failed = 0
			err = ch.readEvents(ctx, body, &again)
		case final(err):
			ch.c.o.Log.Debug("server gives no standalone stream", "err", err)
			<-ctx.Done()
			return
		default:
			again.failed++
		}
		if ctx.Err() != nil {
			return
		}
		ch.c.o.Log.Debug("standalone stream ended, it is asked for again", "err", err)
		if again.wait(ctx) != nil {
			return
		}
	}
}

func (ch *channel) readEvents(ctx context.Context, body io.ReadCloser, again *reconnect) error {
	defer body.Close()
	r := eventReader{client: ch.c, events: sse.NewReader(body, ch.c.o.MaxMessageBytes), batches: ch.batches()}
	defer again.note(&r)
	for {
		msgs, err := r.next()
		if err != nil {
			return err
		}
		for _, msg := range msgs {
			ch.route(ctx, msg)
		}
	}
}

// route gives a message of the standalone stream to whom it belongs.
func (ch *channel) route(ctx context.Context, msg jsonrpc.Message) {
	if p := ch.caller(msg); p != nil {
		p.call.Deliver(msg)
		return
	}
	if msg.IsResponse() {
		return // late or forged: nobody waits for it
	}
	select {
	case ch.events <- msg:
	default:
		ch.busy(ctx, msg)
	}
}

// errTooManyStrikes is the error of a stream that carries no messages.
var errTooManyStrikes = fmt.Errorf("%d events in a row are no messages", maxStrikes)
