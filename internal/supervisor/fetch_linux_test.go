package supervisor_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/internal/supervisor/parcel"
	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// tunnels are the proxies that were asked for, which lead nowhere.
type tunnels struct {
	mu    sync.Mutex // guards hosts
	hosts [][]string
}

func (s *tunnels) open(ctx context.Context, l net.Listener, _ string, rules *sandbox.Rules) {
	s.mu.Lock()
	s.hosts = append(s.hosts, rules.Hosts)
	s.mu.Unlock()
	<-ctx.Done()
	_ = l.Close()
}

// cook makes a supervisor that fetches with the kitchen.
func (k *kitchen) cook(t *testing.T, opts supervisor.Options) *supervisor.Supervisor {
	t.Helper()
	opts.PackageDir = k.packages
	opts.Environ = append(os.Environ(), "PATH="+k.bin+":"+os.Getenv("PATH"), "HOME="+filepath.Dir(k.count), "npm_config_cache=", "NPM_CONFIG_CACHE=")
	return newSupervisor(t, opts)
}

// server is a child whose package is fetched before.
func (k *kitchen) server(t *testing.T, sup *supervisor.Supervisor, mode string, change func(*supervisor.Spec)) *supervisor.Child {
	t.Helper()
	spec := supervisor.Spec{Name: "test", Command: []string{"npx", "-y", "x", "an argument"}, Env: k.env(mode), StopTimeout: time.Second,
		Sandbox: sandbox.Rules{Level: sandbox.Namespaces, NoNetwork: true, Fetch: sandbox.Fetch{Before: true, Timeout: patience}}}
	if change != nil {
		change(&spec)
	}
	return add(t, sup, spec)
}

