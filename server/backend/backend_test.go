package backend_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/server/backend"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errTrouble = errors.New("trouble")

func TestRetry(t *testing.T) {
	for _, c := range []struct {
		name  string
		retry backend.Retry
		errs  []error // of the attempts, the last one again and again
		want  error
		calls int
		least time.Duration
		most  time.Duration
	}{
		{"what works is done once", backend.Retry{}, []error{nil}, nil, 1, 0, 0},
		{"an unmarked error is never repeated", backend.Retry{}, []error{errTrouble}, errTrouble, 1, 0, 0},
		{"a marked error is, and comes back unmarked", backend.Retry{}, []error{backend.Again(errTrouble, 0)}, errTrouble, 3, 225 * time.Millisecond, 375 * time.Millisecond},
		{"it ends with the first success", backend.Retry{}, []error{backend.Again(errTrouble, 0), nil}, nil, 2, 75 * time.Millisecond, 125 * time.Millisecond},
		{"the wait that was asked for is kept", backend.Retry{}, []error{backend.Again(errTrouble, 3*time.Second), nil}, nil, 2, 3 * time.Second, 6 * time.Second},
		{"too long a wait is not begun", backend.Retry{}, []error{backend.Again(errTrouble, time.Minute)}, errTrouble, 1, 0, 0},
		{"nor one beyond the deadline", backend.Retry{MaxRetryAfter: time.Hour}, []error{backend.Again(errTrouble, 30*time.Minute)}, errTrouble, 1, 0, 0},
		{"one attempt means one", backend.Retry{Attempts: 1}, []error{backend.Again(errTrouble, 0)}, errTrouble, 1, 0, 0},
		{"the wait doubles up to its most", backend.Retry{Attempts: 6, MinBackoff: time.Second, MaxBackoff: 4 * time.Second}, []error{backend.Again(errTrouble, 0)}, errTrouble, 6, 15 * 3 * time.Second / 4, 15 * 5 * time.Second / 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
				defer cancel()
				start, calls := time.Now(), 0
				err := c.retry.Do(ctx, func(context.Context) error {
					calls++
					return c.errs[min(calls, len(c.errs))-1]
				})
				took := time.Since(start)
				if err != c.want || calls != c.calls || took < c.least || took > c.most {
					t.Errorf("got %v after %d calls in %v, want %v after %d in %v to %v", err, calls, took, c.want, c.calls, c.least, c.most)
				}
			})
		})
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader("body"))}
}

func TestRetryOfRequests(t *testing.T) {
	unsent := errors.New("nothing was sent")
	for _, c := range []struct {
		name, method, body string
		respond            func(n int) (*http.Response, error)
		want, calls        int // want 0: an error
	}{
		{"a GET is repeated after 503", "GET", "", func(n int) (*http.Response, error) {
			if n < 2 {
				return answer(503), nil
			}
			return answer(200), nil
		}, 200, 2},
		{"a POST is not", "POST", "x", func(int) (*http.Response, error) { return answer(503), nil }, 503, 1},
		{"a POST is not after an error either", "POST", "x", func(int) (*http.Response, error) { return nil, errTrouble }, 0, 1},
		{"a POST is, of which nothing was sent", "POST", "x", func(n int) (*http.Response, error) {
			if n < 3 {
				return nil, unsent
			}
			return answer(201), nil
		}, 201, 3},
		{"a PUT goes out with its body each time", "PUT", "content", func(n int) (*http.Response, error) {
			if n < 3 {
				return nil, errTrouble
			}
			return answer(204), nil
		}, 204, 3},
		{"the last answer is given when it does not get better", "GET", "", func(int) (*http.Response, error) { return answer(429, "Retry-After", "1"), nil }, 429, 3},
		{"an answer that asks for too long a wait is given at once", "GET", "", func(int) (*http.Response, error) { return answer(429, "Retry-After", "3600"), nil }, 429, 1},
		{"404 is an answer", "GET", "", func(int) (*http.Response, error) { return answer(404), nil }, 404, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				rt := backend.Retry{}.RoundTripper(transport(func(r *http.Request) (*http.Response, error) {
					calls++
					if r.Body != nil {
						got, err := io.ReadAll(r.Body)
						if err != nil || string(got) != c.body {
							t.Errorf("attempt %d has the body %q, %v; want %q", calls, got, err, c.body)
						}
					}
					return c.respond(calls)
				}), func(err error) bool { return errors.Is(err, unsent) })
				var body io.Reader
				if c.body != "" {
					body = strings.NewReader(c.body)
				}
				req, err := http.NewRequestWithContext(t.Context(), c.method, "http://host/", body)
				if err != nil {
					t.Fatal(err)
				}
				res, err := rt.RoundTrip(req)
				got := 0
				if err == nil {
					got = res.StatusCode
					text, err := io.ReadAll(res.Body)
					if err != nil || string(text) != "body" {
						t.Errorf("the body of the answer is %q, %v", text, err)
					}
				}
				if got != c.want || calls != c.calls {
					t.Errorf("got %d, %v after %d calls; want %d after %d", got, err, calls, c.want, c.calls)
				}
			})
		})
	}
}

