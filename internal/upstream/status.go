package upstream

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
)

// State says in one word whether a server can be called.
type State string

// The states of a server. A degraded one can be called, but a replica is out.
const (
	Ready       State = "ready"
	Idle        State = "idle" // it starts with the next call
	Starting    State = "starting"
	Degraded    State = "degraded"
	Unavailable State = "unavailable"
)

// Status is what is known of a server.
type Status struct {
	Server    string
	State     State
	Reason    string // why it is not ready; empty when it is
	Transport string // of an open link; empty when none is open
	Revision  string // spoken on it
	InFlight  int64
	Calls     int64
	Failures  int64 // calls that failed on the way
	Waiting   int64
	Replicas  []ReplicaStatus
}

// ReplicaStatus is what is known of one replica.
type ReplicaStatus struct {
	Address  string
	Healthy  bool
	Breaker  string // closed, open or half-open
	Links    int
	InFlight int64
	Reason   string
	Err      error // what Reason is the text of; nil when that is empty
	// Of the process that was started last, where it is one:
	Process string // its state; empty when it is none
	PID     int
	// MemoryBytes is what the processes of all open links hold.
	MemoryBytes uint64
	Starts      int
	Started     time.Time
	Stderr      []string
}

// Status reports what is known now; it asks nobody.
func (u *Upstream) Status() Status {
	st := Status{
		Server: u.cfg.Name, InFlight: u.inFlight.Load(), Calls: u.calls.Load(),
		Failures: u.failures.Load(), Waiting: u.gate.waiting.Load(),
	}
	well, open, starting := 0, 0, false
	for _, r := range u.replicas {
		rs := r.status(&st)
		st.Replicas = append(st.Replicas, rs)
		open += rs.Links
		starting = starting || r.isOpening()
		if rs.Healthy && rs.Breaker != "open" && rs.Reason == "" {
			well++
		} else if st.Reason == "" {
			st.Reason = rs.Reason
		}
	}
	switch {
	case well == 0 && starting:
		st.State = Starting
	case well == 0:
		st.State = Unavailable
	case well < len(u.replicas):
		st.State = Degraded
	case open > 0:
		st.State, st.Reason = Ready, ""
	case starting:
		st.State = Starting
	default:
		st.State = Idle
	}
	return st
}

func (r *replica) isOpening() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.opening) > 0
}

func (r *replica) status(st *Status) ReplicaStatus {
	rs := ReplicaStatus{Address: r.opener.address(), Healthy: r.health.good(), InFlight: r.inFlight.Load()}
	state, why := r.breaker.state()
	rs.Breaker = state
	r.mu.Lock()
	rs.Links = len(r.links)
	for _, l := range r.links {
		st.Transport, st.Revision = l.how, string(l.revision)
		if l.memory != nil {
			rs.MemoryBytes += l.memory()
		}
	}
	if why == nil {
		why = r.failed
	}
	r.mu.Unlock()
	if reason := r.health.reason(); reason != nil {
		why = reason
	}
	if why != nil {
		rs.Reason, rs.Err = why.Error(), why
	}
	if c, ok := r.opener.(*command); ok {
		rs.process(c.last())
	}
	return rs
}

func (c *command) last() supervisor.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	var latest supervisor.Status
	for _, child := range c.all {
		if s := child.Status(); s.Starts > 0 && (latest.Starts == 0 || s.Started.After(latest.Started)) {
			latest = s
		}
	}
	return latest
}

func (rs *ReplicaStatus) process(s supervisor.Status) {
	rs.Process, rs.PID, rs.Starts, rs.Started, rs.Stderr = s.State.String(), s.PID, s.Starts, s.Started, s.Stderr
}

// publicReason is what callers may know of why a server cannot be reached:
// enough to act on, nothing of where it runs.
func publicReason(err error) string {
	var missing *supervisor.NotFoundError
	var crash *supervisor.CrashLoopError
	var exit *supervisor.ExitError
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case errors.Is(err, errIdle):
		return errIdle.Error()
	case errors.As(err, &missing):
		return "its program was not found"
	case errors.As(err, &crash):
		return "its program keeps ending; it is tried again later"
	case errors.As(err, &exit):
		return "its program ended during the start"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.As(err, &dns):
		return "its host name does not resolve"
	case errors.As(err, &op) && op.Timeout():
		return "it did not accept a connection in time"
	case answered(err):
		return fmt.Sprintf("it answered, but not as an MCP server (%s)", firstLine(err.Error()))
	}
	return "see the gateway's log or dragoman doctor"
}

// firstLine bounds what a server says to one short line.
func firstLine(s string) string {
	for i, c := range s {
		if c < ' ' || i >= 120 {
			return s[:i]
		}
	}
	return s
}
