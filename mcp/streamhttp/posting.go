package streamhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/sse"
)

// posting is one call of a session: a POST and its answer, which may come in
// several pieces when the connection breaks.
type posting struct {
	ch   *channel
	out  mcp.Outgoing
	id   jsonrpc.ID
	call *mcp.Call
	ctx  *mcp.CallContext // ends with the call

	begun    bool // the server has begun to answer; guarded by ch.mu
	answered bool // the response has been given to the call; used by run only
}

// forget releases what the channel keeps, and ends what is under way.
func (p *posting) forget() {
	p.ctx.End(context.Canceled, nil)
	p.ch.mu.Lock()
	defer p.ch.mu.Unlock()
	delete(p.ch.calls, p.id)
	delete(p.ch.tokens, p.out.ProgressToken)
}

// run makes the call.
func (p *posting) run() {
	defer p.forget()
	if p.out.Method == "resources/subscribe" {
		p.ch.awaitStream(p.ctx)
	}
	if err := p.post(p.ctx); err != nil {
		p.call.Finish(err)
	}
}

func (p *posting) post(ctx context.Context) error {
	c := p.ch.c
	body := jsonrpc.Message{ID: p.id, Method: p.out.Method, Params: jsonrpc.Written(p.out.Params, nil)}.Append(make([]byte, 0, len(p.out.Params)+128))
	resp, sent, err := c.roundTrip(ctx, http.MethodPost, p.ch.postHeader(), body)
	if err != nil {
		return unreachable(sent, err)
	}
	if resp.StatusCode == http.StatusOK {
		p.ch.mu.Lock()
		p.begun = true
		p.ch.mu.Unlock()
	}
	session := resp.Header.Get(headerSession)
	contentType := resp.Header.Get("Content-Type")
	switch {
	case resp.StatusCode != http.StatusOK:
		return p.ch.failed(resp)
	case isMedia(contentType, mediaJSON):
		return p.readJSON(ctx, resp, session)
	case isMedia(contentType, mediaEvents):
		return p.follow(ctx, resp.Body, session)
	}
	_ = resp.Body.Close()
	return lost(errors.New("content type "+strconv.Quote(contentType)), "the server's answer is neither JSON nor an event stream")
}

// finish ends the call because the channel has ended.
func (p *posting) finish(why error) {
	p.call.Finish(fmt.Errorf("session ended before the answer: %w", why))
	p.ctx.End(context.Canceled, nil)
}

func (p *posting) readJSON(ctx context.Context, resp *http.Response, session string) error {
	body, err := p.ch.c.readBody(resp, nil)
	if err != nil {
		return brokenAnswer(err)
	}
	r := eventReader{client: p.ch.c, batches: p.ch.batches()}
	msgs, err := r.parse(body)
	if err != nil {
		return lost(err, "the server's answer is not a message")
	}
	for _, msg := range msgs {
		if msg.IsResponse() && msg.ID.IsZero() {
			msg.ID = p.id // an error about a request whose id the server did not read
		}
		if err := p.deliver(ctx, msg, session); err != nil {
			return err
		}
	}
	if !p.answered {
		return lost(fmt.Errorf("no response to id %s", string(p.id)), "the server answered something else")
	}
	return nil
}

// follow reads the answer from its stream, and where that breaks from the
// stream that goes on with it (2025-11-25, basic/transports, "Resumability and
// Redelivery"). Servers of all revisions with sessions may give events an id,
// so that the ids tell, not the revision.
func (p *posting) follow(ctx context.Context, body io.ReadCloser, session string) error {
	again := reconnect{ch: p.ch}
	for {
		err := p.readStream(ctx, body, &again, session)
		if p.answered {
			return nil
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case again.lastID == "" || !again.worthwhile(err):
			return brokenAnswer(err)
		}
		p.ch.c.o.Log.Debug("stream of a call broke, its rest is asked for", "err", err)
		if body, err = again.open(ctx); err != nil {
			return err
		}
	}
}

// readStream reads one connection of the stream until the response or an error.
func (p *posting) readStream(ctx context.Context, body io.ReadCloser, again *reconnect, session string) error {
	defer body.Close()
	r := eventReader{client: p.ch.c, events: sse.NewReader(body, p.ch.c.o.MaxMessageBytes), batches: p.ch.batches()}
	defer again.note(&r)
	for {
		msgs, err := r.next()
		if err != nil {
			return err
		}
		for _, msg := range msgs {
			if err := p.deliver(ctx, msg, session); err != nil {
				return err
			}
		}
		if p.answered {
			p.ch.c.drain(body)
			return nil
		}
	}
}

// deliver gives a message to the call; a response to another call that is under
// way to that.
func (p *posting) deliver(ctx context.Context, msg jsonrpc.Message, session string) error {
	switch {
	case msg.IsResponse() && msg.ID != p.id:
		if other := p.ch.caller(msg); other != nil {
			other.call.Deliver(msg)
		}
		return nil
	case msg.IsResponse():
		if p.out.Method == "initialize" && msg.Error == nil {
			if err := p.ch.agree(session, msg.Result); err != nil {
				return fmt.Errorf("initialize: %w", err)
			}
		}
		p.answered = true
		p.call.Deliver(msg)
		return nil
	}
	if !p.call.Deliver(msg) {
		p.ch.busy(ctx, msg)
	}
	return nil
}