func TestRetryAfterHeader(t *testing.T) {
	now := time.Date(2026, 7, 28, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "5": 5 * time.Second, " 5 ": 5 * time.Second, "-1": 0, "soon": 0, "99999999999": 0,
		"Tue, 28 Jul 2026 00:01:00 GMT": time.Minute, "Tue, 28 Jul 2020 00:01:00 GMT": 0,
	} {
		if got := backend.RetryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := backend.NewBreaker(backend.BreakerOptions{Failures: 2, OpenFor: time.Minute})
		do := func(err error) error { return b.Do(t.Context(), func(context.Context) error { return err }) }
		expect := func(what string, got, want error, state string) {
			t.Helper()
			if !errors.Is(got, want) || (got == nil) != (want == nil) || b.State() != state {
				t.Errorf("%s: got %v and %s, want %v and %s", what, got, b.State(), want, state)
			}
		}
		expect("the first failure", do(errTrouble), errTrouble, "closed")
		expect("a success between", do(nil), nil, "closed")
		expect("what is no fault of the dependency", do(backend.Fine(errTrouble)), errTrouble, "closed")
		expect("a failure again", do(errTrouble), errTrouble, "closed")
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		expect("a caller who has gone", b.Do(gone, func(context.Context) error { return context.Canceled }), context.Canceled, "closed")
		expect("a second one in a row", do(errTrouble), errTrouble, "open")
		expect("while it is open", do(nil), backend.ErrOpen, "open")
		<-time.After(61 * time.Second)
		expect("a trial that fails", do(errTrouble), errTrouble, "open")
		<-time.After(61 * time.Second)
		expect("a trial that works", do(nil), nil, "closed")
		func() {
			defer func() { _ = recover() }()
			_ = b.Do(t.Context(), func(context.Context) error { panic("slip") })
		}()
		expect("a panic counts as a failure", do(errTrouble), errTrouble, "open")
	})
}

