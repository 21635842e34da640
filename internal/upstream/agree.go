package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/legacy"
)

// probeWait is how long a server on a channel may take to answer the question
// whether it is of the stateless era. One that stays silent is taken as older,
// and asked for a handshake instead (2026-07-28, basic/versioning).
const probeWait = 5 * time.Second

// approach is how a conversation over a channel begins.
type approach int

const (
	// probing asks for what only a stateless server answers; one that does not
	// know the question, or is silent, is asked for a handshake.
	probing approach = iota
	// patient is the same for a server that is slow to start: its silence is no
	// answer.
	patient
	// shaking asks for a handshake at once: the server is known to need that, and
	// some end when they are asked anything else first.
	shaking
)

// dialogue makes links over channels, and remembers how a conversation with this
// server must begin.
type dialogue struct {
	u *Upstream

	mu    sync.Mutex // guards begin
	begin approach
}

func (d *dialogue) learn(a approach) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.begin = a
}

func (d *dialogue) approach() approach {
	switch {
	case d.u.mustBeModern():
		return patient
	case d.u.cfg.Protocol != auto:
		return shaking
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.begin
}

// open makes a link over a channel that dial opens; dial is called again when
// the conversation has to begin anew in another way.
func (d *dialogue) open(ctx context.Context, client *mcp.Client, dial func(context.Context) (mcp.Channel, error)) (*opened, error) {
	how := d.approach()
	o, err := d.converse(ctx, client, how, dial)
	again, ok := otherwise(how, err)
	if !ok || ctx.Err() != nil || d.u.cfg.Protocol != auto {
		return o, err
	}
	d.u.log.Debug("server is asked for its protocol once more, in another way", "err", err)
	o, second := d.converse(ctx, client, again, dial)
	switch {
	case second == nil && brokeOff(err):
		d.learn(probing) // it may have been the network, which says nothing of the server
		return o, nil
	case second == nil:
		return o, nil
	case ctx.Err() != nil:
		return nil, err
	}
	d.learn(probing)
	return nil, second
}

// otherwise says how to begin anew after a conversation that failed, if that can
// help.
func otherwise(how approach, err error) (approach, bool) {
	var probe *probeError
	var silence *silenceError
	switch {
	case err == nil:
	case how == probing && errors.As(err, &probe):
		return shaking, true // it ended: perhaps it cannot bear the question
	case how == probing && errors.As(err, &silence):
		return patient, true // perhaps it was still starting
	case how == shaking && errors.Is(err, errRefused):
		return probing, true // it is another server than it was
	}
	return 0, false
}

// brokeOff reports whether a connection ended as the network ends one, and not
// as its peer would.
func brokeOff(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op)
}

// probeError is a channel that ended while the probe was unanswered.
type probeError struct{ err error }

func (e *probeError) Error() string { return fmt.Sprintf("ask server/discover: %v", e.err) }
func (e *probeError) Unwrap() error { return e.err }

// silenceError is a handshake that was refused by a server that had said nothing
// to the probe.
type silenceError struct{ err error }

func (e *silenceError) Error() string { return e.err.Error() }
func (e *silenceError) Unwrap() error { return e.err }

// errRefused marks a handshake that a living server did not agree to.
var errRefused = errors.New("the handshake was refused")

// misfitError is a server that does not speak what the configuration demands.
type misfitError struct{ wanted string }

func (e *misfitError) Error() string {
	return fmt.Sprintf("it does not speak %s, which protocol demands; write protocol: auto, or what it speaks", e.wanted)
}

// converse opens a channel and agrees with the server on a revision.
func (d *dialogue) converse(ctx context.Context, client *mcp.Client, how approach, dial func(context.Context) (mcp.Channel, error)) (*opened, error) {
	ch, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	silent := false
	if how != shaking {
		var era era
		era, err = d.u.probe(ctx, ch, how == patient)
		switch {
		case err != nil:
			_ = ch.Close()
			return nil, &probeError{err}
		case era == stateless:
			d.learn(probing)
			return d.u.overChannel(ch), nil
		case d.u.mustBeModern():
			_ = ch.Close()
			return nil, &misfitError{string(mcp.Revision20260728)}
		}
		silent = era == unknown
	}
	o, err := d.u.shake(ctx, ch, client)
	switch {
	case err == nil:
		d.learn(shaking)
		return o, nil
	case silent && errors.Is(err, errRefused):
		return nil, &silenceError{err}
	}
	return nil, err
}

