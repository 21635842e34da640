package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/builtin"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// The names of servers that stand on the command line.
const (
	remoteName = "remote"
	adHocName  = "adhoc"
)

// closeWait bounds how long a command waits for its server to stop, which has
// three steps for a program: end of input, SIGTERM, SIGKILL.
const closeWait = 5 * time.Second

// reach says how a command gets to servers: by the configuration, by a URL, or
// by a command line of its own.
type reach struct {
	source
	trust
	url, token string
	timeout    time.Duration
	verbose    bool
}

func (r *reach) flags(cmd *cobra.Command) {
	r.source.flags(cmd)
	f := cmd.Flags()
	r.trust.flags(f)
	cmd.PreRunE = func(*cobra.Command, []string) error { return r.trust.gather() }
	f.StringVar(&r.url, "url", "", "speak with the MCP server or gateway at this `URL` instead (http, https, ws or wss)")
	f.StringVar(&r.token, "token", "", "bearer `TOKEN` for --url (default $DRAGOMAN_TOKEN)")
	f.DurationVar(&r.timeout, "timeout", 0, "how long to wait for everything, like 30s (default: what the server's configuration says)")
	f.BoolVarP(&r.verbose, "verbose", "v", false, "log to standard error what happens on the way")
}

// bearer is the token to show; the environment's only when no flag is given, so
// that it does not stay in the history of a shell.
func (r *reach) bearer() string {
	if r.token != "" {
		return r.token
	}
	return os.Getenv("DRAGOMAN_TOKEN")
}

// within bounds ctx by --timeout.
func (r *reach) within(ctx context.Context) (context.Context, context.CancelFunc) {
	if r.timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, r.timeout, fmt.Errorf("no answer within %s", r.timeout))
}

// remote is the configuration of the server at --url.
func (r *reach) remote() (*config.Config, error) {
	u, err := url.Parse(r.url)
	if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "ws", "wss"}, u.Scheme) {
		return nil, exit(exitUsage, fmt.Errorf("--url %q is no address: write it like http://127.0.0.1:8000/mcp", r.url))
	}
	section := map[string]any{"url": literal(r.url)}
	if token := r.bearer(); token != "" {
		section["headers"] = map[string]string{"Authorization": literal("Bearer " + token)}
	}
	return single(remoteName, section)
}

// single makes a configuration with one server, which stands on the command line.
func single(name string, section map[string]any) (*config.Config, error) {
	text, err := json.Marshal(map[string]any{"servers": map[string]any{name: section}})
	if err != nil {
		return nil, err
	}
	cfg, err := config.Parse("command line", text, withoutListener(os.LookupEnv))
	if err != nil {
		return nil, exit(exitUsage, err)
	}
	return cfg, nil
}

// literal writes text so that the configuration takes it as it is.
func literal(text string) string { return strings.ReplaceAll(text, "$", "$$") }

// withoutListener hides what the environment says of a listener from commands
// that have none.
func withoutListener(env func(string) (string, bool)) func(string) (string, bool) {
	return func(name string) (string, bool) {
		if name == "DRAGOMAN_LISTEN" || name == "MCP_BIND_HOST" {
			return "", false
		}
		return env(name)
	}
}

// stopWait is how long a program may take for each step of its stop, when a
// person waits for it.
const stopWait = time.Second

// impatient changes a server's section to the needs of a command: what fails is
// told at once, --timeout bounds the start too, and the stop is short.
func (r *reach) impatient(s config.Server) config.Server {
	s.Retries.Attempts = 1
	s.StopTimeout = min(s.StopTimeout, stopWait)
	if r.timeout > 0 {
		s.Timeout, s.StartupTimeout = max(s.Timeout, r.timeout), r.timeout
	}
	return s
}

// modest is cfg without what belongs to a running gateway: the files that it
// writes, where it sends its traces, and what others are held to. With --verbose
// the log is for people.
func modest(cfg *config.Config) *config.Config {
	out := *cfg
	out.Processes.LogDir, out.Processes.PidDir = "", ""
	out.Telemetry.OTLPEndpoint = ""
	out.Audit.Dir, out.Rates.Calls = "", nil
	out.Access = config.Access{Pinning: "off"}
	out.Log = config.Log{Level: "debug", Format: "text"}
	return &out
}

