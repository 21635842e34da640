// Command bench measures the gateway beside a tuned httputil.ReverseProxy in front of the same upstream, in interleaved rounds,
// and prints the ratios with the goals they are held to. See docs/performance.md for the method. It also looks for calls that
// were lost, doubled or handed to another caller (-scenarios leak). It does not know how the gateway works: it starts the
// command as a user would and speaks HTTP to it.
//
// Each piece is a process of its own, this program started again with a role as first argument: upstream, stdio, bare, load.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// settings are the flags.
type settings struct {
	gateway     string
	gatewayArgs string
	race        bool
	extra       string
	route       string
	scenarios   string
	rounds      int
	warm        time.Duration
	window      time.Duration
	limit       time.Duration
	quick       bool
	direct      bool
	idLast      bool
	sign        string
	profile     string
	output      string
	save        string
	enforce     bool
	calls       int
	late        time.Duration
	seed        uint64
}

func main() {
	runtime.LockOSThread() // children die with the thread that started them: see proc.Start
	if len(os.Args) > 1 && role(os.Args[1]) != nil {
		if err := role(os.Args[1])(os.Args[2:]); err != nil {
			fmt.Fprintf(os.Stderr, "bench %s: %v\n", os.Args[1], err)
			os.Exit(1)
		}
		return
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// The exit codes: what a caller may rely on.
const (
	exitRight   = 0 // every answer was right
	exitWrong   = 1 // an answer was wrong or the benchmark could not run
	exitMissed  = 2 // -enforce was given and a goal was missed
	exitBadFlag = 64
)

// errMissed says that with -enforce a goal was not met.
var errMissed = errors.New("a goal was missed")

func run(args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitRight
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return exitBadFlag
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	b, err := newBench(ctx, s, stderr)
	if err == nil {
		defer b.close()
		err = b.all(ctx, stdout)
	}
	switch {
	case errors.Is(err, errMissed):
		fmt.Fprintln(stderr, "bench:", err)
		return exitMissed
	case err != nil:
		fmt.Fprintln(stderr, "bench:", err)
		return exitWrong
	}
	return exitRight
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&s.gateway, "gateway", "", "`path` of the gateway's binary; empty builds ./cmd/dragoman; \"bare\" lets a second bare proxy stand in for it")
	f.StringVar(&s.gatewayArgs, "gateway-args", "serve -c {config}", "its `arguments`; {config} is the file that is written for it")
	f.BoolVar(&s.race, "race", false, "build the gateway with the race detector (its figures then say nothing)")
	f.StringVar(&s.extra, "config", "", "`file` of YAML to append to the gateway's configuration")
	f.StringVar(&s.route, "route", "aggregate", "endpoint for calls: aggregate (/mcp, up__echo) or server (/mcp/up, echo)")
	f.StringVar(&s.scenarios, "scenarios", "", "comma-separated `names` (empty is all): "+strings.Join(scenarioNames(), ", ")+", leak")
	f.IntVar(&s.rounds, "rounds", 5, "how often every scenario is measured; medians over them are printed")
	f.DurationVar(&s.warm, "warm", 150*time.Millisecond, "load on each peer before its first window")
	f.DurationVar(&s.window, "window", 600*time.Millisecond, "how long each peer is measured per round, in slices that take turns")
	f.DurationVar(&s.limit, "limit", 15*time.Minute, "bound on the whole run")
	f.BoolVar(&s.quick, "quick", false, "one round with short windows and 1,000 held streams at most: a look, not a measurement")
	f.BoolVar(&s.direct, "direct", true, "measure the upstream without anything before it as well")
	f.BoolVar(&s.idLast, "id-last", false, "upstreams put the id behind the result, as the TypeScript SDK does")
	f.StringVar(&s.sign, "sign", "ES256", "algorithm of the tokens of the guarded scenarios: ES256 or EdDSA")
	f.StringVar(&s.profile, "profile", "", "`directory` for a CPU profile of the gateway under each load of the first round; its figures then say little")
	f.StringVar(&s.output, "o", "table", "table or json")
	f.StringVar(&s.save, "save", "", "`file` to write the JSON to as well")
	f.BoolVar(&s.enforce, "enforce", false, "exit with code 2 when a goal is missed")
	f.IntVar(&s.calls, "calls", 1_000_000, "calls of the scenario leak")
	f.DurationVar(&s.late, "late", 8*time.Millisecond, "longest delay of an answer in the scenario leak")
	f.Uint64Var(&s.seed, "seed", uint64(time.Now().UnixNano()), "of the scenario leak")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if s.quick {
		s.rounds, s.warm, s.window = 1, 100*time.Millisecond, 400*time.Millisecond
	}
	return s, s.check(f.Args())
}

func (s settings) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q: everything is a flag", rest[0])
	case s.route != "aggregate" && s.route != "server":
		return fmt.Errorf("-route is %q: say aggregate or server", s.route)
	case s.output != "table" && s.output != "json":
		return fmt.Errorf("-o is %q: say table or json", s.output)
	case s.sign != "ES256" && s.sign != "EdDSA":
		return fmt.Errorf("-sign is %q: say ES256 or EdDSA", s.sign)
	case s.rounds < 1 || s.window <= 0 || s.warm < 0 || s.calls < 1 || s.limit <= 0:
		return errors.New("-rounds, -window, -calls and -limit must be more than nothing")
	}
	_, err := selected(s.scenarios)
	return err
}