func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := backend.Rate{PerSecond: 10, Burst: 3, MaxWait: time.Second}.Limiter()
		start := time.Now()
		for range 13 {
			if err := l.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("13 calls at 10/s after a burst of 3 took %v, want 1s", took)
		}
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := l.Wait(short); !errors.Is(err, backend.ErrRate) || time.Since(start) != time.Second {
			t.Errorf("beyond the deadline: got %v after %v, want ErrRate at once", err, time.Since(start))
		}
		l.Pause(800 * time.Millisecond)
		if err := l.Wait(t.Context()); err != nil || time.Since(start) != 1800*time.Millisecond {
			t.Errorf("after a pause: got %v after %v, want nil after 1.8s", err, time.Since(start))
		}
		l.Pause(time.Minute)
		if err := l.Wait(t.Context()); !errors.Is(err, backend.ErrRate) {
			t.Errorf("in a long pause: got %v, want ErrRate", err)
		}
	})
	free := backend.Rate{}.Limiter()
	for range 1000 {
		if err := free.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// Those who have waited for the end of a pause do not go all at once, and neither do those who came while another began.
func TestLimiterKeepsItsPaceAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := backend.Rate{PerSecond: 10, Burst: 2, MaxWait: time.Minute}.Limiter()
		began := time.Now()
		l.Pause(2 * time.Second)
		var mu sync.Mutex // guards went
		var went []time.Duration
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if err := l.Wait(t.Context()); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				went = append(went, time.Since(began))
			})
		}
		<-time.After(3 * time.Second)
		l.Pause(2 * time.Second) // until 5 s
		all.Wait()
		slices.Sort(went)
		for i, at := range went {
			if at < 2*time.Second || at > 3*time.Second && at < 5*time.Second {
				t.Errorf("call %d went at %s, in a pause", i, at)
			}
			if first := i - 12; first >= 0 && at-went[first] < time.Second { // 10 a second, and 2 at once
				t.Errorf("calls %d to %d went within %s, faster than the rate", first, i, at-went[first])
			}
		}
	})
}

// Waiting for a pause counts as waiting.
func TestLimiterRefusesWhatWouldWaitTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := backend.Rate{PerSecond: 1, MaxWait: 3 * time.Second}.Limiter()
		l.Pause(2 * time.Second)
		errs := make(chan error, 5)
		for range cap(errs) {
			go func() { errs <- l.Wait(t.Context()) }()
		}
		refused := 0
		for range cap(errs) {
			if err := <-errs; errors.Is(err, backend.ErrRate) {
				refused++
			} else if err != nil {
				t.Error(err)
			}
		}
		if refused != 3 {
			t.Errorf("refused %d of 5, want 3: one goes after 2 s, one after 3 s", refused)
		}
	})
}

func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := backend.NewCache(backend.CacheOptions[string]{Bytes: func(s string) int { return len(s) }, TTL: time.Minute})
		defer func() { _ = c.Close() }()
		var loads atomic.Int64
		release := make(chan struct{})
		load := func(context.Context) (string, time.Duration, error) {
			loads.Add(1)
			<-release
			return "v", 0, nil
		}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if v, err := c.Get(t.Context(), "k", load); v != "v" || err != nil {
					t.Errorf("got %q, %v", v, err)
				}
			})
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Get(impatient, "k", load); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who waits for no longer than a second: got %v", err)
		}
		close(release)
		wg.Wait()
		if n := loads.Load(); n != 1 {
			t.Errorf("11 callers made %d loads, want 1", n)
		}
		<-time.After(59 * time.Second)
		if _, ok := c.Peek("k"); !ok {
			t.Error("the value is gone before its time")
		}
		<-time.After(2 * time.Second)
		if _, ok := c.Peek("k"); ok {
			t.Error("the value is there after its time")
		}
		short := func(ttl time.Duration, err error) func(context.Context) (string, time.Duration, error) {
			return func(context.Context) (string, time.Duration, error) { loads.Add(1); return "w", ttl, err }
		}
		_, _ = c.Get(t.Context(), "not kept", short(-1, nil))
		_, _ = c.Get(t.Context(), "failed", short(0, errTrouble))
		for _, key := range []string{"not kept", "failed"} {
			if _, ok := c.Peek(key); ok {
				t.Errorf("%s is there", key)
			}
		}
		if _, err := c.Get(t.Context(), "panics", func(context.Context) (string, time.Duration, error) { panic("slip") }); err == nil {
			t.Error("a load that panics has no error")
		}
	})
}

