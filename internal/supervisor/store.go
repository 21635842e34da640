package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/parcel"
	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// Waits and bounds of fetches that are nobody's to configure.
const (
	fetchesAtOnce   = 2 // others wait for their turn, within their own time
	fetchBackoff    = 5 * time.Second
	maxFetchBackoff = 5 * time.Minute
	fetchMemory     = 2 << 30 // of the client, which is not the server that memory_limit is about
	keptFetches     = 2       // of one package: the one before may still be in use
)

// Files that the store writes into the directory of a fetch.
const (
	markerName   = "fetched.json"  // it is complete: this is written last
	contentsName = "contents.json" // what was fetched: parcel.Contents
	admittedName = "admitted"      // a server was started from it that has to be admitted
)

// store keeps fetched packages:
//
//	PackageDir/KEY/TIME-…/               one fetch
//	                      fetched.json   it is complete
//	                      contents.json  what it has
//	                      node_modules/  or venv/
//
// A directory is never changed once it is complete, since programs run from it.
type store struct {
	sup    *Supervisor
	dir    string // empty: there is no place
	told   func(string, parcel.Report)
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	places chan struct{}

	mu     sync.Mutex // guards what follows
	shelf  map[string]*shelf
	stamps map[string]string // parcel.Stamp of directories that were found to be as they were fetched
	closed bool
}

// shelf is what is known of one key. There are as many as servers.
type shelf struct {
	flight *flight // the fetch that is under way
	fresh  bool    // what moves was looked for since this process started
	row    int     // failures since the last success
	until  time.Time
	err    *FetchError // of the last failure
}

// flight is one fetch.
type flight struct {
	done     chan struct{}
	since    time.Time
	confined Confinement
	got      *fetched // with err, set before done is closed
	err      error
}

// fetched is a package that is there.
type fetched struct {
	Package string        `json:"package"` // with its version
	Level   sandbox.Level `json:"level"`   // that it was fetched at
	Open    bool          `json:"open"`    // and with the network of the machine
	At      time.Time     `json:"at"`
	Digest  string        `json:"digest"` // parcel.Contents has it too
	Seal    string        `json:"seal"`   // parcel.Seal of its directory

	dir      string
	found    parcel.Found
	stale    error  // why it is not a newer one
	heldBack string // the newer one that is not admitted
}

// remarks say what is less of it than could be.
func (f *fetched) remarks() (notes []string) {
	if f.Open {
		notes = append(notes, "fetch: with the network of the machine, since there is no proxy below level 2")
	}
	if f.stale != nil {
		notes = append(notes, fmt.Sprintf("fetch: what was fetched on %s is used, since no newer could be: %v", f.At.Format(time.DateOnly), f.stale))
	}
	if f.heldBack != "" {
		notes = append(notes, fmt.Sprintf("fetch: what was fetched on %s is used, since %s, which is newer, is held back until it is approved", f.At.Format(time.DateOnly), f.heldBack))
	}
	return notes
}

// scriptsHint is what to do about install scripts that were not run.
const scriptsHint = "if the program does not work without, set sandbox.fetch.scripts"

// unrunNote names packages whose install scripts were not run; nil for none.
func unrunNote(packages []string) []string {
	if len(packages) == 0 {
		return nil
	}
	return []string{"fetch: the install scripts of " + strings.Join(packages, ", ") + " were not run; " + scriptsHint}
}

