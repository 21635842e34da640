package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
)

// TestMain makes this binary the command, the servers that scripts start, and the
// guard of child processes.
func TestMain(m *testing.M) {
	supervisor.ShimMain(os.Args)
	testscript.Main(checked{m}, map[string]func(){"dragoman": main, "mcpserver": peer})
}

// checked are tests that must leave no goroutine behind.
type checked struct{ *testing.M }

func (c checked) Run() int {
	code := c.M.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// TestScripts runs the command as a person does: testdata/*.txtar.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup:               surroundings,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "await": await, "mode": mode, "key": key, "refused": refused,
		},
	})
}

// surroundings are the servers that scripts find at addresses in their
// environment: $WEB is no MCP server, $STATUS/401 answers with that status, $TLS has
// a certificate that nobody trusts; $FREE is an address that nobody listens on.
func surroundings(env *testscript.Env) error {
	status := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		code, err := strconv.Atoi(r.URL.Path[1:])
		if err != nil {
			code = http.StatusTeapot
		}
		w.WriteHeader(code)
	}))
	env.Defer(status.Close)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "<html>A page.</html>")
	}))
	env.Defer(web.Close)
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // nobody trusts it, which is the point
	secure.StartTLS()
	env.Defer(secure.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	free := l.Addr().String()
	if err := l.Close(); err != nil {
		return err
	}
	env.Setenv("STATUS", status.URL)
	env.Setenv("WEB", web.URL)
	env.Setenv("TLS", secure.URL)
	env.Setenv("FREE", free)
	env.Setenv("GORACE", noPause)
	env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, ".state"))
	return nil
}

// noPause keeps the race detector from waiting a second at the end of each of
// some hundred processes.
const noPause = "atexit_sleep_ms=0"

// exits is "exits CODE PROGRAM ARGS…": the program must end with that code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		got = ended.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// await is "await FILE" or "await URL": what a program in the background brings
// about.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FILE|URL")
	}
	there := func() bool {
		if resp, err := http.Get(args[0]); err == nil {
			return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
		}
		_, err := os.Stat(ts.MkAbs(args[0]))
		return err == nil
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(time.Minute); !there(); <-tick.C {
		if time.Now().After(until) {
			ts.Fatalf("%s did not appear within a minute", args[0])
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// mode is "mode OCTAL FILE": the permissions that a file must have.
func mode(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); (got == args[0]) == neg {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}
