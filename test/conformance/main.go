// Command conformance runs the official MCP conformance suite: against the official Go SDK's server as it is, which
// shows that the setting is right, and through the gateway, which is the question. It prints the scores, writes them to
// docs/conformance.md, and fails when a scenario fails that is not listed with its reason in plan.go, or when one that is
// listed passes. It knows nothing of how the gateway works: it has a configuration file, a URL and an exit code.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"

	"github.com/dragoman-mcp/dragoman/test/peers"
)

type options struct {
	gateway string // path of the dragoman command
	direct  bool   // leave out the runs through the gateway
	only    *regexp.Regexp
	table   string // Markdown file to write; empty for none
	work    string // where logs and results go
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == legCommand {
		os.Exit(runLeg(os.Args[2:]))
	}
	opts, err := readOptions()
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = conformance(ctx, opts)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func readOptions() (options, error) {
	var opts options
	root, err := peers.Root()
	if err != nil {
		return opts, err
	}
	only := flag.String("run", "", "run only what matches this pattern, and write no table")
	flag.StringVar(&opts.gateway, "gateway", filepath.Join(root, "bin", "dragoman"), "the dragoman command")
	flag.BoolVar(&opts.direct, "direct", false, "run the suite against the official server only, and write no table")
	flag.StringVar(&opts.table, "table", filepath.Join(root, "docs", "conformance.md"), "write the scores to this file")
	flag.StringVar(&opts.work, "work", filepath.Join(root, ".cache", "conformance"), "keep logs and results in this directory")
	flag.Parse()
	if opts.only, err = regexp.Compile(*only); err != nil {
		return opts, fmt.Errorf("read -run: %w", err)
	}
	if *only != "" || opts.direct {
		opts.table = ""
	}
	return opts, nil
}

func conformance(ctx context.Context, opts options) error {
	if err := errors.Join(os.RemoveAll(opts.work), os.MkdirAll(opts.work, 0o755)); err != nil {
		return fmt.Errorf("make %s: %w", opts.work, err)
	}
	targets, stop, err := startTargets(ctx, opts)
	defer stop()
	if err != nil {
		return err
	}
	var rows []row
	wrong := 0
	for _, r := range plan {
		if r.gateway && opts.direct || !opts.only.MatchString(r.String()) {
			continue
		}
		row, err := judge(ctx, opts, r, targets)
		if err != nil {
			return fmt.Errorf("%s: %w", r, err)
		}
		row.print(os.Stdout)
		wrong += len(row.wrong)
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		return errors.New("-run matches nothing")
	}
	if opts.table != "" {
		if err := os.WriteFile(opts.table, table(rows), 0o644); err != nil {
			return err
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d scenarios did not go as expected; results and logs are in %s", wrong, opts.work)
	}
	return nil
}
