package mcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// maxStrikes is the number of messages in a row that a peer may send and that
// are none: banners and debug output of servers that do not keep stdout clean
// (2025-11-25, basic/transports, stdio: "MUST NOT write anything that is not a
// valid MCP message").
const maxStrikes = 1000

// maxEvents bounds what waits to be received from Mux.Events.
const maxEvents = 256

// Mux makes a Channel of a Conn: many calls share the connection, each with an
// id of its own, and a single reader sorts what arrives.
type Mux struct {
	conn   Conn
	limits jsonrpc.Limits
	events chan jsonrpc.Message
	done   chan struct{}
	cancel context.CancelFunc

	mu      sync.Mutex // guards what follows
	next    int64
	pending map[jsonrpc.ID]underway
	tokens  map[string]*Call
	err     error
	ended   bool
}

// underway is a call with the progress token that stands for it, if any.
type underway struct {
	call  *Call
	token string
	logs  bool // its caller wants log messages
	own   bool // of the session itself: it does nothing for a caller that a server would log
}

var _ Channel = (*Mux)(nil)

// NewMux starts to read from conn, which it owns from now on.
func NewMux(conn Conn, limits jsonrpc.Limits) *Mux {
	ctx, cancel := context.WithCancel(context.Background())
	m := &Mux{
		conn: conn, limits: limits, cancel: cancel,
		events:  make(chan jsonrpc.Message, maxEvents),
		done:    make(chan struct{}),
		pending: make(map[jsonrpc.ID]underway),
		tokens:  make(map[string]*Call),
	}
	go m.read(ctx)
	return m
}

// Start implements Channel.
func (m *Mux) Start(ctx context.Context, out Outgoing) (*Call, error) {
	call, err := m.register(out)
	if err != nil {
		return nil, err
	}
	if err := m.conn.Write(ctx, out.text(call.id)); err != nil {
		call.Abandon()
		return nil, fmt.Errorf("send %s: %w", out.Method, err)
	}
	return call, nil
}

func (m *Mux) register(out Outgoing) (*Call, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return nil, fmt.Errorf("%w: connection has ended: %w", ErrNotSent, m.err)
	}
	m.next++
	id := jsonrpc.NumberID(m.next)
	call := NewCall(id, MaxCallQueue, func() { m.forget(id) })
	m.pending[id] = underway{call, out.ProgressToken, out.Logs, OfSession(out.Method)}
	if out.ProgressToken != "" {
		m.tokens[out.ProgressToken] = call
	}
	return call, nil
}

// text writes the request. It does not look into the params, which may be long.
func (out Outgoing) text(id jsonrpc.ID) []byte {
	text := make([]byte, 0, len(out.Params)+len(out.Method)+64)
	text = append(append(text, `{"jsonrpc":"2.0","id":`...), id...)
	text = jsonrpc.AppendString(append(text, `,"method":`...), out.Method)
	if out.Params != nil {
		text = append(append(text, `,"params":`...), out.Params...)
	}
	return append(text, '}')
}

func (m *Mux) forget(id jsonrpc.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.take(id)
}

// take removes what is kept for a call, which belongs to nobody from then on.
func (m *Mux) take(id jsonrpc.ID) *Call {
	u := m.pending[id]
	delete(m.pending, id)
	if u.token != "" && m.tokens[u.token] == u.call {
		delete(m.tokens, u.token)
	}
	return u.call
}

// Send implements Channel.
func (m *Mux) Send(ctx context.Context, msg jsonrpc.Message) error {
	return m.conn.Write(ctx, msg.Append(nil))
}

// Events implements Channel.
func (m *Mux) Events() <-chan jsonrpc.Message { return m.events }

// Done implements Channel.
func (m *Mux) Done() <-chan struct{} { return m.done }

// Err implements Channel.
func (m *Mux) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// Close implements Channel.
func (m *Mux) Close() error {
	err := m.conn.Close() // before the context ends: the transport may have a last word for its peer
	m.cancel()
	<-m.done
	return err
}

func (m *Mux) read(ctx context.Context) {
	defer close(m.done)
	defer close(m.events)
	m.end(m.receive(ctx))
	_ = m.conn.Close() // nobody reads any more: the peer and those who write must not wait for it
}

// receive sorts what arrives until nothing more does.
func (m *Mux) receive(ctx context.Context) error {
	strikes := 0
	for {
		text, err := m.conn.Read(ctx)
		if err != nil {
			return err
		}
		msgs, err := m.parse(text)
		if err != nil {
			if strikes++; strikes >= maxStrikes {
				return fmt.Errorf("%d messages in a row are not MCP, the last: %w", strikes, err)
			}
			continue
		}
		strikes = 0
		for _, msg := range msgs {
			m.route(ctx, msg)
		}
	}
}

// parse accepts batches too: a server of 2025-03-26 may answer with one.
func (m *Mux) parse(text []byte) ([]jsonrpc.Message, error) {
	if jsonrpc.IsBatch(text) {
		return jsonrpc.ParseBatch(text, m.limits)
	}
	msg, err := jsonrpc.Parse(text, m.limits)
	return []jsonrpc.Message{msg}, err
}

func (m *Mux) route(ctx context.Context, msg jsonrpc.Message) {
	if call := m.owner(msg); call != nil {
		call.Deliver(msg)
		return
	}
	if msg.IsResponse() {
		return // late or forged: nobody waits for it
	}
	select {
	case m.events <- msg:
	default:
		if msg.IsRequest() {
			busy := jsonrpc.Message{ID: msg.ID, Error: Errorf(CodeBusy, "too many requests are waiting")}
			_ = m.Send(ctx, busy)
		}
	}
}

// owner returns the call that msg belongs to; nil if to none.
func (m *Mux) owner(msg jsonrpc.Message) *Call {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case msg.IsResponse():
		return m.take(msg.ID)
	case msg.Method == "notifications/progress":
		return m.tokens[string(msg.Params.Get("progressToken"))]
	case msg.Method == "notifications/message":
		return m.logger()
	case msg.IsNotification():
		meta, _ := jsonrpc.Split(msg.Params.Get("_meta"))
		return m.pending[jsonrpc.ID(meta.Get(MetaSubscriptionID))].call
	}
	return nil
}

// logger returns the only call that the server works at, if it wants log messages.
// With others beside it, which may be other callers', nothing says whose they
// are. m.mu is held.
func (m *Mux) logger() *Call {
	var found underway
	for _, u := range m.pending {
		switch {
		case u.own:
		case found.call != nil:
			return nil
		default:
			found = u
		}
	}
	if !found.logs {
		return nil
	}
	return found.call
}

func (m *Mux) end(err error) {
	if errors.Is(err, io.EOF) {
		err = io.EOF
	}
	m.mu.Lock()
	m.ended, m.err = true, err
	calls := m.pending
	m.pending, m.tokens = nil, nil
	m.mu.Unlock()
	for _, u := range calls {
		u.call.Finish(fmt.Errorf("connection ended before the answer: %w", err))
	}
}
