package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/config"
)

func newServe() *cobra.Command {
	src := &source{}
	quiet := false
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway",
		Long: `Run the gateway. Without a configuration it serves two built-in servers, time
and database (a sample), on 127.0.0.1:8000. SIGHUP, a change of the file and
"dragoman reload" take up a changed configuration; a faulty one is reported and
changes nothing. SIGTERM and Ctrl-C let calls under way end first; a second
Ctrl-C does not wait for them.`,
		Example: `  dragoman serve
  dragoman serve -c dragoman.yaml --listen 127.0.0.1:9000
  dragoman serve -c ~/.cursor/mcp.json`,
		GroupID: groupRun,
		Args:    nothingMore,
		RunE:    func(cmd *cobra.Command, _ []string) error { return serve(cmd, src, quiet) },
	}
	src.flags(cmd)
	cmd.Flags().StringVar(&src.listen, "listen", "", "`HOST:PORT` to listen on; wins over the file")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "do not print where the gateway can be reached")
	return cmd
}

func serve(cmd *cobra.Command, src *source, quiet bool) error {
	signal.Ignore(syscall.SIGPIPE) // who reads our log may go without taking us along
	cfg, name, err := src.load()
	if err != nil {
		return err
	}
	legible(cfg, cmd.ErrOrStderr())
	a, err := app.Open(cfg, appOptions(cmd.ErrOrStderr()))
	if err != nil {
		return exit(exitConfig, err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), max(cfg.Shutdown.DrainTimeout, time.Second))
		defer cancel()
		if err := a.Close(ctx); err != nil {
			fmt.Fprintln(cmd.ErrOrStderr(), "dragoman: not everything closed properly:", err)
		}
	}()
	log := a.Logger()
	warn(log, cfg)
	server, err := a.Listen(cmd.Context())
	if err != nil {
		return notListening(err, cfg.Listen)
	}
	hup := make(chan os.Signal, 1) // before anybody knows that we are there: until then it ends us
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	if !quiet {
		greet(cmd.OutOrStdout(), server.Addr().String(), name, cfg)
	}
	r := &reloader{src: src, app: a, server: server, log: log, output: cmd.ErrOrStderr()}
	if src.file != "-" {
		server.OnReload(r.reload)
	}
	ctx, stop := context.WithCancel(cmd.Context())
	defer stop()
	var triggers sync.WaitGroup
	triggers.Go(func() { r.onSignal(ctx, hup) })
	if file := src.path(); file != "" {
		triggers.Go(func() { r.onChange(ctx, file) })
	}
	triggers.Go(func() {
		<-ctx.Done()
		if cmd.Context().Err() != nil { // calls under way may take a while, in which nothing else is said
			log.Info("stopping, a second signal does not wait for calls under way", "drain_timeout", a.Config().Shutdown.DrainTimeout.String())
		}
	})
	err = server.Run(ctx)
	stop()
	triggers.Wait()
	return err
}

// legible makes the log one for people where a person reads it and nobody has
// asked for another form.
func legible(cfg *config.Config, log io.Writer) {
	if cfg.Origins["log.format"] == "default" && isTerminal(log) {
		cfg.Log.Format = "text"
	}
}

// notListening says what to do when the address cannot be had.
func notListening(err error, address string) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is in use, perhaps by another gateway: stop that, or choose another address with --listen", address)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s cannot be had: %w; choose a port above 1023 with --listen", address, syscall.EACCES)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s is no address of this machine: choose another with --listen", address)
	}
	return err
}

// next is a command that a person may want to type now.
type next struct{ command, about string }

// greet tells a person where the gateway is and what to do next.
func greet(w io.Writer, addr, name string, cfg *config.Config) {
	url := schemeOf(cfg) + reachable(addr)
	fmt.Fprintf(w, "Dragoman %s, serving %s from %s\n\n", buildVersion(), count(len(cfg.Servers), "server"), name)
	fmt.Fprintf(w, "  MCP     %s/mcp\n  Health  %s/health\n\nNext:\n", url, url)
	steps := nextSteps(url, name, cfg)
	widest := 0
	for _, s := range steps {
		widest = max(widest, cells(s.command))
	}
	for _, s := range steps {
		fmt.Fprintf(w, "  %s%s  %s\n", s.command, strings.Repeat(" ", widest-cells(s.command)), s.about)
	}
	switch auth := cfg.Auth; {
	case len(auth.Tokens) > 0:
		fmt.Fprintln(w, "\nCallers need a token: set DRAGOMAN_TOKEN for the commands above.")
	case auth.Keys.Enabled:
		fmt.Fprintln(w, "\nCallers need a key: dragoman token create makes one; set DRAGOMAN_TOKEN to it for the commands above.")
	case auth.Guarded():
		fmt.Fprintln(w, "\nCallers have to show who they are: docs/access.md says how.")
	}
	fmt.Fprintln(w)
}

// nextSteps are three commands that work as they stand.
func nextSteps(url, file string, cfg *config.Config) []next {
	self := selfName()
	look := next{self + " list tools --url " + url + "/mcp", "see what is there"}
	flag := ""
	if file != builtinName && file != defaultFile {
		flag = " -c " + file
	}
	steps := []next{{self + " doctor" + flag, "try every server"}, look, {self + " check" + flag, "check a changed file"}}
	for server, section := range cfg.Servers {
		if section.Builtin == "time" && !section.Disabled {
			steps[0] = next{self + " call " + server + ".now tz=Europe/Amsterdam" + flag, "call a tool"}
		}
	}
	if file == builtinName {
		steps[2] = next{self + " import --all", "take over your servers"}
	}
	return steps
}

// selfName is what whoever started us can type to start us again: the name where
// it is found, else the path that was typed, as bin/dragoman of a fresh build is.
func selfName() string {
	if _, err := exec.LookPath("dragoman"); err != nil {
		return commandLine(os.Args[:1])
	}
	return "dragoman"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