// options are those of an App that lasts as long as one command.
func (r *reach) options(cmd *cobra.Command) app.Options {
	o := appOptions(nil)
	o.TLS = r.trust.settings
	if r.verbose {
		o.LogOutput = cmd.ErrOrStderr()
	}
	return o
}

func appOptions(log io.Writer) app.Options {
	return app.Options{Version: buildVersion(), Environ: os.Environ(), LogOutput: log, Proxy: proxy, Servers: builtin.Open}
}

// line is an open way to one server.
type line struct {
	*app.Direct
	app    *app.App
	config config.Server
	client *mcp.Client
}

// open makes a line to one server of cfg. Close it. The server starts with the
// first request.
func (r *reach) open(cmd *cobra.Command, cfg *config.Config, name string, kinds mcp.Kinds) (*line, error) {
	alone := modest(cfg)
	alone.Servers, alone.Views = nil, nil
	o := r.options(cmd)
	o.KeepCursors = true
	a, err := app.Open(alone, o)
	if err != nil {
		return nil, err
	}
	l := &line{app: a, config: r.impatient(cfg.Servers[name]), client: newClient(kinds)}
	if l.Direct, err = a.Direct(l.config); err != nil {
		_ = a.Close(context.Background())
		return nil, exit(exitConfig, err)
	}
	return l, nil
}

// newClient is who the command says that it is.
func newClient(kinds mcp.Kinds) *mcp.Client {
	info := fmt.Appendf(nil, `{"name":"dragoman","title":"Dragoman","version":%q}`, buildVersion())
	capabilities, _ := jsonrpc.Split(kinds.Capabilities(mcp.Revision20260728))
	return mcp.NewClient(mcp.Revision20260728, info, capabilities)
}

// Close stops the server. What goes wrong then is of no use to the caller, who
// has the answer.
func (l *line) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	_ = l.Direct.Close(ctx)
	_ = l.app.Close(ctx)
}

// cause is the full reason why the server cannot be reached, where err only says
// what callers of a gateway may know.
func (l *line) cause(err error) error {
	var wire *mcp.Error
	if !errors.As(err, &wire) || wire.Code != mcp.CodeUnavailable && wire.Code != mcp.CodeCallLost {
		return err
	}
	for _, replica := range l.Status().Replicas {
		if replica.Err != nil {
			return replica.Err
		}
	}
	return err
}

// wordsWait is how long the last lines of a program may take to arrive after it
// was found to have ended.
const wordsWait = 500 * time.Millisecond

// lastWords are the last lines that a program of the server wrote to its
// standard error, if it has ended.
func (l *line) lastWords() []string {
	if len(l.config.Command) == 0 {
		return nil
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(wordsWait); ; <-tick.C {
		for _, replica := range l.Status().Replicas {
			if len(replica.Stderr) > 0 && replica.Process != "running" {
				return replica.Stderr
			}
		}
		if time.Now().After(until) {
			return nil
		}
	}
}

// maxPages bounds the pages of a list, against a server whose pages never end.
const maxPages = 1000

// all asks for every page of a list and returns its entries, and the last page
// for what it says beside them.
func all(ctx context.Context, h mcp.Handler, client *mcp.Client, k kind) ([]jsonrpc.Object, mcp.Result, error) {
	var out []jsonrpc.Object
	params := jsonrpc.Object{}
	for range maxPages {
		page, err := h.Handle(ctx, &mcp.Request{Method: k.method, Params: params, Client: client})
		if err != nil {
			return nil, page, err
		}
		for element := range jsonrpc.Elements(page.Get(k.member)) {
			if o, ok := jsonrpc.Split(element); ok {
				out = append(out, o)
			}
		}
		cursor := page.Get("nextCursor")
		if len(cursor) == 0 || cursor[0] != '"' {
			return out, page, nil
		}
		params = jsonrpc.Object{}.With(jsonrpc.Edit{Name: "cursor", Value: cursor})
	}
	return nil, mcp.Result{}, fmt.Errorf("%s: the list has more than %d pages", k.method, maxPages)
}

// kind is one of the lists that a server has.
type kind struct {
	word, method, member, key string
	capability                string
}

// The lists of a server.
var (
	tools     = kind{"tools", "tools/list", "tools", "name", "tools"}
	prompts   = kind{"prompts", "prompts/list", "prompts", "name", "prompts"}
	resources = kind{"resources", "resources/list", "resources", "uri", "resources"}
	templates = kind{"templates", "resources/templates/list", "resourceTemplates", "uriTemplate", "resources"}
)
