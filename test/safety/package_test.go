//go:build linux

package safety

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
	"github.com/dragoman-mcp/dragoman/test/peers"
)

// A floating is what a registry of npm's and an index of Python's have under one tag and one version, until it is changed:
// what nobody may do, and whoever has stolen an account does.
type floating struct {
	mu     sync.Mutex // guards what follows
	npm    *registry
	python []byte // the wheel's program
}

func (f *floating) change() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.npm.packages["dragoman-sample"]["description"] = "another one"
	f.python = append(f.python, "# another one\n"...)
}

// ServeHTTP serves npm's packages, and Python's below /uv.
func (f *floating) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.HasPrefix(req.URL.Path, "/uv/") {
		indexOf(w, req, wheelOf("dragoman-sample", string(f.python)))
		return
	}
	f.npm.ServeHTTP(w, req)
}

// commanded runs a subcommand on the configuration of a gateway and returns what it says.
func commanded(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), dragoman(t), append(args, "-c", filepath.Join(dir, "dragoman.yaml"))...)
	cmd.Dir, cmd.Env = dir, environ(dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}

// T52, T37: what the real npx and uvx fetch under a tag is pinned. When it changes, what was approved before is started, and
// the difference is shown; approved, it is started with the next gateway.
func TestAPackageThatChangesUnderItsTagIsHeldBackUntilItIsApproved(t *testing.T) {
	if r := sandbox.Probe(t.Context()); r.Level < sandbox.Namespaces {
		t.Skipf("this system gives sandboxes up to level %s: %s", r.Level, r.Missing)
	}
	for _, name := range []string{"npx", "npm", "node"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(err)
		}
	}
	f := &floating{python: []byte(samplePython), npm: &registry{packages: map[string]object{
		"dragoman-sample": {"name": "dragoman-sample", "version": "1.0.0", "bin": object{"dragoman-sample": "index.js"}}}}}
	served := at127002(t, f)
	f.npm.url = served.URL
	dir, servers := home(t), object{}
	servers["npx"] = cutOff(object{"npm_config_registry": served.URL, "npm_config_fetch_retries": "0"}, "npx", "-y", "dragoman-sample@latest", "first")
	if uvx := launcher(t, peers.Uvx); uvx != "" {
		servers["uvx"] = cutOff(object{"UV_DEFAULT_INDEX": served.URL + "/uv", "UV_PYTHON": realPython(t)}, uvx, "dragoman-sample@latest", "first")
	}
	config := object{"defaults": object{"health": object{"interval": "0s"}, "startup_timeout": "2m", "timeout": "8m"}, "access": object{"pinning": "first_sight"},
		"state": object{"path": filepath.Join(dir, "state.db")}, "servers": servers}
	address := strings.TrimPrefix(served.URL, "http://")
	round := func(heldBack bool) {
		t.Helper()
		g := start(t, dir, config)
		defer g.stop()
		for server := range servers {
			reachesNothing(t, g, address, sample{server, "first", "dragoman-sample"})
			_, body := g.caller("").get("/mcp/" + server + "/health")
			if got := strings.Contains(string(body), "held back until it is approved"); got != heldBack {
				t.Errorf("%s: its health says that a package is held back: %v, want %v\n%s", server, got, heldBack, body)
			}
		}
	}
	round(false)
	round(false) // fetched once more, and the same
	if got := commanded(t, dir, "tools", "diff"); !strings.Contains(got, "nothing waits") {
		t.Errorf("of the same packages waits\n%s", got)
	}
	f.change()
	round(true)
	for server := range servers {
		got := commanded(t, dir, "tools", "diff", server)
		file := map[string]string{"npx": "file node_modules/dragoman-sample/package.json", "uvx": "dragoman_sample.py"}[server]
		if !strings.Contains(got, server+" package: quarantined") || !strings.Contains(got, file) || !strings.Contains(got, "files that differ") {
			t.Errorf("%s: the difference does not say that the package has changed in %s:\n%s", server, file, got)
		}
		commanded(t, dir, "tools", "approve", server)
	}
	round(false)
}

// toText is an answer as its caller got it.
func toText(answer object) string {
	text, _ := json.Marshal(answer) // it came as JSON
	return string(text)
}

// Nothing of a server is fetched or started under strict pinning before its launch was approved, and one approval may do.
func TestAStrictServerIsStartedOnceItIsApproved(t *testing.T) {
	dir := home(t)
	program := filepath.Join(dir, "server")
	script := "#!/bin/sh\ntouch " + filepath.Join(dir, "was-started") + "\nexec cat\n"
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	started := func() bool { _, err := os.Stat(filepath.Join(dir, "was-started")); return err == nil }
	config := object{"access": object{"pinning": "strict"}, "state": object{"path": filepath.Join(dir, "state.db")},
		"servers": object{"one": object{"command": []string{program}, "startup_timeout": "2s"}, "time": object{"builtin": "time"}}}
	g := start(t, dir, config)
	c := g.caller("")
	answer, err := c.call("one__anything", object{})
	if text := toText(answer); err != nil || !strings.Contains(text, "1007") || !strings.Contains(text, "waits for approval") {
		t.Errorf("before it is approved: got %s, %v, want that it waits", text, err)
	}
	if started() {
		t.Error("it was started before")
	}
	commanded(t, dir, "tools", "approve", "time")
	if !await(func() bool {
		return strings.Contains(commanded(t, dir, "tools", "diff", "time"), "time tool now: pending")
	}) {
		t.Errorf("what the server offers was not looked at when it was approved:\n%s", tail(g.said("stderr")))
	}
	var list object
	if !await(func() bool {
		list, err = c.ask("/mcp", "tools/list", object{}, nil)
		return strings.Contains(toText(list), "entries of it wait for the approval of an operator")
	}) {
		t.Errorf("the list: got %v, %v, want that entries wait", list, err)
	}
	commanded(t, dir, "tools", "approve", "time")
	if !await(func() bool {
		answer, err = c.call("time__now", object{})
		return strings.Contains(toText(answer), "content")
	}) {
		t.Errorf("once it is approved: got %v, %v, want the time", answer, err)
	}
	commanded(t, dir, "tools", "approve", "one")
	if !await(started) {
		t.Errorf("it was not started once it was approved:\n%s", tail(g.said("stderr")))
	}
	if log := g.said("stderr"); !regexp.MustCompile(`"definition":"[0-9a-f]{64}"`).Match(log) {
		t.Errorf("the log does not tell the hash of what is held back:\n%s", tail(log))
	}
}
