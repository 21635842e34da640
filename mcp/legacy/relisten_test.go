package legacy_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/legacy"
)

func TestASubscriptionThatBeginsAnewTellsOfAllOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sealer, err := legacy.NewSealer(nil)
		if err != nil {
			t.Fatal(err)
		}
		begun, lose := make(chan bool, 10), make(chan bool)
		server := legacy.NewServer(answers(map[string]mcp.HandlerFunc{
			"subscriptions/listen": func(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
				granted, _ := jsonrpc.Split([]byte(`{"notifications":{"toolsListChanged":true,"promptsListChanged":false}}`))
				req.Emit(mcp.Notification{Method: "notifications/subscriptions/acknowledged", Params: granted})
				begun <- true
				select {
				case <-lose:
					return mcp.Result{}, mcp.Errorf(mcp.CodeUnavailable, "listen again")
				case <-ctx.Done():
					return mcp.Result{}, ctx.Err()
				}
			},
		}), sealer, legacy.ServerOptions{})
		defer server.Close()
		e := &ear{heard: make(chan string, 10)}
		openAs(t, server, "alice").Attach(e)
		<-begun
		synctest.Wait()
		if n := len(e.heard); n != 0 {
			t.Errorf("heard %d times at the beginning, want nothing", n)
		}
		for range 2 {
			lose <- true
			<-begun
			synctest.Wait()
			if n := len(e.heard); n != 1 {
				t.Errorf("heard %d times when it had begun anew, want once", n)
			}
			if got := <-e.heard; got != "notifications/tools/list_changed" {
				t.Errorf("heard %s, want of the list that was granted", got)
			}
		}
	})
}
