package upstream_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/upstream"
)

// roomy lets many calls run at once.
func roomy(s *config.Server) { s.MaxConcurrency, s.MaxConnections = 1000, 1000 }

// whisper makes n calls, each with a secret of its own and after a random time,
// some of which are given up, and reports how many got theirs.
func whisper(t *testing.T, u *upstream.Upstream, n int) {
	const callers = 400
	var told, left atomic.Int64
	var work sync.WaitGroup
	for range callers {
		work.Go(func() {
			for i := range n / callers {
				secret := rand.Text()
				ctx, leave := context.WithTimeout(t.Context(), patience)
				if i%16 == 0 {
					leave()
					ctx, leave = context.WithTimeout(t.Context(), time.Duration(mathrand.IntN(3000))*time.Microsecond)
				}
				r, err := u.Handle(ctx, tool("echo", fmt.Sprintf(`{"text":%q,"ms":3}`, secret)))
				switch {
				case err == nil && text(r) == secret:
					told.Add(1)
				case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
					left.Add(1)
				default:
					t.Errorf("a call got %q, %v; want its own secret", text(r), err)
				}
				leave()
			}
		})
	}
	work.Wait()
	if told.Load()+left.Load() != int64(n/callers*callers) || left.Load() == 0 {
		t.Errorf("%d calls were answered and %d given up of %d", told.Load(), left.Load(), n)
	}
}

func secretCalls() int {
	if raceEnabled {
		return 4_000
	}
	return 20_000
}

func TestNoAnswerIsGivenToAnotherOrTwiceByAProgram(t *testing.T) {
	for _, traits := range []string{"legacy", "modern"} {
		t.Run(traits, func(t *testing.T) {
			u := newHouse(t).open(then(program(traits), roomy))
			run(t, u)
			whisper(t, u, secretCalls())
			if twice := must(t, u, tool("twice", `{}`)); twice != "0" {
				t.Errorf("%s calls were made twice", twice)
			}
		})
	}
}

func TestNoAnswerIsGivenToAnotherOrTwiceByAServer(t *testing.T) {
	web, modern := newSessionSite(404), &modernSite{}
	for name, c := range map[string]struct {
		s     *site
		tools *tools
	}{
		"in one session":   {newSite(t, web), &web.tools},
		"without sessions": {newSite(t, modern), &modern.tools},
	} {
		t.Run(name, func(t *testing.T) {
			u := newHouse(t).open(then(at(c.s), roomy))
			run(t, u)
			whisper(t, u, secretCalls())
			c.tools.seen.Range(func(secret, n any) bool {
				if n := n.(*atomic.Int64).Load(); n != 1 {
					t.Errorf("the call with %s was made %d times", secret, n)
				}
				return true
			})
			if _, opened := web.count(); name == "in one session" && opened != 1 {
				t.Errorf("%d sessions were opened, want 1", opened)
			}
		})
	}
}
