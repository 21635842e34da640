package streamhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// errClosed is why a channel ended that its owner has closed.
var errClosed = errors.New("closed")

const (
	// maxEvents bounds what waits to be received from Events.
	maxEvents = 256
	// streamWait bounds how long the first subscription waits for the standalone stream: some servers answer the
	// request for it with the first event.
	streamWait = time.Second
)

// channel is a session with a server of the older revisions. Each call is a POST
// with a goroutine that reads its answer; one more reads the standalone stream.
type channel struct {
	c      *Client
	events chan jsonrpc.Message
	done   chan struct{}
	ready  chan struct{} // closed when the server may be asked for the standalone stream
	asked  chan struct{} // closed when the server has answered that, or is not waited for
	settle sync.Once     // closes asked
	stop   context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex // guards what follows, and the beginning of work
	next     int64
	calls    map[jsonrpc.ID]*posting
	tokens   map[string]*posting
	session  string
	revision string      // agreed with the server; empty before that
	posted   http.Header // of POST requests since then; they are shared and not changed
	begun    bool        // ready is closed
	ended    bool
	err      error
}

var _ mcp.Channel = (*channel)(nil)

// Open returns a channel that reaches the endpoint as servers of 2025-03-26 to
// 2025-11-25 expect it. Nothing is sent before the first Start: its answer, when
// that is to initialize, names the session and the revision. A server's requests
// and notifications on the stream of a call are given to that call; those of the
// standalone stream, which is asked for when notifications/initialized has been
// sent, are the events.
//
// The channel ends when the server no longer knows the session
// (mcp.ErrSessionLost), and with Close.
func (c *Client) Open() mcp.Channel {
	ctx, cancel := context.WithCancel(context.Background())
	ch := &channel{
		c: c, stop: cancel,
		events: make(chan jsonrpc.Message, maxEvents),
		done:   make(chan struct{}), ready: make(chan struct{}), asked: make(chan struct{}),
		calls: make(map[jsonrpc.ID]*posting), tokens: make(map[string]*posting),
	}
	ch.work.Go(func() { ch.listen(ctx) })
	return ch
}

// Events implements mcp.Channel.
func (ch *channel) Events() <-chan jsonrpc.Message { return ch.events }

// Done implements mcp.Channel.
func (ch *channel) Done() <-chan struct{} { return ch.done }

// Err implements mcp.Channel.
func (ch *channel) Err() error {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.err
}

// Start implements mcp.Channel. The POST is sent by a goroutine, since its
// answer may be long in coming; that it could not be sent is the call's error.
func (ch *channel) Start(ctx context.Context, out mcp.Outgoing) (*mcp.Call, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.ended {
		return nil, fmt.Errorf("%w: session has ended: %w", mcp.ErrNotSent, ch.err)
	}
	ch.next++
	p := &posting{ch: ch, out: out, id: jsonrpc.NumberID(ch.next), ctx: mcp.NewCallContext(context.WithoutCancel(ctx))}
	p.call = mcp.NewCall(p.id, mcp.MaxCallQueue, p.forget)
	ch.calls[p.id] = p
	if out.ProgressToken != "" {
		ch.tokens[out.ProgressToken] = p
	}
	ch.work.Go(p.run)
	return p.call, nil
}

// Send implements mcp.Channel.
func (ch *channel) Send(ctx context.Context, m jsonrpc.Message) error {
	if err := ch.alive(); err != nil {
		return err
	}
	resp, sent, err := ch.c.roundTrip(ctx, http.MethodPost, ch.postHeader(), m.Append(nil))
	if err != nil {
		return fmt.Errorf("send %s: %w", kind(m), unreachable(sent, err))
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("send %s: %w", kind(m), ch.failed(resp))
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // nothing is expected
	_ = resp.Body.Close()
	if m.Method == "notifications/initialized" {
		ch.begin()
	}
	return nil
}

func kind(m jsonrpc.Message) string {
	if m.Method != "" {
		return m.Method
	}
	return "response"
}

func (ch *channel) alive() error {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.ended {
		return fmt.Errorf("session has ended: %w", ch.err)
	}
	return nil
}

func (ch *channel) begin() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if !ch.begun {
		ch.begun = true
		close(ch.ready)
	}
}

// awaitStream waits until the server has the standalone stream, or has said that it
// gives none: updates before that are lost at servers that keep no events.
func (ch *channel) awaitStream(ctx context.Context) {
	select {
	case <-ch.ready:
	default:
		return // it has not been asked for
	}
	timer := time.NewTimer(streamWait)
	defer timer.Stop()
	select {
	case <-ch.asked:
	case <-timer.C:
		ch.settle.Do(func() { close(ch.asked) })
	case <-ctx.Done():
	}
}

