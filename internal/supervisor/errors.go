package supervisor

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrClosed is returned for a start after Close.
var ErrClosed = errors.New("supervisor: closed")

// NotFoundError says that a command is not where it was looked for.
type NotFoundError struct {
	Command string // as configured
	Path    string // the PATH that was searched; empty when the command has a slash
	Dir     string // what a relative command was relative to
}

// Error names the command and the PATH, so that the reader sees which of the two to mend.
func (e *NotFoundError) Error() string {
	if e.Path == "" && strings.ContainsRune(e.Command, '/') {
		return fmt.Sprintf("find command %q: no such program (relative to %s): check the path, and that it is executable",
			e.Command, orGateway(e.Dir))
	}
	return fmt.Sprintf("find command %q: not in PATH (%s): install it, give its absolute path, or set PATH in env",
		e.Command, e.Path)
}

func orGateway(dir string) string {
	if dir == "" {
		return "the gateway's directory"
	}
	return dir
}

// ExitError says how a process ended that was not asked to.
type ExitError struct {
	Name   string
	PID    int
	Code   int           // exit code; -1 when a signal ended it
	Signal string        // as "killed"; empty when it exited
	Uptime time.Duration // from start to exit
	Reason error         // why the supervisor or the owner ended it, if they did; else nil
	Stderr []string      // its last lines of standard error, oldest first

	errand bool // it was no server's, but of a command that fetched for one
}

// Error is one line with the last words of the process.
func (e *ExitError) Error() string {
	how := fmt.Sprintf("exited with code %d", e.Code)
	if e.Signal != "" {
		how = "was ended by signal: " + e.Signal
	}
	if e.Reason != nil {
		how += fmt.Sprintf(" (%v)", e.Reason)
	}
	who := fmt.Sprintf("server %q", e.Name)
	if e.errand {
		who = "it"
	}
	return fmt.Sprintf("%s %s after %s%s", who, how, round(e.Uptime), lastWords(e.Stderr))
}

// Unwrap gives the reason.
func (e *ExitError) Unwrap() error { return e.Reason }

// CrashLoopError refuses a start because the child keeps ending.
type CrashLoopError struct {
	Name  string
	Exits int           // in a row
	Wait  time.Duration // until a start is tried again
	Err   error         // the last end: an *ExitError, or why it could not be started
}

// Error says what happened, when it is tried again, and the last words.
func (e *CrashLoopError) Error() string {
	return fmt.Sprintf("server %q is in a crash loop: %d exits in a row, next try in %s; last: %v",
		e.Name, e.Exits, round(e.Wait), e.Err)
}

// Unwrap gives the last end.
func (e *CrashLoopError) Unwrap() error { return e.Err }

// HeldError says that a child is not started because what would be is not admitted (Spec.Admit).
type HeldError struct {
	Name string
	Err  error // of Admit
}

// Error says whose start it is, and why not.
func (e *HeldError) Error() string { return fmt.Sprintf("server %q is not started: %v", e.Name, e.Err) }

// Unwrap gives the reason.
func (e *HeldError) Unwrap() error { return e.Err }

// lastWords is the end of a child's standard error for an error text: at most 5 lines, 300 bytes each.
func lastWords(lines []string) string {
	const most, width = 5, 300
	if len(lines) == 0 {
		return "; it wrote nothing to stderr"
	}
	lines = lines[max(0, len(lines)-most):]
	short := make([]string, len(lines))
	for i, line := range lines {
		short[i] = line
		if len(line) > width {
			short[i] = strings.ToValidUTF8(line[:width], "") + "…"
		}
	}
	return "; last lines of stderr: " + strings.Join(short, " | ")
}

func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}
