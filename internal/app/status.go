package app

import (
	"cmp"
	"slices"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/gateway"
	"github.com/dragoman-mcp/dragoman/internal/plaintext/definition"
	"github.com/dragoman-mcp/dragoman/internal/telemetry"
	"github.com/dragoman-mcp/dragoman/internal/upstream"
)

// Status is all that is known of a server: how it is reached and what it lists.
type Status struct {
	upstream.Status
	Tools, Prompts, Resources int
	// Listed says why its lists are not, or not freshly, known; empty when they are.
	Listed string
	// Hidden counts the definitions that had something nobody sees.
	Hidden definition.Figures
}

// Statuses tells of every server, sorted by name; it asks none of them.
func (a *App) Statuses() []Status {
	lists := make(map[string]gateway.Status)
	for _, st := range a.gateway.Status() {
		lists[st.Server] = st
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Status
	for name, r := range a.running {
		l := lists[name]
		out = append(out, Status{
			Status: r.up.Status(), Tools: l.Tools, Prompts: l.Prompts, Resources: l.Resources, Listed: l.Reason, Hidden: r.plain.Figures(),
		})
	}
	slices.SortFunc(out, func(a, b Status) int { return cmp.Compare(a.Server, b.Server) })
	return out
}

// serverStatus is what the metrics show of each server.
func (a *App) serverStatus() []telemetry.ServerStatus {
	var out []telemetry.ServerStatus
	trial, tried := a.access.policy.Compare()
	for _, st := range a.Statuses() {
		s := telemetry.ServerStatus{Name: st.Server, Up: st.State != upstream.Unavailable, Tools: map[string]int{"shown": st.Tools}}
		if tried {
			t := trial.Servers[st.Server]
			s.Trial = &telemetry.Trial{Asked: int64(t.Asked), Permits: int64(t.Permits), Refuses: int64(t.Refuses)}
		}
		for _, r := range st.Replicas {
			s.Restarts += int64(max(r.Starts-1, 0))
			s.MemoryBytes += r.MemoryBytes
			if s.Breaker == "" || r.Breaker != "closed" {
				s.Breaker = strings.ReplaceAll(r.Breaker, "-", "_")
			}
		}
		out = append(out, s)
	}
	return out
}
