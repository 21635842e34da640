package upstream

import (
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
	Reason    string // why it is not ready, without addresses; empty when it is
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
	Reason   string // the whole cause, for the operator
	Err      error  // what Reason is the text of; nil when that is empty
	// Of the process that was started last, where it is one:
	Process string // its state; empty when it is none
	PID     int
	// MemoryBytes is what the processes of all open links hold.
	MemoryBytes uint64
	Starts      int
	Started     time.Time
	Stderr      []string
	Sandbox     string // how far it is kept from the rest, as "level 1"; empty when none was started
}

// Status reports what is known now; it asks nobody.
func (u *Upstream) Status() Status {
	st := Status{
		Server: u.cfg.Name, InFlight: u.inFlight.Load(), Calls: u.calls.Load(),
		Failures: u.failures.Load(), Waiting: u.gate.waiting.Load(),
	}
	well, open, starting := 0, 0, false
	for _, r := range u.replicas {
		rs, why, opening := r.status(&st)
		st.Replicas = append(st.Replicas, rs)
		open += rs.Links
		starting = starting || opening
		if why == nil {
			well++
		} else if st.Reason == "" {
			st.Reason = publicReason(why)
		}
	}
	switch {
	case well == 0 && starting && u.fresh():
		st.State = Starting
	case well == 0:
		st.State = Unavailable
	case well < len(u.replicas):
		st.State = Degraded
	case open > 0:
		st.State = Ready
	case starting:
		st.State = Starting
	default:
		st.State = Idle
	}
	return st
}

// fresh reports whether no replica is turned away from, so that what is starting
// may be all that is missing.
func (u *Upstream) fresh() bool {
	for _, r := range u.replicas {
		if !r.fit() {
			return false
		}
	}
	return true
}

// status also returns why the replica cannot be called, nil if it can, and
// whether it is being opened.
func (r *replica) status(st *Status) (rs ReplicaStatus, why error, opening bool) {
	rs = ReplicaStatus{Address: r.opener.address(), Healthy: !r.health.ill.Load(), InFlight: r.inFlight.Load()}
	rs.Breaker, _, why = r.breaker.state()
	if rs.Breaker == "half-open" {
		why = nil // the next call goes to it
	}
	if reason := r.health.reason(); reason != nil {
		why = reason
	}
	for _, l := range r.live() {
		rs.Links++
		st.Transport, st.Revision = l.how, string(l.revision)
		if reason := l.state.reason(); reason != nil {
			why, rs.Healthy = reason, false
		}
		if l.memory != nil {
			rs.MemoryBytes += l.memory()
		}
	}
	r.mu.Lock()
	opening = len(r.opening) > 0
	switch {
	case r.over != nil:
		why = &endedError{r.over}
	case why == nil && rs.Links == 0:
		why = r.failed
	}
	r.mu.Unlock()
	if why != nil {
		rs.Reason, rs.Err = why.Error(), why
	}
	if c, ok := r.opener.(*command); ok {
		rs.process(c.last())
	}
	return rs, why, opening
}

func (rs *ReplicaStatus) process(s supervisor.Status) {
	rs.Process, rs.PID, rs.Starts, rs.Started, rs.Stderr = s.State.String(), s.PID, s.Starts, s.Started, s.Stderr
	if s.Starts > 0 || s.Sandbox.Phase != "" {
		rs.Sandbox = s.Sandbox.String()
	}
}
