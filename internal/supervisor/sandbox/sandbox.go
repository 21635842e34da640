// Package sandbox says what a child process may reach, finds out what of that
// this system can enforce, and enforces it in the process that becomes the child.
// It does not know servers, restarts or pipes, and keeps no process: whoever starts
// the command that Plan.Argv gives owns it.
//
// # How a child gets into it
//
//	guard ──fork──► this binary as "mcp-sandbox" ──restricts itself, execve──► program          (levels 0 and 1)
//	guard ──fork, new namespaces──► "mcp-sandbox" as process 1 ──fork──► "mcp-sandbox" ──execve──► program   (2 and 3)
//
// A process gives up its own rights and then becomes the program; nothing is
// enforced from outside, so nothing can be late. Process 1 of a namespace only
// collects what ends, and when it ends itself the kernel kills the rest.
package sandbox

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// Level says how much a child is kept from. Each has all that those below it have.
type Level int

const (
	// Off starts a child as any program starts another: it may gain privileges
	// (sudo, set-user-id programs).
	Off Level = -1
	// Clean: an environment of listed names, its own process group, no way to gain
	// privileges, no core files, and resource limits where they are set.
	Clean Level = 0
	// Files: reads, runs and writes only what the plan names, and signals only
	// processes of its own sandbox (Landlock).
	Files Level = 1
	// Namespaces: sees only its own processes, shares no memory objects with
	// others, has no capabilities, and has no network unless the plan gives it.
	Namespaces Level = 2
	// Calls: calls of the kernel that servers have no use for are refused (seccomp).
	Calls Level = 3
)

// Limits bound what a process may use; children of it have the same. Zero means
// no limit, or whatever the gateway itself has.
type Limits struct {
	OpenFiles    uint64 `json:"nofile,omitempty"`
	FileBytes    uint64 `json:"fsize,omitempty"` // of one file that it writes
	AddressSpace uint64 `json:"as,omitempty"`    // bytes; programs with a JIT reserve much more than they use
	DataBytes    uint64 `json:"data,omitempty"`  // private memory that may be written to, in bytes
	CPUSeconds   uint64 `json:"cpu,omitempty"`   // of one process over its whole life
}

// Bounds are what a child and all that it starts may use together.
type Bounds struct {
	Memory    int64   `json:"memory,omitempty"`    // bytes; 0 means no bound
	CPU       float64 `json:"cpu,omitempty"`       // of one processor: 0.5 is a half; 0 means no bound
	Processes int     `json:"processes,omitempty"` // 0 means no bound
}

// Rules are what an operator says about one child. The zero value is level 0
// without limits, which any server runs under.
type Rules struct {
	// Level is the one that is wanted. A system that gives less is not an error.
	Level Level
	// MinLevel is the one below which the child is not started.
	MinLevel Level
	// Read and Write are absolute paths besides those of Defaults; they count from level 1 on.
	Read, Write []string
	// NoNetwork leaves the child without one: wholly from level 2 on, without TCP at level 1.
	NoNetwork bool
	// Proxy, besides NoNetwork, gives it a proxy on its own loopback, which reaches Hosts; from level 2 on.
	Proxy bool
	// Hosts are destinations, as internal/egress reads them; none means all that are public.
	Hosts []string
	// TrustProxy leaves addresses that cannot be judged here to the proxy that the gateway itself has to go through.
	TrustProxy bool
	// NoCaches keeps it from the caches of package managers, which it may otherwise write to.
	NoCaches bool
	// Fetch says how the package of a child is fetched that is started by npx or uvx.
	Fetch  Fetch
	Limits Limits
	Bounds Bounds
}

// Fetch says how a package is fetched before its program is started. The zero value leaves that to the launcher.
type Fetch struct {
	// Before says that it is fetched beforehand, and the program then started without the launcher, on systems that
	// give Least at least.
	Before bool
	Least  Level
	// Hosts are where it may be fetched from, as internal/egress reads them; none means those of the client's settings.
	Hosts []string
	// Scripts lets what is fetched run programs of its own while it is installed.
	Scripts bool
	Timeout time.Duration // of all of it
	// Bytes bound what is installed, and from level 2 on also what comes over the network for it; each has all of them.
	// Below level 2 there is no proxy that could count what comes.
	Bytes int64
}

// Plan is all that the process needs to know that becomes the child.
type Plan struct {
	Level     Level    `json:"level"`
	Read      []string `json:"read,omitempty"`  // absolute; may be read and run
	Write     []string `json:"write,omitempty"` // absolute; may be read, run and written
	NoNetwork bool     `json:"no_network,omitempty"`
	Proxy     bool     `json:"proxy,omitempty"` // its listener is handed out over ProxySocket
	Limits    Limits   `json:"limits"`
	Groups    []string `json:"groups,omitempty"` // directories of control groups to enter
	Stage     int      `json:"stage,omitempty"`  // 1: process 1 of its namespaces
	Dumb      bool     `json:"dumb,omitempty"`   // end well instead of becoming a program: for Probe
}

// ProxySocket is the descriptor of the process that Plan.Argv starts over which the listener of a plan's proxy goes to
// whoever serves it: a UNIX socket. ProxyAddress is where programs in the sandbox find it.
const (
	ProxySocket  = 3
	ProxyAddress = "127.0.0.1:3128"
)

// Validate reports every fault.
func (r *Rules) Validate() error {
	var faults []error
	if r.Level < Off || r.Level > Calls || r.MinLevel > Calls {
		faults = append(faults, fmt.Errorf("level is %d and min_level %d; use off, 0, 1, 2 or 3", r.Level, r.MinLevel))
	}
	if r.MinLevel > max(r.Level, Clean) {
		faults = append(faults, fmt.Errorf("min_level %s is above level %s, so that the server would never start", r.MinLevel, r.Level))
	}
	for _, path := range slices.Concat(r.Read, r.Write) {
		if !filepath.IsAbs(path) {
			faults = append(faults, fmt.Errorf("path %q is not absolute", path))
		}
	}
	return errors.Join(faults...)
}

// Direct reports whether a child needs no process between: the guard itself can
// give it all that the plan asks for.
func (p *Plan) Direct() bool {
	return p.Level <= Clean && p.Limits == (Limits{}) && len(p.Groups) == 0
}

// Report is what this system can enforce.
type Report struct {
	Level    Level  `json:"level"`              // the highest
	Missing  string `json:"missing,omitempty"`  // why it is not the next higher one
	Landlock int    `json:"landlock,omitempty"` // version of the kernel's interface; 4 is needed to bound TCP, 6 for signals
	Groups   string `json:"groups,omitempty"`   // how memory and processor time are bounded: "cgroup v2", "cgroup v1", or why not
	Bounded  bool   `json:"bounded"`            // Groups is a way
}

// String is the name used in logs, health and the configuration.
func (l Level) String() string {
	if l == Off {
		return "off"
	}
	return fmt.Sprintf("%d", int(l))
}

// UnmetError refuses a start because this system cannot keep the child from as much as its configuration demands.
type UnmetError struct {
	Want, Have Level
	Missing    string // why Have is not more
}

// Error says what is missing, and the two ways out.
func (e *UnmetError) Error() string {
	return fmt.Sprintf("sandbox level %s is demanded by min_level and this system gives %s (%s): "+
		"give the gateway what is missing, or lower min_level", e.Want, e.Have, e.Missing)
}
