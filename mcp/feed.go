package mcp

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// run sends the request, hands on what comes, and ends when the server has ended it,
// or is believed to.
func (f *feed) run() {
	defer close(f.ended)
	if !f.turn() {
		return
	}
	out, ok := f.outgoing()
	if !ok {
		return
	}
	ctx, stop := context.WithTimeout(context.Background(), listenTimeout)
	call, err := f.l.ch.Start(ctx, out)
	stop()
	if err != nil {
		f.fail(func(sub *subscription) { sub.queue.Finish(err) })
		return
	}
	if f.begun(call) {
		f.l.tell(context.Background(), []*Call{call})
	}
	f.follow(call)
}

// turn waits for those that have to end first. It is false when there is no need to go on.
func (f *feed) turn() bool {
	for {
		old, wait := f.next()
		if wait <= 0 {
			return true
		}
		timer := time.NewTimer(wait)
		select {
		case <-old:
		case <-timer.C:
		case <-f.let:
			timer.Stop()
			return false
		case <-f.l.ch.Done():
			timer.Stop()
			return true // to learn of the end as anybody does
		}
		timer.Stop()
	}
}

// next returns what to wait for, and how long; 0 when it is time to send.
func (f *feed) next() (<-chan struct{}, time.Duration) {
	l := f.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(f.after) > 0 {
		old := f.after[0]
		f.after = f.after[1:]
		if l.answers {
			return old.ended, endPatience
		}
		return old.ended, endGrace
	}
	if f.again && f.sort == lists {
		return nil, repairEvery - time.Since(l.repaired)
	}
	return nil, 0
}

// outgoing is the request for what is wanted by now; false when nothing is.
func (f *feed) outgoing() (Outgoing, bool) {
	l := f.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.gone {
		return Outgoing{}, false
	}
	f.sent, f.asked = true, l.wanted(f)
	if l.repair == f {
		l.repair, l.repaired = nil, time.Now()
	}
	req := f.req
	if f.own == nil {
		req = f.request()
	}
	return Outgoing{Method: req.Method, Params: req.AppendModern(nil, "")}, true
}

// request is that of who has asked first, but for what is wanted. listening.mu is held.
func (f *feed) request() *Request {
	topics := make([]topic, 0, len(f.asked))
	for t := range f.asked {
		topics = append(topics, t)
	}
	slices.SortFunc(topics, func(a, b topic) int { return strings.Compare(a.name, b.name) })
	own := *f.req
	own.Params = own.Params.With(jsonrpc.Edit{Name: "notifications", Value: filterOf(topics)})
	return &own
}

// begun notes that the request was sent. It reports whether nobody wants it any more,
// so that the server has to be told.
func (f *feed) begun(call *Call) bool {
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	f.call = call
	return f.gone
}

// follow takes what comes until the end.
func (f *feed) follow(call *Call) {
	defer call.Abandon()
	let := f.let
	var late <-chan time.Time
	for {
		select {
		case msg, ok := <-call.Messages():
			switch {
			case !ok:
				f.fail(func(sub *subscription) { sub.queue.Finish(call.Err()) })
				return
			case msg.IsResponse():
				f.l.forgotten(f, f.answered(msg))
				return
			case msg.IsNotification():
				f.take(msg)
			}
		case <-let:
			let = nil
			timer := time.NewTimer(endPatience)
			defer timer.Stop()
			late = timer.C
		case <-late:
			return
		}
	}
}

// answered takes the server's response, with which it ends the request. It reports
// whether nobody wants that any more.
func (f *feed) answered(msg jsonrpc.Message) bool {
	l := f.l
	l.mu.Lock()
	f.nothing = !f.gone && msg.Error == nil && f.acked && len(f.granted) == 0
	l.mu.Unlock()
	return f.fail(func(sub *subscription) {
		for _, from := range sub.feeds() {
			if f.nothing && !from.nothing {
				return // its other part goes on
			}
		}
		sub.queue.Deliver(msg)
	})
}

// fail ends the subscriptions that are part of f, which has ended. It reports whether
// nobody wants it any more.
func (f *feed) fail(end func(*subscription)) bool {
	l := f.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.gone {
		return true
	}
	f.letGo(nil)
	for sub := range l.subs {
		for _, from := range sub.from {
			if from == f {
				end(sub)
				break
			}
		}
	}
	return false
}

// take hands a notification to those who want it.
func (f *feed) take(msg jsonrpc.Message) {
	l := f.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.gone {
		return
	}
	if msg.Method == methodAcknowledged {
		f.acknowledged(msg)
		return
	}
	for sub := range l.subs {
		if sub.wants(f, msg) {
			sub.queue.Deliver(msg)
		}
	}
}

// acknowledged notes what the server grants. What it does not, somebody else may ask
// for once more. listening.mu is held.
func (f *feed) acknowledged(ack jsonrpc.Message) {
	again := f.again || f.acked
	f.acked, f.ack, f.granted = true, ack, make(map[topic]bool)
	granted, _ := topicsOf(ack.Params)
	for _, t := range granted {
		f.granted[t] = true
	}
	for t := range f.asked {
		if !f.granted[t] && f.l.owners[t] == f {
			delete(f.l.owners, t)
		}
	}
	for sub := range f.l.subs {
		if slices.Contains(sub.feeds(), f) {
			sub.acknowledge(f, again)
		}
	}
}
