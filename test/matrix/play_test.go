package matrix

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/test/peers"
)

// settle waits until all servers are ready.
func (w *world) settle(t *testing.T) {
	t.Helper()
	said := ""
	if !awaitFor(t.Context(), stepTime, func() bool {
		resp, err := http.Get("http://" + w.addr + "/ready")
		if err != nil {
			said = err.Error()
			return false
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		said = fmt.Sprintf("%s %s %v", resp.Status, body, err)
		var health struct {
			Servers map[string]struct{ Status string }
		}
		if json.Unmarshal(body, &health) != nil || len(health.Servers) != len(w.servers) {
			return false
		}
		for _, s := range health.Servers {
			if s.Status != "healthy" {
				return false
			}
		}
		return true
	}) {
		t.Fatalf("the gateway's servers are not ready: %s", said)
	}
	http.DefaultClient.CloseIdleConnections()
}

// play is one run of test/peers/clients/session.mjs.
type play struct {
	world *world
	app   string
	plan  obj
	own   bool                // the servers are its own
	eras  []string            // that its connections must agree on
	want  map[string][]string // what it must have done, by server
}

// line is what the script says.
type line struct {
	Era, Server, Did string
	Enter            []string
	Alone            bool
}

// run runs the script to its end, and notes what it has done.
func (p *play) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, peers.Path(t, peers.Node), peers.Script(t, "session.mjs"), string(encode(p.plan)))
	cmd.WaitDelay = 5 * time.Second
	var errs bytes.Buffer
	cmd.Stderr = &errs
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eras, did := p.follow(t, out, in)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the session ended: %v\n%s", err, tail(errs.String()))
	}
	if !slices.Equal(eras, p.eras) {
		t.Errorf("its connections have agreed on %v, want %v", eras, p.eras)
	}
	if diff := cmp.Diff(p.want, did); diff != "" {
		t.Errorf("it did not do what it should have (-want +got):\n%s", diff)
	}
	p.world.found.note(p.app, did)
}

// follow reads what the script says, and gives it its turns.
func (p *play) follow(t *testing.T, out io.Reader, in io.Writer) (eras []string, did map[string][]string) {
	t.Helper()
	did = map[string][]string{}
	leave := func() {}
	defer func() { leave() }()
	asked, begun := time.Now(), time.Now()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Errorf("the session wrote %q: %v", lines.Text(), err)
			continue
		}
		switch {
		case l.Era != "":
			eras = append(eras, l.Era)
		case l.Did != "":
			leave()
			leave = func() {}
			did[l.Server] = append(did[l.Server], l.Did)
			slow(t, l.Server+": "+l.Did, asked, begun)
		default:
			asked = time.Now()
			if !p.own {
				leave = p.world.enter(l.Enter, l.Alone)
			}
			begun = time.Now()
			fmt.Fprintln(in, "go") // one that has ended is noticed by the next read
		}
	}
	return eras, did
}

// slow tells of a step that took its time, or waited for its turn for long.
func slow(t *testing.T, what string, asked, begun time.Time) {
	waited, took := begun.Sub(asked), time.Since(begun)
	if waited+took > time.Second {
		t.Logf("%s waited for %s and took %s", what, waited.Round(time.Millisecond), took.Round(time.Millisecond))
	}
}

// enter waits for a turn at servers, alone or with whoever does not need to be,
// and returns what ends it.
func (w *world) enter(servers []string, alone bool) func() {
	var held []func()
	for _, s := range slices.Sorted(slices.Values(servers)) {
		turn := w.turns[s]
		if alone {
			turn.Lock()
			held = append(held, turn.Unlock)
		} else {
			turn.RLock()
			held = append(held, turn.RUnlock)
		}
	}
	return func() {
		for _, leave := range held {
			leave()
		}
	}
}