func newStore(sup *Supervisor, dir string, told func(string, parcel.Report)) *store {
	s := &store{sup: sup, dir: dir, told: told, places: make(chan struct{}, fetchesAtOnce), shelf: map[string]*shelf{}, stamps: map[string]string{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// close ends all fetches and waits for them.
func (s *store) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.wg.Wait()
}

// maxFlights bounds how many fetches for others a child waits for that turn out not to be good enough for it.
const maxFlights = 8

// get returns the package of a child. A fetch that is under way for another one, at a level that is too low for this one, is
// waited for too: then there is another.
func (s *store) get(ctx context.Context, c *Child) (got *fetched, err error) {
	for range maxFlights {
		if got, err = s.once(ctx, c); err != nil || got.Level >= c.errand.least {
			return got, err
		}
	}
	return nil, fmt.Errorf("wait for package %s of server %q: it is fetched for others all the time, at level %s", c.errand.parcel, c.spec.Name, got.Level)
}

func (s *store) once(ctx context.Context, c *Child) (*fetched, error) {
	f, have, err := s.demand(c)
	if f == nil {
		return have, err
	}
	select {
	case <-f.done:
		return f.got, f.err
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for package %s of server %q, which is being fetched for %s and goes on: %w",
			c.errand.parcel, c.spec.Name, round(time.Since(f.since)), context.Cause(ctx))
	}
}

// demand gives a fetch to wait for, what is there, or an error.
func (s *store) demand(c *Child) (*flight, *fetched, error) {
	e := c.errand
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, ErrClosed
	}
	sh := s.shelf[e.key]
	if sh == nil {
		sh = &shelf{}
		s.shelf[e.key] = sh
	}
	if sh.flight != nil {
		return sh.flight, nil, nil
	}
	have := s.newest(e)
	wait := time.Until(sh.until)
	switch {
	case have != nil && (!e.parcel.Moving || sh.fresh):
		return nil, have, nil
	case wait > 0 && have != nil:
		have.stale = sh.err.Err
		return nil, have, nil
	case wait > 0:
		again := *sh.err
		again.Name, again.Wait = c.spec.Name, wait
		return nil, nil, &again
	case s.dir == "":
		return nil, nil, &FetchError{Name: c.spec.Name, Package: e.parcel.String(), Err: errors.New("no directory for packages is configured: set processes.package_dir")}
	}
	f := &flight{done: make(chan struct{}), since: time.Now()}
	f.confined = Confinement{Level: min(max(c.spec.Sandbox.Level, sandbox.Namespaces), s.sup.known()), Wanted: c.spec.Sandbox.Level,
		Phase: "fetch", Package: e.parcel.String()}
	sh.flight = f
	s.wg.Go(func() { s.fly(c, sh, f, have) })
	return f, nil, nil
}

// fly fetches, and tells who waits and who listens.
func (s *store) fly(c *Child, sh *shelf, f *flight, have *fetched) {
	e := c.errand
	ctx, cancel := context.WithTimeoutCause(s.ctx, e.rules.Timeout, errTime)
	defer cancel()
	t := &trip{store: s, child: c, ctx: ctx}
	c.log.Info("package is being fetched", "package", e.parcel.String())
	got, err := t.fetch()
	if ctx.Err() != nil && err != nil && !errors.Is(err, context.Cause(ctx)) {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	s.mu.Lock()
	sh.flight = nil
	if err == nil {
		sh.row, sh.fresh, sh.until, sh.err = 0, true, time.Time{}, nil
	} else {
		sh.row++
		wait := jitter(doubled(s.sup.times.fetch, maxFetchBackoff, sh.row-1))
		sh.until = time.Now().Add(wait)
		sh.err = &FetchError{Name: c.spec.Name, Package: e.parcel.String(), Hosts: t.hosts, Wait: wait, Err: err, rules: e.rules}
	}
	switch {
	case err == nil:
		f.got = got
	case have != nil:
		have.stale = err
		f.got = have
	case s.closed:
		f.err = ErrClosed
	default:
		f.err = sh.err
	}
	s.mu.Unlock()
	close(f.done)
	s.tell(c, t, f, err)
}

// tell logs and reports how a fetch ended.
func (s *store) tell(c *Child, t *trip, f *flight, err error) {
	told := parcel.Report{Package: c.errand.parcel.String(), Level: f.confined.Level.String(), Hosts: t.hosts,
		Bytes: t.bytes, Traffic: t.traffic(), Took: time.Since(f.since), Err: err}
	if err == nil {
		told.Package, told.Level, told.Notes = f.got.Package, f.got.Level.String(), append(f.got.remarks(), unrunNote(f.got.found.Unrun)...)
		c.log.Info("package was fetched", "package", told.Package, "bytes", told.Bytes, "traffic", told.Traffic, "duration", told.Took, "notes", told.Notes)
	} else {
		c.log.Warn("package was not fetched", "package", told.Package, "err", err, "hint", (&FetchError{Hosts: t.hosts, Err: err, rules: c.errand.rules}).Remedy())
	}
	if s.told != nil {
		s.told(c.spec.Name, told)
	}
}

// underWay reports whether a package is being fetched, and how.
func (s *store) underWay(key string) (bool, Confinement) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sh := s.shelf[key]; sh != nil && sh.flight != nil {
		return true, sh.flight.confined
	}
	return false, Confinement{}
}

