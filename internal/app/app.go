// Package app puts the house together: it builds servers, gateway and listeners
// from a configuration, runs them, replaces them as a whole on reload, and
// stops them. It is the only package that knows all the others; it does not
// know the command line.
package app

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/audit"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/internal/gateway"
	"github.com/dragoman-mcp/dragoman/internal/guards"
	"github.com/dragoman-mcp/dragoman/internal/plaintext/definition"
	"github.com/dragoman-mcp/dragoman/internal/policy/elicit"
	"github.com/dragoman-mcp/dragoman/internal/secret/scan"
	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/internal/telemetry"
	"github.com/dragoman-mcp/dragoman/internal/upstream"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/legacy"
	"github.com/dragoman-mcp/dragoman/server"
)

// Options are what the outside world gives to an App.
type Options struct {
	Version string
	// Environ is the environment as NAME=value, of which children inherit a few.
	Environ []string
	// LogOutput takes the log; nil discards it.
	LogOutput io.Writer
	// QuietCalls leaves calls that went well out of the log.
	QuietCalls bool
	// KeepCursors has built-in servers seal cursors with a key that is kept beside
	// the state, where there is no session.secret: for a command, whose next pages
	// are another process's to give. That file is made when it is not there.
	KeepCursors bool
	// Proxy returns the HTTP proxy for a request; nil for none.
	Proxy func(*http.Request) (*url.URL, error)
	// TLS is where the settings for https begin; nil means the system's roots and no client certificate.
	TLS *tls.Config
	// Servers makes a server that the configuration calls builtin, as
	// builtin.Open does; without it there are none.
	Servers func(kind string, env *server.Env) (*server.Server, error)
	// Builtin takes the place of Servers for whatever answers like a server: for
	// tests, and for programs that embed the gateway.
	Builtin func(kind string, settings json.RawMessage) (mcp.Handler, error)
}

// App is a gateway with its servers. Close it.
type App struct {
	o         Options
	log       *slog.Logger
	telemetry *telemetry.Telemetry
	started   time.Time
	network   *egress.Network
	processes *supervisor.Supervisor
	sealer    *legacy.Sealer
	parking   *legacy.Parking
	gateway   *gateway.Gateway
	info      []byte
	cfg       atomic.Pointer[config.Config]
	secrets   *scan.Scanner // takes them out of logs
	audit     *audit.Log    // nil when there is none
	access    access

	inhouse  inhouse
	memory   memory
	accounts accounts

	judge *elicit.Judge // of what servers ask their callers for

	ctx  context.Context // of the servers' upkeep
	stop context.CancelFunc
	work sync.WaitGroup // upkeep, and what is being closed behind a reload

	reloading sync.Mutex // held while servers are replaced, which may take as long as they start; guards inForce
	inForce   inForce

	mu      sync.Mutex // guards running, which is replaced by who holds reloading
	running map[string]*running
}

// running is one server in use.
type running struct {
	cfg   config.Server
	up    *upstream.Upstream
	plain *definition.Plain // up, observed and guarded, as clients see it
	stop  context.CancelFunc
}

// Open builds what cfg describes and starts its servers. It does not listen.
func Open(cfg *config.Config, o Options) (*App, error) {
	if o.LogOutput == nil {
		o.LogOutput = io.Discard
	}
	info, err := json.Marshal(map[string]string{"name": "dragoman", "title": "Dragoman", "version": o.Version})
	if err != nil {
		return nil, err
	}
	a := &App{o: o, started: time.Now(), info: info, running: make(map[string]*running)}
	a.ctx, a.stop = context.WithCancel(context.Background())
	if err := a.lay(cfg); err != nil {
		return nil, errors.Join(err, a.scrap())
	}
	if err := a.replace(cfg, false); err != nil {
		_ = a.Close(context.Background())
		return nil, err
	}
	return a, nil
}

