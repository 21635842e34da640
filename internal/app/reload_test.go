package app_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/builtin"
	"github.com/dragoman-mcp/dragoman/internal/guards"
)

// T62: without the flag a reload that guards less changes nothing, whatever else it brings, and a restart takes it.
func TestAReloadTakesNoGuardAway(t *testing.T) {
	const token = "ann-0123456789abcdef"
	const guarded = "listen: 127.0.0.1:0\nauth: {tokens: [{name: ann, token: " + token + "}]}\nservers: {time: {builtin: time}}\n"
	const open = "listen: 127.0.0.1:0\nservers: {clock: {builtin: time}}\n"
	a, s, url := run(t, guarded)
	// One that permits itself to, and one after it, take nothing away either.
	for _, text := range []string{open, open + "reload: {may_lower_safety: true}\n", guarded + "reload: {may_lower_safety: true}\n", open} {
		err := a.Reload(parse(t, text))
		var less *guards.Lowered
		if !errors.As(err, &less) || len(less.Guards) == 0 {
			t.Fatalf("reload of %q: got %v, want what guards less", text, err)
		}
		if err := s.Refresh(); err != nil {
			t.Fatal(err)
		}
		if status, body := fetch(t, http.MethodPost, url+"/mcp", "{}"); status != http.StatusUnauthorized {
			t.Errorf("after %q: got HTTP %d %s without a token, want 401", text, status, body)
		}
		if _, body := as(t, url, token, "tools/list", "", ""); !strings.Contains(body, "time__now") || strings.Contains(body, "clock__") {
			t.Errorf("after %q: got %s, want the servers of before", text, body)
		}
	}
	if err := a.Reload(parse(t, strings.Replace(guarded, "time: {builtin", "clock: {builtin", 1))); err != nil {
		t.Errorf("a reload that takes nothing away: %v", err)
	}
	_, _, url = run(t, open)
	if status, _ := fetch(t, http.MethodGet, url+"/users/me", ""); status == http.StatusUnauthorized {
		t.Errorf("after a restart without auth: got HTTP %d, want it open", status)
	}
}

// What takes a restart is compared with what is in use, not with what was written since.
func TestWhatTakesARestartIsComparedWithWhatIsInUse(t *testing.T) {
	const token = "auth: {tokens: [{name: ann, token: ann-0123456789abcdef}]}\n"
	const all = "listen: 0.0.0.0:0\nreload: {may_lower_safety: true}\n" + token
	a, err := app.Open(parse(t, all), app.Options{Version: "test", Servers: builtin.Open})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close(context.Background())
	const near = "listen: 127.0.0.1:0\nreload: {may_lower_safety: true}\n"
	if err := a.Reload(parse(t, near+token)); err != nil {
		t.Fatal(err)
	}
	if err := a.Reload(parse(t, near)); err == nil || !strings.Contains(err.Error(), "listens on 0.0.0.0:0 until it is restarted") {
		t.Errorf("a reload that would let everybody in from other machines: got %v, want it refused", err)
	}
	if err := a.Reload(parse(t, all)); err != nil {
		t.Errorf("back to what is in use: %v", err)
	}
	if err := a.Reload(parse(t, all+"allowed_hosts: [x.example.org]\n")); err != nil {
		t.Errorf("one name more, which may be: %v", err)
	}
}

// Servers that start one after the other keep nobody from asking how the gateway does.
func TestAReloadThatTakesLongHoldsUpNoHealthReport(t *testing.T) {
	const text = "listen: 127.0.0.1:0\nprocesses: {parallel: false}\nservers: {time: {builtin: time}"
	reloaded := make(chan error, 1)
	t.Cleanup(func() {
		if err := <-reloaded; err != nil {
			t.Errorf("reload: %v", err)
		}
	})
	a, _, url := run(t, text+"}\n")
	next := parse(t, text+fmt.Sprintf(", mute: {command: [%q, mute], startup_timeout: 1h}}\n", os.Args[0]))
	go func() { reloaded <- a.Reload(next) }()
	limit := time.NewTimer(4 * time.Minute)
	defer limit.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, body := fetch(t, http.MethodGet, url+"/ready", ""); strings.Contains(body, `"mute"`) {
			break
		}
		select {
		case <-tick.C:
		case err := <-reloaded:
			t.Fatalf("the reload is over, with %v, and the server was never seen starting", err)
		case <-limit.C:
			t.Fatal("the new server is not in the report")
		}
	}
	if _, body := fetch(t, http.MethodGet, url+"/metrics", ""); !strings.Contains(body, `"mute"`) {
		t.Error("the new server is not among the metrics")
	}
}

// Who closes the gateway while its configuration is being read must not find servers started behind it.
func TestAClosedGatewayTakesUpNothing(t *testing.T) {
	cfg := parse(t, "listen: 127.0.0.1:0\nservers: {time: {builtin: time}}\n")
	a, err := app.Open(cfg, app.Options{Version: "test", Servers: builtin.Open})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.Reload(cfg); err == nil || !strings.Contains(err.Error(), "closing") {
		t.Errorf("got %v, want it refused", err)
	}
	if got := a.Statuses(); len(got) > 0 {
		t.Errorf("got %d servers, want none", len(got))
	}
}
