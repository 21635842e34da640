//go:build linux

package safety

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

type object = map[string]any

// gateway is the program, running, with all that it writes below one directory.
type gateway struct {
	t      testing.TB
	cmd    *exec.Cmd
	dir    string
	url    string // without /mcp
	killed bool
	exited chan struct{}
	err    error // how it ended; set before exited is closed
}

// home is a directory for one gateway, and for the next one after it was killed.
func home(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"tmp", "home", "said"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// environ is the environment of everything that is started here: nothing of the
// machine's but how programs are found.
func environ(dir string) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(dir, "home"), "TMPDIR=" + filepath.Join(dir, "tmp")}
}

// start runs the program with a configuration until the test ends, and waits
// until it listens. What it says goes to the files of dir/said, at their ends.
func start(t testing.TB, dir string, config object, env ...string) *gateway {
	t.Helper()
	if config["listen"] == nil {
		config["listen"] = "127.0.0.1:0"
	}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "dragoman.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	g := &gateway{t: t, dir: dir, exited: make(chan struct{})}
	g.cmd = exec.Command(dragoman(t), "serve", "-c", file)
	g.cmd.Dir, g.cmd.Env = dir, append(environ(dir), env...)
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, stderr := g.appendTo("stdout"), g.appendTo("stderr")
	defer stdout.Close()
	defer stderr.Close()
	g.cmd.Stdout, g.cmd.Stderr = stdout, stderr
	before := len(g.said("stdout"))
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		g.err = g.cmd.Wait()
		close(g.exited)
	}()
	t.Cleanup(g.stop)
	where := regexp.MustCompile(`(https?://\S+)/mcp\n`)
	if !await(func() bool {
		if m := where.FindSubmatch(g.said("stdout")[before:]); m != nil {
			g.url = string(m[1])
		}
		return g.url != "" || g.ended()
	}) || g.url == "" {
		t.Fatalf("the gateway does not listen: %v\n%s", g.err, tail(g.said("stderr")))
	}
	return g
}

func (g *gateway) appendTo(name string) *os.File {
	f, err := os.OpenFile(filepath.Join(g.dir, "said", name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		g.t.Fatal(err)
	}
	return f
}

// said is what the program, and its predecessors in this directory, have written.
func (g *gateway) said(name string) []byte {
	text, err := os.ReadFile(filepath.Join(g.dir, "said", name))
	if err != nil {
		g.t.Fatal(err)
	}
	return text
}

func tail(text []byte) []byte { return text[max(0, len(text)-4000):] }

func (g *gateway) ended() bool {
	select {
	case <-g.exited:
		return true
	default:
		return false
	}
}

// stop ends the program in order, if it has not ended.
func (g *gateway) stop() {
	if !g.ended() {
		g.signal(syscall.SIGTERM)
		if !await(g.ended) {
			g.t.Errorf("the gateway did not end after SIGTERM")
			g.kill()
		}
	}
	if g.t.Failed() && !g.killed {
		g.t.Logf("the end of what the gateway said:\n%s", tail(g.said("stderr")))
	}
}

// signal sends a signal, and is content when the program has ended already.
func (g *gateway) signal(s syscall.Signal) { _ = g.cmd.Process.Signal(s) }

// kill ends the program as kill -9 does.
func (g *gateway) kill() {
	g.killed = true
	g.signal(syscall.SIGKILL)
	<-g.exited
}

// caller is a client of one gateway. It writes its requests by itself, so that
// nothing of what is tried is cleaned on its way.
type caller struct {
	t     testing.TB
	url   string
	token string
	http  *http.Client
}

func (g *gateway) caller(token string) *caller {
	transport := &http.Transport{MaxIdleConnsPerHost: 32}
	g.t.Cleanup(transport.CloseIdleConnections)
	return &caller{t: g.t, url: g.url, token: token, http: &http.Client{Transport: transport, Timeout: patience}}
}

// do sends a request. An answer that does not come is an error and not a failure
// of the test: gateways are killed here.
func (c *caller) do(method, path string, body []byte, header http.Header) (int, []byte, error) {
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if c.token != "" && req.Header.Get("Authorization") == "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	return resp.StatusCode, answer, err
}

// get asks for a page.
func (c *caller) get(path string) (int, []byte) {
	c.t.Helper()
	status, body, err := c.do(http.MethodGet, path, nil, nil)
	if err != nil {
		c.t.Fatalf("get %s: %v", path, err)
	}
	return status, body
}

// ask sends a request of 2026-07-28 and gives the response, whose last line counts
// if it is a stream.
func (c *caller) ask(path, method string, params object, header http.Header) (object, error) {
	meta := object{
		"io.modelcontextprotocol/protocolVersion":    "2026-07-28",
		"io.modelcontextprotocol/clientCapabilities": object{"elicitation": object{"form": object{}}},
	}
	if more, ok := params["_meta"].(object); ok {
		for name, value := range more {
			meta[name] = value
		}
	}
	params["_meta"] = meta
	id := params["id"]
	delete(params, "id")
	if id == nil {
		id = 1
	}
	body, err := json.Marshal(object{"jsonrpc": "2.0", "id": id, "method": method, "params": params})
	if err != nil {
		return nil, err
	}
	h := http.Header{
		"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"},
		"Mcp-Protocol-Version": {"2026-07-28"}, "Mcp-Method": {method},
	}
	for _, key := range []string{"name", "uri"} {
		if name, ok := params[key].(string); ok {
			h.Set("Mcp-Name", name)
		}
	}
	for name, values := range header {
		h[name] = values
	}
	_, answer, err := c.do(http.MethodPost, path, body, h)
	if err != nil {
		return nil, err
	}
	var response object
	for line := range strings.Lines(string(answer)) {
		var m object
		if json.Unmarshal([]byte(strings.TrimPrefix(line, "data:")), &m) == nil && m["method"] == nil {
			response = m
		}
	}
	return response, nil
}

// call calls a tool.
func (c *caller) call(tool string, arguments any) (object, error) {
	return c.ask("/mcp", "tools/call", object{"name": tool, "arguments": arguments}, nil)
}
