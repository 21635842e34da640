//go:build linux

package safety

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// place is somewhere that a secret gets to the gateway.
type place struct {
	name string
	put  func(c canary)
	bare bool // has room for one word only
}

// trial is one gateway with everything on that writes, and what stands around it.
type trial struct {
	t *testing.T
	*mint
	g         *gateway
	c         *caller
	collector *collector
	upstream  *leaky
	password  string // of the user ann
	shown     [][]byte
}

// TestNoSecretIsFoundInAnythingThatTheGatewayWrites gives the gateway hundreds of
// secrets, in every place where callers, servers, programs and its own
// configuration can put one, and then reads everything that it has written: its
// log at its most talkative, the audit log with arguments, the logs of its
// programs, its state, metrics, traces, reports, the command lines of its
// processes, and what it says when it is made to crash (threat T58, promise P29).
func TestNoSecretIsFoundInAnythingThatTheGatewayWrites(t *testing.T) {
	tr := newTrial(t)
	places := tr.places()
	n := times(t, "DRAGOMAN_CANARIES", 200)
	for i := range n {
		p := places[i%len(places)]
		var c canary
		if kind := i/len(places) + i%len(places); p.bare {
			c = tr.bare(p.name, kind)
		} else {
			c = tr.issue(p.name, kind)
		}
		p.put(c)
	}
	tr.login()
	tr.look()
	tr.crash()
	leaks := tr.everything()
	byPlace := map[string]int{}
	for _, l := range leaks {
		if byPlace[l.canary.where+l.place]++; byPlace[l.canary.where+l.place] <= 2 {
			t.Errorf("%s, given in %s, is in %s:\n\t…%q…", l.canary.kind, l.canary.where, l.place, l.around)
		}
	}
	t.Logf("%d secrets in %d places: %d found", len(tr.issued), len(places), len(leaks))
}

