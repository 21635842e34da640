package supervisor

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/parcel"
	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// maxPrinted bounds what is kept of the standard output of a command that fetches; of its standard error the last lines
// are, as of any child.
const maxPrinted = 4 << 20

// maxSaid bounds what is said of a command that failed, in bytes.
const maxSaid = 100

// weighInterval is how often what is being installed is measured.
const weighInterval = time.Second

// trip is one fetch while it is under way.
type trip struct {
	store *store
	child *Child // for whom it is made first
	ctx   context.Context

	dir   string
	hosts []string
	bytes int64
	spec  Spec // of each command
	meter *meter
}

// fetch makes a directory and fetches the package into it.
func (t *trip) fetch() (*fetched, error) {
	select {
	case t.store.places <- struct{}{}:
		defer func() { <-t.store.places }()
	case <-t.ctx.Done():
		return nil, errors.New("other packages were being fetched all the time")
	}
	e := t.child.errand
	around := filepath.Join(t.store.dir, e.key)
	err := os.MkdirAll(around, 0o700)
	if err == nil { // names are of one length, since some clients write them into what they fetch
		t.dir = filepath.Join(around, time.Now().UTC().Format("20060102T150405.000-")+rand.Text()[:10])
		err = os.Mkdir(t.dir, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("make a directory for it (processes.package_dir): %w", err)
	}
	got, err := t.install()
	if err != nil {
		_ = os.RemoveAll(t.dir) // without its marker nobody uses it
		return nil, err
	}
	t.store.prune(e.key)
	return got, nil
}

func (t *trip) install() (*fetched, error) {
	e := t.child.errand
	system := t.store.sup.Sandboxes(t.ctx)
	t.prepare(system.Level)
	variable := t.variable()
	if t.hosts = e.rules.Hosts; len(t.hosts) == 0 {
		said, err := t.ask()
		if err != nil {
			return nil, err
		}
		if t.hosts, err = e.parcel.Hosts(said, variable); err != nil {
			return nil, err
		}
	}
	t.spec.Sandbox.Hosts = t.hosts
	if err := t.runAll(e.parcel.Steps(t.dir, e.rules.Scripts, variable)); err != nil {
		return nil, err
	}
	if weigh(t.dir) > e.rules.Bytes { // the last command may have been quick
		return nil, errSize
	}
	contents, err := e.parcel.Contents(t.ctx, t.dir, notes)
	if err != nil {
		return nil, err
	}
	if err := t.runAll(e.parcel.Finish(t.dir)); err != nil {
		return nil, err
	}
	if t.bytes = weigh(t.dir); t.bytes > e.rules.Bytes {
		return nil, errSize
	}
	found, err := e.parcel.Find(t.dir, e.rules.Scripts)
	if err != nil {
		return nil, err
	}
	got := &fetched{dir: t.dir, found: found, Package: e.parcel.String(), At: time.Now().UTC(),
		Level: min(t.spec.Sandbox.Level, system.Level), Open: !t.spec.Sandbox.NoNetwork, Digest: contents.Digest}
	if found.Version != "" && !strings.HasSuffix(got.Package, found.Version) {
		got.Package += " (" + found.Version + ")"
	}
	contents.Package = got.Package
	if got.Seal, err = parcel.Seal(t.ctx, t.dir, notes); err != nil {
		return nil, err
	}
	return got, mark(got, contents)
}

// runAll runs commands one after the other, none of which prints anything that is wanted.
func (t *trip) runAll(commands [][]string) error {
	for _, command := range commands {
		if _, err := t.run(command); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes what all commands of the fetch have in common: nothing of the server's own environment but settings of
// the client, no file of the server's, and the proxy.
func (t *trip) prepare(system sandbox.Level) {
	e, rules := t.child.errand, &t.child.spec.Sandbox
	t.meter = newMeter(e.rules.Bytes)
	env := e.parcel.Env()
	for name, value := range t.child.spec.Env {
		if inherited(name) || parcel.IsSetting(name) {
			env[name] = value
		}
	}
	t.spec = Spec{
		Name: t.child.spec.Name, Env: env, Dir: t.dir, once: true, phase: "fetch", pack: e.parcel.String(),
		StopTimeout: 10 * time.Millisecond, // there is nothing to end in order
		meter:       t.meter,
		Sandbox: sandbox.Rules{
			Level: max(rules.Level, sandbox.Namespaces), MinLevel: max(rules.MinLevel, sandbox.Clean), NoNetwork: true, Proxy: true, TrustProxy: rules.TrustProxy,
			NoCaches: true, Limits: sandbox.Limits{FileBytes: uint64(e.rules.Bytes)}, Bounds: sandbox.Bounds{Memory: fetchMemory},
		},
	}
	variable := t.variable()
	t.spec.Sandbox.Read = e.parcel.Settings(variable)
	t.spec.Sandbox.Write = append(e.parcel.Caches(variable), t.dir)
	for _, dir := range t.spec.Sandbox.Write {
		_ = os.MkdirAll(dir, 0o700) // if not, the client says so
	}
	if system < sandbox.Namespaces { // there is no proxy, and what is closed would be closed to the client too
		t.spec.Sandbox.NoNetwork, t.spec.Sandbox.Proxy = false, false
	}
}

// variable looks up what the commands have in their environment.
func (t *trip) variable() func(string) string {
	env := environ(t.store.sup.environ, t.spec.Env)
	return func(name string) string { return lookup(env, name) }
}

// ask has the client say what its settings are. That takes no network.
func (t *trip) ask() ([]byte, error) {
	command := t.child.errand.parcel.Ask()
	if command == nil {
		return nil, nil
	}
	proxy := t.spec.Sandbox.Proxy
	t.spec.Sandbox.Proxy = false
	defer func() { t.spec.Sandbox.Proxy = proxy }()
	return t.run(command)
}

// run runs one command to its end and returns what it printed.
func (t *trip) run(command []string) ([]byte, error) {
	spec := t.spec
	spec.Command = command
	child, err := t.store.sup.Add(spec)
	if err != nil {
		return nil, err
	}
	defer func() { _ = child.Close() }() // what cannot be ended is logged
	p, err := child.Acquire(t.ctx)
	if err != nil {
		return nil, err
	}
	_ = p.Stdin().Close() // nobody answers questions
	var printed bytes.Buffer
	read := make(chan struct{})
	t.store.wg.Go(func() {
		defer close(read)
		_, _ = io.CopyN(&printed, p.Stdout(), maxPrinted) // it has less, as a rule
		_, _ = io.Copy(io.Discard, p.Stdout())
	})
	t.await(p)
	<-read // at most drainTime after the end
	if t.meter.over() {
		return nil, fmt.Errorf("run %s: %w", brief(command), errTraffic)
	}
	var exit *ExitError
	if err := p.Err(); err != nil && !(errors.As(err, &exit) && exit.Code == 0 && exit.Reason == nil) {
		return nil, fmt.Errorf("run %s: %w", brief(command), err)
	}
	if t.ctx.Err() != nil {
		return nil, context.Cause(t.ctx)
	}
	return printed.Bytes(), nil
}

// brief is a command for people: what it is, not all of its arguments.
func brief(command []string) string {
	text := strings.Join(command[:min(len(command), 3)], " ")
	if len(text) > maxSaid {
		text = strings.ToValidUTF8(text[:maxSaid], "") + "…"
	}
	return text
}

// await waits for the end of a command, which it brings about when it takes too long or too much.
func (t *trip) await(p *Process) {
	tick := time.NewTicker(weighInterval)
	defer tick.Stop()
	ended, full := t.ctx.Done(), t.meter.full
	for {
		select {
		case <-p.Done():
			return
		case <-full:
			p.Kill(errTraffic)
			full = nil
		case <-ended:
			p.Kill(context.Cause(t.ctx))
			ended = nil
		case <-tick.C:
			if weigh(t.dir) > t.child.errand.rules.Bytes {
				p.Kill(errSize)
			}
		}
	}
}

// traffic is what came over the network so far, in bytes.
func (t *trip) traffic() int64 {
	if t.meter == nil {
		return 0
	}
	return t.meter.came.Load()
}

// weigh is the size of all files in a directory, as far as it can be told while they come and go.
func weigh(dir string) int64 {
	var total int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // gone meanwhile
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return nil
	})
	return total
}

// mark says that a directory is complete, and what it has.
func mark(got *fetched, contents *parcel.Contents) error {
	text, err := contents.JSON()
	if err == nil {
		err = os.WriteFile(filepath.Join(got.dir, contentsName), text, 0o600)
	}
	if err == nil {
		text, err = json.Marshal(got)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(got.dir, markerName+".new"), text, 0o600)
	}
	if err == nil {
		err = os.Rename(filepath.Join(got.dir, markerName+".new"), filepath.Join(got.dir, markerName))
	}
	if err != nil {
		return fmt.Errorf("note that the package is there: %w", err)
	}
	return nil
}
