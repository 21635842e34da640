package supervisor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/internal/supervisor/parcel"
	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// approvals admit what is in them, by digest, and the first that they are asked about.
type approvals struct {
	mu       sync.Mutex // guards what follows
	approved map[string]bool
	refused  map[string]bool
	last     parcel.Contents // refused for the first time
	closed   error           // of every start
}

func (a *approvals) admit(_ context.Context, text []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if text == nil {
		return a.closed
	}
	var c parcel.Contents
	if err := json.Unmarshal(text, &c); err != nil {
		return err
	}
	if a.approved == nil {
		a.approved, a.refused = map[string]bool{c.Digest: true}, map[string]bool{}
	}
	if a.approved[c.Digest] {
		return nil
	}
	if !a.refused[c.Digest] {
		a.last = c
	}
	a.refused[c.Digest] = true
	return errors.New("not approved")
}

func (a *approvals) approve() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.approved = map[string]bool{a.last.Digest: true}
}

// told is what was refused for the first time, last.
func (a *approvals) told() parcel.Contents {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last
}

// floats makes a file whose text is what npm installs, and a function that starts a gateway with a server of a tag and says
// what that runs.
func (k *kitchen) floats(t *testing.T, a *approvals) (content string, run func() (string, string, error)) {
	content = filepath.Join(t.TempDir(), "content")
	return content, func() (string, string, error) {
		t.Helper()
		sup := k.cook(t, supervisor.Options{Tunnel: (&tunnels{}).open})
		defer func() {
			if err := sup.Close(); err != nil {
				t.Error(err)
			}
		}()
		child := k.server(t, sup, "content="+content, func(s *supervisor.Spec) {
			s.Command, s.Admit = []string{"npx", "x@latest"}, a.admit
		})
		p, err := child.Acquire(t.Context())
		if err != nil {
			return "", child.Status().Sandbox.String(), err
		}
		program, _, _ := strings.Cut(line(t, p), " ")
		text, err := os.ReadFile(filepath.Join(filepath.Dir(program), "..", "x", "index.js"))
		return strings.Fields(string(text) + " none none")[1], child.Status().Sandbox.String(), err
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// T52: what a tag stands for changes, and is held back; what was admitted before is used until it is.
func TestAPackageThatChangesUnderItsTagIsNotStartedBeforeItIsAdmitted(t *testing.T) {
	k, a := newKitchen(t), &approvals{}
	content, run := k.floats(t, a)
	for i, step := range []struct{ has, runs string }{
		{"one", "one"}, {"one", "one"}, {"two", "one"}, {"three", "one"}, {"four", "one"}, {"five", "one"},
	} {
		write(t, content, step.has)
		got, status, err := run()
		if err != nil || got != step.runs || strings.Contains(status, "held back") != (step.has != "one") {
			t.Errorf("start %d with %s: got %q, %v, want %q; status says %s", i, step.has, got, err, step.runs, status)
		}
	}
	if c := a.told(); c.Packages["x"] != "1.2.3" || c.Files != 4+1 || c.Tree["node_modules/x/index.js"] == "" {
		t.Errorf("told was %+v, want the version, the files and the digests", c)
	}
	a.approve()
	if got, status, err := run(); err != nil || got != "five" || strings.Contains(status, "held back") {
		t.Errorf("admitted: got %q, %v, want five; status says %s", got, err, status)
	}
	if kept, _ := filepath.Glob(filepath.Join(k.packages, "*", "*")); len(kept) > 4 {
		t.Errorf("kept are %v, want the last two and the last two that were admitted", kept)
	}
}

func TestWhatIsNotAdmittedIsNeitherFetchedNorStarted(t *testing.T) {
	k, a := newKitchen(t), &approvals{closed: errors.New("nobody has approved this")}
	sup := k.cook(t, supervisor.Options{Tunnel: (&tunnels{}).open})
	for _, command := range [][]string{{"npx", "x"}, {"cat"}} {
		child := k.server(t, sup, "", func(s *supervisor.Spec) { s.Command, s.Admit = command, a.admit })
		_, err := child.Acquire(t.Context())
		var held *supervisor.HeldError
		if !errors.As(err, &held) || !strings.Contains(err.Error(), "nobody has approved this") || child.Status().Starts != 0 || child.Status().Exits != 0 {
			t.Errorf("%v: got %v, %+v, want a HeldError and nothing started", command, err, child.Status())
		}
		a.closed = nil
		if _, err := child.Acquire(t.Context()); err != nil {
			t.Errorf("%v: once it may be: got %v", command, err)
		}
		a.closed = errors.New("nobody has approved this")
	}
	if got := k.installations(); len(got) != 1 {
		t.Errorf("installed were %v, want x once", got)
	}
}

func TestAPackageThatWasChangedWhereItLiesIsFetchedAnew(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"a file": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "node_modules/x/index.js"), []byte("evil"), 0o600)
		},
		"one more file":  func(dir string) error { return os.WriteFile(filepath.Join(dir, "node_modules/y.js"), nil, 0o600) },
		"one file less":  func(dir string) error { return os.Remove(filepath.Join(dir, "node_modules/x/index.js")) },
		"a file's mode":  func(dir string) error { return os.Chmod(filepath.Join(dir, "node_modules/x/index.js"), 0o600) },
		"a link instead": func(dir string) error { return relink(filepath.Join(dir, "node_modules/x/index.js")) },
	} {
		t.Run(name, func(t *testing.T) {
			k, a := newKitchen(t), &approvals{}
			sup := k.cook(t, supervisor.Options{Tunnel: (&tunnels{}).open})
			start := func() string {
				child := k.server(t, sup, "", func(s *supervisor.Spec) { s.Admit = a.admit })
				program, _, _ := strings.Cut(line(t, acquire(t, child)), "/node_modules")
				if err := child.Close(); err != nil {
					t.Error(err)
				}
				return program
			}
			first := start()
			if again := start(); again != first || len(k.installations()) != 1 {
				t.Fatalf("untouched: started was %s after %s and the installations %v, want the same and one", again, first, k.installations())
			}
			if err := spoil(first); err != nil {
				t.Fatal(err)
			}
			if again := start(); again == first || len(k.installations()) != 2 {
				t.Errorf("started was %s after the installations %v, want another directory than %s", again, k.installations(), first)
			}
		})
	}
}

