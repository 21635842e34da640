package legacy_test

import (
	"context"
	"errors"
	"testing"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/legacy"
)

func TestPingFailsWhenTheTransportDoes(t *testing.T) {
	c, peer, _ := connect(t, "2025-06-18", `{}`)
	answered := make(chan error, 1)
	go func() { answered <- c.Ping(t.Context()) }()
	m := peer.Request("ping")
	peer.Send(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"what?"}}`, m.ID)
	if err := <-answered; err != nil {
		t.Errorf("a server that does not know ping is there, got %v", err)
	}
	peer.Close()
	<-c.Done()
	if err := c.Ping(t.Context()); !errors.Is(err, mcp.ErrNotSent) {
		t.Errorf("ping of a server that has gone: %v, want %v in it", err, mcp.ErrNotSent)
	}
}

func TestALostCallTellsItsCauseToTheLogOnly(t *testing.T) {
	c, peer, _ := connect(t, "2025-06-18", `{"tools":{}}`)
	done := start(context.Background(), c, call("x", `{}`, ""))
	peer.Request("tools/call")
	peer.Close()
	out := <-done
	if wire := mcp.WireError(out.err); wire.Code != mcp.CodeCallLost || wire.Message != "the server ended the call without an answer" {
		t.Errorf("the caller is told %v, want code %d and no cause", wire, mcp.CodeCallLost)
	}
	if out.err.Error() == mcp.WireError(out.err).Error() {
		t.Errorf("the log is told %v, want the cause too", out.err)
	}
}

func TestAStateOfAnotherGatewayIsNotOurs(t *testing.T) {
	c, peer, parking := connect(t, "2025-06-18", `{"tools":{}}`)
	_, state := parkOne(t, context.Background(), c, peer)
	sealer, err := legacy.NewSealer([]byte("another"))
	if err != nil {
		t.Fatal(err)
	}
	other := legacy.NewParking(sealer, legacy.ParkingOptions{})
	defer other.Close()
	retry := call("ask", `{"n":1}`, `,"requestState":"`+state+`"`)
	if !parking.Owns(retry) || other.Owns(retry) {
		t.Errorf("owned by who gave it out: %v, want true; by another gateway: %v, want false", parking.Owns(retry), other.Owns(retry))
	}
	if _, err := c.Handle(t.Context(), call("ask", `{"n":1}`, `,"requestState":"dragoman.x"`)); code(err) != jsonrpc.CodeInvalidParams {
		t.Errorf("a server that gives out no states got one: %v, want code %d", err, jsonrpc.CodeInvalidParams)
	}
}
