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
	pending map[jsonrpc.ID]*Call
	tokens  map[string]*Call
	err     error
	ended   bool
}

var _ Channel = (*Mux)(nil)

// NewMux starts to read from conn, which it owns from now on.
func NewMux(conn Conn, limits jsonrpc.Limits) *Mux {
	ctx, cancel := context.WithCancel(context.Background())
	m := &Mux{
		conn: conn, limits: limits, cancel: cancel,
		events:  make(chan jsonrpc.Message, maxEvents),
		done:    make(chan struct{}),
		pending: make(map[jsonrpc.ID]*Call),
		tokens:  make(map[string]*Call),
	}
	go m.read(ctx)
	return m
}

// Start implements Channel.
func (m *Mux) Start(ctx context.Context, out Outgoing) (*Call, error) {
	call, err := m.register(out.ProgressToken)
	if err != nil {
		return nil, err
	}
	params, _ := jsonrpc.Split(out.Params)
	text := jsonrpc.Message{ID: call.id, Method: out.Method, Params: params}.Append(nil)
	if err := m.conn.Write(ctx, text); err != nil {
		call.Abandon()
		return nil, fmt.Errorf("send %s: %w", out.Method, err)
	}
	return call, nil
}

func (m *Mux) register(token string) (*Call, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return nil, fmt.Errorf("connection has ended: %w", m.err)
	}
	m.next++
	id := jsonrpc.NumberID(m.next)
	call := NewCall(id, MaxCallQueue, func() { m.forget(id, token) })
	m.pending[id] = call
	if token != "" {
		m.tokens[token] = call
	}
	return call, nil
}

func (m *Mux) forget(id jsonrpc.ID, token string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.pending, id)
	delete(m.tokens, token)
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
	m.cancel()
	err := m.conn.Close()
	<-m.done
	return err
}

func (m *Mux) read(ctx context.Context) {
	defer close(m.done)
	defer close(m.events)
	strikes := 0
	for {
		text, err := m.conn.Read(ctx)
		if err != nil {
			m.end(err)
			return
		}
		msgs, err := m.parse(text)
		if err != nil {
			if strikes++; strikes >= maxStrikes {
				m.end(fmt.Errorf("%d messages in a row are not MCP, the last: %w", strikes, err))
				_ = m.conn.Close()
				return
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
		call := m.pending[msg.ID]
		delete(m.pending, msg.ID)
		return call
	case msg.Method == "notifications/progress":
		return m.tokens[string(msg.Params.Get("progressToken"))]
	case msg.IsNotification():
		meta, _ := jsonrpc.Split(msg.Params.Get("_meta"))
		return m.pending[jsonrpc.ID(meta.Get(MetaSubscriptionID))]
	}
	return nil
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
	for _, call := range calls {
		call.Finish(fmt.Errorf("connection ended before the answer: %w", err))
	}
}