// lay makes what lasts for the life of the process.
func (a *App) lay(cfg *config.Config) error {
	// What the configuration names may be anywhere but where clouds keep credentials; its proxies are trusted.
	guard, err := egress.NewGuard(egress.Policy{Name: "configured", Private: true, TrustProxy: true}, nil)
	if err != nil {
		return err
	}
	a.secrets = scan.New(cfg.Secrets.Names)
	learn(a.secrets, cfg)
	a.judge = a.newJudge()
	a.network = egress.New(egress.Options{Guard: guard, Proxy: a.o.Proxy, TLS: a.o.TLS, UserAgent: "dragoman/" + a.o.Version})
	a.telemetry, err = telemetry.New(telemetry.Options{
		Log: cfg.Log, Telemetry: cfg.Telemetry, Output: a.o.LogOutput, Transport: a.network.RoundTripper(),
		Version: a.o.Version, Servers: a.serverStatus, Gather: &a.inhouse, QuietCalls: a.o.QuietCalls,
		Redact: a.secrets.Handler, RedactText: a.secrets.Text,
	})
	if err != nil {
		return err
	}
	a.log = a.telemetry.Logger()
	if err := errors.Join(a.openAudit(cfg), a.openAccess(cfg)); err != nil {
		return err
	}
	a.processes, err = supervisor.New(supervisor.Options{
		Log: a.log, Environ: a.o.Environ, Redact: a.secrets.Lines, Tunnel: a.tunnel, Started: a.recordStart, Fetched: a.recordFetch,
		LogDir: cfg.Processes.LogDir, LogBytes: int64(cfg.Processes.LogSize), PIDDir: cfg.Processes.PidDir,
		PackageDir: cfg.Processes.PackageDir,
	})
	if err != nil {
		return err
	}
	a.sealer, err = legacy.NewSealer([]byte(cfg.Session.Secret.Reveal()))
	if err != nil {
		return err
	}
	a.parking = legacy.NewParking(a.sealer, legacy.ParkingOptions{TTL: cfg.Session.InputWait, Max: cfg.Limits.Parked})
	a.gateway = gateway.New(gateway.Options{
		Info: a.info, Separator: cfg.Names.Separator, MaxName: cfg.Names.MaxLength,
		TTL: cfg.Catalog.TTL, ListDeadline: cfg.Catalog.ListDeadline, PageSize: cfg.Catalog.PageSize, Log: a.log,
		Audience: a.access.policy,
	})
	if a.access.follow != nil {
		a.work.Go(a.access.follow)
	}
	return nil
}

// scrap releases what lay has made before it failed.
func (a *App) scrap() error {
	a.stop()
	errs := []error{a.closeAccess(), a.closeCredentials(), a.memory.close(), a.closeAudit()}
	if a.processes != nil {
		errs = append(errs, a.processes.Close())
	}
	if a.telemetry != nil {
		errs = append(errs, a.telemetry.Close(context.Background()))
	}
	if a.network != nil {
		errs = append(errs, a.network.Close())
	}
	return errors.Join(errs...)
}

// Close drains and stops everything. ctx bounds how long calls under way may
// go on.
func (a *App) Close(ctx context.Context) error {
	a.stop()
	a.gateway.Stop()
	a.reloading.Lock()
	defer a.reloading.Unlock()
	var errs []error
	var wg sync.WaitGroup
	var errMu sync.Mutex // guards errs
	for _, r := range a.swap(nil) {
		wg.Go(func() {
			r.stop()
			err := r.up.Close(ctx)
			errMu.Lock()
			defer errMu.Unlock()
			errs = append(errs, err)
		})
	}
	wg.Wait()
	a.work.Wait()
	errs = append(errs, a.closeAccess(), a.closeCredentials(), a.memory.close(), a.closeAudit())
	a.parking.Close()
	a.gateway.Close()
	errs = append(errs, a.processes.Close())
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	errs = append(errs, a.telemetry.Close(flush), a.network.Close())
	return errors.Join(errs...)
}

// swap has other servers run from now on, and returns those that did.
func (a *App) swap(next map[string]*running) map[string]*running {
	a.mu.Lock()
	defer a.mu.Unlock()
	was := a.running
	a.running = next
	return was
}

// abort ends the calls under way with an error; Close must follow.
func (a *App) abort() {
	a.gateway.Stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range a.running {
		r.up.Abort()
	}
}

// Endpoint returns the handler of an endpoint, as the gateway does.
func (a *App) Endpoint(name string) (mcp.Handler, bool) { return a.gateway.Endpoint(name) }

// Logger returns the log.
func (a *App) Logger() *slog.Logger { return a.log }

// Config returns the configuration in use. It must not be changed.
func (a *App) Config() *config.Config { return a.cfg.Load() }

