package supervisor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// Spec says what a child is and how it is kept. Only Name and Command are needed.
type Spec struct {
	// Name is the server's name: it is in every log line and error, and names the log and pid files. Children may share
	// a name (replicas, one child per session); they then share these files.
	Name string
	// Command is the program and its arguments. No shell is involved. A program without a slash is looked for in the
	// PATH that the child gets; a relative one is relative to Dir.
	Command []string
	// Env is set on top of the variables that every child inherits, and wins over them.
	Env map[string]string
	// Dir is where the child starts; empty means the gateway's own directory.
	Dir string

	// Sandbox is what the child may reach and use; its zero value is level 0.
	Sandbox sandbox.Rules

	// StartTimeout bounds the start itself, up to a running program; default 10 s.
	StartTimeout time.Duration
	// StopTimeout is how long the child has to end after its input was closed, and again after SIGTERM, before
	// everything is killed; default 5 s.
	StopTimeout time.Duration
	// MinBackoff is the wait before the first restart; it doubles with each exit in a row, and each wait is random
	// between half and the whole; default 500 ms.
	MinBackoff time.Duration
	// MaxBackoff is the longest wait and the pause in a crash loop; a process that ran for this long is taken as
	// healthy and clears the record; default 30 s.
	MaxBackoff time.Duration
	// CrashCount exits within CrashWindow are a crash loop; default 5 within 2 minutes.
	CrashCount  int
	CrashWindow time.Duration
	// StderrLines is how many of the last lines of standard error are kept for errors and reports; default 50.
	StderrLines int

	// OnChange is told each state change, in order. It runs with the child's lock held: it must not block and must not
	// call the Child. nil is fine.
	OnChange func(Change)

	// Admit is asked before each start, and before anything is fetched for it: an error keeps the child from being started,
	// as a *HeldError. It is called with nil first, and then, where what is started is fetched from a registry, with the
	// JSON text of parcel.Contents. Of several fetches of one package the latest is started that is admitted. It waits no
	// longer than ctx; nil admits everything.
	Admit func(ctx context.Context, contents []byte) error

	// Of a command of the supervisor's own, and of what it fetched before:
	phase, pack    string   // see Confinement
	remarks, unrun []string // see Confinement
	meter          *meter   // of what comes through its proxy; nil counts nothing
	once           bool     // its end is no crash, and it is not started again
}

// Change is one step of a child from one state to another.
type Change struct {
	Name  string // of the Spec
	State State  // the new one
	PID   int    // of the process it is about; 0 when there is none
	Err   error  // why the child is in backoff or crash-loop
}

// State says where a child is between two processes.
type State int

// The states of a child. Only Running has a process that can be used.
const (
	StateStopped   State = iota // no process, a start is allowed at once
	stateStarting               // the program is being started
	StateRunning                // a process runs
	StateBackoff                // it ended by itself; the next start waits for the backoff to pass
	StateCrashLoop              // it ended too often; starts are refused until the pause has passed
	stateStopping               // the process and what it started are being ended
	stateFetching               // no process; its package is being fetched (only in Status)
)

// String is the name used in logs, metrics and health reports.
func (s State) String() string {
	switch s {
	case StateStopped:
		return "stopped"
	case stateStarting:
		return "starting"
	case StateRunning:
		return "running"
	case StateBackoff:
		return "backoff"
	case StateCrashLoop:
		return "crash-loop"
	case stateStopping:
		return "stopping"
	case stateFetching:
		return "fetching"
	default:
		return fmt.Sprintf("state %d", int(s))
	}
}

// complete returns s with its defaults filled in.
func (s Spec) complete() Spec {
	duration := func(d *time.Duration, otherwise time.Duration) {
		if *d <= 0 {
			*d = otherwise
		}
	}
	duration(&s.StartTimeout, 10*time.Second)
	duration(&s.StopTimeout, 5*time.Second)
	duration(&s.MinBackoff, 500*time.Millisecond)
	duration(&s.MaxBackoff, 30*time.Second)
	duration(&s.CrashWindow, 2*time.Minute)
	s.MaxBackoff = max(s.MaxBackoff, s.MinBackoff)
	if s.CrashCount <= 0 {
		s.CrashCount = 5
	}
	if s.StderrLines <= 0 {
		s.StderrLines = 50
	}
	return s
}

// validate reports every fault that would make a start impossible or unsafe. A NUL byte would silently cut an argument
// short in the kernel's interface, and a name with a slash would leave the log directory.
func (s Spec) validate() error {
	var faults []error
	if s.Name == "" || strings.ContainsAny(s.Name, "/\\\x00") || strings.HasPrefix(s.Name, ".") {
		faults = append(faults, fmt.Errorf("name %q: use a name without slashes that does not start with a dot", s.Name))
	}
	if len(s.Command) == 0 || s.Command[0] == "" {
		faults = append(faults, errors.New("command is empty: name a program to start"))
	}
	for i, arg := range s.Command {
		if strings.ContainsRune(arg, 0) {
			faults = append(faults, fmt.Errorf("command: argument %d contains a NUL byte", i))
		}
	}
	for name, value := range s.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			faults = append(faults, fmt.Errorf("env: %q is not a name of a variable", name))
		}
		if strings.ContainsRune(value, 0) {
			faults = append(faults, fmt.Errorf("env: the value of %s contains a NUL byte", name))
		}
	}
	if strings.ContainsRune(s.Dir, 0) {
		faults = append(faults, fmt.Errorf("dir %q contains a NUL byte", s.Dir))
	}
	if err := s.Sandbox.Validate(); err != nil {
		faults = append(faults, fmt.Errorf("sandbox: %w", err))
	}
	if len(faults) > 0 {
		return fmt.Errorf("check the command of server %q: %w", s.Name, errors.Join(faults...))
	}
	return nil
}
