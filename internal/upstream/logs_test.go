package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/gateway"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/legacy"
	"github.com/dragoman-mcp/dragoman/mcp/mcptest"
)

// office is a gateway before one program, for clients with sessions.
type office struct {
	handler  mcp.Handler
	sessions *legacy.Server
}

func newOffice(t *testing.T, isolation gateway.Isolation) *office {
	t.Helper()
	u := newHouse(t).open(then(program("legacy"), func(s *config.Server) { s.Isolation = string(isolation) }))
	g := gateway.New(gateway.Options{})
	if _, err := g.Swap([]gateway.Server{{Name: "peer", Handler: u, Isolation: isolation}}, nil); err != nil {
		t.Fatal(err)
	}
	h, _ := g.Endpoint("")
	sealer, err := legacy.NewSealer(nil)
	if err != nil {
		t.Fatal(err)
	}
	sessions := legacy.NewServer(h, sealer, legacy.ServerOptions{ListsDiffer: func() bool { return isolation != gateway.Shared }})
	t.Cleanup(func() {
		sessions.Close()
		g.Close()
	})
	return &office{h, sessions}
}

// visitor is a client with a session.
type visitor struct {
	t    *testing.T
	conn mcp.Conn
	next int
	logs chan string
	said chan jsonrpc.Message
}

// enter opens a session of a principal, which wants logs from level on.
func (o *office) enter(t *testing.T, who, level string) *visitor {
	t.Helper()
	near, far := mcptest.Pipe()
	ctx := mcp.WithPrincipal(context.Background(), mcp.Principal{ID: who})
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := legacy.Serve(ctx, near, o.handler, o.sessions, legacy.ServeOptions{}); err != nil {
			t.Errorf("serve %s: %v", who, err)
		}
	}()
	v := &visitor{t: t, conn: far, logs: make(chan string, 4096), said: make(chan jsonrpc.Message, 16)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		v.read()
	}()
	t.Cleanup(func() {
		_ = far.Close()
		<-served
		<-read
	})
	v.ask("initialize", `{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"visitor","version":"1"}}`)
	if level != "" {
		v.ask("logging/setLevel", fmt.Sprintf(`{"level":%q}`, level))
	}
	return v
}

func (v *visitor) read() {
	for {
		text, err := v.conn.Read(context.Background())
		if err != nil {
			return
		}
		msg, err := jsonrpc.Parse(text, jsonrpc.Limits{})
		switch {
		case err != nil:
			v.t.Errorf("%s: %v", text, err)
		case msg.IsResponse():
			v.said <- msg
		case msg.Method == "notifications/message":
			data, _ := msg.Params.String("data")
			v.logs <- data
		}
	}
}

// ask makes a request, and waits for its answer.
func (v *visitor) ask(method, params string) {
	v.t.Helper()
	v.next++
	text := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, v.next, method, params)
	if err := v.conn.Write(context.Background(), []byte(text)); err != nil {
		v.t.Fatal(err)
	}
	if m := receive(v.t, "the answer to "+method, v.said); m.Error != nil {
		v.t.Fatalf("%s: %v", method, m.Error)
	}
}

func (v *visitor) murmur(text string) {
	v.t.Helper()
	v.ask("tools/call", fmt.Sprintf(`{"name":"peer__murmur","arguments":{"text":%q}}`, text))
}

// pause is over when what was logged before has been told: what comes while a call is
// under way can be that call's.
func (v *visitor) pause() {
	v.t.Helper()
	v.ask("tools/call", `{"name":"peer__echo","arguments":{"text":"x"}}`)
}

var errDeaf = errors.New("nothing was heard")

// hears waits a moment for a log message.
func (v *visitor) hears() (string, error) {
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	select {
	case text := <-v.logs:
		return text, nil
	case <-timer.C:
		return "", errDeaf
	}
}

func TestASessionHearsWhatItsServerLogsWhenNoCallIsUnderWay(t *testing.T) {
	for _, isolation := range []gateway.Isolation{gateway.Shared, gateway.PerPrincipal, gateway.PerSession} {
		t.Run(string(isolation), func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, isolation)
			alice, picky := o.enter(t, "alice", "info"), o.enter(t, "alice", "error")
			until(t, "that the log is heard", func() bool { // for it is not known when the subscription begins
				alice.murmur("of alice")
				text, err := alice.hears()
				return err == nil && text == "of alice"
			})
			if text, err := picky.hears(); err == nil {
				t.Errorf("who wants errors only has heard the warning %q", text)
			}
		})
	}
}

func TestWhatAServerLogsForOneReachesNoOther(t *testing.T) {
	for _, isolation := range []gateway.Isolation{gateway.Shared, gateway.PerPrincipal, gateway.PerSession} {
		t.Run(string(isolation), func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, isolation)
			alice, bob := o.enter(t, "alice", "debug"), o.enter(t, "bob", "debug")
			until(t, "that each hears of its own", func() bool {
				alice.murmur("of alice")
				_, deaf := alice.hears()
				alice.pause()
				bob.murmur("of bob")
				_, deafToo := bob.hears()
				bob.pause()
				return isolation == gateway.Shared || deaf == nil && deafToo == nil
			})
			for range 5 {
				alice.murmur("of alice")
				alice.pause()
				bob.murmur("of bob")
				bob.pause()
			}
			for name, v := range map[string]*visitor{"alice": alice, "bob": bob} {
				for text, err := v.hears(); err == nil; text, err = v.hears() {
					if !strings.Contains(text, name) {
						t.Errorf("%s heard %q", name, text)
					}
				}
			}
		})
	}
}
