package main

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDefinitions(t *testing.T) { servertest.Check(t, New, nil) }

func TestWire(t *testing.T) {
	servertest.Script(t, New, func(*testing.T) *server.Env {
		return &server.Env{Settings: []byte(`{"ignore": ["the"]}`)}
	}, "testdata/wire.txt")
}
