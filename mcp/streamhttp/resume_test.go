package streamhttp_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/streamhttp"
)

// talker is a session whose calls say what the test tells them to.
type talker struct {
	*sessions
	calls chan *talk
}

type talk struct {
	msg  jsonrpc.Message
	out  mcp.Stream
	say  chan string // notifications; closed: answer
	said chan error
}

func newTalker() *talker {
	t := &talker{sessions: newSessions(), calls: make(chan *talk, 10)}
	t.handle = func(ctx context.Context, _ *session, msg jsonrpc.Message, out mcp.Stream) jsonrpc.Message {
		c := &talk{msg: msg, out: out, say: make(chan string), said: make(chan error)}
		if msg.Method == "tools/call" {
			_ = out.Send(ctx, note(`{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"0"}}`))
		}
		t.calls <- c
		for text := range c.say {
			c.said <- out.Send(ctx, note(`{"jsonrpc":"2.0","method":"notifications/message","params":{"data":%q}}`, text))
		}
		return resultOf(msg, `{"id":`+string(msg.ID)+`}`)
	}
	return t
}

func (c *talk) tell(t *testing.T, text string) {
	t.Helper()
	c.say <- text
	if err := receive(t, "Send to return", c.said); err != nil {
		t.Fatalf("Send(%q): %v", text, err)
	}
}

// murmur tells from another goroutine than the test's.
func (c *talk) murmur(texts ...string) {
	for _, text := range texts {
		c.say <- text
		<-c.said
	}
}

func data(m jsonrpc.Message) string {
	s, _ := m.Params.String("data")
	return s
}

