package streamhttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/streamhttp"
)

// oldServer makes the part of a remote of the older revisions that every test
// needs; get and post answer the rest.
func oldServer(t *testing.T, revision mcp.Revision, get http.HandlerFunc, post remoteFunc) *remote {
	return newRemote(t, func(w http.ResponseWriter, r *http.Request, msg jsonrpc.Message) {
		switch {
		case r.Method == http.MethodDelete:
			w.WriteHeader(204)
		case r.Method == http.MethodGet && get != nil:
			get(w, r)
		case r.Method == http.MethodGet:
			w.WriteHeader(405)
		case msg.Method == "initialize":
			w.Header().Set("Mcp-Session-Id", "s-1")
			respondResult(w, msg, fmt.Sprintf(`{"protocolVersion":%q,"capabilities":{},"serverInfo":{}}`, revision))
		case msg.IsRequest():
			post(w, r, msg)
		default:
			w.WriteHeader(202)
		}
	})
}

func quick(o *streamhttp.ClientOptions) {
	o.MinReconnect, o.MaxReconnect = 2*time.Millisecond, 10*time.Millisecond
}

// connect makes the handshake.
func connect(t *testing.T, p *remote) mcp.Channel {
	t.Helper()
	ch := p.client(quick).Open()
	t.Cleanup(func() { _ = ch.Close() })
	msgs, err := run(t, ch, "initialize")
	if err != nil || len(msgs) != 1 {
		t.Fatalf("initialize: %v, %v", msgs, err)
	}
	if err := ch.Send(t.Context(), jsonrpc.Message{Method: "notifications/initialized"}); err != nil {
		t.Fatal(err)
	}
	return ch
}

// run makes a call and returns what it yields.
func run(t *testing.T, ch mcp.Channel, method string) ([]jsonrpc.Message, error) {
	t.Helper()
	call, err := ch.Start(t.Context(), mcp.Outgoing{Method: method, Params: []byte(`{` + grease + `}`)})
	if err != nil {
		t.Fatal(err)
	}
	return collect(t, call)
}

func collect(t *testing.T, call *mcp.Call) ([]jsonrpc.Message, error) {
	t.Helper()
	var msgs []jsonrpc.Message
	timeout := time.After(patience)
	for {
		select {
		case m, ok := <-call.Messages():
			if !ok {
				return msgs, call.Err()
			}
			msgs = append(msgs, m)
		case <-timeout:
			t.Fatalf("the call does not end; got %d messages", len(msgs))
		}
	}
}

func texts(msgs []jsonrpc.Message) []string {
	var all []string
	for _, m := range msgs {
		all = append(all, string(m.Append(nil)))
	}
	return all
}

