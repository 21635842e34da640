package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/builtin"
	"github.com/dragoman-mcp/dragoman/internal/config/strict"
	mcpserver "github.com/dragoman-mcp/dragoman/server"
	solo "github.com/dragoman-mcp/dragoman/server/serve"
)

// alone is what the command line says of a built-in server that runs by itself.
type alone struct {
	stdio     bool
	settings  solo.Settings
	options   solo.Options
	tokenFile string
	data      string
	verbose   bool
}

func newServer() *cobra.Command {
	a := &alone{}
	cmd := &cobra.Command{
		Use:   "server NAME",
		Short: "Run one built-in server alone",
		Long: `Run one built-in server alone, without a gateway: on standard input and output
for a client that starts it, or over HTTP. Its settings are those of the section
settings in a configuration; docs/builtin has a page about each server.`,
		Example: `  dragoman server time
  dragoman server time --listen 127.0.0.1:8080`,
		GroupID:   groupUse,
		Args:      oneServer,
		ValidArgs: builtin.Names(),
		RunE:      func(cmd *cobra.Command, args []string) error { return a.run(cmd, args[0]) },
	}
	f := cmd.Flags()
	f.BoolVar(&a.stdio, "stdio", false, "serve on standard input and output; the default")
	f.StringVar(&a.options.Listen, "listen", "", "serve over HTTP on `HOST:PORT`: /mcp, /health and /metrics")
	f.StringArrayVar(&a.settings.Set, "set", nil, "one setting as `KEY=VALUE`; dots in the key lead into sections; may be repeated")
	f.StringVar(&a.settings.File, "settings", "", "`FILE` of settings, YAML or JSON")
	f.StringVar(&a.tokenFile, "token-file", "", "`FILE` with the token that callers over HTTP must bring")
	f.StringSliceVar(&a.options.Hosts, "allow-host", nil, "`NAME` by which callers over HTTP may address the server besides loopback's; may be repeated")
	f.StringVar(&a.data, "data", "", "`DIR` where the server may keep data")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "log everything, on standard error")
	return cmd
}

// oneServer wants the name of a built-in server, and guesses which was meant.
func oneServer(cmd *cobra.Command, args []string) error {
	names := builtin.Names()
	if len(args) == 1 && slices.Contains(names, args[0]) {
		return nil
	}
	err := errors.New("name the server: " + strings.Join(names, ", "))
	if len(args) > 1 {
		err = fmt.Errorf("%q is one word too many", args[1])
	}
	if len(args) == 1 {
		err = fmt.Errorf("there is no built-in server %q; there are: %s", args[0], strings.Join(names, ", "))
		if guess := strict.Suggest(args[0], names); guess != "" {
			err = fmt.Errorf("there is no built-in server %q; did you mean %s?", args[0], guess)
		}
		return exit(exitNotFound, err)
	}
	return exit(exitUsage, usageError(cmd, err))
}

func (a *alone) run(cmd *cobra.Command, name string) error {
	switch {
	case a.stdio && a.options.Listen != "":
		return exit(exitUsage, usageError(cmd, errors.New("--stdio and --listen do not go together")))
	case len(a.settings.Set) > 0 && a.settings.File != "":
		return exit(exitUsage, usageError(cmd, errors.New("--set and --settings do not go together")))
	}
	signal.Ignore(syscall.SIGPIPE) // a client that closes our output ends us in order
	o := a.options
	o.Env = mcpserver.Env{
		Version: buildVersion(), DataDir: a.data, LookupEnv: os.LookupEnv, Proxy: proxy,
		Log: a.logger(cmd.ErrOrStderr()),
	}
	if err := a.settings.Read(&o.Env); err != nil {
		return exit(exitConfig, err)
	}
	var err error
	if o.Token, err = solo.ReadToken(a.tokenFile); err != nil {
		return exit(exitConfig, err)
	}
	if o.Listen == "" {
		o.In, o.Out = os.Stdin, os.Stdout
		if isTerminal(os.Stdin) {
			fmt.Fprintln(cmd.ErrOrStderr(), "dragoman: this is for an MCP client to start; it now waits for JSON-RPC on standard input (Ctrl-C ends it)")
		}
	}
	o.Ready = func(url string) { fmt.Fprintln(cmd.ErrOrStderr(), "serving", url) }
	return runAlone(cmd.Context(), o, name)
}

// runAlone tells faults of the settings from those of the running server.
func runAlone(ctx context.Context, o solo.Options, name string) error {
	made := false
	err := solo.Run(ctx, o, func(env *mcpserver.Env) (*mcpserver.Server, error) {
		s, err := builtin.Open(name, env)
		made = err == nil
		return s, err
	})
	if err != nil && !made {
		return exit(exitConfig, err)
	}
	return err
}

func (a *alone) logger(out io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: slog.LevelWarn}
	if a.verbose {
		o.Level = slog.LevelDebug
	}
	if isTerminal(out) {
		return slog.New(slog.NewTextHandler(out, o))
	}
	return slog.New(slog.NewJSONHandler(out, o))
}
