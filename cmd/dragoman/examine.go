package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/pattern"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// try starts a server, asks it for everything that it lists, and stops it.
func (c serverCheck) try(ctx context.Context, a *app.App) []finding {
	f := finding{Kind: "server", Subject: c.subject}
	if c.section.Disabled {
		f.Status, f.Detail = skipped, "is disabled"
		return []finding{f}
	}
	d, err := a.Direct(c.section)
	if err != nil {
		f.Status, f.Detail = failed, err.Error()
		return []finding{f}
	}
	l := &line{Direct: d, config: c.section, client: newClient(0)}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeWait)
		defer cancel()
		_ = d.Close(ctx) // it was tried; how it ends is no finding
	}()
	began := time.Now()
	about, err := d.Handle(ctx, &mcp.Request{Method: "server/discover", Client: l.client})
	if err != nil {
		return []finding{c.failed(ctx, l, f, err)}
	}
	took := time.Since(began).Milliseconds()
	f.Millis = &took
	st := d.Status()
	f.Transport, f.Revision = st.Transport, st.Revision
	return c.lists(ctx, l, f, mcp.ReadServer(about))
}

func (c serverCheck) failed(ctx context.Context, l *line, f finding, err error) finding {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	t := diagnose(l.cause(err), c.section)
	f.Status, f.Detail, f.Remedy, f.Stderr = failed, t.text, t.remedy, t.lines
	if len(f.Stderr) == 0 {
		f.Stderr = l.lastWords()
	}
	return f
}

// lists asks for what the server announced, and judges it.
func (c serverCheck) lists(ctx context.Context, l *line, f finding, about mcp.Server) []finding {
	var remarks []finding
	counts := map[string]*int{}
	var listed []jsonrpc.Object // resources
	for _, k := range []kind{tools, prompts, resources} {
		if about.Capabilities.Get(k.capability) == nil {
			counts[k.word] = new(int)
			continue
		}
		entries, _, err := all(ctx, l, l.client, k)
		var wire *mcp.Error
		if errors.As(err, &wire) && wire.Code == jsonrpc.CodeMethodNotFound {
			err = nil
		}
		if err != nil {
			remarks = append(remarks, c.remark(fmt.Sprintf("announces %s and does not list them: %s", k.word, diagnose(l.cause(err), c.section).text)))
			continue
		}
		n := len(entries)
		counts[k.word] = &n
		remarks = append(remarks, c.twice(k, entries)...)
		switch k {
		case tools:
			remarks = append(remarks, c.unmatched(entries)...)
		case resources:
			listed = entries
		}
	}
	f.Tools, f.Prompts, f.Resources = counts["tools"], counts["prompts"], counts["resources"]
	f.Status = passed
	how := f.Transport
	if how == "builtin" {
		how = "built in"
	}
	f.Detail = fmt.Sprintf("%s, %s: %s, %s, %s; ready in %dms", how, f.Revision,
		number(f.Tools, "tool"), number(f.Prompts, "prompt"), number(f.Resources, "resource"), *f.Millis)
	remarks = append(remarks, c.document(ctx, l, &f, listed)...)
	return append([]finding{f}, remarks...)
}

func number(n *int, what string) string {
	if n == nil {
		return "? " + what + "s"
	}
	return count(*n, what)
}

func (c serverCheck) remark(text string) finding {
	return finding{Status: warned, Kind: "server", Subject: c.subject, Detail: text}
}

// twice finds names that a server lists more than once: clients see the first.
func (c serverCheck) twice(k kind, entries []jsonrpc.Object) []finding {
	seen := map[string]int{}
	for _, o := range entries {
		name, _ := o.String(k.key)
		seen[name]++
	}
	var out []finding
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		if seen[name] > 1 {
			out = append(out, c.remark(fmt.Sprintf("lists %q %d times among its %s; the first counts", name, seen[name], k.word)))
		}
	}
	return out
}

