package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/dragoman-mcp/dragoman/test/bench/bare"
	"github.com/dragoman-mcp/dragoman/test/bench/load"
	"github.com/dragoman-mcp/dragoman/test/bench/upstream"
)

// role returns what this program does when its first argument names another of its processes, else nil.
func role(name string) func(args []string) error {
	switch name {
	case "upstream":
		return upstreamRole
	case "stdio":
		return stdioRole
	case "bare":
		return bareRole
	case "load":
		return loadRole
	}
	return nil
}

// untilSignal is the life of a role.
func untilSignal() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

// announcement is the line that the upstream writes when it listens.
type announcement struct {
	Addrs []string `json:"addrs"`
}

// upstreamRole serves MCP on free loopback ports. Its one argument is upstream.Options in JSON.
func upstreamRole(args []string) error {
	options, err := readOptions(args)
	if err != nil {
		return err
	}
	ctx, stop := untilSignal()
	defer stop()
	server := upstream.New(options)
	var said announcement
	var serving sync.WaitGroup
	defer serving.Wait()
	for range max(1, options.Listeners) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			stop()
			return err
		}
		said.Addrs = append(said.Addrs, l.Addr().String())
		serving.Go(func() {
			if err := server.Serve(ctx, l); err != nil {
				fmt.Fprintln(os.Stderr, "bench upstream:", err)
			}
		})
	}
	return json.NewEncoder(os.Stdout).Encode(said)
}

// stdioRole serves MCP of 2025-06-18 on stdin and stdout, as a child of the gateway. Its one argument is upstream.Options in JSON.
func stdioRole(args []string) error {
	options, err := readOptions(args)
	if err != nil {
		return err
	}
	return upstream.New(options).ServeStdio(context.Background(), os.Stdin, os.Stdout)
}

func readOptions(args []string) (upstream.Options, error) {
	var options upstream.Options
	if len(args) != 1 {
		return options, fmt.Errorf("want one argument, the options in JSON, got %q", args)
	}
	return options, json.Unmarshal([]byte(args[0]), &options)
}

// bareRole is the baseline: bare -listen ADDR -upstream URL.
func bareRole(args []string) error {
	f := flag.NewFlagSet("bare", flag.ContinueOnError)
	listen := f.String("listen", "127.0.0.1:0", "address")
	to := f.String("upstream", "", "URL")
	if err := f.Parse(args); err != nil {
		return err
	}
	target, err := url.Parse(*to)
	if err != nil {
		return err
	}
	ctx, stop := untilSignal()
	defer stop()
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	return bare.Serve(ctx, l, target)
}

// loadRole makes one measurement: a load.Plan in JSON on stdin, the results by peer on stdout.
func loadRole([]string) error {
	var plan load.Plan
	if err := json.NewDecoder(os.Stdin).Decode(&plan); err != nil {
		return fmt.Errorf("read plan: %w", err)
	}
	ctx, stop := untilSignal()
	defer stop()
	results, err := load.Run(ctx, plan)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(results)
}
