package upstream_test

import (
	"context"
	"strconv"
	"syscall"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/upstream"
)

func TestAProcessThatHangsWhileTheGatewayListsIsReplacedInTime(t *testing.T) {
	t.Parallel()
	for _, traits := range []string{"legacy", "modern"} {
		t.Run(traits, func(t *testing.T) {
			t.Parallel()
			u := newHouse(t).open(then(program(traits), eager))
			run(t, u)
			own := bare("tools/list")
			own.Client = itself()
			if _, err := u.Handle(t.Context(), own); err != nil {
				t.Fatal(err)
			}
			if traits == "legacy" {
				until(t, "the first ping", func() bool { return must(t, u, tool("pings", `{}`)) != "0" })
			}
			before := kill(t, u, syscall.SIGSTOP)
			under := start(t.Context(), u, own) // has 30 s
			untilWithin(t, promptly(), "the end of the process", func() bool { return u.Status().Replicas[0].PID != before })
			receive(t, "the end of the list", under)
			until(t, "another process", func() bool { return u.Status().State == upstream.Ready })
			must(t, u, tool("echo", `{"text":"x"}`))
		})
	}
}

func TestAProcessThatTakesLongForItsFirstListIsLeftAlone(t *testing.T) {
	t.Parallel()
	u := newHouse(t).open(then(program("legacy", "single", "lists=2500"), eager)) // and pings wait behind it
	run(t, u)
	before := must(t, u, tool("pid", `{}`))
	until(t, "the first ping", func() bool { return must(t, u, tool("pings", `{}`)) != "0" })
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
