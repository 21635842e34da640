//go:build linux

package safety

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/store/sqlite"
)

// fixedToken is the token of the configuration.
const fixedToken = "0123456789abcdef0123456789abcdef"

// acknowledged is what the gateway has said that it has done.
type acknowledged struct {
	mu      sync.Mutex          // guards what follows
	calls   map[string]struct{} // by the id in their arguments
	clients []string            // that registered themselves
}

// TestNothingAcknowledgedIsLostWhenTheGatewayIsKilled kills the gateway with
// SIGKILL while callers make calls, each of which is recorded twice, and clients
// register themselves, each of which is a row in its state. After each kill it
// starts again and its audit log verifies; at the end every call that was answered
// is in the log, and every client that was told its id is in the state (promises
// P01, P03 and P15).
func TestNothingAcknowledgedIsLostWhenTheGatewayIsKilled(t *testing.T) {
	kills := times(t, "DRAGOMAN_TEST_KILLS", 8)
	up := httptest.NewServer(&leaky{})
	t.Cleanup(up.Close)
	dir := home(t)
	config := func() object {
		return object{
			"auth": object{"tokens": []object{{"name": "tester", "token": fixedToken}},
				"authorization_server": object{"enabled": true, "dynamic_registration": true, "max_clients": 100000}},
			"state":   object{"path": filepath.Join(dir, "state.db")},
			"audit":   object{"dir": filepath.Join(dir, "audit"), "segment_size": "1MiB", "checkpoint_records": 100, "checkpoint_interval": "100ms"},
			"log":     object{"level": "warn"},
			"servers": object{"web": object{"url": up.URL}},
		}
	}
	acked := &acknowledged{calls: map[string]struct{}{}}
	var g *gateway
	for i := range kills {
		g = start(t, dir, config())
		acked.untilKilled(t, g, 12*time.Millisecond+rand.N(150*time.Millisecond))
		if t.Failed() {
			t.Fatalf("kill %d", i)
		}
	}
	g = start(t, dir, config())
	verify(t, g)
	g.signal(syscall.SIGTERM)
	<-g.exited
	acked.check(t, dir)
}

// untilKilled makes calls and registers clients, kills the gateway when some time
// has passed after the first that was answered, and keeps what it said until then.
func (a *acknowledged) untilKilled(t *testing.T, g *gateway, after time.Duration) {
	t.Helper()
	verify(t, g) // what the kill before has left
	c := g.caller(fixedToken)
	first := make(chan struct{})
	var once sync.Once
	var stopped atomic.Bool
	var work sync.WaitGroup
	for worker := range 6 {
		work.Go(func() {
			for !stopped.Load() {
				if !a.one(c, worker) {
					return
				}
				once.Do(func() { close(first) })
			}
		})
	}
	select {
	case <-first:
	case <-g.exited:
		t.Errorf("the gateway ends by itself: %v\n%s", g.err, tail(g.said("stderr")))
	case <-time.After(patience):
		t.Errorf("nothing is answered\n%s", tail(g.said("stderr")))
	}
	timer := time.NewTimer(after)
	defer timer.Stop()
	<-timer.C
	g.kill()
	stopped.Store(true)
	work.Wait()
	c.http.CloseIdleConnections()
}

// one is a call, or for the first two workers a registration; false when it was
// not answered as it should be.
func (a *acknowledged) one(c *caller, worker int) bool {
	if worker < 2 {
		body := `{"client_name":"a","redirect_uris":["http://127.0.0.1/callback"],"token_endpoint_auth_method":"none"}`
		status, answer, err := c.do(http.MethodPost, "/oauth/register", []byte(body), http.Header{"Content-Type": {"application/json"}})
		var client struct {
			ID string `json:"client_id"`
		}
		if err != nil || status != http.StatusCreated || json.Unmarshal(answer, &client) != nil {
			return false
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.clients = append(a.clients, client.ID)
		return true
	}
	id := fmt.Sprintf("call%d", rand.Uint64())
	got, err := c.call("web__echo", object{"id": id})
	if err != nil || got["result"] == nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls[id] = struct{}{}
	return true
}

// verify has the program check the audit log, while it is written.
func verify(t *testing.T, g *gateway) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), dragoman(t), "audit", "verify", "-c", filepath.Join(g.dir, "dragoman.yaml"))
	cmd.Dir, cmd.Env = g.dir, environ(g.dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("dragoman audit verify: %v\n%s", err, out)
	}
}

// check looks for everything that was acknowledged.
func (a *acknowledged) check(t *testing.T, dir string) {
	t.Helper()
	_, done := recorded(t, filepath.Join(dir, "audit"))
	lost := 0
	for id := range a.calls {
		if !done[id] {
			lost++
		}
	}
	s, err := sqlite.Open(t.Context(), filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatalf("open the state after the kills: %v", err)
	}
	defer s.Close()
	gone := 0
	for _, id := range a.clients {
		if _, err := s.Clients.Get(t.Context(), id); err != nil {
			gone++
		}
	}
	if lost+gone > 0 || len(a.calls) == 0 || len(a.clients) == 0 {
		t.Errorf("%d of %d calls and %d of %d clients that were acknowledged are lost", lost, len(a.calls), gone, len(a.clients))
	}
	t.Logf("%d calls and %d clients were acknowledged, 0 should be lost: %d and %d are", len(a.calls), len(a.clients), lost, gone)
}
