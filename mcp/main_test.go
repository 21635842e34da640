package mcp_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/mcptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const long = 4 * time.Minute

// wait returns what ch yields, and fails when it takes longer than any test here should.
func wait[T any](t testing.TB, ch <-chan T, what string) (T, bool) {
	t.Helper()
	select {
	case v, ok := <-ch:
		return v, ok
	case <-time.After(long):
		t.Fatalf("%s: nothing came in %s", what, long)
		panic("unreachable")
	}
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), long)
	t.Cleanup(cancel)
	return ctx
}

// mux returns a Mux whose peer the test plays.
func mux(t *testing.T) (*mcp.Mux, *mcptest.Peer) {
	t.Helper()
	ours, theirs := mcptest.Pipe()
	m := mcp.NewMux(ours, jsonrpc.Limits{})
	t.Cleanup(func() { m.Close() })
	return m, mcptest.NewPeer(t, theirs)
}

func begin(t *testing.T, m *mcp.Mux, out mcp.Outgoing) *mcp.Call {
	t.Helper()
	call, err := m.Start(within(t), out)
	if err != nil {
		t.Fatalf("start %s: %v", out.Method, err)
	}
	return call
}

// outcome is all that a call yields, as text, one line each.
func outcome(t *testing.T, call *mcp.Call) (lines []string) {
	t.Helper()
	for {
		msg, ok := wait(t, call.Messages(), "call "+string(call.ID()))
		if !ok {
			if err := call.Err(); err != nil {
				lines = append(lines, fmt.Sprintf("error: %v", err))
			}
			return lines
		}
		lines = append(lines, mcptest.Text(msg))
	}
}

func parse(t testing.TB, text string) jsonrpc.Message {
	t.Helper()
	msg, err := jsonrpc.Parse([]byte(text), jsonrpc.Limits{})
	if err != nil {
		t.Fatalf("parse %s: %v", text, err)
	}
	return msg
}
