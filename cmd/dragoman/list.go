package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/pattern"
	"github.com/dragoman-mcp/dragoman/internal/config/strict"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// list shows what servers have.
type list struct {
	reach
	form string
}

const listLong = `List what servers have: tools, prompts, resources, templates of resources, or
the servers themselves. With SERVER only that one, or that view, is asked.

Names are those that clients of the gateway see; dragoman call takes them too.
Servers that cannot be listed are named on standard error, with the reason.`

const listExamples = `  dragoman list tools
  dragoman list tools files -o json
  dragoman list tools --url http://127.0.0.1:8000/mcp
  dragoman list servers`

const (
	formTable = "table"
	formName  = "name"
)

// listWait is how long servers may take to start and list when --timeout says
// nothing: a first start may download a package.
const listWait = time.Minute

func newList() *cobra.Command {
	l := &list{}
	kinds := []string{"tools", "prompts", "resources", "templates", "servers"}
	cmd := &cobra.Command{
		Use:       "list tools|prompts|resources|templates|servers [SERVER]",
		Aliases:   []string{"ls"},
		Short:     "List what servers have",
		Long:      listLong,
		Example:   listExamples,
		GroupID:   groupUse,
		ValidArgs: kinds,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || !slices.Contains(kinds, args[0]) {
				return exit(exitUsage, usageError(cmd, nothingToList(args, kinds)))
			}
			if len(args) > 2 {
				return nothingMore(cmd, args[2:])
			}
			if err := oneOf("-o", l.form, formTable, formJSON, formName); err != nil {
				return err
			}
			return l.run(cmd, args[0], strings.Join(args[1:], ""))
		},
	}
	l.flags(cmd)
	cmd.Flags().StringVarP(&l.form, "output", "o", formTable, "`FORM`: table, json, or name (names alone, one on a line)")
	return cmd
}

// nothingToList says what can be listed, and guesses what was meant.
func nothingToList(args, kinds []string) error {
	text := "say what to list: " + strings.Join(kinds, ", ")
	if len(args) > 0 {
		if guess := strict.Suggest(args[0], kinds); guess != "" {
			text += "; did you mean " + guess + "?"
		}
	}
	return errors.New(text)
}

// missing is a server whose entries are not, or not freshly, in a list.
type missing struct {
	Server string `json:"server"`
	Reason string `json:"reason"`
	code   int
}

// listing is what there is to show.
type listing struct {
	kind    kind
	entries []jsonrpc.Object
	missing []missing
}

func (l *list) run(cmd *cobra.Command, word, server string) error {
	ctx, cancel := l.within(cmd.Context())
	defer cancel()
	s := newScreen(cmd.OutOrStdout(), cmd.ErrOrStderr())
	if word == "servers" {
		return l.servers(ctx, cmd, s, server)
	}
	at := slices.IndexFunc([]kind{tools, prompts, resources, templates}, func(k kind) bool { return k.word == word })
	k := []kind{tools, prompts, resources, templates}[at]
	var found listing
	var err error
	if l.url != "" {
		found, err = l.remotely(ctx, cmd, k, server)
	} else {
		found, err = l.locally(ctx, cmd, k, server)
	}
	if err != nil {
		return err
	}
	if err := l.show(s, found); err != nil {
		return err
	}
	for _, m := range found.missing {
		s.say("missing: %s: %s", m.Server, m.Reason)
	}
	if len(found.missing) > 0 && len(found.entries) == 0 {
		return exit(cmp.Or(found.missing[0].code, exitUnreachable), nil)
	}
	return nil
}

// remotely asks the server or gateway at --url.
func (l *list) remotely(ctx context.Context, cmd *cobra.Command, k kind, server string) (listing, error) {
	if server != "" {
		return listing{}, exit(exitUsage, fmt.Errorf("with --url there is no SERVER; a gateway has one alone at …/mcp/%s", server))
	}
	cfg, err := l.remote()
	if err != nil {
		return listing{}, err
	}
	line, err := l.open(cmd, cfg, remoteName, 0)
	if err != nil {
		return listing{}, err
	}
	defer line.Close()
	entries, page, err := entriesOf(ctx, line, line.client, k)
	if why := interrupted(ctx, err); why != nil && err != nil {
		return listing{}, why
	}
	if err != nil {
		return listing{}, diagnose(line.cause(err), line.config).failure(redacted(l.url))
	}
	return listing{kind: k, entries: entries, missing: missingIn(page)}, nil
}

// entriesOf lists what a server announces that it has; one that does not is
// not asked, since many answer with an error then.
func entriesOf(ctx context.Context, h mcp.Handler, client *mcp.Client, k kind) ([]jsonrpc.Object, mcp.Result, error) {
	about, err := h.Handle(ctx, &mcp.Request{Method: "server/discover", Client: client})
	if err != nil {
		return nil, about, err
	}
	if mcp.ReadServer(about).Capabilities.Get(k.capability) == nil {
		return nil, mcp.Result{}, nil
	}
	entries, page, err := all(ctx, h, client, k)
	var wire *mcp.Error
	if errors.As(err, &wire) && wire.Code == jsonrpc.CodeMethodNotFound {
		return nil, mcp.Result{}, nil // resources without templates, most of all
	}
	return entries, page, err
}

