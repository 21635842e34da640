package main

import (
	"context"
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
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			signal.Ignore(syscall.SIGPIPE) // a client that closes our output is no reason to die before the children do
			cfg, _, err := src.load()
			if err != nil {
				return err
			}
			a, err := app.Open(cfg, app.Options{Version: buildVersion(), Environ: os.Environ(), LogOutput: cmd.ErrOrStderr(), Proxy: proxy})
			if err != nil {
				return err
			}
			err = a.ServeStdio(cmd.Context(), os.Stdin, os.Stdout, server)
			ctx, cancel := context.WithTimeout(context.Background(), max(cfg.Shutdown.DrainTimeout, time.Second))
			defer cancel()
			if closed := a.Close(ctx); err == nil {
				err = closed
			}
			return err
		},
	}
	src.flags(cmd)
	cmd.Flags().StringVar(&server, "server", "", "only this server or view, with its own names")
	return cmd
}
