package supervisor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/parcel"
	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// What npx, bunx, uvx and pipx run start is fetched in a phase of its own, where the program itself has no network: the client that
// they are made of (npm, bun, uv, pip) fetches it into a directory, with a proxy as its only way out that leads to registries, and
// without running anything of it. Then the program is started from there, with what its sandbox gives it, which neither
// has to include a network nor the client's cache.

// fetch is what a child needs to have fetched, and what has come of it.
type fetch struct {
	parcel *parcel.Parcel // nil when it is not known how to fetch it
	rules  sandbox.Fetch
	key    string
	least  sandbox.Level // at which the package has to have been fetched
	note   string        // why it is left to the launcher; empty when it is not

	got *fetched // after Prepare; guarded by Child.mu, as is err
	err error    // why the latest Prepare failed
}

// Defaults of what bounds a fetch.
const (
	fetchTime  = 5 * time.Minute
	fetchBytes = 1 << 30
)

// newFetch is nil for what is not to be fetched beforehand.
func newFetch(spec *Spec, gateway []string) *fetch {
	rules := spec.Sandbox.Fetch
	if !rules.Before {
		return nil
	}
	if rules.Timeout <= 0 {
		rules.Timeout = fetchTime
	}
	if rules.Bytes <= 0 {
		rules.Bytes = fetchBytes
	}
	p, err := parcel.Parse(spec.Command)
	switch {
	case err != nil:
		return &fetch{note: fmt.Sprintf("fetch: the package %v, so that %s does it at each start", err, spec.Command[0])}
	case p == nil:
		return nil
	case p.Local(spec.Dir, func(name string) string { return lookup(environ(gateway, spec.Env), name) }):
		return nil // it is there already, and the launcher takes it from there
	}
	return &fetch{parcel: p, rules: rules, key: p.Key(rules.Scripts, spec.Env), least: spec.Sandbox.MinLevel}
}

// Prepare fetches the child's package if that is to be done and has not been, and waits for it at most until ctx ends;
// the fetch goes on for whoever asks next. Several children may wait for the same package. What is there already takes
// no network, and a moment. A *FetchError says why there is no package; for a while after one there is no other try. A
// *HeldError says that the child may not be started.
func (c *Child) Prepare(ctx context.Context) error {
	c.mu.Lock()
	runs := c.state == StateRunning || c.state == stateStarting
	c.mu.Unlock()
	if runs {
		return nil
	}
	if err := c.admit(ctx, nil); err != nil {
		return err
	}
	f := c.errand
	if f == nil || f.parcel == nil {
		return c.admitLoose(ctx, "")
	}
	if have := c.sup.Sandboxes(ctx).Level; have < f.rules.Least { // the program has all that its launcher needs
		return c.admitLoose(ctx, fmt.Sprintf("it is fetched beforehand from sandbox level %s on, and this system gives %s", f.rules.Least, have))
	}
	got, err := c.sup.store.get(ctx, c)
	if err == nil {
		got, err = c.admitted(ctx, got)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f.got, f.err = got, err
	return err
}

// fetchedSpec is what is started: the program of the package that was fetched, or what is configured.
func (c *Child) fetchedSpec() *Spec {
	f := c.errand
	if f == nil {
		return &c.spec
	}
	spec := c.spec
	if f.note != "" {
		spec.remarks = []string{f.note}
	}
	c.mu.Lock()
	got := f.got
	c.mu.Unlock()
	if got == nil {
		return &spec
	}
	spec.phase, spec.pack = "run", got.Package
	spec.remarks, spec.unrun = got.remarks(), got.found.Unrun
	spec.Command = append([]string{got.found.Program}, f.parcel.Args...)
	env := environ(c.sup.environ, c.spec.Env)
	spec.Sandbox.Read = append(slices.Clone(spec.Sandbox.Read), got.dir)
	for _, runtime := range got.found.Runtimes {
		spec.Sandbox.Read = append(spec.Sandbox.Read, sandbox.Installation(runtime, lookup(env, "HOME"))...)
	}
	spec.Sandbox.NoCaches = true
	spec.Env = maps.Clone(spec.Env)
	if spec.Env == nil {
		spec.Env = map[string]string{}
	}
	spec.Env["PATH"] = got.found.Path(lookup(env, "PATH")) // as the launchers do
	return &spec
}

// statusOfFetch adds a fetch that is under way, or has failed, to a status. c.mu is held.
func (c *Child) statusOfFetch(s *Status) {
	f := c.errand
	if f == nil || f.parcel == nil {
		return
	}
	if under, confined := c.sup.store.underWay(f.key); under {
		s.State, s.Sandbox = stateFetching, confined
	} else if f.err != nil && s.Err == nil {
		s.Err = f.err
	}
}

// FetchError says why the package of a child could not be fetched. It unwraps to a *NotFoundError only: an
// ExitError in it is not one of the child.
type FetchError struct {
	Name    string   // of the server
	Package string   // as it is asked for
	Hosts   []string // from where it could be fetched; none means every public address
	Wait    time.Duration
	Err     error

	rules sandbox.Fetch
}

// Error says what, why, and what to do.
func (e *FetchError) Error() string {
	text := fmt.Sprintf("fetch package %s of server %q: %v", e.Package, e.Name, e.Err)
	if hint := e.Remedy(); hint != "" {
		text += "; " + hint
	}
	if e.Wait > 0 {
		text += fmt.Sprintf("; next try in %s", round(e.Wait))
	}
	return text
}

// Why a fetch is ended.
var (
	errTime    = errors.New("its time is used up")
	errSize    = errors.New("it is larger than it may be")
	errTraffic = errors.New("more comes over the network for it than may")
)

// Unwrap gives a *NotFoundError, if that is the reason.
func (e *FetchError) Unwrap() error {
	var missing *NotFoundError
	if errors.As(e.Err, &missing) {
		return missing
	}
	return nil
}
