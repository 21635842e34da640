package mcp_test

import (
	"errors"
	"testing"

	"github.com/dragoman-mcp/dragoman/mcp"
)

func TestARequestAfterTheEndWasNotSent(t *testing.T) {
	m, peer := mux(t)
	peer.Close()
	wait(t, m.Done(), "the end of the connection")
	if _, err := m.Start(within(t), mcp.Outgoing{Method: "tools/call"}); !errors.Is(err, mcp.ErrNotSent) {
		t.Errorf("start after the end: %v, want %v in it", err, mcp.ErrNotSent)
	}
}
