package matrix

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// house is where all servers of the test live that are reached over HTTP, each
// at a path with its name.
type house struct {
	addr string
	mux  *http.ServeMux
	ctx  context.Context // ends with the house
}

// newHouse opens the house; the test's end closes it.
func newHouse(t *testing.T) *house {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &house{addr: l.Addr().String(), mux: http.NewServeMux()}
	ctx, cancel := context.WithCancel(context.Background())
	h.ctx = ctx
	server := &http.Server{Handler: h.mux, BaseContext: func(net.Listener) context.Context { return ctx }}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve the scripted servers: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = server.Close()
		serving.Wait()
	})
	return h
}

// eventStream writes server-sent events, with what few servers send and all
// may: comments, events of other types, data in several lines, any line end.
type eventStream struct {
	mu    sync.Mutex
	w     http.ResponseWriter
	begun bool
	over  bool // nothing is written any more, or until somebody comes back
	eol   string
	ids   string // prefix of event ids; empty for none
	kept  []string
	cut   int // so many events are sent before the connection is closed; 0 for all
	away  chan struct{}
}

func newEventStream(w http.ResponseWriter, s *script, ids string) *eventStream {
	eol := map[string]string{rev2503: "\r\n", rev2506: "\r"}[s.rev]
	if eol == "" {
		eol = "\n"
	}
	return &eventStream{w: w, eol: eol, ids: ids, away: make(chan struct{})}
}

func (e *eventStream) begin() {
	if e.begun {
		return
	}
	e.begun = true
	e.w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	e.w.WriteHeader(http.StatusOK)
	e.write(fmt.Sprintf(": hello%[1]s%[1]sevent: acme%[1]sdata: this is no message%[1]s%[1]s", e.eol))
	if e.ids != "" {
		e.write(fmt.Sprintf("id: %[2]s-0%[1]sretry: 20%[1]sdata:%[1]s%[1]s", e.eol, e.ids))
	}
}

// write sends text; a client that has gone is noticed by the handler.
func (e *eventStream) write(text string) {
	_, _ = io.WriteString(e.w, text)
	_ = http.NewResponseController(e.w).Flush()
}

func (e *eventStream) open() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.begin()
}

// send writes msg as an event.
func (e *eventStream) send(event string, data []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var b strings.Builder
	if event != "" {
		fmt.Fprintf(&b, "event: %s%s", event, e.eol)
	}
	if e.ids != "" {
		fmt.Fprintf(&b, "id: %s-%d%s", e.ids, len(e.kept)+1, e.eol)
	}
	if event == "endpoint" {
		fmt.Fprintf(&b, "data: %s%[2]s%[2]s", data, e.eol)
	} else { // between the tokens of JSON a line may end
		fmt.Fprintf(&b, "data:%[1]s%[3]sdata: %[2]s%[3]s%[3]s", data[:1], data[1:], e.eol)
	}
	e.kept = append(e.kept, b.String())
	if e.over {
		return
	}
	e.begin()
	e.write(b.String())
	if len(e.kept) == e.cut {
		e.over = true
		close(e.away)
	}
}

// left is closed when the connection is to be closed in mid-stream.
func (e *eventStream) left() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.away
}

// resume goes on after the n-th event on another connection.
func (e *eventStream) resume(w http.ResponseWriter, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.w, e.begun, e.over, e.away = w, false, false, make(chan struct{})
	e.begin()
	for _, text := range e.kept[min(n, len(e.kept)):] {
		e.write(text)
	}
}

// end forbids further writing: the handler returns.
func (e *eventStream) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.over = true
}

// reply is the answer to one POST: JSON when the first message is the response,
// an event stream otherwise.
type reply struct {
	*eventStream
	stream bool              // even if the response is all
	status func(msg obj) int // of a response that is all; nil for 200
	done   chan struct{}
	once   sync.Once
}

func newReply(w http.ResponseWriter, s *script, ids string) *reply {
	return &reply{eventStream: newEventStream(w, s, ids), done: make(chan struct{})}
}

func (r *reply) put(msg obj) {
	last := msg["method"] == nil
	if last {
		defer r.finish()
	}
	r.mu.Lock()
	whole := last && !r.begun && !r.stream && !r.over
	if whole {
		r.begun, r.over = true, true
		r.w.Header().Set("Content-Type", "application/json")
		if r.status != nil {
			r.w.WriteHeader(r.status(msg))
		}
		_, _ = r.w.Write(encode(msg)) // a client that has gone does not want it
	}
	r.mu.Unlock()
	if !whole {
		r.send("", encode(msg))
	}
}

func (r *reply) finish() { r.once.Do(func() { close(r.done) }) }
