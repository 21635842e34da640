//go:build linux

package safety

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAFullDiskRefusesCallsAndNothingIsDoneThatIsNotRecorded takes the gateway the
// room on its disk, by a bound on the size of its files. From then on it refuses
// calls, none of which the server sees without an intent in the log; and when
// there is room again it goes on by itself, with a log that verifies (promises P02
// and P16).
func TestAFullDiskRefusesCallsAndNothingIsDoneThatIsNotRecorded(t *testing.T) {
	var mu sync.Mutex // guards seen
	seen := map[string]bool{}
	up := httptest.NewServer(&leaky{called: func(arguments object) {
		mu.Lock()
		defer mu.Unlock()
		id, _ := arguments["id"].(string)
		seen[id] = true
	}})
	t.Cleanup(up.Close)
	dir := home(t)
	log := filepath.Join(dir, "audit")
	g := start(t, dir, object{
		"audit":    object{"dir": log, "checkpoints": filepath.Join(dir, "checkpoints"), "timeout": "30s"},
		"servers":  object{"web": object{"url": up.URL}},
		"defaults": object{"breaker": object{"failures": 0}},
	})
	c := g.caller("")
	calls, answered := 0, map[string]bool{}
	call := func() (answer object) {
		t.Helper()
		calls++
		id := fmt.Sprintf("call%d", calls)
		got, err := c.call("web__echo", object{"id": id, "padding": strings.Repeat("x", 200)})
		if err != nil {
			t.Fatalf("call %s: %v", id, err)
		}
		answered[id] = got["result"] != nil
		return got
	}
	for range 20 {
		if got := call(); got["result"] == nil {
			t.Fatalf("a call while there is room: got %v, want a result", got)
		}
	}
	g.room(t, false)
	refused := 0
	for range 100 {
		text, _ := json.Marshal(call())
		if strings.Contains(string(text), `"reason":"audit"`) {
			refused++
		} else {
			t.Errorf("without room: got %s, want a refusal with the reason audit", text)
		}
	}
	g.room(t, true)
	if !await(func() bool { return call()["result"] != nil }) {
		t.Fatal("the gateway does not go on when there is room again")
	}
	verify(t, g)
	intents, outcomes := recorded(t, log)
	mu.Lock()
	defer mu.Unlock()
	for id := range seen {
		if !intents[id] {
			t.Errorf("%s was made, and the log has no intent of it", id)
		}
	}
	for id, ok := range answered {
		if ok && !outcomes[id] {
			t.Errorf("%s was answered, and the log has no outcome of it", id)
		}
	}
	t.Logf("%d calls: %d refused, %d made, %d recorded before and %d after", calls, refused, len(seen), len(intents), len(outcomes))
}

// room lets files of the gateway grow, or not: neither those that are there nor new ones.
func (g *gateway) room(t *testing.T, there bool) {
	t.Helper()
	var was unix.Rlimit
	if err := unix.Prlimit(g.cmd.Process.Pid, unix.RLIMIT_FSIZE, nil, &was); err != nil {
		t.Fatal(err)
	}
	limit := unix.Rlimit{Cur: was.Max, Max: was.Max}
	if !there {
		limit.Cur = 1
	}
	if err := unix.Prlimit(g.cmd.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		t.Fatal(err)
	}
}

// recorded are the ids of calls that an audit log has before and after they were made.
func recorded(t *testing.T, dir string) (intents, outcomes map[string]bool) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	intents, outcomes = map[string]bool{}, map[string]bool{}
	bySeq := map[float64]string{}
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var r struct {
				Seq, Of   float64
				Kind      string
				Arguments struct{ ID string }
			}
			if json.Unmarshal([]byte(line), &r) != nil {
				continue // the key
			}
			switch r.Kind {
			case "intent":
				bySeq[r.Seq], intents[r.Arguments.ID] = r.Arguments.ID, true
			case "outcome":
				outcomes[bySeq[r.Of]] = true
			}
		}
	}
	return intents, outcomes
}