// pardon lets a fetch that failed be tried again at once, and one of what moves be made again.
func (s *store) pardon(e *fetch) {
	if e == nil || e.parcel == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sh := s.shelf[e.key]; sh != nil {
		sh.row, sh.until, sh.fresh = 0, time.Time{}, false
	}
}

// fetches are the directories of one key, oldest first.
func (s *store) fetches(key string) []string {
	dir := filepath.Join(s.dir, key)
	entries, err := os.ReadDir(dir)
	if err != nil || s.dir == "" {
		return nil // none yet
	}
	var dirs []string
	for _, entry := range entries {
		if entry.IsDir() {
			dirs = append(dirs, filepath.Join(dir, entry.Name()))
		}
	}
	slices.Sort(dirs) // their names begin with the time
	return dirs
}

// newest is the latest complete fetch that is good enough; nil if there is none.
func (s *store) newest(e *fetch) *fetched {
	for _, dir := range slices.Backward(s.fetches(e.key)) {
		if f := e.open(dir); f != nil {
			return f
		}
	}
	return nil
}

// candidates are all such fetches, the latest first.
func (s *store) candidates(e *fetch) (all []*fetched) {
	for _, dir := range slices.Backward(s.fetches(e.key)) {
		if f := e.open(dir); f != nil {
			all = append(all, f)
		}
	}
	return all
}

// open reads a fetch; nil when it is not complete, its program is not there, or it was made at a level below the least that
// its server may have.
func (e *fetch) open(dir string) *fetched {
	text, err := os.ReadFile(filepath.Join(dir, markerName))
	if err != nil {
		return nil
	}
	f := &fetched{dir: dir}
	if json.Unmarshal(text, f) != nil || f.Digest == "" || f.Level < e.least {
		return nil
	}
	if f.found, err = e.parcel.Find(dir, e.rules.Scripts); err != nil {
		return nil
	}
	return f
}

// prune removes all fetches of a key but the latest complete ones, the latest that servers were admitted to, and those that
// another gateway may be making.
func (s *store) prune(key string) {
	complete, admitted := 0, 0
	for _, dir := range slices.Backward(s.fetches(key)) {
		if _, err := os.Stat(filepath.Join(dir, markerName)); err == nil {
			complete++
			if _, err := os.Stat(filepath.Join(dir, admittedName)); err == nil {
				admitted++
			} else if complete > keptFetches {
				s.discard(dir)
				continue
			}
			if complete <= keptFetches || admitted <= keptFetches {
				continue
			}
		} else if info, err := os.Stat(dir); err != nil || time.Since(info.ModTime()) < 2*time.Hour { // longer than any fetch may take
			continue
		}
		s.discard(dir)
	}
}

// discard removes a fetch; the next prune tries again where that fails.
func (s *store) discard(dir string) {
	_ = os.RemoveAll(dir)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.stamps, dir)
}
