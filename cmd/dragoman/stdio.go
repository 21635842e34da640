package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/app"
)

func newStdio() *cobra.Command {
	src := &source{}
	server := ""
	cmd := &cobra.Command{
		Use:   "stdio",
		Short: "Be one MCP server on standard input and output",
		Long: `Be one MCP server on standard input and output, for clients that start their
servers themselves. Everything that "dragoman serve" offers is there; logs go to
standard error.`,
		Example: `  dragoman stdio -c /home/me/dragoman.yaml
  dragoman stdio -c /home/me/dragoman.yaml --server files`,
		GroupID: groupRun,
		Args:    nothingMore,
		RunE:    func(cmd *cobra.Command, _ []string) error { return stdio(cmd, src, server) },
	}
	src.flags(cmd)
	cmd.Flags().StringVar(&server, "server", "", "only this server or view `NAME`, with its own names")
	return cmd
}

func stdio(cmd *cobra.Command, src *source, server string) error {
	signal.Ignore(syscall.SIGPIPE) // a client that closes our output is no reason to die before the children do
	cfg, name, err := src.load()
	if err != nil {
		return err
	}
	if _, isView := cfg.Views[server]; server != "" && !isView {
		if _, isServer := cfg.Servers[server]; !isServer {
			return unknownServer(server, name, cfg)
		}
	}
	a, err := app.Open(cfg, appOptions(cmd.ErrOrStderr()))
	if err != nil {
		return exit(exitConfig, err)
	}
	warn(a.Logger(), cfg)
	if isTerminal(os.Stdin) {
		fmt.Fprintln(cmd.ErrOrStderr(), "dragoman: this is for an MCP client to start; it now waits for JSON-RPC on standard input (Ctrl-C ends it)")
	}
	err = a.ServeStdio(cmd.Context(), os.Stdin, os.Stdout, server)
	ctx, cancel := context.WithTimeout(context.Background(), max(cfg.Shutdown.DrainTimeout, time.Second))
	defer cancel()
	if closed := a.Close(ctx); err == nil {
		err = closed
	}
	return err
}