func TestAPackageIsFetchedOnceForAllAndStartedWithoutItsLauncher(t *testing.T) {
	k, ways := newKitchen(t), &tunnels{}
	var reports []parcel.Report
	var started []supervisor.Confinement
	var mu sync.Mutex // guards both
	sup := k.cook(t, supervisor.Options{Tunnel: ways.open,
		Fetched: func(_ string, r parcel.Report) { mu.Lock(); reports = append(reports, r); mu.Unlock() },
		Started: func(_ string, _ int, c supervisor.Confinement) { mu.Lock(); started = append(started, c); mu.Unlock() }})
	level := min(sup.Sandboxes(t.Context()).Level, sandbox.Namespaces)
	var wg sync.WaitGroup
	for _, name := range []string{"one", "two", "three"} {
		child := k.server(t, sup, "", func(s *supervisor.Spec) { s.Name = name })
		wg.Go(func() {
			p, err := child.Acquire(t.Context())
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			said, _ := bufio.NewReader(p.Stdout()).ReadString('\n')
			if !strings.HasPrefix(said, k.packages) || !strings.HasSuffix(said, "/node_modules/.bin/x an argument\n") {
				t.Errorf("%s: the program says that it is %q, want one below %s", name, said, k.packages)
			}
			if s := child.Status().Sandbox; s.Level != level || s.Phase != "run" || s.Package != "x (1.2.3)" || !strings.Contains(s.String(), "native") {
				t.Errorf("%s: status says %+v, want level %s in the run phase, and the script that was not run", name, s, level)
			}
			if err := child.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := k.installations(); len(got) != 1 {
		t.Errorf("installed were %v, want x once", got)
	}
	if err := sup.Close(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(reports) != 1 || reports[0].Err != nil || reports[0].Package != "x (1.2.3)" || !slices.Equal(reports[0].Hosts, []string{"registry.example"}) {
		t.Errorf("reported was %+v, want one fetch from registry.example", reports)
	}
	if !slices.ContainsFunc(started, func(c supervisor.Confinement) bool { return c.Phase == "fetch" && c.Package == "x" && c.Level == level }) {
		t.Errorf("told were the starts %+v, want one of the fetch phase", started)
	}
	if level >= sandbox.Namespaces && (len(ways.hosts) != 1 || !slices.Equal(ways.hosts[0], []string{"registry.example"})) {
		t.Errorf("the proxies led to %v, want one, to registry.example", ways.hosts)
	}
	found, _ := filepath.Glob(filepath.Join(k.packages, "*", "*", "environment"))
	if len(found) != 1 {
		t.Fatalf("there are %v, want one fetch", found)
	}
	if env, _ := os.ReadFile(found[0]); strings.Contains(string(env), "SECRET") || !strings.Contains(string(env), "npm_config_count") {
		t.Errorf("what fetched had the environment\n%s\nwant npm's settings and nothing of the server's", env)
	}

	// Another gateway on the same machine needs neither network nor npm.
	other := k.cook(t, supervisor.Options{})
	child := k.server(t, other, "fail", nil)
	if said := line(t, acquire(t, child)); !strings.HasPrefix(said, k.packages) || len(k.installations()) != 1 {
		t.Errorf("with the package there: %q was started after the installations %v", said, k.installations())
	}
}

func TestARunPhaseDoesNotWriteWhereThatOfOthersComesFrom(t *testing.T) {
	k := newKitchen(t)
	sup := k.cook(t, supervisor.Options{Tunnel: (&tunnels{}).open})
	atLeast(t, sup, sandbox.Files)
	child := k.server(t, sup, "", func(s *supervisor.Spec) { s.Sandbox.Level = sandbox.Files })
	_ = line(t, acquire(t, child))
	if _, err := os.Stat(filepath.Join(k.cache, "from-a-fetch")); err != nil {
		t.Errorf("the fetch phase could not write its cache: %v", err)
	}
	dirs, _ := filepath.Glob(filepath.Join(k.packages, "*", "*"))
	if len(dirs) != 1 {
		t.Fatalf("there are %v, want one fetch", dirs)
	}
	self, _ := os.Executable()
	program := "#!/bin/sh\nexec " + self + " role:attempt \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dirs[0], "node_modules/.bin/x"), []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	inPackage, inCache := "write="+filepath.Join(dirs[0], "new"), "write="+filepath.Join(k.cache, "new")
	again := k.server(t, sup, "", func(s *supervisor.Spec) {
		s.Name, s.Sandbox.Level, s.Sandbox.Read = "again", sandbox.Files, []string{self}
		s.Command = []string{"npx", "x", inPackage, inCache, "read=" + filepath.Join(dirs[0], "environment")}
	})
	lines := bufio.NewScanner(acquire(t, again).Stdout())
	for _, want := range []string{inPackage + "\topen", inCache + "\topen", "read=" + filepath.Join(dirs[0], "environment") + "\tok"} {
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), want) {
			t.Errorf("got %q, want %q: it may read its package, and write neither that nor the cache", lines.Text(), want)
		}
	}
}

func TestAFetchThatFailsSaysWhatAndWhatToDoAndIsNotRepeatedAtOnce(t *testing.T) {
	for _, tt := range []struct {
		mode  string
		rules sandbox.Fetch
		want  []string
	}{
		{"fail", sandbox.Fetch{Timeout: patience}, []string{`package x of server "test"`, "npm install --prefix: it exited with code 1", "E404", "check its name and version", "registry.example has it"}},
		{"hang", sandbox.Fetch{Timeout: 3 * time.Second}, []string{"time is used up", "sandbox.fetch.timeout"}},
		{"large", sandbox.Fetch{Timeout: patience, Bytes: 1 << 20}, []string{"larger than it may be", "sandbox.fetch.size"}},
		{"huge", sandbox.Fetch{Timeout: patience, Bytes: 1 << 20}, []string{"larger than it may be", "sandbox.fetch.size"}},
	} {
		t.Run(tt.mode, func(t *testing.T) {
			k := newKitchen(t)
			sup := k.cook(t, supervisor.Options{Tunnel: (&tunnels{}).open})
			child := k.server(t, sup, tt.mode, func(s *supervisor.Spec) {
				tt.rules.Before = true
				s.Sandbox.Fetch = tt.rules
			})
			_, err := child.Acquire(t.Context())
			var failed *supervisor.FetchError
			if !errors.As(err, &failed) {
				t.Fatalf("got %v, want a FetchError", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
			before := len(k.installations())
			if _, err := child.Acquire(t.Context()); !errors.As(err, &failed) || failed.Wait <= 0 || len(k.installations()) != before {
				t.Errorf("at once: got %v after the installations %v, want the error and no other try", err, k.installations())
			}
			if s := child.Status(); s.Err == nil || s.Starts != 0 || s.Exits != 0 {
				t.Errorf("status says %+v, want the error, and no start or exit", s)
			}
			if left, _ := filepath.Glob(filepath.Join(k.packages, "*", "*")); len(left) != 0 {
				t.Errorf("what was fetched in part is left: %v", left)
			}
			child.Reset()
			if _, err := child.Acquire(t.Context()); err == nil || tt.mode != "hang" && len(k.installations()) == before {
				t.Errorf("after a reset: got %v after the installations %v, want another try", err, k.installations())
			}
		})
	}
}

func TestWhoWaitsForAPackageMayLeave(t *testing.T) {
	k := newKitchen(t)
	sup := k.cook(t, supervisor.Options{Tunnel: (&tunnels{}).open})
	gate := filepath.Join(t.TempDir(), "gate")
	child := k.server(t, sup, "gate="+gate, nil)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := child.Acquire(ctx)
		left <- err
	}()
	eventually(t, func() (bool, string) {
		s := child.Status()
		return s.State.String() == "fetching" && s.Sandbox.Phase == "fetch" && len(k.installations()) == 1, "status says " + s.State.String() + ", " + s.Sandbox.String()
	})
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "being fetched") {
		t.Errorf("got %v, want that it is being fetched", err)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_ = line(t, acquire(t, child))
	if got := k.installations(); len(got) != 1 {
		t.Errorf("installed were %v, want x once", got)
	}
}

func TestTheEndOfASupervisorEndsAFetch(t *testing.T) {
	k := newKitchen(t)
	sup := k.cook(t, supervisor.Options{Tunnel: (&tunnels{}).open})
	child := k.server(t, sup, "hang", nil)
	failed := make(chan error, 1)
	go func() {
		_, err := child.Acquire(context.Background())
		failed <- err
	}()
	eventually(t, func() (bool, string) { return len(k.installations()) == 1, "nothing is being installed" })
	if err := sup.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; err == nil {
		t.Error("a process was started after the end")
	}
	if left, _ := filepath.Glob(filepath.Join(k.packages, "*", "*")); len(left) != 0 {
		t.Errorf("what was fetched in part is left: %v", left)
	}
}

func TestWhatMovesIsLookedForAnewAndWhatIsThereIsUsedIfThatFails(t *testing.T) {
	k := newKitchen(t)
	latest := func(s *supervisor.Spec) { s.Command = []string{"npx", "x@latest"} }
	for round, mode := range []string{"chatty", "", "", "fail"} {
		sup := k.cook(t, supervisor.Options{Tunnel: (&tunnels{}).open})
		for n := range 2 { // the second finds what the first has fetched
			child := k.server(t, sup, mode, func(s *supervisor.Spec) { latest(s); s.Name = strings.Repeat("s", n+1) })
			_ = line(t, acquire(t, child))
			if stale := strings.Contains(child.Status().Sandbox.String(), "no newer"); stale != (mode == "fail") {
				t.Errorf("round %d: status says %s", round, child.Status().Sandbox)
			}
		}
		if err := sup.Close(); err != nil {
			t.Fatal(err)
		}
		if got := len(k.installations()); got != round+1 {
			t.Errorf("after round %d: %d installations, want one a round", round, got)
		}
	}
	if kept, _ := filepath.Glob(filepath.Join(k.packages, "*", "*")); len(kept) != 2 {
		t.Errorf("kept are %v, want the last two", kept)
	}
}

func TestWhatCannotBeFetchedBeforehandIsStartedAsItIsAndThatIsTold(t *testing.T) {
	k := newKitchen(t)
	script := "#!/bin/sh\necho \"npx $@\"\nexec cat\n"
	if err := os.WriteFile(filepath.Join(k.bin, "npx"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	sup := k.cook(t, supervisor.Options{})
	child := k.server(t, sup, "", func(s *supervisor.Spec) { s.Command = []string{"npx", "github:some/server"} })
	if said := line(t, acquire(t, child)); said != "npx github:some/server" {
		t.Errorf("started was %q, want npx", said)
	}
	if s := child.Status().Sandbox.String(); !strings.Contains(s, "no package of a registry") {
		t.Errorf("status says %q, want why nothing was fetched beforehand", s)
	}
}
