package upstream_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/upstream"
	"github.com/dragoman-mcp/dragoman/mcp"
)

func TestUnusedLinksAreLetGo(t *testing.T) {
	var none mcp.Kinds
	type use struct {
		principal string
		kinds     mcp.Kinds
	}
	for name, c := range map[string]struct {
		change func(*config.Server)
		own    bool // the gateway asks first, for its lists
		uses   []use
		after  time.Duration
		want   []mcp.Kinds
	}{
		"a program that runs on demand goes after idle_stop":          {func(s *config.Server) { s.Start = "on-demand" }, false, []use{{"", none}}, 11 * time.Minute, nil},
		"and stays until then":                                        {func(s *config.Server) { s.Start = "on-demand" }, false, []use{{"", none}}, 9 * time.Minute, []mcp.Kinds{none}},
		"and for ever when idle_stop is 0":                            {func(s *config.Server) { s.Start, s.IdleStop = "on-demand", 0 }, false, []use{{"", none}}, time.Hour, []mcp.Kinds{none}},
		"that of a principal goes, whenever it was to be started":     {func(s *config.Server) { s.Isolation = "principal" }, false, []use{{"a", none}}, 11 * time.Minute, nil},
		"that of a session goes":                                      {func(s *config.Server) { s.Isolation = "session" }, false, []use{{"a", none}}, 11 * time.Minute, nil},
		"one that always runs stays":                                  {func(*config.Server) {}, false, []use{{"", mcp.Roots}}, time.Hour, []mcp.Kinds{mcp.Roots}},
		"but not for kinds that nobody has any more":                  {func(*config.Server) {}, false, []use{{"", mcp.Roots}, {"", mcp.Sampling}}, time.Hour, []mcp.Kinds{mcp.Sampling}},
		"the gateway's own goes after a minute beside one of callers": {func(*config.Server) {}, true, []use{{"", mcp.Roots}}, 61 * time.Second, []mcp.Kinds{mcp.Roots}},
		"and even when idle_stop is 0":                                {func(s *config.Server) { s.IdleStop = 0 }, true, []use{{"", mcp.Roots}}, 61 * time.Second, []mcp.Kinds{mcp.Roots}},
		"but not sooner":                                              {func(*config.Server) {}, true, []use{{"", mcp.Roots}}, 30 * time.Second, []mcp.Kinds{none, mcp.Roots}},
		"nor when there is no other, not even one on demand":          {func(s *config.Server) { s.Start = "on-demand" }, true, nil, 5 * time.Minute, []mcp.Kinds{none}},
		"nor when there is no other":                                  {func(*config.Server) {}, true, nil, time.Hour, []mcp.Kinds{none}},
		"nor when callers use it too":                                 {func(*config.Server) {}, true, []use{{"", none}, {"", mcp.Roots}}, 61 * time.Second, []mcp.Kinds{none, mcp.Roots}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newHouse(t).open(then(program("legacy"), c.change))
			if c.own {
				if _, err := u.Handle(t.Context(), &mcp.Request{Method: "tools/list", Client: &mcp.Client{Revision: mcp.Revision20260728}}); err != nil {
					t.Fatal(err)
				}
			}
			for _, use := range c.uses {
				pid(t, as(t, use.principal), u, use.kinds, "")
			}
			u.Sweep(time.Now().Add(c.after))
			got := u.Kinds()
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("open after %s: %v, want %v", c.after, got, c.want)
			}
		})
	}
}

func TestTheGatewaysOwnRequestsNeedNoProcessOfTheirOwn(t *testing.T) {
	u := newHouse(t).open(program("legacy"))
	pid(t, as(t, ""), u, mcp.Roots, "")
	own := &mcp.Client{Revision: mcp.Revision20260728}
	for _, method := range []string{"server/discover", "tools/list"} {
		if _, err := u.Handle(t.Context(), &mcp.Request{Method: method, Client: own}); err != nil {
			t.Errorf("%s: %v", method, err)
		}
	}
	if got := u.Kinds(); len(got) != 1 || got[0] != mcp.Roots {
		t.Errorf("open: %v, want only that of the caller", got)
	}
	// A caller who names itself gets what it can be asked for, and no more.
	must(t, u, bare("tools/list"))
	if got := u.Kinds(); len(got) != 2 {
		t.Errorf("open: %v, want one more for a caller that can be asked for nothing", got)
	}
}

func TestWhatIsInUseIsNotLetGo(t *testing.T) {
	ledger := filepath.Join(t.TempDir(), "ledger")
	u := newHouse(t).open(then(program("legacy", "ledger="+ledger), func(s *config.Server) { s.Start = "on-demand" }))
	file, lift := latch(t)
	done := waiting(t, u, ledger, file)
	u.Sweep(time.Now().Add(time.Hour))
	if got := u.Kinds(); len(got) != 1 {
		t.Errorf("open during a call: %v, want one", got)
	}
	lift()
	if got := receive(t, "the answer", done); got.text != "done" {
		t.Errorf("got %q, %v", got.text, got.err)
	}
	u.Sweep(time.Now().Add(time.Hour))
	if got := u.Kinds(); len(got) != 0 {
		t.Errorf("open after it: %v, want none", got)
	}
	if st := u.Status(); st.State != upstream.Idle || st.Reason != "" {
		t.Errorf("state %s because %q, want idle", st.State, st.Reason)
	}
	until(t, "the end of the process", func() bool { return u.Status().Replicas[0].Process == "stopped" })
}
