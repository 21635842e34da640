package supervisor_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

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