// metaMissing is the member of a list's _meta in which a gateway of ours names
// the servers that are missing from it.
const metaMissing = "dragoman/missing"

func missingIn(page mcp.Result) []missing {
	meta, _ := jsonrpc.Split(page.Get("_meta"))
	var out []missing
	_ = json.Unmarshal(meta.Get(metaMissing), &out) // nobody else writes it; what cannot be read is not there
	return out
}

// locally asks servers of the configuration, which are started for that, as the
// gateway would. Only what belongs to the endpoint is started.
func (l *list) locally(ctx context.Context, cmd *cobra.Command, k kind, server string) (listing, error) {
	l.personal = server != "" // whoever asks for one may have those that dragoman call brings, too
	cfg, file, err := l.load()
	if err != nil {
		return listing{}, err
	}
	wanted, err := l.wanted(cfg, server, file)
	if err != nil {
		return listing{}, err
	}
	a, err := app.Open(wanted, l.options(cmd))
	if err != nil {
		return listing{}, exit(exitConfig, err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeWait)
		defer cancel()
		_ = a.Close(ctx) // what goes wrong now is of no use to who has the list
	}()
	client := newClient(0)
	ctx = mcp.WithPrincipal(ctx, app.Operator())
	failed := wake(ctx, a, wanted, client)
	if ctx.Err() != nil {
		return listing{}, interrupted(ctx, ctx.Err())
	}
	endpoint := server
	if _, isServer := cfg.Servers[server]; isServer {
		endpoint = ""
	}
	handler, _ := a.Endpoint(endpoint)
	entries, page, err := all(ctx, handler, client, k)
	if err != nil {
		return listing{}, diagnose(err, config.Server{}).failure("list " + k.word)
	}
	out := listing{kind: k, entries: entries}
	for _, m := range missingIn(page) {
		if why := failed[m.Server]; why != nil {
			t := diagnose(why, wanted.Servers[m.Server])
			m.Reason, m.code = t.text, t.code
		}
		out.missing = append(out.missing, m)
	}
	return out, nil
}

// wanted is the configuration with only the servers that have to be asked.
// Nothing is done before it is asked for, and nothing twice.
func (l *list) wanted(cfg *config.Config, server, file string) (*config.Config, error) {
	out := modest(cfg)
	out.Servers = make(map[string]config.Server)
	view, isView := cfg.Views[server]
	section, isServer := cfg.Servers[server]
	switch {
	case server != "" && !isServer && !isView:
		return nil, unknownServer(server, file, cfg)
	case isServer && section.Disabled:
		return nil, disabledServer(server, file, cfg)
	case isServer:
		out.Views = nil
	}
	wait := cmp.Or(l.timeout, listWait)
	out.Catalog.ListDeadline = wait
	for name, s := range cfg.Servers {
		if s.Disabled || isServer && name != server || isView && !reaches(view, cfg.Names.Separator, name) {
			continue
		}
		s = l.impatient(s)
		s.StartupTimeout = wait
		s.Isolation = "principal" // so that it is opened for whoever asks, and only then
		out.Servers[name] = s
	}
	return out, nil
}

// reaches reports whether a view can show anything of a server: its entries are
// SERVER, separator, name, and may have patterns in them.
func reaches(v config.View, separator, server string) bool {
	entries := slices.Concat(v.Tools, v.Prompts, v.Resources, slices.Collect(maps.Values(v.Rename)))
	return slices.ContainsFunc(entries, func(entry string) bool {
		of, _, _ := strings.Cut(entry, separator)
		return pattern.Match([]string{of}, server)
	})
}

// wake starts all servers at the same time and waits for each; it returns why
// those failed that did.
func wake(ctx context.Context, a *app.App, cfg *config.Config, client *mcp.Client) map[string]error {
	failed := make(map[string]error)
	var mu sync.Mutex // guards failed
	var wg sync.WaitGroup
	for name := range cfg.Servers {
		wg.Go(func() {
			handler, _ := a.Endpoint(name)
			_, err := handler.Handle(ctx, &mcp.Request{Method: "server/discover", Client: client})
			if err == nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			failed[name] = err
		})
	}
	wg.Wait()
	for _, status := range a.Statuses() {
		for _, replica := range status.Replicas {
			if failed[status.Server] != nil && replica.Err != nil {
				failed[status.Server] = replica.Err
			}
		}
	}
	return failed
}

// redacted is a URL without what may be secret in it.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that cannot be read"
	}
	if u.User != nil {
		u.User = url.User("redacted")
	}
	if u.RawQuery != "" {
		u.RawQuery = "redacted"
	}
	return u.String()
}