func TestChannelKeepsItsSession(t *testing.T) {
	p := oldServer(t, mcp.Revision20250618, nil, func(w http.ResponseWriter, _ *http.Request, msg jsonrpc.Message) {
		respondResult(w, msg, `{"ok":true,`+grease+`}`)
	})
	ch := connect(t, p)
	msgs, err := run(t, ch, "tools/list")
	if err != nil || len(msgs) != 1 || string(msgs[0].Result.Get("ok")) != "true" {
		t.Errorf("got %q, %v", texts(msgs), err)
	}
	if err := ch.Send(t.Context(), jsonrpc.Message{ID: `"x"`, Result: mcp.EmptyResult().Object}); err != nil {
		t.Error(err)
	}
	until(t, "the GET", func() bool { return len(p.got()) == 5 })
	if err := ch.Close(); err != nil {
		t.Error(err)
	}
	if _, open := <-ch.Events(); open {
		t.Errorf("Events is open after Close")
	}
	if err := ch.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := ch.Start(t.Context(), mcp.Outgoing{Method: "x"}); err == nil {
		t.Errorf("Start after Close: got nil, want an error")
	}
	if err := ch.Send(t.Context(), jsonrpc.Message{Method: "x"}); err == nil {
		t.Errorf("Send after Close: got nil, want an error")
	}
	counts := map[string]int{}
	for _, r := range p.got() {
		counts[r.method]++
		first := r.msg.Method == "initialize"
		if got := r.header.Get("Mcp-Session-Id"); (got == "s-1") == first {
			t.Errorf("%s %s: Mcp-Session-Id = %q", r.method, r.msg.Method, got)
		}
		if got := r.header.Get("Mcp-Protocol-Version"); (got == "2025-06-18") == first {
			t.Errorf("%s %s: MCP-Protocol-Version = %q", r.method, r.msg.Method, got)
		}
		want := map[string]string{"POST": "application/json, text/event-stream", "GET": "text/event-stream"}[r.method]
		if got := r.header.Get("Accept"); got != want {
			t.Errorf("%s: Accept = %q, want %q", r.method, got, want)
		}
		if r.header.Get("Authorization") != "Bearer s" || r.header.Get("Mcp-Method") != "" {
			t.Errorf("%s %s: headers %q", r.method, r.msg.Method, r.header)
		}
	}
	if diff := cmp.Diff(map[string]int{"POST": 4, "GET": 1, "DELETE": 1}, counts); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestChannelWithoutSession(t *testing.T) {
	p := newRemote(t, func(w http.ResponseWriter, r *http.Request, msg jsonrpc.Message) {
		if !msg.IsRequest() {
			w.WriteHeader(404)
			return
		}
		events(w, event(`{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-03-26"}}`, string(msg.ID)))
	})
	ch := p.client(quick).Open()
	if msgs, err := run(t, ch, "initialize"); err != nil || len(msgs) != 1 {
		t.Fatalf("got %q, %v", texts(msgs), err)
	}
	err := ch.Send(t.Context(), jsonrpc.Message{Method: "notifications/x"})
	var status *streamhttp.StatusError
	if !errors.As(err, &status) || status.Status != 404 || errors.Is(err, mcp.ErrSessionLost) {
		t.Errorf("Send: %v, want status 404", err)
	}
	if err := ch.Close(); err != nil {
		t.Error(err)
	}
	for _, r := range p.got() {
		if r.method == http.MethodDelete {
			t.Errorf("the client ended a session that there is not")
		}
	}
}

func TestChannelGivesWhatComesOnACallsStreamToThatCall(t *testing.T) {
	p := oldServer(t, mcp.Revision20251125, nil, func(w http.ResponseWriter, _ *http.Request, msg jsonrpc.Message) {
		events(w, "id: 1\ndata:\n\n"+event(`{"jsonrpc":"2.0","id":7,"method":"elicitation/create","params":{%s}}`, grease)+
			event(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}`)+
			"data: garbage\n\n"+
			event(`{"jsonrpc":"2.0","id":%s,"result":{}}`, string(msg.ID)))
	})
	ch := connect(t, p)
	msgs, err := run(t, ch, "tools/call")
	if err != nil || len(msgs) != 3 || msgs[0].Method != "elicitation/create" || msgs[0].ID != "7" || msgs[1].Method != "notifications/progress" {
		t.Errorf("got %q, %v", texts(msgs), err)
	}
}

func TestChannelReadsTheStandaloneStream(t *testing.T) {
	p := oldServer(t, mcp.Revision20251125, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Last-Event-Id") != "" {
			<-r.Context().Done()
			return
		}
		events(w, "id: 1\nretry: 1\ndata:\n\n"+event(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed",%s}`, grease)+
			event(`{"jsonrpc":"2.0","id":"q","method":"ping"}`)+
			event(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t1","progress":1}}`)+
			event(`{"jsonrpc":"2.0","id":99,"result":{}}`)+"id: 2\n"+event(`{"jsonrpc":"2.0","method":"notifications/last"}`))
	}, func(w http.ResponseWriter, r *http.Request, _ jsonrpc.Message) { <-r.Context().Done() })
	ch := p.client(quick).Open()
	defer ch.Close()
	if _, err := run(t, ch, "initialize"); err != nil {
		t.Fatal(err)
	}
	call, err := ch.Start(t.Context(), mcp.Outgoing{Method: "tools/call", ProgressToken: `"t1"`})
	if err != nil {
		t.Fatal(err)
	}
	if err := ch.Send(t.Context(), jsonrpc.Message{Method: "notifications/initialized"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"notifications/tools/list_changed", "ping", "notifications/last"} {
		if m := receive(t, want, ch.Events()); m.Method != want {
			t.Errorf("got %s, want %s", m.Append(nil), want)
		}
	}
	if m := receive(t, "the call's progress", call.Messages()); m.Method != "notifications/progress" {
		t.Errorf("the call got %s", m.Append(nil))
	}
	until(t, "the stream to be asked for again", func() bool {
		for _, r := range p.got() {
			if r.header.Get("Last-Event-Id") == "2" {
				return true
			}
		}
		return false
	})
}

func TestChannelRefusesEventsThatNobodyReceives(t *testing.T) {
	p := oldServer(t, mcp.Revision20251125, func(w http.ResponseWriter, r *http.Request) {
		events(w, strings.Repeat(event(`{"jsonrpc":"2.0","method":"notifications/x"}`), 300)+event(`{"jsonrpc":"2.0","id":"q","method":"ping"}`))
		<-r.Context().Done()
	}, nil)
	connect(t, p)
	until(t, "the refusal", func() bool {
		for _, r := range p.got() {
			if r.msg.ID == `"q"` && r.msg.Error != nil && r.msg.Error.Code == mcp.CodeBusy {
				return true
			}
		}
		return false
	})
}

func TestChannelResumesACall(t *testing.T) {
	const result = `{"jsonrpc":"2.0","id":%s,"result":{"n":%d}}`
	var id atomic.Value
	tests := []struct {
		name  string
		post  string   // the stream of the POST, until it breaks
		gets  []string // streams of the GETs; a status when it is a number
		last  []string // Last-Event-ID of these
		want  string   // the result; empty for an error
		total int
	}{
		{"after a prime and a retry", "id: p\nretry: 3\ndata:\n\n", []string{"id: a\n" + event(result, "ID", 1)}, []string{"p"}, `{"n":1}`, 1},
		{"after an event of its own", "id: p\ndata:\n\nid: q\n" + event(`{"jsonrpc":"2.0","method":"notifications/x"}`),
			[]string{event(result, "ID", 1)}, []string{"q"}, `{"n":1}`, 2},
		{"after being sent away twice", "id: p\nretry: 1\ndata:\n\n", []string{"retry: 2\n\n", "id: r\nretry: 2\ndata:\n\n", event(result, "ID", 3)},
			[]string{"p", "p", "r"}, `{"n":3}`, 1},
		{"after faults of the server", "id: p\nretry: 1\ndata:\n\n", []string{"503", "429", event(result, "ID", 1)}, []string{"p", "p", "p"}, `{"n":1}`, 1},
		{"not without an id", event(`{"jsonrpc":"2.0","method":"notifications/x"}`), nil, nil, "", 1},
		{"not when the server will not", "id: p\nretry: 1\ndata:\n\n", []string{"400"}, []string{"p"}, "", 0},
		{"not when it gives no stream", "id: p\nretry: 1\ndata:\n\n", []string{"204"}, []string{"p"}, "", 0},
		{"not for ever", "id: p\nretry: 1\ndata:\n\n", []string{"500", "500", "500", "500", "500"}, []string{"p", "p", "p", "p", "p"}, "", 0},
	}
	for _, revision := range []mcp.Revision{mcp.Revision20251125, mcp.Revision20250326} {
		for _, tt := range tests {
			t.Run(string(revision)+" "+tt.name, func(t *testing.T) {
				var n atomic.Int64
				p := oldServer(t, revision, func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Last-Event-Id") == "" {
						w.WriteHeader(405)
						return
					}
					i := int(n.Add(1)) - 1
					if i >= len(tt.gets) {
						t.Errorf("the stream was asked for %d times", i+1)
						w.WriteHeader(400)
						return
					}
					if got := r.Header.Get("Last-Event-Id"); got != tt.last[i] {
						t.Errorf("Last-Event-ID = %q, want %q", got, tt.last[i])
					}
					var status int
					if _, err := fmt.Sscanf(tt.gets[i], "%d", &status); err == nil && status > 0 {
						w.WriteHeader(status)
						return
					}
					events(w, strings.ReplaceAll(tt.gets[i], "ID", id.Load().(string)))
				}, func(w http.ResponseWriter, _ *http.Request, msg jsonrpc.Message) {
					id.Store(string(msg.ID))
					events(w, tt.post)
				})
				ch := connect(t, p)
				msgs, err := run(t, ch, "tools/call")
				if tt.want == "" {
					if wireCode(err) != mcp.CodeCallLost || len(msgs) != tt.total {
						t.Errorf("got %q, %v, want that the call is lost", texts(msgs), err)
					}
				} else if err != nil || len(msgs) != tt.total || string(msgs[len(msgs)-1].Result.Raw()) != tt.want {
					t.Errorf("got %q, %v, want %s", texts(msgs), err, tt.want)
				}
				if got := int(n.Load()); got != len(tt.gets) {
					t.Errorf("the stream was asked for %d times, want %d", got, len(tt.gets))
				}
				posts := 0
				for _, r := range p.got() {
					if r.msg.Method == "tools/call" {
						posts++
					}
				}
				if posts != 1 {
					t.Errorf("the call was sent %d times", posts)
				}
			})
		}
	}
}

