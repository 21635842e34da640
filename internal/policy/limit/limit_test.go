package limit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/policy/limit"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a time that tests move.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}
func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()) }
func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

func open(t testing.TB, cfg config.Rates, now func() time.Time) *limit.Limiter {
	t.Helper()
	l, err := limit.New(cfg, limit.Options{Separator: "__", Now: now, Dial: (&net.Dialer{}).DialContext})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// passes makes n calls and counts those that are let through.
func passes(t testing.TB, l *limit.Limiter, n int, principal, server, tool string) int {
	t.Helper()
	ok := 0
	for range n {
		if done, err := l.Take(t.Context(), principal, server, tool); err == nil {
			done()
			ok++
		}
	}
	return ok
}

func one(r config.Rule) config.Rates {
	if r.Every == 0 {
		r.Every = time.Minute
	}
	return config.Rates{Calls: []config.Rule{r}}
}

// retryAfter reads what a refusal says of waiting; 0 if there was none.
func retryAfter(t testing.TB, err error) time.Duration {
	t.Helper()
	var wire *mcp.Error
	if !errors.As(err, &wire) || wire.Code != mcp.CodeBusy {
		t.Fatalf("got %v, want an error with code %d", err, mcp.CodeBusy)
	}
	var data struct{ RetryAfterSeconds int64 }
	if err := json.Unmarshal(wire.Data, &data); err != nil {
		t.Fatalf("data %s: %v", wire.Data, err)
	}
	return time.Duration(data.RetryAfterSeconds) * time.Second
}

func TestARateLetsItsBurstThroughAndThenItsPace(t *testing.T) {
	c := newClock()
	l := open(t, one(config.Rule{Per: "principal", Rate: 60, Burst: 5}), c.now)
	if got := passes(t, l, 20, "ann", "files", "x"); got != 5 {
		t.Errorf("at once: got %d calls through, want the burst of 5", got)
	}
	_, err := l.Take(t.Context(), "ann", "files", "x")
	wait := retryAfter(t, err)
	if wait != time.Second {
		t.Errorf("retry after: got %v, want 1s", wait)
	}
	c.advance(wait)
	if got := passes(t, l, 5, "ann", "files", "x"); got != 1 {
		t.Errorf("after the time that was told: got %d calls through, want 1", got)
	}
	if got := passes(t, l, 5, "bob", "files", "x"); got != 5 {
		t.Errorf("of another principal: got %d calls through, want 5", got)
	}
	c.advance(time.Hour)
	if got := passes(t, l, 20, "ann", "files", "x"); got != 5 {
		t.Errorf("after an hour: got %d calls through, want the burst of 5, no more", got)
	}
}

func TestRetryAfterIsHonest(t *testing.T) {
	for _, r := range []config.Rule{{Rate: 1, Burst: 1, Every: time.Minute}, {Rate: 7, Every: time.Second}, {Rate: 100, Burst: 3, Every: time.Hour}, {PerDay: 3}} {
		c := newClock()
		r.Per = "principal"
		l := open(t, one(r), c.now)
		passes(t, l, 200, "ann", "s", "x")
		_, err := l.Take(t.Context(), "ann", "s", "x")
		c.advance(retryAfter(t, err))
		if got := passes(t, l, 1, "ann", "s", "x"); got != 1 {
			t.Errorf("%+v: refused after the time that was told, %v", r, retryAfter(t, err))
		}
	}
}

func TestWhatIsCountedTogether(t *testing.T) {
	for per, want := range map[string]int{"principal": 2, "server": 2, "tool": 4, "principal-server": 4, "principal-tool": 8} {
		l := open(t, one(config.Rule{Per: per, PerDay: 1}), newClock().now)
		got := 0
		for _, who := range []string{"ann", "bob"} {
			for _, server := range []string{"files", "mail"} {
				for _, tool := range []string{"x", "y"} {
					got += passes(t, l, 3, who, server, tool)
				}
			}
		}
		if got != want {
			t.Errorf("per %s: got %d calls through, want %d", per, got, want)
		}
	}
	l := open(t, config.Rates{Calls: []config.Rule{{Per: "principal", PerDay: 1, Match: []string{"mail__*", "*__delete"}}}}, newClock().now)
	if files, mail := passes(t, l, 3, "ann", "files", "x"), passes(t, l, 3, "ann", "mail", "x")+passes(t, l, 3, "ann", "files", "delete"); files != 3 || mail != 1 {
		t.Errorf("with match: got %d of others and %d that match, want 3 and 1", files, mail)
	}
}

func TestAQuotaEndsAtMidnight(t *testing.T) {
	c := newClock()
	l := open(t, one(config.Rule{Per: "principal", PerDay: 10}), c.now)
	if got := passes(t, l, 30, "ann", "s", "x"); got != 10 {
		t.Errorf("got %d calls through, want 10", got)
	}
	_, err := l.Take(t.Context(), "ann", "s", "x")
	if wait := retryAfter(t, err); wait != 12*time.Hour {
		t.Errorf("retry after: got %v, want 12h, until midnight UTC", wait)
	}
	c.advance(12 * time.Hour)
	if got := passes(t, l, 30, "ann", "s", "x"); got != 10 {
		t.Errorf("the next day: got %d calls through, want 10", got)
	}
}

func TestCallsAtOnceAreBoundedAndGiveTheirPlacesBack(t *testing.T) {
	l := open(t, one(config.Rule{Per: "server", AtOnce: 3}), nil)
	var done []func()
	for range 3 {
		d, err := l.Take(t.Context(), "ann", "s", "x")
		if err != nil {
			t.Fatal(err)
		}
		done = append(done, d)
	}
	if _, err := l.Take(t.Context(), "bob", "s", "y"); retryAfter(t, err) == 0 {
		t.Error("a fourth call: want a time to wait")
	}
	if got := passes(t, l, 1, "ann", "other", "x"); got != 1 {
		t.Error("another server: want it through")
	}
	done[0]()
	if got := passes(t, l, 5, "ann", "s", "x"); got != 5 {
		t.Errorf("with a place free again: got %d of 5 calls through, one after the other", got)
	}
}

func TestACallThatOneRuleRefusesCostsNothingUnderTheOthers(t *testing.T) {
	c := newClock()
	l := open(t, config.Rates{Calls: []config.Rule{
		{Per: "principal", PerDay: 10}, {Per: "principal", Rate: 100, Burst: 100, Every: time.Minute, AtOnce: 1}, {Per: "tool", PerDay: 2},
	}}, c.now)
	if got := passes(t, l, 50, "ann", "s", "x"); got != 2 {
		t.Errorf("got %d calls through, want 2", got)
	}
	if got := passes(t, l, 50, "ann", "s", "y") + passes(t, l, 50, "ann", "s", "z"); got != 4 {
		t.Errorf("of other tools: got %d calls through, want 4", got)
	}
	got := 0
	for i := range 20 {
		got += passes(t, l, 2, "ann", "s", fmt.Sprint(i))
	}
	if got != 4 {
		t.Errorf("until the day's 10: got %d more calls through, want 4", got)
	}
}

func TestModelsHaveARateOfTheirOwn(t *testing.T) {
	c := newClock()
	for _, cfg := range []config.Rates{{}, one(config.Rule{Per: "model", Rate: 60})} {
		l := open(t, cfg, c.now)
		got := 0
		for range 120 * 10 { // two minutes, ten calls a second
			if _, err := l.TakeModel(t.Context(), "ann", "m"); err == nil {
				got++
			}
			c.advance(100 * time.Millisecond)
		}
		if got < 120 || got > 130 {
			t.Errorf("%+v: got %d calls through in two minutes, want 60 a minute and at most a burst of 10", cfg, got)
		}
		if n := passes(t, l, 1000, "ann", "s", "x"); n != 1000 {
			t.Errorf("%+v: got %d of 1000 calls of tools through, want all", cfg, n)
		}
	}
}

// T33: memory is bounded, and filling it frees nobody.
func TestAMillionOtherKeysDoNotFreeOneThatIsHeldBack(t *testing.T) {
	c := newClock()
	l := open(t, config.Rates{Calls: []config.Rule{{Per: "principal", Rate: 60, Burst: 5, Every: time.Minute, PerDay: 1000}}}, c.now)
	passes(t, l, 20, "hot", "s", "x")
	for i := range 1_000_000 {
		if done, err := l.Take(t.Context(), fmt.Sprint("p", i), "s", "x"); err == nil {
			done()
		}
	}
	if got := passes(t, l, 20, "hot", "s", "x"); got != 0 {
		t.Errorf("got %d calls through, want 0", got)
	}
	if n := l.Keys(); n > limit.MaxKeys {
		t.Errorf("%d keys are remembered, want at most %d", n, limit.MaxKeys)
	}
}

func TestConcurrentCallsAreCountedExactly(t *testing.T) {
	l := open(t, one(config.Rule{Per: "principal", PerDay: 500}), newClock().now)
	var ok atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				if _, err := l.Take(context.Background(), "ann", "s", "x"); err == nil {
					ok.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if ok.Load() != 500 {
		t.Errorf("got %d calls through, want 500", ok.Load())
	}
}

// flood has replicas call as fast as they can for a while, and counts what passes.
func flood(t *testing.T, replicas []*limit.Limiter, d time.Duration) int64 {
	t.Helper()
	var ok atomic.Int64
	var wg sync.WaitGroup
	end := time.Now().Add(d)
	for _, l := range replicas {
		for range 2 {
			wg.Go(func() {
				for time.Now().Before(end) {
					if _, err := l.Take(context.Background(), "ann", "s", "x"); err == nil {
						ok.Add(1)
					}
				}
			})
		}
	}
	wg.Wait()
	return ok.Load()
}

// skewed are three replicas whose clocks differ.
func skewed(t *testing.T, cfg config.Rates, now func() time.Time) []*limit.Limiter {
	t.Helper()
	var replicas []*limit.Limiter
	for _, skew := range []time.Duration{0, -5 * time.Second, 5 * time.Second} {
		replicas = append(replicas, open(t, cfg, func() time.Time { return now().Add(skew) }))
	}
	return replicas
}

// P17: three replicas let at most 105 % of the rate through together, whatever their clocks say.
func TestThreeReplicasCountTogether(t *testing.T) {
	cfg := one(config.Rule{Per: "principal", Rate: 400, Every: time.Second})
	cfg.Replicas, cfg.Timeout = 3, 30*time.Second
	t.Run("on a clock that the test moves they let the rate through, no more and no less", func(t *testing.T) {
		server := miniredis.RunT(t)
		c := newClock()
		cfg.Redis = config.Secret("redis://" + server.Addr())
		replicas, got := skewed(t, cfg, c.now), 0
		const seconds = 2
		for range seconds * 1000 / 5 {
			server.SetTime(c.now())
			for _, l := range replicas {
				got += passes(t, l, 1, "ann", "s", "x")
			}
			c.advance(5 * time.Millisecond)
		}
		if most := 400*seconds + 20; got > most || got < 400*seconds {
			t.Errorf("got %d calls through in %d s, want %d to %d: the rate, and a twentieth of it at once", got, seconds, 400*seconds, most)
		}
	})
	// How much is let through at least depends on the machine; how much at most does not.
	t.Run("in real time, with redis", func(t *testing.T) {
		cfg.Redis = config.Secret(servers.Redis(t))
		replicas := skewed(t, cfg, time.Now)
		start := time.Now()
		got := flood(t, replicas, 2*time.Second)
		limit := 400 * time.Since(start).Seconds()
		t.Logf("%d passed, %.1f %% of the rate", got, 100*float64(got)/limit)
		if float64(got) > 1.05*limit || got == 0 {
			t.Errorf("got %d calls through in %v, want at most %.0f and 5 %% more", got, time.Since(start), limit)
		}
	})
}

func TestWithoutRedisEachReplicaLetsItsPartThroughAndLaterTheyCountTogetherAgain(t *testing.T) {
	server := miniredis.RunT(t)
	c := newClock()
	server.SetTime(c.now())
	cfg := one(config.Rule{Per: "principal", PerDay: 30})
	cfg.Redis, cfg.Replicas, cfg.Timeout = config.Secret("redis://"+server.Addr()), 3, time.Second
	replicas := []*limit.Limiter{open(t, cfg, c.now), open(t, cfg, c.now), open(t, cfg, c.now)}
	all := func() (n int) {
		for _, l := range replicas {
			n += passes(t, l, 40, "ann", "s", "x")
		}
		return n
	}
	if got := all(); got != 30 {
		t.Errorf("with redis: got %d calls through, want 30", got)
	}
	server.SetError("LOADING")
	c.advance(24 * time.Hour)
	if got := all(); got != 30 {
		t.Errorf("without redis: got %d calls through, want a third of 30 at each of three replicas", got)
	}
	server.SetError("")
	c.advance(24 * time.Hour)
	server.SetTime(c.now())
	if got := all(); got != 30 {
		t.Errorf("with redis again: got %d calls through, want 30", got)
	}
}

func TestARedisThatHangsDelaysACallByItsTimeoutAtMost(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // it never answers: connections wait to be accepted
	cfg := one(config.Rule{Per: "principal", PerDay: 10_000})
	cfg.Redis, cfg.Timeout = config.Secret("redis://"+l.Addr().String()), 50*time.Millisecond
	limiter := open(t, cfg, nil)
	start := time.Now()
	if got := passes(t, limiter, 1000, "ann", "s", "x"); got != 1000 {
		t.Errorf("got %d of 1000 calls through, want all", got)
	}
	if took := time.Since(start); took > 2*time.Minute {
		t.Errorf("1000 calls took %v, want about 50ms: only the first waits, and one each second", took)
	}
}

func TestKeysOfDifferentCallsDiffer(t *testing.T) {
	l := open(t, one(config.Rule{Per: "principal-tool", PerDay: 1}), nil)
	long := strings.Repeat("x", 100_000)
	for _, c := range [][3]string{{"a", "b", "c"}, {"ab", "", "c"}, {"a", "bc", ""}, {"", "abc", ""}, {"a", "b", long}, {"a", "b", long + "y"}} {
		if got := passes(t, l, 2, c[0], c[1], c[2]); got != 1 {
			t.Errorf("%.20q: got %d calls through, want 1: it is counted with another", c, got)
		}
	}
}

func TestRedisAddressesAreNotShown(t *testing.T) {
	_, err := limit.New(config.Rates{Redis: "redis://:hunter2@host:port"}, limit.Options{})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v, want an error without the password", err)
	}
}

func BenchmarkTake(b *testing.B) {
	l := open(b, config.Rates{Calls: []config.Rule{
		{Per: "principal", Rate: 1e9, Every: time.Minute}, {Per: "tool", Rate: 1e9, Every: time.Minute},
	}}, nil)
	b.ReportAllocs()
	for b.Loop() {
		if done, err := l.Take(b.Context(), "ann", "files", "read"); err == nil {
			done()
		}
	}
}
