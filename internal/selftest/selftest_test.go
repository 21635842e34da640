package selftest_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/selftest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gullible does whatever it is asked to: it answers everything, and writes beside its directory and into its database.
func gullible(t *testing.T, own *selftest.Own) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > 8<<20 {
			r.Body = http.NoBody // announced, and never sent
		}
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20)) // who sends half a body gets an answer, too
		if strings.Contains(string(body), `"files__write"`) || strings.Contains(string(body), `"database__query"`) {
			f, err := os.OpenFile(own.Outside, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = f.WriteString("x") // the file is there, and nobody else has it
			_ = f.Close()
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{"content":[]}}`) // who has gone does not want it
	}))
	t.Cleanup(srv.Close)
	return srv
}

// Each corpus that goes to an instance finds one that is open. What net/http itself refuses is counted as refused.
func TestAnInstanceThatDoesEverythingIsFoundOut(t *testing.T) {
	own, token, _, err := selftest.Furnish(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	srv := gullible(t, own)
	told := map[string]bool{}
	all, err := selftest.Run(t.Context(), &selftest.Target{URL: srv.URL, Token: token, Own: own}, func(r selftest.Result) { told[r.Corpus] = true })
	if err != nil {
		t.Fatal(err)
	}
	inProcess := map[string]bool{"weak secrets, refused as settings": true, "signatures (JWS)": true, "encryption (XChaCha20-Poly1305)": true, "destinations, at the guard": true}
	for _, r := range all {
		switch {
		case !told[r.Corpus]:
			t.Errorf("%s was not told", r.Corpus)
		case r.Attacks != r.Refused+r.Through:
			t.Errorf("%s: %d attacks, of which %d were refused and %d let through", r.Corpus, r.Attacks, r.Refused, r.Through)
		case inProcess[r.Corpus]:
			if r.Attacks == 0 || r.Through > 0 {
				t.Errorf("%s: %+v, want attacks and nothing let through", r.Corpus, r)
			}
		case r.Skipped == "" && r.Through == 0 && r.Corpus != "callers without a credential":
			t.Errorf("%s: nothing of %d was let through by an instance that does everything", r.Corpus, r.Attacks)
		}
		t.Logf("%-40s %5d attacks %5d let through %4d harmless %4d by mistake %s", r.Corpus, r.Attacks, r.Through, r.Harmless, r.Mistaken, r.Skipped)
	}
}

// An instance that refuses everything has nothing let through, and is no use.
func TestAnInstanceThatRefusesEverythingIsNoTarget(t *testing.T) {
	for name, status := range map[string]int{"asks for a token": 401, "does not answer like a gateway": 404} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		_, err := selftest.Run(t.Context(), &selftest.Target{URL: srv.URL}, func(selftest.Result) {})
		srv.Close()
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("HTTP %d: got %v, want an error with %q", status, err, name)
		}
	}
	for _, address := range []string{"", "127.0.0.1:1", "ftp://127.0.0.1", "http://"} {
		if _, err := selftest.Run(t.Context(), &selftest.Target{URL: address}, func(selftest.Result) {}); err == nil {
			t.Errorf("%q: got no error, want one", address)
		}
	}
}

func TestARunEndsWithItsContext(t *testing.T) {
	own, token, _, err := selftest.Furnish(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	srv := gullible(t, own)
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	all, err := selftest.Run(ctx, &selftest.Target{URL: srv.URL, Token: token, Own: own}, func(selftest.Result) {
		if n++; n == 2 {
			cancel()
		}
	})
	cancel()
	if err == nil || len(all) != 2 {
		t.Errorf("got %d results and %v, want 2 and an error", len(all), err)
	}
}

// A configuration that was furnished holds what it says, and nothing outside of its directory.
func TestFurnishedThingsAreInTheirDirectory(t *testing.T) {
	dir := t.TempDir()
	own, token, settings, err := selftest.Furnish(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{own.Root, own.Outside, own.Database} {
		if rel, err := filepath.Rel(dir, path); err != nil || strings.HasPrefix(rel, "..") {
			t.Errorf("%s is outside of %s", path, dir)
		}
	}
	if text, err := os.ReadFile(own.Outside); err != nil || string(text) != own.Canary {
		t.Errorf("the canary: got %q, %v, want %q", text, err, own.Canary)
	}
	if !strings.Contains(string(settings), token) || !strings.Contains(string(settings), own.Secret) {
		t.Errorf("the configuration lacks token or secret: %s", settings)
	}
	if _, _, _, err := selftest.Furnish(t.Context(), dir); err == nil {
		t.Error("furnishing a directory twice: got no error, want one")
	}
}