// The client must not come back sooner than the server has asked for
// (2025-11-25, basic/transports).
func TestChannelRespectsRetry(t *testing.T) {
	const pause = 80 * time.Millisecond
	var cut time.Time
	waited := make(chan time.Duration, 1)
	p := oldServer(t, mcp.Revision20251125, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Last-Event-Id") == "" {
			w.WriteHeader(405)
			return
		}
		waited <- time.Since(cut)
		w.WriteHeader(400)
	}, func(w http.ResponseWriter, _ *http.Request, _ jsonrpc.Message) {
		events(w, fmt.Sprintf("id: p\nretry: %d\ndata:\n\n", pause.Milliseconds()))
		cut = time.Now()
	})
	ch := p.client(func(o *streamhttp.ClientOptions) { o.MinReconnect = time.Millisecond }).Open()
	defer ch.Close()
	_, _ = run(t, ch, "initialize")
	_, _ = run(t, ch, "tools/call")
	if got := receive(t, "the GET", waited); got < pause {
		t.Errorf("the client came back after %s, want at least %s", got, pause)
	}
}

func TestChannelEndsWhenTheSessionIsLost(t *testing.T) {
	notFound := func(w http.ResponseWriter, _ *http.Request, _ jsonrpc.Message) {
		respond(w, 404, `{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}`)
	}
	t.Run("by a call", func(t *testing.T) {
		ch := connect(t, oldServer(t, mcp.Revision20251125, nil, notFound))
		if _, err := run(t, ch, "tools/call"); !errors.Is(err, mcp.ErrSessionLost) {
			t.Errorf("got %v, want that the session is lost", err)
		}
		receive(t, "the end", ch.Done())
		if err := ch.Err(); !errors.Is(err, mcp.ErrSessionLost) {
			t.Errorf("Err = %v", err)
		}
	})
	t.Run("by a notification, with a call under way", func(t *testing.T) {
		lost := false
		arrived := make(chan struct{})
		p := newRemote(t, func(w http.ResponseWriter, r *http.Request, msg jsonrpc.Message) {
			switch {
			case msg.Method == "initialize":
				w.Header().Set("Mcp-Session-Id", "s")
				respondResult(w, msg, `{"protocolVersion":"2025-06-18"}`)
			case msg.IsRequest():
				close(arrived)
				<-r.Context().Done()
			default:
				lost = true
				w.WriteHeader(404)
			}
		})
		ch := p.client(quick).Open()
		defer ch.Close()
		_, _ = run(t, ch, "initialize")
		call, _ := ch.Start(t.Context(), mcp.Outgoing{Method: "tools/call"})
		receive(t, "the call", arrived)
		if err := ch.Send(t.Context(), jsonrpc.Message{Method: "notifications/x"}); !errors.Is(err, mcp.ErrSessionLost) || !lost {
			t.Errorf("Send: %v", err)
		}
		if _, err := collect(t, call); !errors.Is(err, mcp.ErrSessionLost) {
			t.Errorf("call: %v", err)
		}
	})
	t.Run("by the standalone stream", func(t *testing.T) {
		ch := connect(t, oldServer(t, mcp.Revision20251125, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, nil))
		receive(t, "the end", ch.Done())
		if _, open := <-ch.Events(); open {
			t.Errorf("Events is open")
		}
	})
	t.Run("by a stream that is resumed", func(t *testing.T) {
		ch := connect(t, oldServer(t, mcp.Revision20251125, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Last-Event-Id") == "" {
				w.WriteHeader(405)
				return
			}
			w.WriteHeader(404)
		}, func(w http.ResponseWriter, _ *http.Request, _ jsonrpc.Message) {
			events(w, "id: 1\nretry: 1\ndata:\n\n")
		}))
		if _, err := run(t, ch, "tools/call"); !errors.Is(err, mcp.ErrSessionLost) {
			t.Errorf("got %v, want that the session is lost", err)
		}
	})
}

