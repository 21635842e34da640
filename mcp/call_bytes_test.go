package mcp_test

import (
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// padded is a notification of so many bytes.
func padded(t *testing.T, size int) jsonrpc.Message {
	t.Helper()
	const around = len(`{"x":""}`)
	params, ok := jsonrpc.Split([]byte(`{"x":"` + strings.Repeat("x", size-around) + `"}`))
	if !ok || len(params.Raw()) != size {
		t.Fatalf("made params of %d bytes, want %d", len(params.Raw()), size)
	}
	return jsonrpc.Message{Method: "note", Params: params}
}

func TestWhatWaitsForACallIsBoundedInBytes(t *testing.T) {
	t.Run("many long notifications", func(t *testing.T) {
		call := mcp.NewCall("1", mcp.MaxCallQueue, nil)
		defer call.Abandon()
		kept := 0
		for range mcp.MaxCallQueue {
			if call.Deliver(padded(t, 1<<20)) {
				kept++
			}
		}
		if kept != 4 {
			t.Errorf("of 256 notifications of 1 MiB %d wait, want 4", kept)
		}
		for range 3 { // room is given back, whatever else still waits
			<-call.Messages()
			if !call.Deliver(padded(t, 1<<20)) {
				t.Error("a notification was dropped though another had been taken")
			}
			if call.Deliver(padded(t, 1<<20)) {
				t.Error("a notification found room though only one had been taken")
			}
		}
		if !call.Deliver(jsonrpc.Message{ID: "1", Result: padded(t, 8<<20).Params}) {
			t.Error("the response was dropped")
		}
		got := 0
		for range call.Messages() {
			got++
		}
		if got != 5 {
			t.Errorf("got %d messages, want 4 notifications and the response", got)
		}
	})
	t.Run("one that is longer than the bound", func(t *testing.T) {
		call := mcp.NewCall("1", mcp.MaxCallQueue, nil)
		defer call.Abandon()
		if !call.Deliver(padded(t, 8<<20)) {
			t.Error("it was dropped though nothing else waits")
		}
		if call.Deliver(padded(t, 8)) {
			t.Error("another found room beside it")
		}
		<-call.Messages()
		if !call.Deliver(padded(t, 8)) {
			t.Error("another was dropped after it had been taken")
		}
	})
	t.Run("any number, if they are taken", func(t *testing.T) {
		call := mcp.NewCall("1", mcp.MaxCallQueue, nil)
		defer call.Abandon()
		for n := range 100 {
			if !call.Deliver(padded(t, 3<<20)) {
				t.Fatalf("notification %d was dropped", n)
			}
			<-call.Messages()
		}
	})
}
