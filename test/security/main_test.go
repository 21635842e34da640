package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
)

func TestMain(m *testing.M) {
	supervisor.ShimMain(os.Args)
	goleak.VerifyTestMain(m)
}