func newTrial(t *testing.T) *trial {
	tr := &trial{t: t, mint: newMint()}
	tr.collector, tr.upstream = &collector{}, &leaky{}
	collect, up := httptest.NewServer(tr.collector), httptest.NewServer(tr.upstream)
	t.Cleanup(collect.Close)
	t.Cleanup(up.Close)
	own := func(i int, where string) string { return tr.issue("configuration: "+where, i).value }
	secret := func(where string) string { c := tr.issue("configuration: "+where, 2); return c.value }
	dir := home(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	token := secret("token")
	talker := object{"command": []string{self, "talker"}, "env": object{"DB_PASSWORD": own(20, "env"), "TOKEN": own(4, "env"), "NOTE": own(17, "env")}}
	mortal := object{"command": []string{self, "talker"}, "start": "on-demand", "restart": object{"crash_count": 1000, "min_backoff": "1ms", "max_backoff": "10ms"}}
	config := object{
		"auth": object{
			"tokens": []object{{"name": "tester", "token": token, "roles": []string{"admin"}}}, "keys": object{"enabled": true},
			"passwords": object{"enabled": true}, "authorization_server": object{"enabled": true, "dynamic_registration": true},
		},
		"access":    object{"pinning": "first_sight"},
		"state":     object{"path": filepath.Join(dir, "state.db")},
		"session":   object{"secret": secret("session.secret")},
		"audit":     object{"dir": filepath.Join(dir, "audit"), "reads": "strict", "argument_size": "64KiB"},
		"log":       object{"level": "debug"},
		"telemetry": object{"otlp_endpoint": collect.URL, "otlp_headers": object{"x-honeycomb-team": own(5, "otlp_headers")}},
		"processes": object{"log_dir": filepath.Join(dir, "logs"), "pid_dir": filepath.Join(dir, "pids")},
		"servers": object{
			"talker": talker, "mortal": mortal,
			"web": object{"url": up.URL, "headers": object{"Authorization": "Bearer " + own(1, "headers"), "X-Team": own(7, "headers")}},
		},
		"defaults": object{"breaker": object{"failures": 0}, "health": object{"interval": "0s"}, "sandbox": object{"level": 0}, "stop_timeout": "1s"},
	}
	tr.password = "correct horse " + tr.issue("dragoman user add", 20).mark
	tr.g = start(t, dir, config, "OTEL_BSP_SCHEDULE_DELAY=100") // ms between batches of traces
	tr.c = tr.g.caller(token)
	tr.run(tr.password+"\n", "user", "add", "ann", "--role", "user")
	return tr
}

// run runs another command of the program with the same configuration, and keeps
// what it says.
func (tr *trial) run(stdin string, args ...string) string {
	tr.t.Helper()
	cmd := exec.CommandContext(tr.t.Context(), dragoman(tr.t), append(args, "-c", filepath.Join(tr.g.dir, "dragoman.yaml"))...)
	cmd.Dir, cmd.Env, cmd.Stdin = tr.g.dir, environ(tr.g.dir), strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		tr.t.Fatalf("dragoman %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	tr.shown = append(tr.shown, out)
	return string(out)
}

// call calls a tool, whose answer may be anything but nothing.
func (tr *trial) call(tool string, arguments any) {
	tr.t.Helper()
	if got, err := tr.c.call(tool, arguments); err != nil || got == nil {
		tr.t.Fatalf("call %s: got %v, %v, want any answer", tool, got, err)
	}
}

func (tr *trial) ask(path, method string, params object, header http.Header) {
	tr.t.Helper()
	if _, err := tr.c.ask(path, method, params, header); err != nil {
		tr.t.Fatalf("ask %s: %v", method, err)
	}
}

func (tr *trial) send(method, path, body string, header http.Header) {
	tr.t.Helper()
	if _, _, err := tr.c.do(method, path, []byte(body), header); err != nil {
		tr.t.Fatalf("%s %s: %v", method, path, err)
	}
}

// oneLine is a value as it can stand in a header field.
func oneLine(text string) string { return strings.ReplaceAll(text, "\n", " ") }

func formOf(pairs ...string) string {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v.Encode()
}

func (tr *trial) places() []place {
	return slices.Concat(tr.callers(), tr.requests(), tr.servers(), tr.logins())
}

// callers are what callers put into the calls of tools and other methods.
func (tr *trial) callers() []place {
	text := func(tool string) func(canary) {
		return func(c canary) { tr.call(tool, object{"text": c.inText()}) }
	}
	return []place{
		{name: "arguments", put: func(c canary) { tr.call("talker__echo", c.inObject()) }},
		{name: "arguments over HTTP", put: func(c canary) { tr.call("web__echo", c.inObject()) }},
		{name: "the name of an argument", bare: true, put: func(c canary) { tr.call("talker__echo", object{c.value: true}) }},
		{name: "the name of a tool", bare: true, put: func(c canary) { tr.call("talker__"+c.value, object{}) }},
		{name: "the name of a server", bare: true, put: func(c canary) { tr.call(c.value+"__echo", object{}) }},
		{name: "the name of a prompt", bare: true, put: func(c canary) {
			tr.ask("/mcp", "prompts/get", object{"name": "web__" + c.value, "arguments": object{"token": c.value}}, nil)
		}},
		{name: "the URI of a resource", put: func(c canary) {
			tr.ask("/mcp", "resources/read", object{"uri": "https://ann:" + c.mark + "@files.example.org/x?api_key=" + url.QueryEscape(c.value)}, nil)
		}},
		{name: "a method", bare: true, put: func(c canary) { tr.ask("/mcp", "tools/"+c.value, object{}, nil) }},
		{name: "the id of a request", bare: true, put: func(c canary) {
			tr.ask("/mcp", "tools/call", object{"id": c.value, "name": "web__fail", "arguments": object{"text": "x"}}, nil)
		}},
		{name: "_meta", put: func(c canary) {
			tr.ask("/mcp", "tools/call", object{"name": "talker__echo", "arguments": object{},
				"_meta": object{"progressToken": c.value, "org.example/credentials": c.inObject(), "traceparent": c.value, "baggage": c.inText()}}, nil)
		}},
		{name: "the name of a client", put: func(c canary) {
			tr.ask("/mcp", "tools/list", object{"_meta": object{"io.modelcontextprotocol/clientInfo": object{"name": c.inText(), "version": c.value}}}, nil)
		}},
		{name: "a completion", put: func(c canary) {
			tr.ask("/mcp", "completion/complete", object{"ref": object{"type": "ref/prompt", "name": "web__greet"}, "argument": object{"name": "password", "value": c.value}}, nil)
		}},
		{name: "a message that is no JSON", put: func(c canary) {
			tr.send(http.MethodPost, "/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{`+c.inText(), http.Header{"Content-Type": {"application/json"}})
		}},
		{name: "a message with a name twice", bare: true, put: func(c canary) {
			tr.send(http.MethodPost, "/mcp", `{"jsonrpc":"2.0","id":1,"method":"ping","`+c.value+`":1,"`+c.value+`":2}`, http.Header{"Content-Type": {"application/json"}})
		}},
		{name: "an answer of the user", put: tr.answer},
		{name: "an answer of the user in a session", put: tr.answerInSession},
		{name: "a result", put: text("web__echo")},
		{name: "a result that is an error", put: text("talker__toolfail")},
	}
}

// requests are what callers put around messages.
func (tr *trial) requests() []place {
	header := func(name string) func(canary) {
		return func(c canary) {
			tr.ask("/mcp", "tools/call", object{"name": "talker__echo", "arguments": object{}}, http.Header{name: {oneLine(c.value)}})
		}
	}
	path := func(format string) func(canary) {
		return func(c canary) { tr.send(http.MethodPost, fmt.Sprintf(format, url.QueryEscape(c.value)), "{}", nil) }
	}
	return []place{
		{name: "Authorization", put: func(c canary) {
			tr.send(http.MethodPost, "/mcp", "{}", http.Header{"Authorization": {"Bearer " + oneLine(c.value)}})
		}},
		{name: "Authorization of another scheme", put: func(c canary) {
			tr.send(http.MethodPost, "/mcp", "{}", http.Header{"Authorization": {oneLine(c.value)}})
		}},
		{name: "Cookie", put: header("Cookie")},
		{name: "X-Api-Key", put: header("X-Api-Key")},
		{name: "a header for the server", put: header("Mcp-Param-Password")},
		{name: "User-Agent", bare: true, put: header("User-Agent")},
		{name: "Mcp-Session-Id", bare: true, put: header("Mcp-Session-Id")},
		{name: "Mcp-Name", bare: true, put: header("Mcp-Name")},
		{name: "Mcp-Protocol-Version", bare: true, put: header("Mcp-Protocol-Version")},
		{name: "Origin", bare: true, put: func(c canary) {
			tr.send(http.MethodPost, "/mcp", "{}", http.Header{"Origin": {"https://" + c.value + ".example.org"}})
		}},
		{name: "Host", bare: true, put: func(c canary) {
			tr.send(http.MethodGet, "/health", "", http.Header{"Host": {c.value + ".example.org"}})
		}},
		{name: "a query", put: path("/mcp?access_token=%s")},
		{name: "a query of another name", put: path("/mcp/talker?q=%s")},
		{name: "a path", bare: true, put: path("/mcp/%s")},
		{name: "a path that is not there", bare: true, put: path("/hooks/%s")},
		{name: "Traceparent", put: header("Tracestate")},
	}
}

// servers are what servers and programs say.
func (tr *trial) servers() []place {
	text := func(tool string) func(canary) {
		return func(c canary) { tr.call(tool, object{"text": c.inText()}) }
	}
	return []place{
		{name: "standard error of a program", put: text("talker__say")},
		{name: "an error of a program", put: text("talker__fail")},
		{name: "what a program writes that is no message", put: text("talker__garbage")},
		{name: "the last words of a program", put: text("mortal__die")},
		{name: "an error of a server", put: text("web__fail")},
		{name: "a page in place of a message", put: text("web__page")},
		{name: "a refusal of a server", put: text("web__refuse")},
		{name: "a redirect of a server", put: text("web__redirect")},
		{name: "a stream of a server that breaks off", put: text("web__stream")},
	}
}

// logins are what callers send to get in.
func (tr *trial) logins() []place {
	post := func(path string, pairs ...string) func(canary) {
		return func(c canary) {
			for i := range pairs {
				if pairs[i] == "" {
					pairs[i] = "\x00"
				}
			}
			filled := slices.Clone(pairs)
			for i := range filled {
				if filled[i] == "\x00" {
					filled[i] = c.value
				}
			}
			tr.send(http.MethodPost, path, formOf(filled...), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
		}
	}
	return []place{
		{name: "a password", put: post("/token", "username", "nobody", "password", "")},
		{name: "the name of a user", bare: true, put: post("/token", "username", "", "password", "x")},
		{name: "a code", put: post("/oauth/token", "grant_type", "authorization_code", "code", "", "code_verifier", "", "client_id", "desktop", "redirect_uri", "http://127.0.0.1/callback")},
		{name: "a refresh token", put: post("/oauth/token", "grant_type", "refresh_token", "refresh_token", "", "client_secret", "", "client_id", "")},
		{name: "a token to revoke", put: post("/revoke", "token", "")},
		{name: "a question for the user", put: func(c canary) {
			tr.send(http.MethodGet, "/oauth/authorize?"+formOf("client_id", c.value, "state", c.value, "code_challenge", c.value, "redirect_uri", "http://127.0.0.1/callback?token="+c.value, "nonce", c.value), "", nil)
		}},
		{name: "a form of the user", put: post("/oauth/authorize", "username", "ann", "password", "", "csrf", "", "request", "")},
	}
}

// answer is a call that asks the user something, in the way of 2026-07-28.
func (tr *trial) answer(c canary) {
	params := object{"name": "web__ask", "arguments": object{}}
	got, err := tr.c.ask("/mcp", "tools/call", params, nil)
	if err != nil {
		tr.t.Fatal(err)
	}
	result, _ := got["result"].(object)
	requests, _ := result["inputRequests"].(object)
	if len(requests) == 0 {
		tr.t.Fatalf("the call asks nothing: %v", got)
	}
	params["inputResponses"], params["requestState"] = object{}, result["requestState"]
	for name := range requests {
		params["inputResponses"].(object)[name] = object{"action": "accept", "content": object{"answer": c.inText(), "password": c.value}}
	}
	got, err = tr.c.ask("/mcp", "tools/call", params, nil)
	if err != nil || !strings.Contains(fmt.Sprint(got), c.mark) && c.kind != "basic" {
		tr.t.Fatalf("the answer did not reach the server: %v, %v", got, err)
	}
}

// answerInSession is the same with a program that has a session, which asks by a
// request of its own; the gateway keeps the call meanwhile.
func (tr *trial) answerInSession(c canary) {
	params := object{"name": "talker__ask", "arguments": object{}}
	got, err := tr.c.ask("/mcp", "tools/call", params, nil)
	if err != nil {
		tr.t.Fatal(err)
	}
	result, _ := got["result"].(object)
	requests, _ := result["inputRequests"].(object)
	answers := object{}
	for name := range requests {
		answers[name] = object{"action": "accept", "content": object{"answer": c.inText()}}
	}
	if len(answers) == 0 {
		tr.t.Fatalf("the call asks nothing: %v", got)
	}
	params["inputResponses"], params["requestState"] = answers, result["requestState"]
	tr.ask("/mcp", "tools/call", params, nil)
}

// login makes the credentials that the gateway itself gives out, which are secrets too.
func (tr *trial) login() {
	made := strings.Fields(tr.run("", "token", "create", "ci", "--expires", "1d"))
	key := made[len(made)-1]
	tr.shown = tr.shown[:len(tr.shown)-1] // it is shown this once
	status, body, err := tr.c.do(http.MethodPost, "/token", []byte(formOf("username", "ann", "password", tr.password)), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
	var token struct {
		Access string `json:"access_token"`
	}
	if err != nil || json.Unmarshal(body, &token) != nil || token.Access == "" {
		tr.t.Fatalf("log in: got %d, %s, %v", status, body, err)
	}
	for name, value := range map[string]string{"api key": key, "access token": token.Access} {
		c := tr.g.caller(value)
		if got, err := c.call("talker__echo", object{"text": value}); err != nil || got["result"] == nil {
			tr.t.Fatalf("call with the %s %q: got %v, %v, want a result", name, value, got, err)
		}
		tr.given(name, value)
	}
}

// given makes a value that the gateway has made one to look for: by its middle,
// which everything that shows the whole shows too.
func (tr *trial) given(name, value string) {
	tr.shown = append(tr.shown, nil)
	middle := value[len(value)/2 : len(value)/2+16]
	tr.issued[strings.ToUpper(middle)] = canary{form: form{kind: name}, mark: middle, where: "made by the gateway"}
}

// look asks for everything that the gateway tells of itself.
func (tr *trial) look() {
	for _, path := range []string{"/metrics", "/ready", "/health", "/mcp/talker/health", "/mcp/mortal/health", "/mcp/web/health"} {
		_, body := tr.c.get(path)
		tr.shown = append(tr.shown, append([]byte(path+": "), body...))
	}
	tr.run("", "check")
	tr.run("", "config", "show", "--origin")
	tr.run("", "token", "list")
	tr.run("", "audit", "tail")
	// The last trace has come when that of one more call has.
	tr.call("talker__the_last_one", object{})
	if !await(func() bool {
		return slices.ContainsFunc(tr.collector.received(), func(b []byte) bool { return bytes.Contains(b, []byte("the_last_one")) })
	}) {
		tr.t.Error("the traces of the calls did not arrive, so that not everything is looked for in them")
	}
	for _, line := range commandLines(tr.t) {
		tr.shown = append(tr.shown, append([]byte("command line: "), line...))
	}
}

// commandLines are those of all processes.
func commandLines(t *testing.T) [][]byte {
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(names) == 0 {
		t.Fatalf("no processes in /proc: %v", err)
	}
	var all [][]byte
	for _, name := range names {
		if text, err := os.ReadFile(name); err == nil { // it may have ended
			all = append(all, text)
		}
	}
	return all
}

// crash makes the gateway tell all that it does and end, as Go programs do on
// SIGQUIT, while calls with secrets are under way.
func (tr *trial) crash() {
	var calls sync.WaitGroup
	defer calls.Wait()
	for i := range 8 {
		c := tr.issue("a call during the crash", i)
		calls.Go(func() { _, _ = tr.c.call("web__hang", c.inObject()) })
	}
	if !await(func() bool { return tr.upstream.hanging.Load() == 8 }) {
		tr.t.Fatal("not all calls reached the server")
	}
	tr.g.signal(syscall.SIGQUIT)
	<-tr.g.exited
	if !bytes.Contains(tr.g.said("stderr"), []byte("SIGQUIT")) {
		tr.t.Errorf("the gateway said nothing when it crashed:\n%s", tail(tr.g.said("stderr")))
	}
}

// everything reads all that was written.
func (tr *trial) everything() []found {
	var all []found
	files, size := 0, 0
	err := filepath.WalkDir(tr.g.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || path == filepath.Join(tr.g.dir, "dragoman.yaml") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files, size = files+1, size+len(text)
		all = append(all, tr.searchAll(strings.TrimPrefix(path, tr.g.dir), text)...)
		return nil
	})
	if err != nil {
		tr.t.Fatal(err)
	}
	for _, text := range tr.shown {
		all = append(all, tr.searchAll("what it shows: "+string(text[:min(len(text), 20)]), text)...)
	}
	for _, text := range tr.collector.received() {
		all = append(all, tr.searchAll("traces", text)...)
	}
	tr.t.Logf("searched %d files of %d KiB, %d pages, %d batches of traces", files, size>>10, len(tr.shown), len(tr.collector.received()))
	for _, name := range []string{"said/stderr", "state.db", "logs/talker.log", "audit"} {
		if info, err := os.Stat(filepath.Join(tr.g.dir, name)); err != nil || info.Size() == 0 {
			tr.t.Errorf("%s is not there, so that nothing was looked for in it: %v", name, err)
		}
	}
	return all
}

// searchAll looks for canaries, and for what the gateway made itself.
func (tr *trial) searchAll(place string, text []byte) []found {
	all := tr.search(place, text)
	for _, c := range tr.issued {
		if c.where == "made by the gateway" {
			if at := bytes.Index(text, []byte(c.mark)); at >= 0 {
				all = append(all, found{c, place, around(text, at)})
			}
		}
	}
	return all
}

// collector takes traces.
type collector struct {
	mu     sync.Mutex // guards bodies
	bodies [][]byte
}

// ServeHTTP implements http.Handler.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the gateway is gone
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bodies = append(c.bodies, body)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (c *collector) received() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.bodies)
}