// unmatched finds patterns of tools.allow and tools.deny that no tool matches.
func (c serverCheck) unmatched(entries []jsonrpc.Object) []finding {
	var out []finding
	for key, list := range map[string][]string{"tools.allow": c.section.Tools.Allow, "tools.deny": c.section.Tools.Deny} {
		for _, p := range list {
			matches := slices.ContainsFunc(entries, func(o jsonrpc.Object) bool {
				name, _ := o.String("name")
				return pattern.Match([]string{p}, name)
			})
			if !matches {
				out = append(out, c.remark(fmt.Sprintf("has no tool that %s names with %q", key, p)))
			}
		}
	}
	return out
}

// secretName is what the names of variables and headers look like whose values
// are secret.
var secretName = regexp.MustCompile(`(?i)token|secret|passw|credential|key|auth|cookie|dsn`)

// openSecrets finds a file with secrets in it that others on this machine may
// read. A secret that the file only refers to is not in it.
func openSecrets(cfg *config.Config, file string) []finding {
	info, err := os.Stat(file)
	if file == "" || err != nil || runtime.GOOS == "windows" || info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	const least = 8 // shorter ones are found by chance
	isIn := func(s config.Secret) bool { return len(s) >= least && strings.Contains(string(text), s.Reveal()) }
	found := isIn(cfg.Session.Secret)
	for _, t := range cfg.Auth.Tokens {
		found = found || isIn(t.Token)
	}
	for _, section := range cfg.Servers {
		for _, named := range []map[string]config.Secret{section.Env, section.Headers} {
			for name, value := range named {
				found = found || secretName.MatchString(name) && isIn(value)
			}
		}
	}
	if !found {
		return nil
	}
	return []finding{{
		Status: warned, Kind: "config", Subject: "config",
		Detail: fmt.Sprintf("%s has secrets in it, and others on this machine may read it (mode %04o)", file, info.Mode().Perm()),
		Remedy: fmt.Sprintf("chmod 600 %s, or refer to them with ${NAME}", file),
	}}
}

// portOf says whether the gateway could listen, or does already.
func portOf(ctx context.Context, a *app.App, cfg *config.Config) finding {
	f := finding{Status: passed, Kind: "machine", Subject: "listen", Detail: cfg.Listen + " is free"}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cfg.Listen)
	switch {
	case err == nil:
		_ = l.Close() // it was only a try
	case errors.Is(err, syscall.EADDRINUSE):
		if version, ok := runsThere(ctx, a, cfg.Listen); ok {
			f.Detail = fmt.Sprintf("a gateway, Dragoman %s, runs on %s", version, cfg.Listen)
			return f
		}
		f.Status, f.Detail = failed, "another program uses "+cfg.Listen
		f.Remedy = "stop it, or choose another address with listen or --listen"
	case errors.Is(err, fs.ErrPermission):
		f.Status, f.Detail = failed, "nobody but root may listen on "+cfg.Listen
		f.Remedy = "choose a port above 1023"
	default:
		f.Status, f.Detail = failed, err.Error()
		f.Remedy = "listen must be an address of this machine"
	}
	return f
}

func runsThere(ctx context.Context, a *app.App, listen string) (version string, ok bool) {
	c := &control{app: a, base: "http://" + reachable(listen)}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var body struct {
		ServerName string `json:"server_name"`
		Version    string `json:"version"`
	}
	err := c.ask(ctx, http.MethodGet, "/health", &body)
	return oneLine(body.Version), err == nil && body.ServerName == "dragoman"
}

// programs looks for those that many servers are started with, once each.
func programs(cfg *config.Config) []finding {
	wanted := map[string]bool{}
	for _, section := range cfg.Servers {
		if section.Disabled || len(section.Argv()) == 0 || section.Env["PATH"] != "" {
			continue
		}
		program := section.Argv()[0]
		if program != filepath.Base(program) || installation(program) == installation("") {
			continue
		}
		wanted[program] = true
		if program == "npx" || program == "npm" {
			wanted["node"] = true // they are scripts for it
		}
	}
	var out []finding
	for _, program := range slices.Sorted(maps.Keys(wanted)) {
		f := finding{Status: passed, Kind: "machine", Subject: program}
		path, err := exec.LookPath(program)
		f.Detail = path
		if err != nil {
			f.Status, f.Detail, f.Remedy = failed, "is not in PATH, and servers are started with it", installation(program)
		}
		out = append(out, f)
	}
	return out
}
