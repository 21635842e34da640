package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/parcel"
	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// killWait is how long anything takes at most to be gone after SIGKILL; what is still there waits in the kernel for a
// device, and is given up on.
const killWait = 5 * time.Second

// drainTime is how long the owner may read what a process wrote before it ended.
const drainTime = 2 * time.Second

// Options are what all children share. The zero value works.
type Options struct {
	// Log gets starts, exits and state changes, and the children's standard error; nil discards them.
	Log *slog.Logger
	// Environ is the gateway's environment as NAME=value; children inherit the few variables that environ.go names. When
	// empty they inherit nothing, not even a PATH.
	Environ []string
	// LogDir gets NAME.log with what the children of that name write to standard error; empty means no files.
	LogDir string
	// LogBytes is when a log file is full and is renamed to NAME.log.1; default 10 MiB.
	LogBytes int64
	// LogFiles is how many renamed log files are kept per server; default 1.
	LogFiles int
	// Redact makes a function that takes what no log may have out of the lines of one text, one after the other. It is
	// called for each process's standard error, of which neither the log, nor the file, nor a report gets anything else,
	// and for what a process writes besides messages (Process.Redactor). Nil leaves lines as they are.
	Redact func() func(line string) string
	// Started is told of each process that was started and of how far it is kept from the rest, in a goroutine that Close
	// waits for; nil is fine.
	Started func(server string, pid int, c Confinement)
	// Fetched is told of each package that was fetched, or was not, in a goroutine that Close waits for; nil is fine.
	Fetched func(server string, r parcel.Report)
	// PackageDir is where packages are fetched into, one directory for each; it is made when the first one is. Children
	// must not be able to write there. When empty nothing is fetched beforehand, which is reported.
	PackageDir string
	// Tunnel serves the proxy of a child whose sandbox has one: it takes connections of l until ctx ends or l is closed,
	// closes it, and returns when all of them have ended. server is the child's name, rules are its own, of which Hosts
	// and TrustProxy count. Nil leaves such children without a network.
	Tunnel func(ctx context.Context, l net.Listener, server string, rules *sandbox.Rules)
	// PIDDir gets NAME.pid, with one process id per line; empty means none.
	PIDDir string
	// Direct starts children without the guard, with the lesser promise of other systems (see the package comment). It is
	// for programs that cannot call ShimMain first.
	Direct bool
}

// Supervisor starts children and ends them. Close ends all of them and waits.
type Supervisor struct {
	times   times
	log     *slog.Logger
	redact  func() func(string) string
	told    func(string, int, Confinement)
	tunnel  func(context.Context, net.Listener, string, *sandbox.Rules)
	environ []string
	spawner spawner
	traces  *traces
	store   *store

	probeMu sync.Mutex      // guards probed, and is held while sandboxes are tried
	probed  *sandbox.Report // nil before anybody asked

	mu       sync.Mutex // guards the rest
	children []*Child
	closed   bool
}

// times are waits for what usually takes a moment, and what they are bounded by: see
// lingerTime and lastWordsTime; and the first wait after a fetch that failed.
type times struct{ linger, lastWords, fetch time.Duration }

// New makes the directories for logs and pid files. Nothing is started before a Child is asked for a process.
func New(opts Options) (*Supervisor, error) {
	var s spawner = &direct{}
	if !opts.Direct {
		s = newSpawner()
	}
	return newSupervisor(opts, s)
}

func newSupervisor(opts Options, s spawner) (*Supervisor, error) {
	for _, dir := range []string{opts.LogDir, opts.PIDDir} {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make directory for children's files: %w", err)
		}
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Redact == nil {
		opts.Redact = func() func(string) string { return func(line string) string { return line } }
	}
	if opts.LogBytes <= 0 {
		opts.LogBytes = 10 << 20
	}
	if opts.LogFiles <= 0 {
		opts.LogFiles = 1
	}
	sup := &Supervisor{
		times:   times{linger: lingerTime, lastWords: lastWordsTime, fetch: fetchBackoff},
		log:     opts.Log,
		redact:  opts.Redact,
		told:    opts.Started,
		tunnel:  opts.Tunnel,
		environ: slices.Clone(opts.Environ),
		spawner: s,
		traces: &traces{logDir: opts.LogDir, pidDir: opts.PIDDir, logBytes: opts.LogBytes, logFiles: opts.LogFiles,
			logs: map[string]*logFile{}, pids: map[string][]int{}},
	}
	sup.store = newStore(sup, opts.PackageDir, opts.Fetched)
	return sup, nil
}

// Add makes a child that is not started yet. The caller closes it, or the supervisor does in Close. A wrong spec is
// reported with all its faults; whether the command exists is only known at its start.
func (s *Supervisor) Add(spec Spec) (*Child, error) {
	if err := spec.validate(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	file, err := s.traces.acquire(spec.Name)
	if err != nil {
		return nil, err
	}
	c := &Child{
		errand:  newFetch(&spec, s.environ),
		spec:    spec.complete(),
		sup:     s,
		log:     s.log.With("server", spec.Name),
		file:    file,
		quit:    make(chan struct{}),
		changed: make(chan struct{}),
	}
	s.children = append(s.children, c)
	return c, nil
}

// Close stops all children in parallel, each as Stop does, and waits until all that they started is gone.
func (s *Supervisor) Close() error {
	s.mu.Lock()
	s.closed = true
	children := slices.Clone(s.children)
	s.mu.Unlock()
	errs := make([]error, len(children))
	var wg sync.WaitGroup
	for i, c := range children {
		wg.Go(func() { errs[i] = c.Close() })
	}
	wg.Wait()
	s.store.close()
	s.spawner.close()
	return errors.Join(errs...)
}

// remove forgets a closed child.
func (s *Supervisor) remove(c *Child) {
	s.mu.Lock()
	s.children = slices.DeleteFunc(s.children, func(other *Child) bool { return other == c })
	s.mu.Unlock()
	s.traces.release(c.spec.Name)
}

// launch resolves a spec against the environment that its child will have, and
// against the sandboxes that there are.
func (s *Supervisor) launch(ctx context.Context, spec *Spec) (launch, Confinement, error) {
	env := environ(s.environ, spec.Env)
	path, err := resolve(spec.Command[0], spec.Dir, env)
	if err != nil {
		return launch{}, Confinement{}, err
	}
	dir, err := filepath.Abs(spec.Dir)
	if err != nil {
		return launch{}, Confinement{}, fmt.Errorf("find directory: %w", err)
	}
	if spec.Env["PWD"] == "" {
		env = append(env, "PWD="+dir) // programs that trust it must not see the gateway's
	}
	l := launch{path: path, argv: spec.Command, env: env, dir: dir}
	c, err := s.confine(ctx, &l, spec)
	return l, c, err
}
