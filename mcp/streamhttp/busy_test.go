package streamhttp_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/streamhttp"
)

func TestModernCallThatCanBeMadeAgainSaysWhen(t *testing.T) {
	for name, tt := range map[string]struct {
		err    error
		status int
		after  string
	}{
		"known":     {mcp.Busy("too many calls", 90*time.Second+1), http.StatusTooManyRequests, "91"},
		"at once":   {mcp.Busy("too many calls", time.Millisecond), http.StatusTooManyRequests, "1"},
		"not known": {mcp.Errorf(mcp.CodeBusy, "the queue is full"), http.StatusOK, ""},
		"of others": {mcp.ErrorData(mcp.CodeUnavailable, "gone", map[string]int{"retryAfterSeconds": 3}), http.StatusOK, ""},
		"nonsense":  {mcp.ErrorData(mcp.CodeBusy, "busy", map[string]any{"retryAfterSeconds": "1\r\nX: y"}), http.StatusOK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) { return mcp.Result{}, tt.err })
			e := serve(t, h, nil, streamhttp.ServerOptions{})
			a := e.post(modern("7", "tools/list", ""), mirrored("tools/list", "")...)
			if a.status != tt.status || a.header.Get("Retry-After") != tt.after || !strings.Contains(a.body, `"id":7`) {
				t.Errorf("got %d, Retry-After %q, %s; want %d and %q", a.status, a.header.Get("Retry-After"), a.body, tt.status, tt.after)
			}
		})
	}
}
