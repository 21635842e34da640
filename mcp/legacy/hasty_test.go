package legacy_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/legacy"
)

func TestACancellationThatOvertakesItsCallCancelsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		sealer, err := legacy.NewSealer(nil)
		if err != nil {
			t.Fatal(err)
		}
		server := legacy.NewServer(answers(map[string]mcp.HandlerFunc{
			"tools/call": func(context.Context, *mcp.Request) (mcp.Result, error) {
				calls.Add(1)
				return mcp.EmptyResult(), nil
			},
		}), sealer, legacy.ServerOptions{})
		defer server.Close()
		session := openAs(t, server, "p")
		cancel := func(id string) {
			params, _ := jsonrpc.Split([]byte(`{"requestId":` + id + `}`))
			session.Receive(t.Context(), jsonrpc.Message{Method: "notifications/cancelled", Params: params})
		}
		call := func(id string) bool {
			params, _ := jsonrpc.Split([]byte(`{"name":"x","arguments":{}}`))
			before := calls.Load()
			session.Handle(t.Context(), jsonrpc.Message{ID: jsonrpc.ID(id), Method: "tools/call", Params: params}, &ear{heard: make(chan string, 1)})
			return calls.Load() > before
		}
		cancel("7")
		if call("7") {
			t.Error("a call that had been cancelled was made")
		}
		if !call("8") {
			t.Error("another call was not made")
		}
		cancel("8") // comes too late
		<-time.After(3 * time.Second)
		if !call("8") {
			t.Error("a cancellation of long ago stands for a call that has the same id")
		}
		for id := range 100 {
			cancel(string(rune('A' + id)))
		}
		cancel("9")
		if call("9") {
			t.Error("after many others, a call that had been cancelled was made")
		}
	})
}