func TestCacheLoadsOnceWhatIsAskedForWhileALoadEnds(t *testing.T) {
	c := backend.NewCache[int](backend.CacheOptions[int]{})
	defer func() { _ = c.Close() }()
	for round := range 5000 {
		var loads atomic.Int32
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				_, _ = c.Get(t.Context(), strconv.Itoa(round), func(context.Context) (int, time.Duration, error) {
					loads.Add(1)
					return round, 0, nil
				})
			})
		}
		wg.Wait()
		if n := loads.Load(); n != 1 {
			t.Fatalf("round %d: loaded %d times, want once", round, n)
		}
	}
}

func TestCacheKeepsToItsBytes(t *testing.T) {
	c := backend.NewCache(backend.CacheOptions[[]byte]{MaxBytes: 1 << 20, Bytes: func(b []byte) int { return len(b) }})
	defer func() { _ = c.Close() }()
	for i := range 1000 {
		c.Set(strconv.Itoa(i), make([]byte, 10<<10), 0)
	}
	kept := 0
	for i := range 1000 {
		if v, ok := c.Peek(strconv.Itoa(i)); ok {
			kept += len(v)
		}
	}
	if kept == 0 || kept > 1<<20 {
		t.Errorf("%d bytes are kept, want some, and no more than %d", kept, 1<<20)
	}
}

func TestCacheEndsLoadsWhenItIsClosed(t *testing.T) {
	c := backend.NewCache(backend.CacheOptions[int]{})
	begun := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := c.Get(t.Context(), "k", func(ctx context.Context) (int, time.Duration, error) {
			close(begun)
			<-ctx.Done()
			return 0, 0, ctx.Err()
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want that the load was cancelled", err)
		}
	})
	<-begun
	_ = c.Close()
	wg.Wait()
	if _, err := c.Get(t.Context(), "k", nil); err == nil {
		t.Error("a closed cache loads")
	}
}

type thing struct{ id int64 }

func TestPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var opened, closed atomic.Int64
		p := backend.NewPool(backend.PoolOptions[*thing]{
			Open:  func(context.Context) (*thing, error) { return &thing{opened.Add(1)}, nil },
			Close: func(*thing) { closed.Add(1) },
			Max:   2, MaxWaiting: 3, MaxIdle: time.Minute, MaxAge: time.Hour,
		})
		use := func(err error) (id int64) {
			if got := p.Do(t.Context(), func(x *thing) error { id = x.id; return err }); got != nil && got != errTrouble {
				t.Error(got)
			}
			return id
		}
		if a, b := use(nil), use(errTrouble); a != 1 || b != 1 {
			t.Errorf("got connections %d and %d, want the first twice", a, b)
		}
		use(backend.Broken(errTrouble))
		synctest.Wait()
		if use(nil) != 2 || closed.Load() != 1 {
			t.Errorf("a broken connection was used again, or not closed")
		}
		<-time.After(2 * time.Minute)
		if use(nil) != 3 {
			t.Error("a connection that was idle for too long was used again")
		}
		<-time.After(2 * time.Minute)
		p.Trim()
		if synctest.Wait(); p.Len() != 0 {
			t.Errorf("%d connections are left after trimming", p.Len())
		}
		release := make(chan struct{})
		var wg sync.WaitGroup
		var busy atomic.Int64
		for range 10 {
			wg.Go(func() {
				err := p.Do(t.Context(), func(*thing) error { <-release; return nil })
				if errors.Is(err, backend.ErrBusy) {
					busy.Add(1)
				}
			})
		}
		synctest.Wait()
		if n := busy.Load(); n == 0 || p.Len() != 2 {
			t.Errorf("%d of 10 calls were refused with %d connections, want some and 2", n, p.Len())
		}
		close(release)
		wg.Wait()
		_ = p.Close()
		if opened.Load() != closed.Load() {
			t.Errorf("%d were opened and %d closed", opened.Load(), closed.Load())
		}
		if err := p.Do(t.Context(), func(*thing) error { return nil }); err == nil {
			t.Error("a closed pool lends")
		}
	})
}
