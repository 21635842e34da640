//go:build linux

package safety

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// sampleServer is a stdio server in JavaScript whose only tool tries to reach an address, and says whether the install
// script of its package was run.
const sampleServer = `#!/usr/bin/env node
const net = require('net'), fs = require('fs'), path = require('path');
const say = (id, result) => process.stdout.write(JSON.stringify({jsonrpc: '2.0', id, result}) + '\n');
const reach = (id, to) => {
  const scripts = fs.existsSync(path.join(__dirname, 'script-was-run'));
  const end = text => say(id, {content: [{type: 'text', text: text + ', scripts ' + scripts + ', arguments ' + process.argv.slice(2).join(' ')}]});
  const [host, port] = to.split(':');
  const c = net.connect(Number(port), host, () => { c.destroy(); end('reached it'); });
  c.on('error', e => end('did not reach it: ' + e.code));
};
require('readline').createInterface({input: process.stdin}).on('line', line => {
  const m = JSON.parse(line);
  if (m.id === undefined) return;
  if (m.method === 'initialize') say(m.id, {protocolVersion: '2025-06-18', capabilities: {tools: {}}, serverInfo: {name: 'sample', version: '1'}});
  else if (m.method === 'tools/list') say(m.id, {tools: [{name: 'reach', inputSchema: {type: 'object'}}]});
  else if (m.method === 'tools/call') reach(m.id, m.params.arguments.to);
  else say(m.id, {});
});
`

// registry serves packages as npm's registries do: NAME is a document, NAME/-/… what is in it.
type registry struct {
	url      string
	asked    atomic.Int64
	packages map[string]object // by name: package.json of the only version
}

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.asked.Add(1)
	name, file, isFile := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/-/")
	manifest := r.packages[name]
	if manifest == nil {
		http.Error(w, `{"error":"not found"}`, http.StatusNotFound)
		return
	}
	archive := pack(manifest)
	if isFile {
		_, _ = w.Write(archive)
		return
	}
	short, long := sha1.Sum(archive), sha512.Sum512(archive)
	version := object{"dist": object{"tarball": r.url + "/" + name + "/-/" + name + "-1.0.0.tgz" + file,
		"shasum": hex.EncodeToString(short[:]), "integrity": "sha512-" + base64.StdEncoding.EncodeToString(long[:])}}
	for key, value := range manifest {
		version[key] = value
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(object{"name": name, "dist-tags": object{"latest": "1.0.0"}, "versions": object{"1.0.0": version}})
}

// pack makes the archive of a package: its manifest and the server.
func pack(manifest object) []byte {
	text, _ := json.Marshal(manifest)
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	archive := tar.NewWriter(zipped)
	for _, file := range [][2]string{{"package/package.json", string(text)}, {"package/index.js", sampleServer}} {
		_ = archive.WriteHeader(&tar.Header{Name: file[0], Mode: 0o755, Size: int64(len(file[1]))})
		_, _ = archive.Write([]byte(file[1]))
	}
	_ = archive.Close()
	_ = zipped.Close()
	return out.Bytes()
}

