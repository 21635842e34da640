package web

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/web/robots"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/backend"
)

const (
	// maxHosts bounds how many hosts are remembered; the one that was not visited for longest is forgotten.
	maxHosts      = 2000
	robotsTimeout = 10 * time.Second
	// robotsLife is how long a robots.txt is good: RFC 9309 §2.4 wants at most 24 hours.
	robotsLife = 24 * time.Hour
	// robotsRetry is how long a robots.txt that could not be had is not asked for again.
	robotsRetry = 5 * time.Minute
	// maxTurn is how long a call waits for its turn at a host.
	maxTurn = 30 * time.Second
	// burst is how many requests a host gets at once after a pause.
	burst = 4
	// maxPause bounds what a host may ask for with Retry-After.
	maxPause = time.Hour
)

// hosts remembers of each origin its robots.txt and when it was asked last.
type hosts struct {
	client   *http.Client
	token    string // name in robots.txt
	agent    string // User-Agent
	interval time.Duration
	now      func() time.Time

	mu    sync.Mutex // guards known, and seen of each
	known map[string]*host
}

// host is one origin: scheme, name and port.
type host struct {
	all    *hosts
	origin string
	seen   time.Time

	// loading has one place: who has it may ask for robots.txt. The others wait for it, or for their end.
	loading chan struct{}

	mu      sync.Mutex // guards what follows
	robots  *robots.Rules
	until   time.Time
	silent  bool // robots.txt could not be had, so that nothing is allowed
	limiter *backend.Limiter
	pace    time.Duration
}

func newHosts(client *http.Client, cfg *settings, agent string, now func() time.Time) *hosts {
	return &hosts{client: client, token: cfg.Agent, agent: agent, interval: cfg.Interval, now: now, known: map[string]*host{}}
}

// enter returns what is known of the host of a URL.
func (all *hosts) enter(ctx context.Context, u *url.URL) (*host, error) {
	origin := u.Scheme + "://" + u.Host
	all.mu.Lock()
	defer all.mu.Unlock()
	h := all.known[origin]
	if h == nil {
		if len(all.known) >= maxHosts {
			all.forget()
		}
		h = &host{all: all, origin: origin, loading: make(chan struct{}, 1), limiter: limiter(all.interval), pace: all.interval}
		all.known[origin] = h
	}
	h.seen = all.now()
	return h, ctx.Err()
}

// forget forgets the host that was not visited for longest. The caller holds mu.
func (all *hosts) forget() {
	var oldest *host
	for _, h := range all.known {
		if oldest == nil || h.seen.Before(oldest.seen) {
			oldest = h
		}
	}
	delete(all.known, oldest.origin)
}

func limiter(pace time.Duration) *backend.Limiter {
	r := backend.Rate{Burst: burst, MaxWait: maxTurn}
	if pace > 0 {
		r.PerSecond = float64(time.Second) / float64(pace)
	}
	return r.Limiter()
}

// wait waits until the host may be asked.
func (h *host) wait(ctx context.Context) error {
	h.mu.Lock()
	l := h.limiter
	h.mu.Unlock()
	return l.Wait(ctx)
}

// pause leaves the host alone for a while.
func (h *host) pause(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.limiter.Pause(min(d, maxPause))
}

// rules returns what the host's robots.txt says to us.
func (h *host) rules(ctx context.Context) (*robots.Rules, error) {
	if r := h.current(); r != nil {
		return r, nil
	}
	select {
	case h.loading <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-h.loading }()
	if r := h.current(); r != nil {
		return r, nil
	}
	rules, life, err := h.load(ctx)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.robots, h.until, h.silent = rules, h.all.now().Add(life), life == robotsRetry
	if pace := max(rules.Delay, h.all.interval); pace != h.pace {
		h.pace, h.limiter = pace, limiter(pace)
	}
	return rules, nil
}

func (h *host) current() *robots.Rules {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.robots != nil && h.all.now().Before(h.until) {
		return h.robots
	}
	return nil
}

// load asks for robots.txt and says for how long the answer is good (RFC 9309 §2.3.1): 4xx is that there are no rules, and
// everything else that is not success forbids everything. 429 is none of the former: who asks for less must not get more.
func (h *host) load(ctx context.Context) (*robots.Rules, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, robotsTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.origin+"/robots.txt", nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header = http.Header{"User-Agent": {h.all.agent}, "Accept": {"text/plain, */*;q=0.5"}}
	res, err := h.all.client.Do(req)
	if err != nil {
		if refused(err) || ctx.Err() != nil && context.Cause(ctx) == context.Canceled {
			return nil, 0, err
		}
		return robots.Nothing(), robotsRetry, nil
	}
	defer func() { _ = res.Body.Close() }()
	switch {
	case res.StatusCode >= 200 && res.StatusCode < 300:
		body, err := io.ReadAll(io.LimitReader(res.Body, robots.MaxBytes))
		if err != nil {
			return robots.Nothing(), robotsRetry, nil
		}
		return robots.Parse(body, h.all.token), robotsLife, nil
	case res.StatusCode >= 400 && res.StatusCode < 500 && res.StatusCode != http.StatusTooManyRequests:
		return &robots.Rules{}, robotsLife, nil
	}
	return robots.Nothing(), robotsRetry, nil
}

// refusal is what a caller is told of a URL that robots.txt forbids.
func (h *host) refusal(u *url.URL) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.silent {
		return server.Errorf("try again in some minutes", "%s does not say what may be fetched: its robots.txt cannot be had, which forbids everything (RFC 9309)", u.Host)
	}
	return server.Errorf("use another source", "the robots.txt of %s forbids %s for %s", u.Host, u.EscapedPath(), h.all.token)
}
