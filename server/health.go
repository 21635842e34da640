package server

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Health is how a server is, in the form of the gateway's own reports.
type Health struct {
	// Status is healthy, degraded (a dependency is not well) or unhealthy (none is).
	Status     string    `json:"status"`
	ServerName string    `json:"server_name"`
	Version    string    `json:"version"`
	Timestamp  time.Time `json:"timestamp"`
	Uptime     float64   `json:"uptime_seconds"`
	Metrics    struct {
		Active    int64   `json:"active_connections"`
		Requests  int64   `json:"request_count"`
		Errors    int64   `json:"error_count"`
		ErrorRate float64 `json:"error_rate"`
		Average   float64 `json:"average_response_time_ms"`
	} `json:"metrics"`
	Dependencies map[string]Dependency `json:"dependencies"`
}

// Dependency is how something is that the server needs.
type Dependency struct {
	Status string `json:"status"` // healthy or unhealthy
	Reason string `json:"reason,omitempty"`
}

// Bounds of health checks.
const (
	checkTimeout = 2 * time.Second
	// checkFresh is how long an answer is good: probes come often, and from many.
	checkFresh = 5 * time.Second
)

// checks are those that a server has.
type checks struct {
	mu    sync.Mutex // guards known
	known map[string]*check
}

type check struct {
	run func(context.Context) error

	mu   sync.Mutex // held while it runs, so that it does so once
	last time.Time
	was  Dependency
}

// Check adds a dependency to the health of the server, or replaces the one of
// the same name. check is called at most once in 5 s, and has 2 s. An [*Error]
// is shown as the reason; of others only that the dependency is not well.
func (s *Server) Check(name string, run func(ctx context.Context) error) {
	s.checks.mu.Lock()
	defer s.checks.mu.Unlock()
	s.checks.known[name] = &check{run: run}
}

// Health checks everything and reports.
func (s *Server) Health(ctx context.Context) Health {
	h := Health{
		Status: "healthy", ServerName: s.env.Name, Version: s.about.Version, Timestamp: s.env.Now().UTC(),
		Uptime: s.env.Now().Sub(s.started).Seconds(), Dependencies: s.dependencies(ctx),
	}
	unwell := 0
	for _, d := range h.Dependencies {
		if d.Status != "healthy" {
			unwell++
		}
	}
	switch {
	case unwell > 0 && unwell == len(h.Dependencies):
		h.Status = "unhealthy"
	case unwell > 0:
		h.Status = "degraded"
	}
	t := s.metrics.totals
	h.Metrics.Active, h.Metrics.Requests, h.Metrics.Errors = t.active.Load(), t.requests.Load(), t.errors.Load()
	if n := float64(h.Metrics.Requests); n > 0 {
		h.Metrics.ErrorRate = float64(h.Metrics.Errors) / n
		h.Metrics.Average = float64(t.nanoseconds.Load()) / n / float64(time.Millisecond)
	}
	return h
}

func (s *Server) dependencies(ctx context.Context) map[string]Dependency {
	s.checks.mu.Lock()
	all := make(map[string]*check, len(s.checks.known))
	for name, c := range s.checks.known {
		all[name] = c
	}
	s.checks.mu.Unlock()
	out := make(map[string]Dependency, len(all))
	var mu sync.Mutex // guards out
	var wg sync.WaitGroup
	for name, c := range all {
		wg.Go(func() {
			d := s.examine(ctx, name, c)
			mu.Lock()
			defer mu.Unlock()
			out[name] = d
		})
	}
	wg.Wait()
	return out
}

func (s *Server) examine(ctx context.Context, name string, c *check) Dependency {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.last.IsZero() && time.Since(c.last) < checkFresh {
		return c.was
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	err := c.run(ctx)
	c.last, c.was = time.Now(), Dependency{Status: "healthy"}
	if err == nil {
		return c.was
	}
	c.was = Dependency{Status: "unhealthy", Reason: "the check failed; the log has the details"}
	var own *Error
	switch {
	case errors.As(err, &own):
		c.was.Reason = own.Error()
	case errors.Is(err, context.DeadlineExceeded):
		c.was.Reason = "no answer within " + checkTimeout.String()
	}
	s.log.Warn("dependency is not well", "dependency", name, "err", err)
	return c.was
}