// TestNpxFetchesInAPhaseOfItsOwnAndTheProgramHasNoNetwork starts two servers of one package with the real npx: at level
// 2, without a network, and with a registry that only the fetch reaches. A package that depends on something at another
// place is not fetched. When the registry is gone, what was fetched is started still.
func TestNpxFetchesInAPhaseOfItsOwnAndTheProgramHasNoNetwork(t *testing.T) {
	if r := sandbox.Probe(t.Context()); r.Level < sandbox.Namespaces {
		t.Skipf("this system gives sandboxes up to level %s: %s", r.Level, r.Missing)
	}
	for _, name := range []string{"npx", "npm", "node"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(err)
		}
	}
	var strangers atomic.Int64
	stranger := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strangers.Add(1) }))
	t.Cleanup(stranger.Close)
	bin, install := object{"dragoman-sample": "index.js"}, object{"install": "touch script-was-run"}
	r := &registry{packages: map[string]object{
		"dragoman-sample": {"name": "dragoman-sample", "version": "1.0.0", "bin": bin, "scripts": install, "hasInstallScript": true},
		"dragoman-astray": {"name": "dragoman-astray", "version": "1.0.0", "bin": bin, "dependencies": object{"x": stranger.URL + "/x.tgz"}},
	}}
	served := at127002(t, r)
	r.url = served.URL
	dir := home(t)
	program := func(command ...string) object {
		return cutOff(object{"npm_config_registry": r.url, "npm_config_fetch_retries": "0"}, command...)
	}
	config := object{
		"defaults": object{"health": object{"interval": "0s"}, "startup_timeout": "2m", "timeout": "8m"}, "audit": object{"dir": filepath.Join(dir, "audit")},
		"state": object{"path": filepath.Join(dir, "state.db")},
		"servers": object{"one": program("npx", "-y", "dragoman-sample", "first"), "two": program("npx", "-y", "dragoman-sample@1.0.0", "second"),
			"astray": program("npx", "-y", "dragoman-astray")},
	}
	g := start(t, dir, config)
	where, _ := url.Parse(r.url)
	works := func(g *gateway) {
		t.Helper()
		for server, argument := range map[string]string{"one": "first", "two": "second"} {
			reachesNothing(t, g, where.Host, sample{server, argument, "dragoman-sample"})
		}
	}
	works(g)
	patient := g.caller("")
	patient.http.Timeout = 4 * patience
	if got, err := patient.call("astray__reach", object{"to": where.Host}); err == nil && got["result"] != nil {
		t.Errorf("what comes from elsewhere was fetched: %v", got)
	}
	if !await(func() bool { return strings.Contains(string(g.said("stderr")), "package was not fetched") }) || strangers.Load() != 0 {
		t.Errorf("the stranger was reached %d times; want never, and a line in the log, which ends with\n%s", strangers.Load(), tail(g.said("stderr")))
	}
	g.stop()
	audit := everyText(t, filepath.Join(dir, "audit"))
	for _, want := range []string{"package fetched", `"fetch"`, `"run"`, "dragoman-sample (1.0.0)", "127.0.0.2"} {
		if !strings.Contains(audit, want) {
			t.Errorf("the audit log does not say %s", want)
		}
	}
	served.Close()
	asked := r.asked.Load()
	delete(config["servers"].(object), "astray")
	works(start(t, dir, config))
	if r.asked.Load() != asked {
		t.Error("the registry was asked for what was there")
	}
}

// cutOff is a server whose package is fetched beforehand, and which has no network.
func cutOff(env object, command ...string) object {
	return object{"command": command, "env": env,
		"sandbox": object{"level": 2, "min_level": 2, "network": "none", "fetch": object{"timeout": "8m"}}}
}

// sample is a server of the sample package, with its argument, and what its health says that was fetched.
type sample struct{ server, argument, fetched string }

// reachesNothing has a server say that it runs as it should: it reaches no address, no install script was run, it has its
// argument, and its health tells its level and its phase.
func reachesNothing(t *testing.T, g *gateway, address string, s sample) {
	t.Helper()
	c := g.caller("")
	c.http.Timeout = 4 * patience // npm takes seconds where nothing else happens
	got, err := c.call(s.server+"__reach", object{"to": address})
	text, _ := json.Marshal(got["result"])
	if want := ", scripts false, arguments " + s.argument; err != nil || !strings.Contains(string(text), "did not reach it: ") || !strings.Contains(string(text), want) {
		t.Errorf("%s: got %v, %v, want %q; the log ends with\n%s", s.server, got, err, want, tail(g.said("stderr")))
	}
	if _, body := c.get("/mcp/" + s.server + "/health"); !strings.Contains(string(body), "level 2, run phase of "+s.fetched) {
		t.Errorf("health of %s does not say its level and phase:\n%s", s.server, body)
	}
}

// everyText is all that the files of a directory hold.
func everyText(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("there is nothing in %s: %v", dir, err)
	}
	var all strings.Builder
	for _, name := range names {
		if text, err := os.ReadFile(name); err == nil {
			fmt.Fprintf(&all, "%s\n", text)
		}
	}
	return all.String()
}
