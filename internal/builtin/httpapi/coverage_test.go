package httpapi_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/server/servertest"
)

func TestWhatCannotBeOfferedIsTold(t *testing.T) {
	document := filepath.Join(t.TempDir(), "api.yaml")
	if err := os.WriteFile(document, []byte(`
openapi: 3.1.0
info: {title: Notes, version: "1"}
paths:
  /notes: {get: {operationId: list, responses: {}}, post: {operationId: add, responses: {}}}
  /a/../b: {get: {operationId: odd, responses: {}}}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	env := settings(t, "https://notes.example", args{"document": document, "surface": "search", "writes": "off"})
	env.Log = slog.New(slog.NewJSONHandler(&log, nil))
	c := servertest.Open(t, httpapi.New, env)
	var found struct{ Total, Skipped int }
	c.Must(t, "search", args{}, &found)
	if found.Total != 1 || found.Skipped != 1 {
		t.Errorf("search: got %+v, want 1 operation and 1 that is skipped", found)
	}
	if !strings.Contains(log.String(), `"first":["GET /a/../b: `) {
		t.Errorf("log: got %s, want the operation that is skipped", log.String())
	}
	h, err := c.Server.Handler()
	if err != nil {
		t.Fatal(err)
	}
	params, _ := jsonrpc.Split([]byte(`{"uri":"httpapi://coverage"}`))
	r, err := h.Handle(t.Context(), mcp.ReadRequest("resources/read", params, mcp.NewClient(mcp.Revision20260728, nil, jsonrpc.Object{})))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`\"operations\": 1`, `\"left_out\": 1`, `GET /a/../b`, `as a segment`} {
		if !strings.Contains(string(r.Raw()), want) {
			t.Errorf("coverage: got %s, want %s in it", r.Raw(), want)
		}
	}
}
