// Command dragoman is an MCP gateway: it puts many MCP servers behind one
// endpoint, for clients and servers of every revision. It knows the command line
// and the terminal; it does not know how anything is done, which is in internal/app.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/dragoman-mcp/dragoman/internal/config/strict"
	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/internal/supervisor/slack"
)

// version is set by the linker for a release.
var version = ""

func main() {
	supervisor.ShimMain(os.Args) // does not return in the process that watches over children
	if slices.Contains(os.Args, "serve") {
		slack.Late() // does not return in a process whose timers are as usual
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var coded *exitError
	if !errors.As(err, &coded) {
		coded = &exitError{code: exitFailure, err: err}
	}
	if coded.err != nil {
		fmt.Fprintln(os.Stderr, "dragoman:", told(coded.err))
	}
	return coded.code
}

// told is an error as it is printed: several faults of a configuration stand
// below each other.
func told(err error) string {
	var faults strict.Faults
	if !errors.As(err, &faults) || len(faults) < 2 {
		return err.Error()
	}
	return "the configuration has " + count(len(faults), "fault") + ":\n  " + strings.ReplaceAll(err.Error(), "\n", "\n  ")
}

// Exit codes, the same for all commands; see "dragoman help exit-codes".
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitAuth        = 3
	exitUnreachable = 4
	exitTool        = 5
	exitConfig      = 7
	exitNotFound    = 12
	exitInterrupted = 130
)

// exitError is an error with the code that the process ends with. Without an
// error nothing is printed: it has been told already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return fmt.Sprint(e.err) }
func (e *exitError) Unwrap() error { return e.err }

func exit(code int, err error) error { return &exitError{code: code, err: err} }

// buildVersion is the version of this binary: the release's, or the module's.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}
