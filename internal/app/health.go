package app

import (
	"net/http"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/plaintext/definition"
	"github.com/dragoman-mcp/dragoman/internal/upstream"
)

// serverReport is one server's health. The names are those of the enhanced
// servers' health body, which their users' dashboards read.
type serverReport struct {
	Status       string                `json:"status"`
	ServerName   string                `json:"server_name"`
	Version      string                `json:"version"`
	Timestamp    time.Time             `json:"timestamp"`
	Uptime       float64               `json:"uptime_seconds"`
	Reason       string                `json:"reason,omitempty"`
	Transport    string                `json:"transport,omitempty"`
	Revision     string                `json:"protocol_version,omitempty"`
	Tools        int                   `json:"tools"`
	Sandbox      string                `json:"sandbox,omitempty"`     // of the program: its level, and what is not enforced
	HiddenText   *definition.Figures   `json:"hidden_text,omitempty"` // definitions with something nobody sees
	Metrics      serverFigures         `json:"metrics"`
	Dependencies map[string]dependency `json:"dependencies"`
}

type serverFigures struct {
	MemoryMB  float64 `json:"memory_usage_mb"`
	Active    int64   `json:"active_connections"`
	Requests  int64   `json:"request_count"`
	Errors    int64   `json:"error_count"`
	ErrorRate float64 `json:"error_rate"`
	Average   float64 `json:"average_response_time_ms"`
	Breaker   string  `json:"circuit_breaker_state"`
}

type dependency struct {
	Status  string `json:"status"`
	Reason  string `json:"reason,omitempty"`
	Sandbox string `json:"sandbox,omitempty"`
}

// word is the health body's for a server's state.
func word(s upstream.State) string {
	switch s {
	case upstream.Ready, upstream.Idle:
		return "healthy"
	case upstream.Starting:
		return "starting"
	case upstream.Degraded:
		return "degraded"
	}
	return "unhealthy"
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	a := s.app
	facts := a.telemetry.Facts()
	body := serverReport{
		Status: "healthy", ServerName: "dragoman", Version: a.o.Version, Timestamp: time.Now().UTC(),
		Uptime: time.Since(a.started).Seconds(), Dependencies: map[string]dependency{},
		Metrics: serverFigures{Breaker: "closed"},
	}
	if facts.RSSBytes != nil {
		body.Metrics.MemoryMB = megabytes(*facts.RSSBytes)
	}
	var total time.Duration
	for _, st := range a.Statuses() {
		c := a.telemetry.Counters(st.Server)
		body.Tools += st.Tools
		body.Metrics.Active += c.Active
		body.Metrics.Requests += c.Requests
		body.Metrics.Errors += c.Errors
		total += c.AverageResponse * time.Duration(c.Requests)
	}
	if body.Metrics.Requests > 0 {
		body.Metrics.ErrorRate = float64(body.Metrics.Errors) / float64(body.Metrics.Requests)
		body.Metrics.Average = milliseconds(total / time.Duration(body.Metrics.Requests))
	}
	writeJSON(w, http.StatusOK, body)
}

func megabytes(n uint64) float64           { return float64(n) / (1 << 20) }
func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// ready says whether clients should come here. A server that is down is no
// reason not to: it is named, and the others are served.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	status, code := "ready", http.StatusOK
	dependencies := make(map[string]dependency)
	for _, st := range s.app.Statuses() {
		dependencies[st.Server] = dependency{Status: word(st.State), Reason: st.Reason, Sandbox: sandboxOf(st.Replicas)}
		if st.State == upstream.Unavailable || st.State == upstream.Degraded {
			status = "degraded"
		}
	}
	if s.draining.Load() {
		status, code = "draining", http.StatusServiceUnavailable
	}
	body := map[string]any{"status": status, "version": s.app.o.Version, "sessions": s.doors.sessionCount()}
	if s.entrance.Load().guard.Knows(r) {
		body["servers"] = dependencies
		body["system"] = s.app.telemetry.Facts()
	}
	writeJSON(w, code, body)
}

func (s *Server) serverHealth(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	for _, st := range s.app.Statuses() {
		if st.Server == name {
			body := s.app.report(st)
			s.app.enquire(r.Context(), name, &body)
			writeJSON(w, http.StatusOK, body)
			return
		}
	}
	writeJSON(w, http.StatusNotFound, map[string]string{"error": "there is no server named " + name})
}

func (a *App) report(st Status) serverReport {
	body := serverReport{
		Status: word(st.State), ServerName: st.Server, Version: a.o.Version, Timestamp: time.Now().UTC(),
		Uptime: time.Since(a.started).Seconds(), Reason: st.Reason, Transport: st.Transport, Revision: st.Revision, Tools: st.Tools,
		Dependencies: make(map[string]dependency),
	}
	body.Sandbox = sandboxOf(st.Replicas)
	if st.Hidden != (definition.Figures{}) {
		body.HiddenText = &st.Hidden
	}
	c := a.telemetry.Counters(st.Server)
	body.Metrics = serverFigures{
		Active: c.Active, Requests: c.Requests, Errors: c.Errors, ErrorRate: c.ErrorRate,
		Average: milliseconds(c.AverageResponse), Breaker: "closed",
	}
	for _, replica := range st.Replicas {
		d := dependency{Status: "healthy", Reason: replica.Reason}
		if !replica.Healthy || replica.Breaker == "open" {
			d.Status = "unhealthy"
		}
		if replica.Breaker != "closed" {
			body.Metrics.Breaker = replica.Breaker
		}
		body.Metrics.MemoryMB += megabytes(replica.MemoryBytes)
		body.Dependencies[replica.Address] = d
	}
	return body
}

// sandboxOf is how far a server's program is kept from the rest; empty when it is
// none, or was not started.
func sandboxOf(replicas []upstream.ReplicaStatus) string {
	for _, r := range replicas {
		if r.Sandbox != "" {
			return r.Sandbox
		}
	}
	return ""
}

func (s *Server) welcome(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("Dragoman, an MCP gateway.\n\n" + // a caller that has gone does not want it
		"  /mcp            all servers (Streamable HTTP and WebSocket)\n" +
		"  /mcp/{server}   one server, with its own names\n" +
		"  /sse            all servers, for clients of 2024-11-05\n" +
		"  /health /ready  for probes\n"))
}
