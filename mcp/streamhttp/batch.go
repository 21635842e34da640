package streamhttp

import (
	"context"
	"net/http"
	"sync"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// batch answers an array of messages, which only sessions of 2025-03-26 may
// send (2025-03-26, basic/transports, "Sending Messages to the Server").
func (x *exchange) batch(body []byte) {
	if x.s.sessions == nil || mcp.Revision(x.r.Header.Get(headerVersion)).Modern() || len(x.r.Header[headerSession]) == 0 {
		x.refuseBatch()
		return
	}
	h := x.find("")
	if h == nil {
		return
	}
	if h.session.Revision() != mcp.Revision20250326 {
		x.refuseBatch()
		return
	}
	msgs, err := jsonrpc.ParseBatch(body, x.s.o.Limits)
	if err != nil {
		x.refuse(http.StatusBadRequest, "", mcp.WireError(err))
		return
	}
	var requests []jsonrpc.Message
	for _, m := range msgs {
		if m.IsRequest() {
			requests = append(requests, m)
			continue
		}
		h.session.Receive(context.WithoutCancel(x.r.Context()), m)
	}
	if len(requests) == 0 {
		x.accept()
		return
	}
	x.callAll(h, requests)
}

func (x *exchange) refuseBatch() {
	x.refuse(http.StatusBadRequest, "", mcp.Errorf(jsonrpc.CodeInvalidRequest,
		"batches are part of revision %s only: send one message per request", mcp.Revision20250326))
}

// callAll runs the requests of a batch side by side and answers with a batch, or
// with events when one of them had something to say before its response.
func (x *exchange) callAll(h *held, requests []jsonrpc.Message) {
	b := batch{stream: h.postStream(x)}
	var work sync.WaitGroup
	for _, m := range requests {
		if err := h.begin(m.ID); err != nil {
			b.add(jsonrpc.Message{ID: m.ID, Error: err})
			continue
		}
		work.Go(func() {
			defer h.finish(m.ID)
			b.add(h.answer(x.r.Context(), m, b.stream))
		})
	}
	work.Wait()
	b.finish()
}

// batch gathers responses until the stream is open, which takes them from then on.
type batch struct {
	stream    *stream
	responses []jsonrpc.Message // guarded by stream.mu
}

func (b *batch) add(m jsonrpc.Message) {
	if !m.IsResponse() {
		return // its call was cancelled
	}
	b.stream.mu.Lock()
	defer b.stream.mu.Unlock()
	if b.stream.no == 0 {
		b.responses = append(b.responses, m)
		return
	}
	_ = b.stream.send(m)
}

func (b *batch) finish() {
	st := b.stream
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.no != 0 || !st.x.can.json {
		for _, m := range b.responses {
			_ = st.send(m)
		}
		st.close()
		return
	}
	st.over = true
	if len(b.responses) == 0 {
		st.x.accept()
		return
	}
	text := []byte{'['}
	for i, m := range b.responses {
		if i > 0 {
			text = append(text, ',')
		}
		text = m.Append(text)
	}
	text = append(text, ']')
	st.x.out.w.Header()["Content-Type"] = st.x.s.fixed.json
	st.x.writeAnswer(http.StatusOK, text)
}
