package mcp

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// cancelTimeout bounds the courtesy of telling a peer that nobody waits any more.
const cancelTimeout = 2 * time.Second

// Stateless is a server of the stateless era that is reached over a channel
// (2026-07-28, basic/transports, stdio): every request carries who asks,
// cancellation is a notification, and what belongs to a subscription carries
// its id.
type Stateless struct {
	ch     Channel
	token  atomic.Int64
	events chan struct{}
	subs   *listening
}

var _ Handler = (*Stateless)(nil)

// NewStateless takes ch over; Close closes it.
func NewStateless(ch Channel) *Stateless {
	s := &Stateless{ch: ch, events: make(chan struct{})}
	s.subs = newListening(ch, s.cancel)
	go s.refuseEvents()
	return s
}

// Close closes the channel and waits.
func (s *Stateless) Close() error {
	err := s.ch.Close()
	<-s.events
	s.subs.close()
	return err
}

// refuseEvents drops what belongs to no call, but for the end of a subscription. A
// server of this era sends no requests; one that does is told so.
func (s *Stateless) refuseEvents() {
	defer close(s.events)
	for msg := range s.ch.Events() {
		if !msg.IsRequest() {
			if msg.Method == methodCancelled {
				s.subs.end(jsonrpc.ID(msg.Params.Get("requestId")))
			}
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), cancelTimeout)
		_ = s.ch.Send(ctx, jsonrpc.Message{ID: msg.ID, Error: MethodNotFound(msg.Method)})
		cancel()
	}
}

// Handle implements Handler.
func (s *Stateless) Handle(ctx context.Context, req *Request) (Result, error) {
	if req.Method == methodListen {
		return s.subs.handle(ctx, req, s.pass)
	}
	out := Outgoing{Method: req.Method, Logs: req.LogLevel != "" && req.Notify != nil}
	if req.ProgressToken != nil && req.Notify != nil {
		out.ProgressToken = strconv.FormatInt(s.token.Add(1), 10)
	}
	out.Params = req.AppendModern(nil, out.ProgressToken)
	call, err := s.ch.Start(ctx, out)
	if err != nil {
		return Result{}, err
	}
	for {
		select {
		case msg, ok := <-call.Messages():
			if !ok {
				return Result{}, fmt.Errorf("call %s: %w", req.Method, call.Err())
			}
			if msg.IsResponse() {
				return ResponseOf(msg)
			}
			s.pass(req, msg)
		case <-ctx.Done():
			call.Abandon()
			s.cancel(ctx, call.ID())
			return Result{}, ctx.Err()
		}
	}
}

func (s *Stateless) pass(req *Request, msg jsonrpc.Message) {
	if msg.IsNotification() {
		req.Emit(OwnNotification(req, msg))
	}
}

func (s *Stateless) cancel(ctx context.Context, id jsonrpc.ID) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelTimeout)
	defer stop()
	params := jsonrpc.Object{}.With(jsonrpc.Edit{Name: "requestId", Value: []byte(id)})
	_ = s.ch.Send(ctx, jsonrpc.Message{Method: methodCancelled, Params: params})
}

// ResponseOf returns what a response says.
func ResponseOf(msg jsonrpc.Message) (Result, error) {
	if msg.Error != nil {
		return Result{}, msg.Error
	}
	return Result{msg.Result}, nil
}

// OwnNotification returns a notification of a peer as its caller knows it: with
// the caller's own progress token, and without the peer's subscription id.
func OwnNotification(req *Request, msg jsonrpc.Message) Notification {
	n := Notification{Method: msg.Method, Params: msg.Params}
	if msg.Method == "notifications/progress" {
		n.Params = n.Params.With(jsonrpc.Edit{Name: "progressToken", Value: req.ProgressToken})
	}
	meta, ok := jsonrpc.Split(n.Params.Get("_meta"))
	if ok && meta.Get(MetaSubscriptionID) != nil {
		stripped := meta.Append(nil, jsonrpc.Edit{Name: MetaSubscriptionID})
		n.Params = n.Params.With(jsonrpc.Edit{Name: "_meta", Value: stripped})
	}
	return n
}
