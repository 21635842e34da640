package app_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

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
