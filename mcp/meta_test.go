package mcp_test

import (
	"testing"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

func TestAStatelessClientsParamsArePassedOn(t *testing.T) {
	const who = `"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"x":1}`
	for _, c := range []struct{ name, meta, token, trace, want string }{
		{"as they are when nothing of one leg is in them", who + `,"x/own":1`, "", "", who + `,"x/own":1`},
		{"with the edge's own progress token", who + `,"progressToken":"theirs"`, "7", "", who + `,"progressToken":7`},
		{"without a progress token that nobody listens to", `"progressToken":"theirs",` + who, "", "", who},
		{"with the trace of this leg", who + `,"traceparent":"00-a"`, "", "00-b", who + `,"traceparent":"00-b"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			params, err := jsonrpc.ParseObject([]byte(`{"name":"gw__t","_meta":{`+c.meta+`}}`), jsonrpc.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			client, err := mcp.ReadClient(params)
			if err != nil {
				t.Fatal(err)
			}
			req := mcp.ReadRequest("tools/call", params, client)
			req.Name, req.TraceParent = "t", c.trace
			if got, want := string(req.AppendModern(nil, c.token)), `{"name":"t","_meta":{`+c.want+`}}`; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}