// Reload replaces servers and views by those of cfg: what is equal stays as it
// is, the rest is opened anew, then everything is swapped at once, and what is
// gone is closed when its last call has been answered. When it fails, nothing
// has changed. The error is *guards.Lowered when cfg guards less than what is in
// use, and the configuration that the App was opened with does not permit that.
func (a *App) Reload(cfg *config.Config) error {
	learn(a.secrets, cfg) // before anything can write them
	return a.replace(cfg, true)
}

func (a *App) replace(cfg *config.Config, reload bool) error {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	if a.ctx.Err() != nil {
		return errors.New("the gateway is closing")
	}
	permit, err := a.access.policy.Prepare(cfg)
	var inventory *guards.Inventory
	if err == nil {
		inventory, err = a.mayTake(cfg, reload)
	}
	var next map[string]*running
	var fresh []*running
	if err == nil {
		next, fresh, err = a.plan(cfg)
	}
	if err == nil {
		var drained <-chan struct{}
		if drained, err = a.gateway.Swap(serversOf(next), viewsOf(cfg)); err == nil {
			permit()
			a.took(cfg, inventory)
			a.adopt(cfg, next, fresh, drained)
		}
	}
	a.telemetry.Loaded(reload, err)
	if err == nil {
		return nil
	}
	for _, r := range fresh {
		r.stop()
		_ = r.up.Close(context.Background()) // nothing was opened yet
	}
	return err
}

// flushTimeout bounds the sending of what telemetry still holds at the end.
const flushTimeout = 3 * time.Second

// plan makes the servers of cfg, taking over those that are equal.
func (a *App) plan(cfg *config.Config) (next map[string]*running, fresh []*running, err error) {
	next = make(map[string]*running)
	var errs []error
	for name, server := range cfg.Servers {
		if server.Disabled {
			continue
		}
		server = personal(server)
		if was := a.running[name]; was != nil && reflect.DeepEqual(was.cfg, server) {
			next[name] = was
			continue
		}
		up, inner, err := a.reach(cfg, server)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		leg := telemetry.Leg{Side: telemetry.Outgoing, Transport: carrier(server), Server: name}
		r := &running{cfg: server, up: up, plain: a.plain(server, a.guarded(server, a.telemetry.Observe(inner, leg))), stop: func() {}}
		next[name] = r
		fresh = append(fresh, r)
	}
	return next, fresh, errors.Join(errs...)
}

// reach makes a server, and the handler that shows it what it is to be shown and
// judges what it asks.
func (a *App) reach(cfg *config.Config, server config.Server) (*upstream.Upstream, mcp.Handler, error) {
	shown, err := a.credential(cfg, server)
	if err != nil {
		return nil, nil, err
	}
	around := a.surroundings(cfg, server.Name)
	if shown != nil {
		around.Authorize = shown.Transport
	}
	if a.access.gate != nil && len(server.Command) > 0 {
		around.Admit = a.access.gate(server)
	}
	up, err := upstream.New(server, around)
	if err != nil {
		return nil, nil, err
	}
	judged := a.judge.Guard(server, up)
	if shown == nil {
		return up, judged, nil
	}
	return up, shown.Handler(judged), nil // a login is asked for by the gateway
}

func (a *App) surroundings(cfg *config.Config, name string) upstream.Surroundings {
	return upstream.Surroundings{
		Network: a.network, Processes: a.processes,
		Builtin: a.builtin(cfg, name),
		Parking: a.parking, Info: a.info,
		Limits:     jsonrpc.Limits{MaxDepth: cfg.Limits.Depth},
		MaxMessage: int64(cfg.Limits.UpstreamResponse),
		Log:        a.log,
	}
}

// adopt starts what is new and lets go what is gone. a.reloading is held.
func (a *App) adopt(cfg *config.Config, next map[string]*running, fresh []*running, drained <-chan struct{}) {
	a.warnUnchanged(cfg)
	a.warnApart(cfg)
	old := a.swap(next)
	a.cfg.Store(cfg)
	a.start(cfg, fresh)
	for name, r := range old {
		if next[name] == r {
			continue
		}
		a.work.Go(func() { a.release(r, drained, cfg.Shutdown.DrainTimeout) })
	}
}