// mustBeModern reports whether the configuration leaves nothing but the
// stateless era.
func (u *Upstream) mustBeModern() bool {
	return u.cfg.Protocol == "modern" || u.cfg.Protocol == string(mcp.Revision20260728)
}

// auto is the value of protocol and transport that leaves it to detection.
const auto = "auto"

// pinned is the revision with sessions that the configuration demands; empty for
// none.
func (u *Upstream) pinned() mcp.Revision {
	if r := mcp.Revision(u.cfg.Protocol); r.Known() && !r.Modern() {
		return r
	}
	return ""
}

// probe asks a server on a channel for what only a stateless one answers. It
// returns unknown when there was no answer in time; a patient probe waits as
// long as ctx lasts.
func (u *Upstream) probe(ctx context.Context, ch mcp.Channel, patient bool) (era, error) {
	req := &mcp.Request{Method: "server/discover", Client: u.itself()}
	call, err := ch.Start(ctx, mcp.Outgoing{Method: req.Method, Params: req.AppendModern(nil, "")})
	if err != nil {
		return unknown, err
	}
	var silence <-chan time.Time
	if !patient {
		timer := time.NewTimer(u.probeWait)
		defer timer.Stop()
		silence = timer.C
	}
	for {
		select {
		case msg, ok := <-call.Messages():
			if !ok {
				return unknown, call.Err()
			}
			if msg.IsResponse() {
				return eraOf(mcp.ResponseOf(msg)), nil
			}
		case <-silence:
			call.Abandon()
			return unknown, nil
		case <-ctx.Done():
			call.Abandon()
			return unknown, ctx.Err()
		}
	}
}

// eraOf judges the answer to server/discover.
func eraOf(result mcp.Result, err error) era {
	var wire *mcp.Error
	switch {
	case err == nil && slices.Contains(mcp.ReadServer(result).Revisions, mcp.Revision20260728):
		return stateless
	case errors.As(err, &wire) && speaksModern(wire):
		return stateless
	}
	return sessions
}

// shake makes the handshake of the older revisions on ch, which it closes when
// that fails.
func (u *Upstream) shake(ctx context.Context, ch mcp.Channel, client *mcp.Client) (*opened, error) {
	owner := u.ownerOf(ctx, client)
	o := legacy.ClientOptions{
		Info: u.around.Info, Parking: u.around.Parking, Log: u.log, Revision: u.pinned(),
		Changed: func(method string) { u.changes.tell(owner, method) },
	}
	if client != nil {
		o.Kinds = client.Kinds
	}
	c, err := legacy.Connect(ctx, ch, o)
	switch {
	case err != nil && isRefusal(err):
		return nil, fmt.Errorf("%w: %w", errRefused, err)
	case err != nil:
		return nil, err
	}
	if o.Revision != "" && c.Revision() != o.Revision {
		_ = c.Close()
		return nil, &misfitError{string(o.Revision)}
	}
	return &opened{
		handler: c, revision: c.Revision(), done: c.Done(), ping: c.Ping, busy: c.Busy, flush: c.Flush,
		close: func(context.Context) error { return c.Close() },
	}, nil
}

// isRefusal reports whether an error is the server's own word, and not that of
// a transport which could not reach it.
func isRefusal(err error) bool {
	var wire *mcp.Error
	return errors.As(err, &wire) && wire.Code != mcp.CodeUnavailable && wire.Code != mcp.CodeCallLost
}

// overChannel is a link to a server of the stateless era on a channel.
func (u *Upstream) overChannel(ch mcp.Channel) *opened {
	s := mcp.NewStateless(ch)
	return &opened{
		handler: s, revision: mcp.Revision20260728, done: ch.Done(),
		ping: func(ctx context.Context) error {
			_, err := s.Handle(ctx, &mcp.Request{Method: "server/discover", Client: u.itself()})
			if fateOf(err) == answered {
				return nil
			}
			return err
		},
		close: func(context.Context) error { return s.Close() },
	}
}

// counted counts the messages that come over a connection: signs of life.
type counted struct {
	mcp.Conn
	messages *atomic.Int64
}

// Read implements mcp.Conn.
func (c counted) Read(ctx context.Context) ([]byte, error) {
	message, err := c.Conn.Read(ctx)
	if err == nil {
		c.messages.Add(1)
	}
	return message, err
}