func request(id string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{%s}}`, id, grease)
}

// call makes a call, whose stream opens with the message 0, and returns the ids
// of the events until then.
func (e *endpoint) call(s *talker, id string, head []string) (*reading, *talk, []string) {
	e.t.Helper()
	r := e.stream("POST", request(id), head...)
	c := receive(e.t, "the call", s.calls)
	var ids []string
	for {
		ev := r.next()
		ids = append(ids, ev.ID)
		if len(ev.Data) > 0 {
			return r, c, ids
		}
	}
}

// cut closes the connection.
func (r *reading) cut() {
	r.stop()
	_ = r.resp.Body.Close()
}

func TestPostStreamIsPrimedForClientsThatKnowIt(t *testing.T) {
	for r, primed := range map[mcp.Revision]bool{mcp.Revision20250326: false, mcp.Revision20250618: false, mcp.Revision20251125: true} {
		s := newTalker()
		e := serve(t, echo, s, streamhttp.ServerOptions{Retry: 1234 * time.Millisecond})
		_, head := e.open(s.sessions, r)
		go func() { close((<-s.calls).say) }()
		evs := e.post(request("1"), head...).events(t)
		if primed {
			if evs[0].ID == "" || evs[0].Data == nil || len(evs[0].Data) != 0 || evs[0].Retry != 1234*time.Millisecond {
				t.Errorf("%s: first event %+v, want an id, a retry and empty data", r, evs[0])
			}
			evs = evs[1:]
		}
		if len(evs) != 2 || evs[0].ID == "" || evs[0].ID == evs[1].ID {
			t.Errorf("%s: got %+v, want two events with ids of their own", r, evs)
		}
	}
}

func TestPostStreamThatWasCutIsResumed(t *testing.T) {
	s := newTalker()
	e := serve(t, echo, s, streamhttp.ServerOptions{})
	one, head := e.open(s.sessions, mcp.Revision20251125)
	first, a, ids := e.call(s, "1", head)
	other, b, _ := e.call(s, "2", head)
	standalone := e.stream("GET", "", head...)
	get := receive(t, "the standalone stream", one.attached)

	a.tell(t, "a1")
	last := first.next().ID
	first.cut()
	a.tell(t, "a2")
	b.tell(t, "b1")
	_ = get.Send(t.Context(), note(`{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"g1"}}`))
	resumed := e.stream("GET", "", append(head, "Last-Event-ID: "+last)...)
	if got := data(resumed.message()); got != "a2" {
		t.Errorf("replayed %q, want a2", got)
	}
	a.tell(t, "a3")
	if got := data(resumed.message()); got != "a3" {
		t.Errorf("then got %q, want a3", got)
	}
	close(a.say)
	if m := resumed.message(); m.ID != "1" || !m.IsResponse() {
		t.Errorf("then got %s, want the response", m.Append(nil))
	}
	resumed.wantEnd()

	// The same again, when all is over: the client may have lost the response.
	again := e.stream("GET", "", append(head, "Last-Event-ID: "+ids[0])...)
	for _, want := range []string{"0", "a1", "a2", "a3"} {
		if got := data(again.message()); got != want {
			t.Errorf("replayed %q, want %s", got, want)
		}
	}
	if m := again.message(); m.ID != "1" {
		t.Errorf("replayed %s, want the response", m.Append(nil))
	}
	again.wantEnd()

	if got := data(other.message()); got != "b1" {
		t.Errorf("the other call's stream has %q, want b1", got)
	}
	close(b.say)
	if got := data(standalone.message()); got != "g1" {
		t.Errorf("the standalone stream has %q, want g1", got)
	}
}

func TestCallWhoseClientIsAwayIsAnsweredWhenItComesBack(t *testing.T) {
	s := newTalker()
	e := serve(t, echo, s, streamhttp.ServerOptions{})
	_, head := e.open(s.sessions, mcp.Revision20251125)
	r, c, ids := e.call(s, "1", head)
	r.cut()
	close(c.say)
	until(t, "the response to be kept", func() bool {
		a := e.stream("GET", "", append(head, "Last-Event-ID: "+ids[1])...)
		ev, err := a.r.Next()
		return err == nil && strings.Contains(string(ev.Data), `"result":{"id":1}`)
	})
}

func TestStandaloneStreamIsResumed(t *testing.T) {
	s := newSessions()
	e := serve(t, echo, s, streamhttp.ServerOptions{})
	one, head := e.open(s, mcp.Revision20251125)
	r := e.stream("GET", "", head...)
	out := receive(t, "the stream", one.attached)
	send := func(text string) {
		t.Helper()
		if err := out.Send(t.Context(), note(`{"jsonrpc":"2.0","method":"notifications/message","params":{"data":%q}}`, text)); err != nil {
			t.Fatalf("Send(%q): %v", text, err)
		}
	}
	prime := r.next()
	send("1")
	r.message()
	r.cut()
	send("2")
	send("3")
	r = e.stream("GET", "", append(head, "Last-Event-ID: "+prime.ID)...)
	for _, want := range []string{"1", "2", "3"} {
		if got := data(r.message()); got != want {
			t.Errorf("replayed %q, want %s", got, want)
		}
	}
	send("4")
	if got := data(r.message()); got != "4" {
		t.Errorf("got %q, want 4", got)
	}
	if len(one.detached) != 0 {
		t.Errorf("the stream was detached while its client was away for a moment")
	}
}

func TestSecondStandaloneStreamReplacesTheFirst(t *testing.T) {
	s := newSessions()
	e := serve(t, echo, s, streamhttp.ServerOptions{})
	one, head := e.open(s, mcp.Revision20250618)
	first := e.stream("GET", "", head...)
	old := receive(t, "the first stream", one.attached)
	second := e.stream("GET", "", head...)
	out := receive(t, "the second stream", one.attached)
	first.wantEnd()
	if err := old.Send(t.Context(), note(`{"jsonrpc":"2.0","method":"a"}`)); err == nil {
		t.Errorf("Send on the first returned nil, want an error")
	}
	_ = out.Send(t.Context(), note(`{"jsonrpc":"2.0","method":"b"}`))
	if m := second.message(); m.Method != "b" {
		t.Errorf("second stream got %s, want b", m.Append(nil))
	}
}

// A client of 2025-06-18 has no id before the first event. What was sent while
// it was away is its own all the same.
func TestClientWithoutAnIDGetsWhatWasSentWhileItWasAway(t *testing.T) {
	s := newSessions()
	e := serve(t, echo, s, streamhttp.ServerOptions{KeepAlive: time.Millisecond})
	one, head := e.open(s, mcp.Revision20250618)
	r := e.stream("GET", "", head...)
	out := receive(t, "the stream", one.attached)
	r.cut()
	returned := make(chan struct{})
	// The connection is gone for good when another GET finds nobody there.
	go func() {
		defer close(returned)
		for range 20 {
			_ = out.Send(context.Background(), note(`{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"x"}}`))
		}
	}()
	receive(t, "Send to return", returned)
	until(t, "the events", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		resp := e.do(ctx, "GET", "", head...)
		defer resp.Body.Close()
		buf := make([]byte, 1024)
		n, _ := resp.Body.Read(buf)
		_ = out.Send(context.Background(), note(`{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"x"}}`))
		return strings.Contains(string(buf[:n]), `"data":"x"`)
	})
	if n := len(one.attached); n > 1 {
		t.Errorf("%d more streams were attached, want at most one", n)
	}
}

func TestDesertedStandaloneStreamIsLetGo(t *testing.T) {
	for _, events := range []int{0, -1} {
		s := newSessions()
		e := serve(t, echo, s, streamhttp.ServerOptions{ReplayWindow: 10 * time.Millisecond, ReplayEvents: events})
		one, head := e.open(s, mcp.Revision20251125)
		r := e.stream("GET", "", head...)
		out := receive(t, "the stream", one.attached)
		r.cut()
		if got := receive(t, "the stream to be detached", one.detached); got != out {
			t.Errorf("another stream was detached")
		}
		if err := out.Send(t.Context(), note(`{"jsonrpc":"2.0","method":"a"}`)); err == nil {
			t.Errorf("Send returned nil, want an error")
		}
	}
}

func TestEventsThatAreNotKept(t *testing.T) {
	s := newTalker()
	e := serve(t, echo, s, streamhttp.ServerOptions{ReplayEvents: 4, ReplayBytes: 1000})
	_, head := e.open(s.sessions, mcp.Revision20251125)
	call := func(id string, said ...string) (prime string) {
		t.Helper()
		r, c, ids := e.call(s, id, head)
		go func() {
			defer close(c.say)
			c.murmur(said...)
		}()
		for range said {
			r.message()
		}
		if m := r.message(); m.ID != jsonrpc.ID(id) {
			t.Fatalf("got %s, want the response", m.Append(nil))
		}
		r.wantEnd()
		return ids[0]
	}
	replay := func(last string) string {
		t.Helper()
		a := e.read(e.do(t.Context(), "GET", "", append(head, "Last-Event-ID: "+last)...))
		if a.status != 200 {
			return fmt.Sprint(a.status)
		}
		var got []string
		for _, ev := range a.events(t) {
			m, err := jsonrpc.Parse(ev.Data, jsonrpc.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, data(m)+string(m.ID))
		}
		return strings.Join(got, " ")
	}
	first := call("1", "a", "b", "c", "d")
	if got := replay(first); got != "b c d 1" {
		t.Errorf("replayed %q, want the four that are kept", got)
	}
	second := call("2", "e", "f")
	if got := replay(first) + " | " + replay(second); got != "1 | e f 2" {
		t.Errorf("replayed %q, want responses kept longest", got)
	}
	long := call("3", strings.Repeat("l", 2000))
	if got := replay(long); got != "0 3" {
		t.Errorf("replayed %q, want the response without the event that is too long", got)
	}
	if got := replay(first) + replay(second) + replay("p9-1") + replay("x") + replay("p1"); got != "1"+"2"+"400400400" {
		t.Errorf("replayed %q, want the responses of the first two and 400 for what is no id", got)
	}
	call("4", "g")
	call("5", "g")
	call("6", "g")
	if got := replay(first); got != "400" {
		t.Errorf("replayed %q, want 400 when nothing is left", got)
	}
}

func TestOtherSessionsCannotResume(t *testing.T) {
	s := newTalker()
	e := serve(t, echo, s, streamhttp.ServerOptions{})
	_, mine := e.open(s.sessions, mcp.Revision20251125)
	_, other := e.open(s.sessions, mcp.Revision20251125)
	_, c, ids := e.call(s, "1", mine)
	if a := e.read(e.do(t.Context(), "GET", "", append(other, "Last-Event-ID: "+ids[0])...)); a.status != 400 {
		t.Errorf("got %d %s, want 400", a.status, a.body)
	}
	close(c.say)
}

func TestStreamsAreNotResumableWhenNothingIsKept(t *testing.T) {
	s := newTalker()
	e := serve(t, echo, s, streamhttp.ServerOptions{ReplayEvents: -1, PollAfter: time.Millisecond})
	_, head := e.open(s.sessions, mcp.Revision20251125)
	r, c, ids := e.call(s, "1", head)
	if len(ids) != 1 || ids[0] != "" {
		t.Errorf("event ids = %q, want a message without one", ids)
	}
	close(c.say)
	if m := r.message(); m.ID != "1" {
		t.Errorf("got %s, want the response", m.Append(nil))
	}
}

// 2025-11-25, basic/transports: the server may close the connection of a stream
// early, with a retry; the client polls for the rest.
func TestClientsAreSentAwayToPoll(t *testing.T) {
	s := newTalker()
	e := serve(t, echo, s, streamhttp.ServerOptions{PollAfter: 20 * time.Millisecond, Retry: 7 * time.Millisecond, ReplayBytes: 100})
	one, head := e.open(s.sessions, mcp.Revision20251125)
	quiet := strings.Replace(request("1"), "tools/call", "tools/list", 1)
	r := e.stream("POST", quiet, head...) // opens when the client is sent away
	c := receive(t, "the call", s.calls)
	prime := r.next()
	if prime.ID == "" {
		t.Fatalf("first event %+v, want an id", prime)
	}
	if ev := r.next(); ev.Retry != 7*time.Millisecond || ev.Data != nil {
		t.Errorf("got %+v, want a retry", ev)
	}
	r.wantEnd()
	r = e.stream("GET", "", append(head, "Last-Event-ID: "+prime.ID)...)
	r.wantEnd() // sent away again
	// The response is longer than all that may be kept, but there is no other way for it.
	close(c.say)
	var m jsonrpc.Message
	until(t, "the response", func() bool {
		a := e.read(e.do(t.Context(), "GET", "", append(head, "Last-Event-ID: "+prime.ID)...))
		for _, ev := range a.events(t) {
			if len(ev.Data) > 0 {
				m, _ = jsonrpc.Parse(ev.Data, jsonrpc.Limits{})
			}
		}
		return m.IsResponse()
	})
	r = e.stream("GET", "", head...)
	receive(t, "the standalone stream", one.attached)
	r.wantEnd()

	_, old := e.open(s.sessions, mcp.Revision20250618)
	r = e.stream("GET", "", old...)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = r.r.Next()
	}()
	select {
	case <-ended:
		t.Errorf("an older client was sent away")
	case <-time.After(60 * time.Millisecond):
	}
	r.stop()
	<-ended

	// A call that answers at once is not disturbed.
	go func() { close((<-s.calls).say) }()
	if a := e.post(strings.Replace(quiet, `"id":1`, `"id":2`, 1), head...); a.header.Get("Content-Type") != "application/json" {
		t.Errorf("quick call: got %s %s, want JSON", a.header.Get("Content-Type"), a.body)
	}
}

func TestHeldStreamsAreBounded(t *testing.T) {
	s := newTalker()
	e := serve(t, echo, s, streamhttp.ServerOptions{MaxCalls: 1})
	_, head := e.open(s.sessions, mcp.Revision20251125)
	e.stream("GET", "", head...)
	if a := e.read(e.do(t.Context(), "GET", "", head...)); a.status != 429 {
		t.Errorf("second stream: got %d %s, want 429", a.status, a.body)
	}
	if a := e.read(e.do(t.Context(), "GET", "", append(head, "Accept: application/json")...)); a.status != 406 {
		t.Errorf("GET for JSON: got %d %s, want 406", a.status, a.body)
	}
}