// release closes a server that is gone when nobody calls it any more.
func (a *App) release(r *running, drained <-chan struct{}, limit time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), max(limit, time.Millisecond))
	defer cancel()
	select {
	case <-drained:
	case <-ctx.Done():
	case <-a.ctx.Done():
	}
	r.stop()
	if err := r.up.Close(ctx); err != nil {
		a.log.Warn("server did not close properly", "server", r.cfg.Name, "err", err)
	}
}

// start runs the upkeep of new servers, all at once or one after the other.
func (a *App) start(cfg *config.Config, fresh []*running) {
	for _, r := range fresh {
		ctx, cancel := context.WithCancel(a.ctx)
		r.stop = cancel
		a.work.Go(func() {
			if err := r.up.Run(ctx); err != nil && ctx.Err() == nil {
				a.log.Error("upkeep of server ended", "server", r.cfg.Name, "err", err)
			}
		})
		if !cfg.Processes.Parallel {
			a.awaitReady(r)
		}
	}
}

// awaitReady waits until a server can be called, or has had its time.
func (a *App) awaitReady(r *running) {
	limit := time.NewTimer(r.cfg.StartupTimeout)
	defer limit.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if s := r.up.Status().State; s == upstream.Ready || s == upstream.Unavailable || r.cfg.Start != "always" {
			return
		}
		select {
		case <-tick.C:
		case <-limit.C:
			return
		case <-a.ctx.Done():
			return
		}
	}
}

// warnApart says what replicas that are told of each other do not know of each other.
func (a *App) warnApart(cfg *config.Config) {
	if cfg.Rates.Replicas > 1 && len(cfg.Access.Flows) > 0 {
		a.log.Warn("each replica remembers for itself what was read, which access.flows go by: send each principal always to the same replica", "replicas", cfg.Rates.Replicas)
	}
}

// warnUnchanged says which changes of cfg take a restart.
func (a *App) warnUnchanged(cfg *config.Config) {
	was := a.cfg.Load()
	if was == nil {
		return
	}
	for name, same := range map[string]bool{
		"listen": was.Listen == cfg.Listen, "tls": (was.TLS.Cert == "") == (cfg.TLS.Cert == ""), "names": was.Names == cfg.Names, "catalog": was.Catalog == cfg.Catalog,
		"limits": was.Limits == cfg.Limits, "session": was.Session == cfg.Session, "log": was.Log == cfg.Log,
		"state": was.State == cfg.State, "processes": was.Processes == cfg.Processes, "telemetry": reflect.DeepEqual(was.Telemetry, cfg.Telemetry), "audit": reflect.DeepEqual(was.Audit, cfg.Audit),
		"rates": reflect.DeepEqual(was.Rates, cfg.Rates), "reload": was.Reload == cfg.Reload, "access.pinning": was.Access.Pinning == cfg.Access.Pinning, "access.conversation": was.Access.Conversation == cfg.Access.Conversation,
	} {
		if !same {
			a.log.Warn("this section has changed, which takes a restart", "section", name)
		}
	}
}

// listsDiffer reports whether some server may say something else to each session.
func (a *App) listsDiffer() bool {
	for _, server := range a.Config().Servers {
		if server.Isolation == "session" && !server.Disabled {
			return true
		}
	}
	return false
}

func serversOf(all map[string]*running) []gateway.Server {
	var out []gateway.Server
	for name, r := range all {
		out = append(out, gateway.Server{
			Name: name, Title: r.cfg.Title, Description: r.cfg.Description, Handler: r.plain,
			Isolation: gateway.Isolation(r.cfg.Isolation), Tools: r.cfg.Tools,
		})
	}
	return out
}

func viewsOf(cfg *config.Config) []gateway.View {
	var out []gateway.View
	for name, v := range cfg.Views {
		view := gateway.View{
			Name: name, Title: v.Title, Description: v.Description,
			Tools: v.Tools, Prompts: v.Prompts, Resources: v.Resources, Rename: v.Rename,
			Override: make(map[string]gateway.Override),
		}
		for tool, o := range v.Override {
			view.Override[tool] = gateway.Override{Title: o.Title, Description: o.Description}
		}
		out = append(out, view)
	}
	return out
}

// carrier is what carries the leg to a server.
func carrier(s config.Server) telemetry.Transport {
	switch {
	case s.Builtin != "":
		return telemetry.InProcess
	case len(s.Command) > 0:
		return telemetry.Pipe
	}
	return telemetry.TCP
}
