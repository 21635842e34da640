package mcp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/stdio"
)

// liar says back the secret of each call, in any order, with progress that
// carries it, and tells lies besides: answers twice, answers to ids that it was
// never asked, and answers to calls that were cancelled.
type liar struct {
	conn mcp.Conn
	held []jsonrpc.Message
}

func (l *liar) run() error {
	for {
		text, err := l.conn.Read(context.Background())
		if err != nil {
			return err
		}
		msg, err := jsonrpc.Parse(text, jsonrpc.Limits{})
		if err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		l.held = append(l.held, msg)
		// Up to 32 wait; the last of a run of calls must not wait for ever.
		for len(l.held) > 0 && (len(l.held) > 32 || rand.IntN(2) == 0) {
			i := rand.IntN(len(l.held))
			m := l.held[i]
			l.held[i] = l.held[len(l.held)-1]
			l.held = l.held[:len(l.held)-1]
			if err := l.answer(m); err != nil {
				return err
			}
		}
	}
}

func (l *liar) answer(m jsonrpc.Message) error {
	secret := m.Params.Get("secret")
	var lines []string
	if token := m.Params.Get("token"); token != nil {
		lines = append(lines, fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"message":%s}}`, token, secret))
	}
	reply := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"secret":%s}}`, m.ID, secret)
	lines = append(lines, reply)
	switch rand.IntN(10) {
	case 0:
		lines = append(lines, reply, `{"jsonrpc":"2.0","id":`+string(m.ID)+`,"result":{"secret":"forged"}}`)
	case 1:
		lines = append(lines, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":{"secret":"forged"}}`, -rand.IntN(1e6)))
	case 2:
		lines = append(lines, fmt.Sprintf(`{"jsonrpc":"2.0","id":"%s","result":{"secret":"forged"}}`, m.ID))
	}
	for _, line := range lines {
		if err := l.conn.Write(context.Background(), []byte(line)); err != nil {
			return err
		}
	}
	return nil
}

func TestNoCallEverSeesTheSecretOfAnother(t *testing.T) {
	calls := 100_000
	if raceEnabled || testing.Short() {
		calls = 10_000
	}
	const callers = 64
	ours, theirs := net.Pipe()
	m := mcp.NewMux(stdio.NewConn(ours, ours, stdio.Options{}), jsonrpc.Limits{})
	peer := &liar{conn: stdio.NewConn(theirs, theirs, stdio.Options{})}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := peer.run(); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("peer: %v", err)
		}
	})
	var answered, abandoned atomic.Int64
	var work sync.WaitGroup
	for caller := range callers {
		work.Go(func() {
			for n := range calls / callers {
				if callWithSecret(t, m, fmt.Sprintf("%d-%d", caller, n)) {
					answered.Add(1)
				} else {
					abandoned.Add(1)
				}
			}
		})
	}
	// The peer holds answers back until more calls come.
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				callWithSecret(t, m, "nudge")
			}
		}
	})
	work.Wait()
	close(stop)
	m.Close()
	peer.conn.Close()
	wg.Wait()
	if total := answered.Load() + abandoned.Load(); total != int64(calls/callers*callers) || abandoned.Load() == 0 {
		t.Errorf("%d calls were answered and %d abandoned, want %d in all and some of both", answered.Load(), abandoned.Load(), calls)
	}
}

// callWithSecret makes one call, and now and then gives it up. It reports whether it was answered.
func callWithSecret(t *testing.T, m *mcp.Mux, secret string) bool {
	out := mcp.Outgoing{Method: "echo"}
	switch {
	case secret != "nudge" && rand.IntN(4) == 0:
		out.ProgressToken = `"` + secret + `"`
		out.Params = fmt.Appendf(nil, `{"secret":%q,"token":%s}`, secret, out.ProgressToken)
	default:
		out.Params = fmt.Appendf(nil, `{"secret":%q}`, secret)
	}
	call, err := m.Start(context.Background(), out)
	if err != nil {
		if secret != "nudge" {
			t.Errorf("call %s: %v", secret, err)
		}
		return false
	}
	if secret == "nudge" || rand.IntN(16) == 0 {
		call.Abandon()
		return false
	}
	answers := 0
	for msg := range call.Messages() {
		got, _ := msg.Result.String("secret")
		if msg.IsNotification() {
			got, _ = msg.Params.String("message")
		} else {
			answers++
		}
		if got != secret {
			t.Errorf("call %s: got the secret %q", secret, got)
		}
	}
	if answers != 1 || call.Err() != nil {
		t.Errorf("call %s: got %d answers, %v, want one", secret, answers, call.Err())
	}
	return true
}
