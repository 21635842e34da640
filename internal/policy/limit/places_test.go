package limit_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/policy/limit"
	"github.com/dragoman-mcp/dragoman/test/servers"
)

// begin begins n calls and returns what ends those that were let through.
func begin(t *testing.T, l *limit.Limiter, n int) (done []func()) {
	t.Helper()
	for range n {
		if d, err := l.Take(t.Context(), "ann", "s", "x"); err == nil {
			done = append(done, d)
		}
	}
	return done
}

func together(url string) config.Rates {
	cfg := one(config.Rule{Per: "server", AtOnce: 6})
	cfg.Redis, cfg.Replicas, cfg.Timeout, cfg.Prefix = config.Secret(url), 3, 30*time.Second, "test:"
	return cfg
}

func TestCallsAtOnceAreThoseOfAllReplicas(t *testing.T) {
	for name, url := range map[string]func() string{
		"miniredis": func() string { return "redis://" + miniredis.RunT(t).Addr() },
		"redis":     func() string { return servers.Redis(t) },
	} {
		t.Run(name, func(t *testing.T) {
			replicas := skewed(t, together(url()), time.Now)
			var done []func()
			for _, l := range replicas {
				done = append(done, begin(t, l, 4)...)
			}
			if len(done) != 6 {
				t.Errorf("of 4 calls at each of three replicas %d were let through, want 6", len(done))
			}
			done[0]()
			done[0] = func() {}
			if got := begin(t, replicas[2], 2); len(got) != 1 {
				t.Errorf("with a place free at another replica %d calls were let through, want 1", len(got))
			} else {
				done = append(done, got...)
			}
			for _, d := range done {
				d()
			}
			if got := passes(t, replicas[1], 20, "ann", "s", "x"); got != 20 {
				t.Errorf("one after the other %d of 20 calls were let through", got)
			}
		})
	}
}

// However they come, there are never more than may be.
func TestCallsAtOnceAreNeverMoreThanMayBe(t *testing.T) {
	replicas := skewed(t, together("redis://"+miniredis.RunT(t).Addr()), time.Now)
	var now, most, passed atomic.Int64
	var callers sync.WaitGroup
	for _, l := range replicas {
		for range 4 {
			callers.Go(func() {
				for range 40 {
					done, err := l.Take(context.Background(), "ann", "s", "x")
					if err != nil {
						continue
					}
					for n := now.Add(1); ; {
						if was := most.Load(); n <= was || most.CompareAndSwap(was, n) {
							break
						}
					}
					passed.Add(1)
					now.Add(-1)
					done()
				}
			})
		}
	}
	callers.Wait()
	if most.Load() > 6 || passed.Load() == 0 {
		t.Errorf("%d calls at once, %d in all, want at most 6 at once", most.Load(), passed.Load())
	}
}

func TestPlacesOfAReplicaThatDiedComeBackAndThoseOfCallsThatLastDoNot(t *testing.T) {
	server := miniredis.RunT(t)
	c := newClock()
	server.SetTime(c.now())
	cfg := together("redis://" + server.Addr())
	dead, alive := open(t, cfg, c.now), open(t, cfg, c.now)
	begin(t, dead, 4)
	lasting := begin(t, alive, 2)
	pass := func(d time.Duration) {
		c.advance(d)
		server.SetTime(c.now())
		server.FastForward(d)
	}
	for range 3 {
		if got := begin(t, alive, 1); len(got) != 0 && c.now().Sub(newClock().now()) < limit.Lease {
			t.Errorf("after %v a place is free", c.now().Sub(newClock().now()))
		}
		pass(limit.Lease * 2 / 5)
		alive.Renew(t.Context())
	}
	got := begin(t, alive, 10)
	if len(got) != 4 {
		t.Errorf("after %v %d places are free, want the 4 of the replica that died", c.now().Sub(newClock().now()), len(got))
	}
	for _, d := range append(got, lasting...) {
		d()
	}
}

func TestWithoutRedisEachReplicaHasItsPartOfTheCallsAtOnce(t *testing.T) {
	server := miniredis.RunT(t)
	c := newClock()
	l := open(t, together("redis://"+server.Addr()), c.now)
	first := begin(t, l, 1)
	server.SetError("LOADING")
	more := begin(t, l, 5)
	if len(more) != 1 {
		t.Errorf("while redis is away and one call is under way %d more were let through, want 1: a third of 6 at once", len(more))
	}
	for _, d := range append(first, more...) {
		d()
	}
	server.SetError("")
	c.advance(2 * time.Second)
	got := begin(t, l, 10)
	if len(got) < 5 { // the first call's place could not be given back, and comes back by itself
		t.Errorf("with redis again %d calls were let through, want 5 or 6", len(got))
	}
	for _, d := range got {
		d()
	}
}