// Close implements mcp.Channel. The server is told, but not waited for longer
// than CloseTimeout.
func (ch *channel) Close() error {
	first := ch.end(errClosed)
	ch.cut(errClosed)
	var err error
	if first {
		err = ch.delete()
	}
	ch.work.Wait()
	return err
}

// delete ends the session at the server, which may not allow that (2025-11-25,
// basic/transports, "Session Management").
func (ch *channel) delete() error {
	if !ch.hasSession() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), ch.c.o.CloseTimeout)
	defer cancel()
	resp, _, err := ch.c.roundTrip(ctx, http.MethodDelete, ch.header(nil), nil)
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
	return resp.Body.Close()
}

// end ends the channel, and reports whether it had not ended before. Calls that
// the server has begun to answer are lost. Those whose POST has no answer yet are
// left for CloseTimeout to get one: that it does not know their session either
// says that they were not made.
func (ch *channel) end(err error) bool {
	ch.mu.Lock()
	if ch.ended {
		ch.mu.Unlock()
		return false
	}
	ch.ended, ch.err = true, err
	var begun []*posting
	for id, p := range ch.calls {
		if p.begun {
			begun = append(begun, p)
			delete(ch.calls, id)
		}
	}
	waiting := len(ch.calls) > 0
	ch.mu.Unlock()
	ch.stop()
	for _, p := range begun {
		p.finish(err)
	}
	if waiting {
		time.AfterFunc(ch.c.o.CloseTimeout, func() { ch.cut(err) })
	}
	close(ch.done)
	return true
}

// cut ends the calls that are still under way on a channel that has ended.
func (ch *channel) cut(err error) {
	ch.mu.Lock()
	calls := ch.calls
	ch.calls, ch.tokens = nil, nil
	ch.mu.Unlock()
	for _, p := range calls {
		p.finish(err)
	}
}

// header begins the headers of a request of the session, which are the caller's.
func (ch *channel) header(accept []string) http.Header {
	h := ch.c.header(5)
	if accept != nil {
		h["Accept"] = accept
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.session != "" {
		h[headerSession] = []string{ch.session}
	}
	if ch.revision != "" {
		h[headerVersion] = []string{ch.revision}
	}
	return h
}

// postHeader returns the headers of a POST request. They are not to be changed.
func (ch *channel) postHeader() http.Header {
	ch.mu.Lock()
	h := ch.posted
	ch.mu.Unlock()
	if h == nil {
		h = ch.header(ch.c.fixed.both)
		h["Content-Type"] = ch.c.fixed.json
	}
	return h
}

func (ch *channel) hasSession() bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.session != ""
}

// agree keeps what the answer to initialize says. A session id that could not be
// sent back is the error of the handshake.
func (ch *channel) agree(session string, result jsonrpc.Object) error {
	for i := 0; i < len(session); i++ {
		if session[i] <= ' ' || session[i] > '~' {
			return errors.New("session id has characters that a header may not carry")
		}
	}
	revision, _ := result.String("protocolVersion")
	if !safeValue(revision) {
		return errors.New("protocol version has characters that a header may not carry")
	}
	ch.mu.Lock()
	ch.session, ch.revision, ch.posted = session, revision, nil
	ch.mu.Unlock()
	posted := ch.postHeader()
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.posted = posted
	return nil
}

// batches reports whether the server may send arrays of messages: those of
// 2025-03-26 may, and who has not agreed on a revision may be one.
func (ch *channel) batches() bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.revision == "" || ch.revision == string(mcp.Revision20250326)
}

// failed is the error of an answer with a status that is none of success; it
// closes the answer. That the server does not know the session ends the channel
// (2025-11-25, basic/transports, "Session Management").
func (ch *channel) failed(resp *http.Response) error {
	status := ch.c.statusError(resp)
	if status.Status == http.StatusNotFound && ch.hasSession() {
		ch.end(mcp.ErrSessionLost)
		return fmt.Errorf("%w: %w", mcp.ErrSessionLost, status)
	}
	return status
}

// caller returns the call that a message of the standalone stream, or a response
// on the stream of another call, belongs to; nil if to none.
func (ch *channel) caller(msg jsonrpc.Message) *posting {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	switch {
	case msg.IsResponse():
		return ch.calls[msg.ID]
	case msg.Method == "notifications/progress":
		return ch.tokens[string(msg.Params.Get("progressToken"))]
	}
	return nil
}

// busy refuses a request that nobody has room for.
func (ch *channel) busy(ctx context.Context, msg jsonrpc.Message) {
	if !msg.IsRequest() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, ch.c.o.CloseTimeout)
	defer cancel()
	refusal := jsonrpc.Message{ID: msg.ID, Error: mcp.Errorf(mcp.CodeBusy, "too many requests are waiting")}
	if err := ch.Send(ctx, refusal); err != nil {
		ch.c.o.Log.Debug("server did not take a refusal", "err", err)
	}
}
