package supervisor_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/internal/supervisor/parcel"
	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// flood is a tunnel that says more and more to whoever connects, and counts what got through.
func flood(through *atomic.Int64) func(context.Context, net.Listener, string, *sandbox.Rules) {
	return func(ctx context.Context, l net.Listener, _ string, _ *sandbox.Rules) {
		defer context.AfterFunc(ctx, func() { _ = l.Close() })()
		var wg sync.WaitGroup
		defer wg.Wait()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				for piece := make([]byte, 10_000); ; {
					n, err := c.Write(piece)
					through.Add(int64(n))
					if err != nil {
						return
					}
				}
			})
		}
	}
}

func TestWhatComesOverTheNetworkForAPackageIsBounded(t *testing.T) {
	k := newKitchen(t)
	var through atomic.Int64
	var mu sync.Mutex // guards reports
	var reports []parcel.Report
	sup := k.cook(t, supervisor.Options{Tunnel: flood(&through), Fetched: func(_ string, r parcel.Report) { mu.Lock(); reports = append(reports, r); mu.Unlock() }})
	atLeast(t, sup, sandbox.Namespaces)
	const bound = 1 << 20
	child := k.server(t, sup, "download", func(s *supervisor.Spec) { s.Sandbox.Fetch.Bytes = bound })
	_, err := child.Acquire(t.Context())
	var failed *supervisor.FetchError
	if !errors.As(err, &failed) {
		t.Fatalf("got %v, want a FetchError", err)
	}
	for _, want := range []string{"over the network", "more than 1 MiB of downloads, set sandbox.fetch.size"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q in it", err, want)
		}
	}
	if err := sup.Close(); err != nil {
		t.Error(err)
	}
	if got := through.Load(); got > bound || got < bound-10_000 {
		t.Errorf("%d bytes were let through, want all that fit into %d and no more", got, bound)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(reports) != 1 || reports[0].Traffic <= bound || reports[0].Err == nil {
		t.Errorf("reported was %+v, want one failure, with what wanted to come", reports)
	}
	if left, _ := filepath.Glob(filepath.Join(k.packages, "*", "*")); len(left) != 0 {
		t.Errorf("what was fetched in part is left: %v", left)
	}
}

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// with are the lines that hold a text.
func (l *lines) with(text string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(strings.Split(l.text.String(), "\n"), func(line string) bool { return !strings.Contains(line, text) })
}

func TestInstallScriptsThatWereNotRunHaveAHeadingOfTheirOwnInTheLog(t *testing.T) {
	k, log := newKitchen(t), &lines{}
	sup := k.cook(t, supervisor.Options{Tunnel: (&tunnels{}).open, Log: slog.New(slog.NewTextHandler(log, nil))})
	atLeast(t, sup, sandbox.Namespaces)
	child := k.server(t, sup, "", nil)
	_ = line(t, acquire(t, child))
	if err := sup.Close(); err != nil {
		t.Fatal(err)
	}
	if s := child.Status().Sandbox; len(s.Notes) != 0 || !slices.Equal(s.Unrun, []string{"native"}) {
		t.Errorf("status says %+v, want that all of the sandbox is enforced, and the package whose script was not run", s)
	}
	if got := log.with("install scripts of the child's packages were not run"); len(got) != 1 || !strings.Contains(got[0], "native") || !strings.Contains(got[0], "sandbox.fetch.scripts") {
		t.Errorf("the log says %q, want one line with the package and the setting", got)
	}
	if got := log.with("sandbox of the child"); len(got) != 0 {
		t.Errorf("the log says %q of the sandbox, want nothing", got)
	}
}

