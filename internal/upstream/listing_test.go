package upstream_test

import (
	"context"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/upstream"
)

func TestAProcessThatHangsWhileTheGatewayListsIsReplacedInTime(t *testing.T) {
	t.Parallel()
	for _, traits := range []string{"legacy", "modern"} {
		t.Run(traits, func(t *testing.T) {
			t.Parallel()
			u := newHouse(t).open(then(program(traits), eager, func(s *config.Server) { s.ListTimeout = time.Hour }))
			run(t, u)
			own := bare("tools/list")
			own.Client = itself()
			if _, err := u.Handle(t.Context(), own); err != nil {
				t.Fatal(err)
			}
			if traits == "legacy" {
				pinged(t, u)
			}
			before := kill(t, u, syscall.SIGSTOP)
			under := start(t.Context(), u, own) // has an hour
			until(t, "the end of the process", func() bool { return u.Status().Replicas[0].PID != before })
			receive(t, "the end of the list", under)
			until(t, "another process", func() bool { return u.Status().State == upstream.Ready })
			must(t, u, tool("echo", `{"text":"x"}`))
		})
	}
}

func TestAProcessThatTakesLongForItsFirstListIsLeftAlone(t *testing.T) {
	t.Parallel()
	u := newHouse(t).open(then(program("legacy", "single", "lists=3500"), eager, func(s *config.Server) { s.Health.Timeout = stall / 2 })) // and pings wait behind it
	run(t, u)
	before := must(t, u, tool("pid", `{}`))
	pinged(t, u)
	for range 20 { // calls say nothing of how long a list takes
		must(t, u, tool("pid", `{}`))
	}
	own := bare("tools/list")
	own.Client = itself()
	for range 2 { // it has shown how long that takes
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if _, err := u.Handle(ctx, own); err != nil {
			t.Errorf("tools/list: %v", err)
		}
		cancel()
	}
	if after := must(t, u, tool("pid", `{}`)); after != before {
		t.Errorf("process %s answers, want %s", after, before)
	}
	if st := u.Status().Replicas[0]; strconv.Itoa(st.PID) != before || st.Starts != 1 {
		t.Errorf("process %d is the %d-th, want %s, the first", st.PID, st.Starts, before)
	}
}
