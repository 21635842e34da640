//go:build linux

package safety

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
	"github.com/dragoman-mcp/dragoman/test/peers"
)

// samplePython is what sampleServer is, in Python.
const samplePython = `import json, socket, sys

def reach(to):
    try:
        host, port = to.split(':')
        socket.create_connection((host, int(port)), 10).close()
        return 'reached it'
    except OSError as e:
        return 'did not reach it: %s' % e

def main():
    for line in sys.stdin:
        m = json.loads(line)
        method, result = m.get('method'), {}
        if 'id' not in m:
            continue
        if method == 'initialize':
            result = {'protocolVersion': '2025-06-18', 'capabilities': {'tools': {}}, 'serverInfo': {'name': 'sample', 'version': '1'}}
        elif method == 'tools/list':
            result = {'tools': [{'name': 'reach', 'inputSchema': {'type': 'object'}}]}
        elif method == 'tools/call':
            text = reach(m['params']['arguments']['to']) + ', scripts false, arguments ' + ' '.join(sys.argv[1:])
            result = {'content': [{'type': 'text', 'text': text}]}
        print(json.dumps({'jsonrpc': '2.0', 'id': m['id'], 'result': result}), flush=True)
`

const wheelName = "dragoman_sample-1.0.0-py3-none-any.whl"

// wheel makes the archive of the Python package. Its only program does not have its name, which pipx forgives.
func wheel(program string) []byte { return wheelOf(program, samplePython) }

// wheelOf makes one with another text of the program.
func wheelOf(program, text string) []byte {
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	info := "dragoman_sample-1.0.0.dist-info/"
	for _, file := range [][2]string{
		{"dragoman_sample.py", text},
		{info + "METADATA", "Metadata-Version: 2.1\nName: dragoman-sample\nVersion: 1.0.0\n"},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{info + "entry_points.txt", "[console_scripts]\n" + program + " = dragoman_sample:main\n"},
		{info + "RECORD", "dragoman_sample.py,,\n" + info + "METADATA,,\n" + info + "WHEEL,,\n" + info + "entry_points.txt,,\n" + info + "RECORD,,\n"},
	} {
		w, _ := archive.Create(file[0])
		_, _ = w.Write([]byte(file[1]))
	}
	_ = archive.Close()
	return out.Bytes()
}

// index serves the wheel as Python's indexes do (PEP 503), below /uv and /pipx with programs of other names.
func index(w http.ResponseWriter, req *http.Request) {
	program := "dragoman-sample"
	if strings.HasPrefix(req.URL.Path, "/pipx") {
		program = "sample-serve"
	}
	indexOf(w, req, wheel(program))
}

// indexOf serves an archive.
func indexOf(w http.ResponseWriter, req *http.Request, archive []byte) {
	switch sum := sha256.Sum256(archive); {
	case strings.HasSuffix(req.URL.Path, "/"+wheelName):
		_, _ = w.Write(archive)
	case strings.HasSuffix(req.URL.Path, "/dragoman-sample/"):
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<!DOCTYPE html><html><body><a href="%s#sha256=%s">%[1]s</a></body></html>`, wheelName, hex.EncodeToString(sum[:]))
	default:
		http.NotFound(w, req)
	}
}

// at127002 serves at an address that programs ask their proxy for, as they do not for 127.0.0.1.
func at127002(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	served := &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}
	served.Start()
	t.Cleanup(served.Close)
	return served
}

// launcher is the path of one, or empty where there is no Python that it could run with.
func launcher(t *testing.T, name string) string {
	t.Helper()
	path, err := peers.Find(name)
	if err == nil {
		return path
	}
	if exec.Command("python3", "-c", "import sys, ensurepip; sys.exit(sys.version_info < (3, 10))").Run() == nil {
		return peers.Path(t, name)
	}
	t.Log(err)
	return ""
}

// TestEachLauncherFetchesInAPhaseOfItsOwn is TestNpxFetches… for bunx, pipx run and uvx: the real programs fetch from an
// index of the test, what they fetched has no network, and starts without the index. A package that is not there says so.
func TestEachLauncherFetchesInAPhaseOfItsOwn(t *testing.T) {
	if r := sandbox.Probe(t.Context()); r.Level < sandbox.Namespaces {
		t.Skipf("this system gives sandboxes up to level %s: %s", r.Level, r.Missing)
	}
	bun := peers.Path(t, peers.Bun)
	r := &registry{packages: map[string]object{"dragoman-sample": {"name": "dragoman-sample", "version": "1.0.0",
		"bin": object{"dragoman-sample": "index.js"}, "scripts": object{"install": "touch script-was-run"}}}}
	var asked atomic.Int64
	npm := at127002(t, r)
	python := at127002(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { asked.Add(1); index(w, req) }))
	r.url = npm.URL
	dir, servers := home(t), object{}
	servers["bunx"] = cutOff(object{"BUN_CONFIG_REGISTRY": r.url}, bun+"x", "--bun", "dragoman-sample", "first")
	servers["nothing"] = cutOff(object{"BUN_CONFIG_REGISTRY": r.url}, bun+"x", "dragoman-nothing")
	if uvx := launcher(t, peers.Uvx); uvx != "" {
		servers["uvx"] = cutOff(object{"UV_DEFAULT_INDEX": python.URL + "/uv", "UV_PYTHON": realPython(t)}, uvx, "dragoman-sample", "first")
	}
	if pipx := launcher(t, peers.Pipx); pipx != "" {
		servers["pipx"] = cutOff(object{"PIP_INDEX_URL": python.URL + "/pipx"}, pipx, "run", "--python", realPython(t), "dragoman-sample", "first")
	}
	config := object{"defaults": object{"health": object{"interval": "0s"}, "startup_timeout": "2m", "timeout": "8m"},
		"state": object{"path": filepath.Join(dir, "state.db")}, "servers": servers}
	where, _ := url.Parse(r.url)
	works := func(g *gateway) {
		t.Helper()
		for server := range servers {
			if server != "nothing" {
				reachesNothing(t, g, where.Host, sample{server, "first", "dragoman-sample (1.0.0)"})
			}
		}
	}
	g := start(t, dir, config)
	works(g)
	if got, err := g.caller("").call("nothing__reach", object{"to": where.Host}); err == nil && got["result"] != nil {
		t.Errorf("what is not there was fetched: %v", got)
	}
	if !await(func() bool {
		return strings.Contains(string(g.said("stderr")), "dragoman-nothing - 404")
	}) {
		t.Errorf("the log does not say what bun says of a package that is not there; it ends with\n%s", tail(g.said("stderr")))
	}
	g.stop()
	npm.Close()
	python.Close()
	before := asked.Load() + r.asked.Load()
	delete(servers, "nothing")
	works(start(t, dir, config))
	if asked.Load()+r.asked.Load() != before {
		t.Error("an index was asked for what was there")
	}
}

// realPython is the Python behind what may be a script that looks for one, which a sandbox keeps from what it looks in.
func realPython(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		t.Skip(err)
	}
	return strings.TrimSpace(string(out))
}