func TestServersThatNameDifferentRegistriesDoNotShareAPackage(t *testing.T) {
	k := newKitchen(t)
	sup := k.cook(t, supervisor.Options{Tunnel: (&tunnels{}).open})
	atLeast(t, sup, sandbox.Namespaces)
	programs := map[string]string{}
	for _, server := range []struct{ name, registry string }{{"one", "https://a.example"}, {"two", "https://b.example"}, {"three", "https://b.example"}, {"four", ""}} {
		child := k.server(t, sup, "", func(s *supervisor.Spec) {
			s.Name = server.name
			if server.registry != "" {
				s.Env["npm_config_registry"] = server.registry
			}
		})
		program := line(t, acquire(t, child))
		if of, ok := programs[program]; ok && of != server.registry {
			t.Errorf("the program of %s is %s, which came from %q, want one from %q", server.name, program, of, server.registry)
		}
		programs[program] = server.registry
	}
	if got := k.installations(); len(got) != 3 || len(programs) != 3 {
		t.Errorf("installed were %v for %v, want x once for each registry", got, programs)
	}
}

func TestWhatAGatewayLeftThatWasKilledIsRemovedWhenNoneCanBeMakingItAnyMore(t *testing.T) {
	k := newKitchen(t)
	sup := k.cook(t, supervisor.Options{Tunnel: (&tunnels{}).open})
	_ = line(t, acquire(t, k.server(t, sup, "", nil)))
	keys, _ := filepath.Glob(filepath.Join(k.packages, "*"))
	if len(keys) != 1 {
		t.Fatalf("there are %v, want one package", keys)
	}
	if err := sup.Close(); err != nil {
		t.Fatal(err)
	}
	old, young := filepath.Join(keys[0], "20200101T000000.000-1"), filepath.Join(keys[0], "20200101T000000.000-2")
	for _, dir := range []string{old, young} {
		if err := os.MkdirAll(filepath.Join(dir, "node_modules/x"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-3*time.Hour)); err != nil {
		t.Fatal(err)
	}
	complete, _ := filepath.Glob(filepath.Join(keys[0], "*", "fetched.json"))
	if len(complete) != 1 || os.RemoveAll(filepath.Dir(complete[0])) != nil {
		t.Fatalf("complete are %v, want one", complete)
	}
	again := k.cook(t, supervisor.Options{Tunnel: (&tunnels{}).open})
	_ = line(t, acquire(t, k.server(t, again, "", nil)))
	if _, err := os.Stat(old); err == nil {
		t.Errorf("%s is left, which nobody has written to for three hours", old)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("what another gateway may be making is gone: %v", err)
	}
	if got := len(k.installations()); got != 2 {
		t.Errorf("x was installed %d times, want twice: what is incomplete is not used", got)
	}
}

func TestTwoGatewaysMayFetchTheSamePackageAtOnce(t *testing.T) {
	k := newKitchen(t)
	gate := filepath.Join(t.TempDir(), "gate")
	programs := make(chan string, 2)
	for range 2 {
		child := k.server(t, k.cook(t, supervisor.Options{Tunnel: (&tunnels{}).open}), "gate="+gate, nil)
		go func() {
			p, err := child.Acquire(t.Context())
			if err != nil {
				programs <- err.Error()
				return
			}
			said, _ := bufio.NewReader(p.Stdout()).ReadString('\n')
			programs <- said
		}()
	}
	eventually(t, func() (bool, string) { return len(k.installations()) == 2, "not both are installing it" })
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if said := <-programs; !strings.HasPrefix(said, k.packages) {
			t.Errorf("got %q, want a program below %s", said, k.packages)
		}
	}
	if kept, _ := filepath.Glob(filepath.Join(k.packages, "*", "*", "fetched.json")); len(kept) != 2 {
		t.Errorf("kept are %v, want what each has fetched, since programs run from there", kept)
	}
}

func TestAPlaceForPackagesThatCannotBeWrittenIsNamed(t *testing.T) {
	k := newKitchen(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	k.packages = filepath.Join(file, "packages")
	sup := k.cook(t, supervisor.Options{})
	_, err := k.server(t, sup, "", nil).Acquire(t.Context())
	var failed *supervisor.FetchError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "processes.package_dir") || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v, want an error with the setting and the path", err)
	}
	full := &supervisor.FetchError{Package: "x", Err: &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}}
	if got := full.Remedy(); !strings.Contains(got, "make room") {
		t.Errorf("remedy for a full disk: got %q", got)
	}
}
