package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
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
		Long: `Run the gateway. Without a configuration it serves the built-in time server on
127.0.0.1:8000. SIGHUP, a change of the file and "dragoman reload" take up a
changed configuration; a faulty one is reported and changes nothing.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd, src, quiet) },
	}
	src.flags(cmd)
	cmd.Flags().StringVar(&src.listen, "listen", "", "address to listen on, as HOST:PORT; wins over the file")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "do not print where the gateway can be reached")
	return cmd
}

func serve(cmd *cobra.Command, src *source, quiet bool) error {
	cfg, name, err := src.load()
	if err != nil {
		return err
	}
	a, err := app.Open(cfg, app.Options{Version: buildVersion(), Environ: os.Environ(), LogOutput: cmd.ErrOrStderr(), Proxy: proxy})
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), max(cfg.Shutdown.DrainTimeout, time.Second))
		defer cancel()
		if err := a.Close(ctx); err != nil {
			fmt.Fprintln(cmd.ErrOrStderr(), "dragoman: not everything closed properly:", err)
		}
	}()
	log := a.Logger()
	for _, w := range cfg.Warnings {
		log.Warn("configuration", "warning", w)
	}
	server, err := a.Listen(cmd.Context())
	if err != nil {
		return exit(exitConfig, err)
	}
	if !quiet {
		greet(cmd.OutOrStdout(), server.Addr().String(), name, cfg)
	}
	r := &reloader{src: src, app: a, server: server, log: log}
	server.OnReload(r.reload)
	ctx, stop := context.WithCancel(cmd.Context())
	defer stop()
	var triggers sync.WaitGroup
	triggers.Go(func() { r.onSignal(ctx) })
	if file := src.path(); file != "" {
		triggers.Go(func() { r.onChange(ctx, file) })
	}
	err = server.Run(ctx)
	stop()
	triggers.Wait()
	return err
}

// greet tells a person where the gateway is and what to do next.
func greet(w io.Writer, addr, name string, cfg *config.Config) {
	url := "http://" + addr
	first := "dragoman call time.now tz=Europe/Amsterdam"
	fmt.Fprintf(w, "Dragoman %s, serving %s from %s\n\n", buildVersion(), count(len(cfg.Servers), "server"), name)
	fmt.Fprintf(w, "  MCP     %s/mcp\n  Health  %s/health\n\nNext:\n", url, url)
	fmt.Fprintf(w, "  %-46s call a tool\n", first)
	fmt.Fprintf(w, "  %-46s see what is there\n", "dragoman list tools --url "+url+"/mcp")
	fmt.Fprintf(w, "  %-46s take over your clients' servers\n\n", "dragoman import --all")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