func TestChannelGoesOnWithoutStandaloneStream(t *testing.T) {
	for _, status := range []int{405, 400, 501, 200} {
		p := oldServer(t, mcp.Revision20250618, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) },
			func(w http.ResponseWriter, _ *http.Request, msg jsonrpc.Message) { respondResult(w, msg, `{}`) })
		ch := connect(t, p)
		until(t, "the GET", func() bool { return len(p.got()) > 2 })
		if _, err := run(t, ch, "x"); err != nil {
			t.Errorf("status %d: %v", status, err)
		}
		select {
		case _, open := <-ch.Events():
			t.Errorf("status %d: Events is open %t, want it open and empty", status, open)
		default:
		}
	}
}

func TestAbandonClosesTheStreamOfACall(t *testing.T) {
	arrived, gone := make(chan struct{}), make(chan struct{})
	p := oldServer(t, mcp.Revision20251125, nil, func(_ http.ResponseWriter, r *http.Request, _ jsonrpc.Message) {
		close(arrived)
		<-r.Context().Done()
		close(gone)
	})
	ch := connect(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	call, err := ch.Start(ctx, mcp.Outgoing{Method: "x"})
	if err != nil {
		t.Fatal(err)
	}
	receive(t, "the call", arrived)
	cancel() // bounds the sending only
	select {
	case <-gone:
		t.Errorf("the call ended with the context of Start")
	case <-time.After(20 * time.Millisecond):
	}
	call.Abandon()
	receive(t, "the server to notice", gone)
	if _, err := ch.Start(ctx, mcp.Outgoing{Method: "x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("Start with a context that has ended: %v", err)
	}
}

func TestCloseEndsCallsAndDoesNotWaitForTheServer(t *testing.T) {
	arrived := make(chan struct{}, 2)
	block := make(chan struct{})
	p := newRemote(t, func(w http.ResponseWriter, r *http.Request, msg jsonrpc.Message) {
		if msg.Method == "initialize" {
			w.Header().Set("Mcp-Session-Id", "s")
			respondResult(w, msg, `{"protocolVersion":"2025-06-18"}`)
			return
		}
		arrived <- struct{}{}
		select {
		case <-block:
		case <-r.Context().Done():
		}
	})
	defer close(block)
	ch := p.client(func(o *streamhttp.ClientOptions) { o.CloseTimeout = 20 * time.Millisecond }).Open()
	_, _ = run(t, ch, "initialize")
	call, _ := ch.Start(t.Context(), mcp.Outgoing{Method: "x"})
	receive(t, "the call", arrived)
	if err := ch.Close(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close = %v, want that the server did not answer in time", err)
	}
	if _, err := collect(t, call); err == nil {
		t.Errorf("the call has no error")
	}
}

func TestChannelOfARevisionWithBatches(t *testing.T) {
	for revision, ok := range map[mcp.Revision]bool{mcp.Revision20250326: true, mcp.Revision20250618: false} {
		for _, form := range []string{"JSON", "events"} {
			p := oldServer(t, revision, nil, func(w http.ResponseWriter, _ *http.Request, msg jsonrpc.Message) {
				batch := fmt.Sprintf(`[{"jsonrpc":"2.0","method":"notifications/x"},{"jsonrpc":"2.0","id":%s,"result":{}}]`, string(msg.ID))
				if form == "JSON" {
					respond(w, 200, batch)
					return
				}
				events(w, event("%s", batch))
			})
			msgs, err := run(t, connect(t, p), "x")
			if (err == nil) != ok || ok && len(msgs) != 2 {
				t.Errorf("%s, %s: got %q, %v", revision, form, texts(msgs), err)
			}
		}
	}
}

func TestHandshakeThatNoHeaderCanCarryFails(t *testing.T) {
	p := newRemote(t, func(w http.ResponseWriter, _ *http.Request, msg jsonrpc.Message) {
		w.Header().Set("Mcp-Session-Id", "s 1")
		respondResult(w, msg, `{"protocolVersion":"2025-06-18"}`)
	})
	ch := p.client(quick).Open()
	defer ch.Close()
	if msgs, err := run(t, ch, "initialize"); err == nil {
		t.Errorf("got %q, want an error", texts(msgs))
	}
}
