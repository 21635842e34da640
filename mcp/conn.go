package mcp

import (
	"context"
	"errors"
	"sync"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Conn carries whole messages in both directions: a pair of pipes, a socket,
// an HTTP+SSE session. It does not look into them.
//
// Read is called by one goroutine at a time; the bytes it returns belong to
// the caller. It returns io.EOF after an orderly end. A message longer than
// the transport's bound is an error that ends the connection. When the context
// of a Read ends, so may the connection. Write may be called concurrently and
// returns when the message has been handed to the operating system or the
// transport's write deadline has passed; the end of its context ends the
// waiting for other writers, but need not end a write that is under way. Close
// ends both directions, unblocks Read and Write, and may be called more than once.
type Conn interface {
	Read(ctx context.Context) ([]byte, error)
	Write(ctx context.Context, message []byte) error
	Close() error
}

// Channel is a peer that is reached over something that lasts: a process, a
// socket, or a Streamable HTTP session. It gives requests their ids and sorts
// what comes back; it knows nothing of what the messages mean, beyond which
// call they belong to. All methods may be called concurrently.
type Channel interface {
	// Start sends a request. ctx bounds the sending only, not the call. The
	// caller receives from Call.Messages until it is closed, or calls Abandon.
	// The error, or the call's if it is sent later, wraps ErrNotSent when the
	// peer has certainly not seen the request.
	Start(ctx context.Context, out Outgoing) (*Call, error)
	// Send sends a notification or a response.
	Send(ctx context.Context, m jsonrpc.Message) error
	// Events yields what belongs to no call: notifications, and requests of the
	// peer. One goroutine must keep receiving; it is closed when the channel
	// has ended. When its buffer is full, notifications are dropped and
	// requests are answered with CodeBusy.
	Events() <-chan jsonrpc.Message
	// Done is closed when the channel has ended; Err then says why.
	Done() <-chan struct{}
	Err() error
	// Close ends the channel and waits until its goroutines have ended.
	Close() error
}

// ErrSessionLost is the error of a Channel whose peer no longer knows the
// session, so that a new one must be opened.
var ErrSessionLost = errors.New("the server no longer knows the session")

// ErrNotSent is wrapped by the error of a request of which the peer has seen
// nothing, so that it may be sent again, whatever it asks for.
var ErrNotSent = errors.New("the request was not sent")

// Outgoing is a request to be sent on a Channel.
type Outgoing struct {
	Method string
	Params []byte // JSON text of an object; nil for none
	// ProgressToken is the JSON text of the token that Params carries, unique
	// among the calls under way on the channel; empty for none. Progress that
	// comes with it belongs to this call.
	ProgressToken string
	// Logs says that the caller wants log messages. One that comes without a link
	// to a call belongs to the only call that the peer works at; with several
	// there is no telling whose it is.
	Logs bool
}

// MaxCallQueue is the number of notifications and requests that may wait for a
// caller to take them. A caller that is slower loses notifications; it never
// loses the response.
const MaxCallQueue = 256

// maxCallBytes bounds the length of what may wait beside the response, but one
// message has room whatever its length.
const maxCallBytes = 4 << 20

// atHand is the number of messages that a Call has room for from the start.
// Most calls yield their response and little else.
const atHand = 4

// Call is a request under way on a Channel.
type Call struct {
	id       jsonrpc.ID
	queue    int
	messages chan jsonrpc.Message
	abandon  func()

	mu        sync.Mutex // guards what follows
	finished  bool
	abandoned bool
	err       error
	backlog   []jsonrpc.Message // what found no room in messages
	sizes     []int             // of what waits beside the response, or did when somebody looked last; oldest first
	bytes     int               // their sum
	left      chan struct{}     // not nil while pass runs; closed by Abandon
}

// NewCall makes a call for an implementation of Channel. queue is the number of
// messages that may wait beside the response. abandon, which may be nil,
// releases what the channel keeps for the call.
func NewCall(id jsonrpc.ID, queue int, abandon func()) *Call {
	return &Call{id: id, queue: queue, messages: make(chan jsonrpc.Message, min(queue+1, atHand)), abandon: abandon}
}

// ID is the id that the channel gave to the request.
func (c *Call) ID() jsonrpc.ID { return c.id }

// Messages yields what belongs to the call, in order: notifications, requests
// of the peer where the transport tells that they belong here, and last the
// response. Then it is closed. When it is closed without a response, Err says why.
func (c *Call) Messages() <-chan jsonrpc.Message { return c.messages }

// Err says why Messages was closed without a response.
func (c *Call) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Abandon says that nobody waits for the call any more: what still comes for it
// is dropped. It does not tell the peer.
func (c *Call) Abandon() {
	if c.abandon != nil {
		c.abandon()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.backlog = nil
	if c.left != nil && !c.abandoned {
		close(c.left)
	}
	c.abandoned = true
	if !c.finished {
		c.finish(context.Canceled)
	}
}

// Deliver hands m to the caller; a response also finishes the call. It returns
// false when m was dropped, because the queue is full or the call has finished.
func (c *Call) Deliver(m jsonrpc.Message) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := m.IsResponse()
	if c.finished || !last && !c.admit(len(m.Params.Raw())) {
		return false
	}
	c.put(m)
	if last {
		c.finish(nil)
	}
	return true
}

// admit counts a message of that size in, if there is room for it.
func (c *Call) admit(size int) bool {
	n := c.waiting()
	for len(c.sizes) > n { // these have been taken
		c.bytes -= c.sizes[0]
		c.sizes = c.sizes[1:]
	}
	if n >= c.queue || n > 0 && c.bytes+size > maxCallBytes {
		return false
	}
	c.sizes, c.bytes = append(c.sizes, size), c.bytes+size
	return true
}

// waiting is the number of messages that wait for the caller.
func (c *Call) waiting() int {
	n := len(c.messages) + len(c.backlog)
	if c.left != nil {
		n++ // pass may hold one
	}
	return n
}

// put makes m wait for the caller, behind what waits already.
func (c *Call) put(m jsonrpc.Message) {
	if c.left == nil {
		select {
		case c.messages <- m:
			return
		default:
		}
		c.left = make(chan struct{})
		go c.pass(c.left)
	}
	c.backlog = append(c.backlog, m)
}

// pass hands the backlog over. It ends when the caller has received it, or has
// abandoned the call, one of which it must do.
func (c *Call) pass(left <-chan struct{}) {
	for {
		m, ok := c.pop()
		if !ok {
			return
		}
		select {
		case c.messages <- m:
		case <-left:
		}
	}
}

// pop takes the first message of the backlog; false when there is none, so that
// pass ends.
func (c *Call) pop() (m jsonrpc.Message, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.backlog) > 0 {
		m, c.backlog = c.backlog[0], c.backlog[1:]
		return m, true
	}
	c.left = nil
	if c.finished {
		close(c.messages)
	}
	return m, false
}

// Finish ends the call without a response. It does nothing when the call has finished.
func (c *Call) Finish(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.finished {
		c.finish(err)
	}
}

func (c *Call) finish(err error) {
	c.finished = true
	c.err = err
	if c.left == nil {
		close(c.messages)
	}
}
