package supervisor

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// Confinement is how far a child was kept from the rest when it was last started.
type Confinement struct {
	Level  sandbox.Level
	Wanted sandbox.Level
	// Phase is "fetch" for what fetches a package, "run" for a program that was fetched before; else empty.
	Phase string
	// Package is what is fetched, or was; with its version where that is known. Empty without a Phase.
	Package string
	// Notes say what of its rules is not enforced, and why; empty when all is.
	Notes []string
	// Remarks say what of its package is less than could be: an old one, one that its launcher fetches itself.
	Remarks []string
	// Unrun are packages whose install scripts were not run, at most 10.
	Unrun []string
}

// RulesOf are what a configuration says about the sandbox of a child.
func RulesOf(u config.Upkeep) sandbox.Rules {
	s := u.Sandbox
	r := sandbox.Rules{
		Level: sandbox.Level(s.Level), MinLevel: sandbox.Level(s.MinLevel), Read: s.Read, Write: s.Write,
		NoNetwork: s.Network == "none" || s.Network == "proxy" || s.Network == "auto" && s.Level >= int(sandbox.Namespaces),
		Proxy:     s.Network == "proxy", Hosts: s.Hosts, TrustProxy: s.TrustProxy,
		Limits: sandbox.Limits{OpenFiles: uint64(s.OpenFiles), FileBytes: uint64(s.FileSize), AddressSpace: uint64(s.AddressSpace),
			CPUSeconds: uint64(s.CPUTime / time.Second)},
		Bounds: sandbox.Bounds{Memory: int64(u.MemoryLimit), CPU: u.CPUQuota / 100, Processes: s.Processes},
	}
	if s.Privileges {
		r.Level = sandbox.Off
	}
	f := s.Fetch
	if f.When == "always" || f.When == "auto" && r.NoNetwork && s.Level >= int(sandbox.Files) {
		r.Fetch = sandbox.Fetch{Before: true, Least: sandbox.Files, Hosts: f.Hosts, Scripts: f.Scripts, Timeout: f.Timeout, Bytes: int64(f.Size)}
		if f.When == "always" {
			r.Fetch.Least = sandbox.Off
		}
	}
	return r
}

// Sandboxes reports which sandboxes this system gives to children. The answer is
// found once.
func (s *Supervisor) Sandboxes(ctx context.Context) sandbox.Report {
	s.probeMu.Lock()
	defer s.probeMu.Unlock()
	if s.probed == nil {
		r := s.spawner.report(ctx)
		if ctx.Err() != nil {
			return r // what was found in a hurry is not kept
		}
		s.probed = &r
	}
	return *s.probed
}

// known is the level that this system gives to children, if it was found already; else the highest.
func (s *Supervisor) known() sandbox.Level {
	s.probeMu.Lock()
	defer s.probeMu.Unlock()
	if s.probed == nil {
		return sandbox.Calls
	}
	return s.probed.Level
}

// confine completes a launch with the sandbox that its rules ask for.
func (s *Supervisor) confine(ctx context.Context, l *launch, spec *Spec) (Confinement, error) {
	r := &spec.Sandbox
	c := Confinement{Level: min(r.Level, sandbox.Clean), Wanted: r.Level, Phase: spec.phase, Package: spec.pack,
		Remarks: spec.remarks, Unrun: spec.unrun}
	plan := &sandbox.Plan{Level: r.Level, NoNetwork: r.NoNetwork, Limits: r.Limits}
	l.plan = plan
	if r.Level <= sandbox.Clean && r.Bounds == (sandbox.Bounds{}) {
		return c, nil
	}
	system := s.Sandboxes(ctx)
	plan.Level = min(r.Level, system.Level)
	c.Level = plan.Level
	if c.Level < r.MinLevel {
		return c, &sandbox.UnmetError{Want: r.MinLevel, Have: c.Level, Missing: system.Missing}
	}
	if c.Level < r.Level {
		c.Notes = append(c.Notes, fmt.Sprintf("level %s is wanted: %s", r.Level, system.Missing))
	}
	if plan.Level >= sandbox.Files {
		variable := func(name string) string { return lookup(l.env, name) }
		if !r.NoCaches {
			sandbox.Prepare(spec.Command[0], variable)
		}
		read, write := sandbox.Defaults(l.path, spec.Dir, variable)
		if r.NoCaches {
			write = sandbox.Temporary(variable)
		}
		for _, path := range slices.Concat(r.Read, r.Write) {
			if _, err := os.Stat(path); err != nil {
				c.Notes = append(c.Notes, fmt.Sprintf("read and write: %v", err))
			}
		}
		plan.Read, plan.Write = append(read, r.Read...), append(write, r.Write...)
	}
	switch {
	case plan.Level >= sandbox.Namespaces && r.Proxy && s.tunnel != nil:
		plan.Proxy = true
		l.env = throughProxy(l.env)
	case r.Proxy:
		c.Notes = append(c.Notes, "network: there is no proxy below level 2; only TCP is closed there, and nothing below level 1")
	case r.NoNetwork && plan.Level < sandbox.Namespaces:
		c.Notes = append(c.Notes, "network: only TCP is closed below level 2, and nothing below level 1")
	}
	bound(&c, l, r.Bounds, system)
	return c, nil
}

// bound enforces memory and processor time by control groups where there are any.
// Elsewhere memory is watched (see overuse), and a limit of the kernel on each
// process stops what grows faster than that.
func bound(c *Confinement, l *launch, b sandbox.Bounds, system sandbox.Report) {
	switch {
	case b == (sandbox.Bounds{}):
	case system.Bounded:
		l.bounds = &b
	default:
		if b.Memory > 0 && l.plan.Limits.DataBytes == 0 {
			l.plan.Limits.DataBytes = 2*uint64(b.Memory) + 256<<20
		}
		if b.CPU > 0 {
			c.Notes = append(c.Notes, "cpu_quota is not enforced: "+system.Groups)
		}
		if b.Processes > 0 {
			c.Notes = append(c.Notes, "the limit of processes is not enforced: "+system.Groups)
		}
	}
}

// overuseInterval is how often the memory of a child with a limit is looked at.
const overuseInterval = time.Second

// overuseError is the reason for which a child was killed that used more memory
// than it may.
type overuseError struct{ Used, Limit int64 } // bytes

// Error says both figures.
func (e *overuseError) Error() string {
	return fmt.Sprintf("it used %d MiB of memory and its memory_limit is %d MiB", e.Used>>20, e.Limit>>20)
}

// guardMemory kills p when it and what it started use more than limit together,
// until it has ended. A control group enforces this sooner; what is found here has
// a reason that can be told.
func guardMemory(p *Process, limit int64) {
	tick := time.NewTicker(overuseInterval)
	defer tick.Stop()
	for {
		select {
		case <-p.task.exited:
			return
		case <-tick.C:
		}
		if used, err := p.Usage(); err == nil && used.RSSBytes > limit {
			p.Kill(&overuseError{Used: used.RSSBytes, Limit: limit})
			return
		}
	}
}

// OfPackage are Remarks and Unrun as sentences.
func (c Confinement) OfPackage() []string { return slices.Concat(c.Remarks, unrunNote(c.Unrun)) }

// String is the confinement in a line for health reports.
func (c Confinement) String() string {
	text := "level " + c.Level.String()
	if c.Phase != "" {
		text += ", " + c.Phase + " phase of " + c.Package
	}
	if notes := slices.Concat(c.Notes, c.OfPackage()); len(notes) > 0 {
		text += " (" + strings.Join(notes, "; ") + ")"
	}
	return text
}