func relink(file string) error {
	if err := os.Rename(file, file+".was"); err != nil {
		return err
	}
	return os.Symlink(file+".was", file)
}

func TestWhatALauncherFetchesUnseenIsToldAsThat(t *testing.T) {
	k := newKitchen(t)
	script := "#!/bin/sh\nexec cat\n"
	for _, name := range []string{"npx", "uvx"} {
		if err := os.WriteFile(filepath.Join(k.bin, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	sup := k.cook(t, supervisor.Options{})
	for _, tt := range []struct {
		name, command string
		fetch         sandbox.Fetch
		want          string // empty: nothing is told
	}{
		{"a launcher that is left alone", "npx -y x", sandbox.Fetch{}, "npx finds or fetches it at each start"},
		{"another", "uvx x", sandbox.Fetch{}, "uvx finds or fetches it"},
		{"what cannot be fetched beforehand", "npx github:a/b", sandbox.Fetch{Before: true}, "no package of a registry"},
		{"a system without enough of a sandbox", "npx x", sandbox.Fetch{Before: true, Least: sandbox.Calls + 1}, "this system gives"},
		{"a program", "cat", sandbox.Fetch{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var told []string
			child := k.server(t, sup, "", func(s *supervisor.Spec) {
				s.Command, s.Sandbox = strings.Fields(tt.command), sandbox.Rules{Fetch: tt.fetch}
				s.Admit = func(_ context.Context, text []byte) error { told = append(told, string(text)); return nil }
			})
			acquire(t, child)
			got := strings.Join(told, " ")
			if tt.want == "" && strings.TrimSpace(got) != "" || !strings.Contains(got, tt.want) || strings.Contains(got, `"digest"`) {
				t.Errorf("told was %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAPackageThatWasFetchedAtALowerLevelIsNotForWhoMustHaveMore(t *testing.T) {
	k := newKitchen(t)
	sup := k.cook(t, supervisor.Options{Tunnel: (&tunnels{}).open})
	atLeast(t, sup, sandbox.Calls)
	gate := filepath.Join(t.TempDir(), "gate")
	server := func(name string, level, least sandbox.Level) *supervisor.Child {
		return k.server(t, sup, "gate="+gate, func(s *supervisor.Spec) { s.Name, s.Sandbox.Level, s.Sandbox.MinLevel = name, level, least })
	}
	low, high, later := server("low", sandbox.Namespaces, sandbox.Off), server("high", sandbox.Calls, sandbox.Calls), server("later", sandbox.Namespaces, sandbox.Namespaces)
	var wg sync.WaitGroup
	got := make([]string, 2)
	for i, child := range []*supervisor.Child{low, high} { // the second waits for the fetch of the first, and is not served by it
		wg.Go(func() {
			p, err := child.Acquire(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			got[i] = line(t, p)
		})
		eventually(t, func() (bool, string) {
			return len(k.installations()) == 1, fmt.Sprintf("installations: %v", k.installations())
		})
	}
	write(t, gate, "")
	wg.Wait()
	if n := len(k.installations()); n != 2 || got[0] == got[1] {
		t.Errorf("started were %q after %d installations, want one for each", got, n)
	}
	if last := line(t, acquire(t, later)); last != got[1] || len(k.installations()) != 2 {
		t.Errorf("for one that needs less: started was %q, want %q, which is there", last, got[1])
	}
}
