package matrix

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/test/peers"
)

// world is the program between servers and clients that the project did not
// write. All servers are behind one gateway, which all clients use at once.
type world struct {
	bin     string
	addr    string // of the gateway
	dir     string // that the file server may touch
	servers []realServer
	turns   map[string]*sync.RWMutex
	found   *reality
}

// realServer is a server as the configuration has it.
type realServer struct {
	name    string
	kind    string // everything, official, files or memory
	what    string // how the page calls it
	speaks  string // transport and revision towards the gateway
	session bool   // asks its clients by requests of its own
	config  obj
}

func (s realServer) local() bool { return s.config["command"] != nil }

// inhabit starts the servers and the gateway.
func inhabit(t *testing.T) *world {
	t.Helper()
	for _, name := range []string{peers.Node, peers.Inspector} {
		peers.Path(t, name)
	}
	everything, official := peers.Path(t, peers.ServerEverything), peers.Path(t, peers.EverythingServer)
	w := &world{bin: buildDragoman(t), dir: t.TempDir(), turns: map[string]*sync.RWMutex{}, found: newReality()}
	web := func(name, path string, env []string, argv ...string) obj {
		port := freePort(t)
		for i := range argv {
			argv[i] = strings.ReplaceAll(argv[i], "PORT", port)
		}
		background(t, name, append(env, "PORT="+port), argv...)
		reachable(t, name, port)
		return obj{"url": "http://127.0.0.1:" + port + path}
	}
	const ever, goSDK = "server-everything", "Go SDK everything-server"
	w.servers = []realServer{
		{"everything", "everything", ever, "stdio", true, obj{"command": list{everything, "stdio"}}},
		{"everything-http", "everything", ever, "Streamable HTTP", true, web("everything-http", "/mcp", nil, everything, "streamableHttp")},
		{"everything-sse", "everything", ever, "HTTP+SSE", true, web("everything-sse", "/sse", nil, everything, "sse")},
		{"files", "files", "server-filesystem", "stdio", true, obj{"command": list{peers.Path(t, peers.ServerFilesystem), w.dir}}},
		{"memory", "memory", "server-memory", "stdio", true, obj{
			"command": list{peers.Path(t, peers.ServerMemory)}, "env": obj{"MEMORY_FILE_PATH": w.dir + "/memory.jsonl"},
		}},
		{"official", "official", goSDK, "stdio", false, obj{"command": list{official}}},
		{"official-modern", "official", goSDK, "Streamable HTTP, stateless", false, web("official-modern", "/", nil, official, "-http=127.0.0.1:PORT")},
		{"official-sessions", "official", goSDK, "Streamable HTTP, sessions", true, web("official-sessions", "/", nil, official, "-http=127.0.0.1:PORT", "-stateless=false")},
	}
	all := obj{}
	for _, s := range w.servers {
		if s.kind == "everything" && !s.local() {
			// Node closes a connection that was idle for 5 s even when a request has
			// come that it did not have the time to read: then that call is lost.
			s.config["keep_connections"] = 0
		}
		all[s.name] = s.config
		w.turns[s.name] = &sync.RWMutex{}
	}
	file := writeFile(t, t.TempDir(), "all.yaml", encode(obj{"servers": all, "log": obj{"level": "error", "format": "text"}, "catalog": obj{"list_deadline": "30s"}, "defaults": obj{"stop_timeout": "1s", "health": obj{"interval": "0s"}}}))
	port := freePort(t)
	background(t, "dragoman", nil, w.bin, "serve", "-c", file, "--listen", "127.0.0.1:"+port)
	w.addr = "127.0.0.1:" + port
	w.settle(t)
	return w
}

// own is a configuration with servers that are started by command, for a client
// that starts a gateway of its own.
func (w *world) own(t *testing.T) string {
	t.Helper()
	var names []string
	for _, s := range w.servers {
		if s.local() {
			names = append(names, s.name)
		}
	}
	return w.some(t, names...)
}

// some is a configuration with some of the servers.
func (w *world) some(t *testing.T, names ...string) string {
	t.Helper()
	dir, servers := t.TempDir(), obj{}
	for _, s := range w.servers {
		if !slices.Contains(names, s.name) {
			continue
		}
		servers[s.name] = s.config
		if s.kind == "memory" {
			config := maps.Clone(s.config)
			config["env"] = obj{"MEMORY_FILE_PATH": dir + "/memory.jsonl"}
			servers[s.name] = config
		}
	}
	return writeFile(t, dir, "own.yaml", encode(obj{"servers": servers, "log": obj{"level": "error", "format": "text"}, "catalog": obj{"list_deadline": "30s"}, "defaults": obj{"stop_timeout": "1s", "health": obj{"interval": "0s"}}}))
}

// application is a way for an official SDK to reach the gateway.
type application struct {
	name      string // how the page calls it
	sdk       int    // of TypeScript
	transport string
	mode      any    // of the second SDK: how it finds the revision
	era       string // that it must come to
	task      bool   // also runs a task, which takes 4 s
}

func applications() []application {
	return []application{
		{"TypeScript SDK 1 over Streamable HTTP", 1, "http", nil, "legacy", true},
		{"TypeScript SDK 2 over Streamable HTTP, negotiates", 2, "http", "auto", "modern", true},
		{"TypeScript SDK 1 over stdio", 1, "stdio", nil, "legacy", false},
		{"TypeScript SDK 1 over HTTP+SSE", 1, "sse", nil, "legacy", false},
		{"TypeScript SDK 1 over WebSocket", 1, "websocket", nil, "legacy", false},
		{"TypeScript SDK 2 over Streamable HTTP, wants 2026-07-28", 2, "http", obj{"pin": revModern}, "modern", false},
		{"TypeScript SDK 2 over Streamable HTTP, with a handshake", 2, "http", "legacy", "legacy", false},
		{"TypeScript SDK 2 over stdio, negotiates", 2, "stdio", "auto", "modern", false},
	}
}

// stepTime bounds one step of a session. Most take milliseconds; on a machine that
// is busy with other work a server takes many seconds to start.
const stepTime = 3 * time.Minute

// visit is an endpoint, and what to use there.
type visit struct {
	server   string // the endpoint's, or empty for the one with all servers
	together bool   // also look at all servers at once
	use      map[string]bool
	shown    []realServer
}

// visits are the endpoints that a client goes to. Over stdio everything happens
// at one endpoint, under prefixes. Servers that a gateway has several times have
// the same URIs, so each of these is used at its own endpoint.
func (w *world) visits(transport string) []visit {
	first := visit{together: true, use: map[string]bool{}}
	all := []visit{}
	for _, s := range w.servers {
		switch {
		case transport == "stdio" && s.local(), s.kind == "files", s.kind == "memory":
			first.shown = append(first.shown, s)
			first.use[s.name] = true
		case transport != "stdio":
			first.shown = append(first.shown, s)
			all = append(all, visit{server: s.name, use: map[string]bool{s.name: true}, shown: []realServer{s}})
		}
	}
	return append([]visit{first}, all...)
}

// logs are the servers whose log messages reach a client. server-everything
// writes them to the session, not to a call, so they are told to whoever is alone
// with it; over Streamable HTTP they may come after the end of the call, on
// another stream, when there is nobody to be told.
func (w *world) logs() []string {
	names := []string{}
	for _, s := range w.servers {
		if s.name != "everything-http" {
			names = append(names, s.name)
		}
	}
	return names
}

// changes are the servers whose changed lists reach a client. The Go SDK forgets
// all of a connection's subscriptions to changed lists when one of its other
// subscriptions ends (v1.8.0, subscriptionsListen), so where many share a server
// of that SDK over stdio there is nothing to be heard.
func (w *world) changes(transport string) []string {
	names := []string{}
	for _, s := range w.servers {
		if s.kind != "official" || !s.local() || transport == "stdio" {
			names = append(names, s.name)
		}
	}
	return names
}

// steps are what a session with a server must have done.
func (w *world) steps(app application, s realServer) []string {
	switch s.kind {
	case "files":
		return []string{"list", "write", "read", "directory", "refusal"}
	case "memory":
		return []string{"list", "subscription", "create", "read", "search", "resources"}
	case "official":
		rest := []string{"subscription", "prompts", "completion", "resources"}
		if slices.Contains(w.changes(app.transport), s.name) {
			rest = append([]string{"list change"}, rest...)
		}
		all := []string{"list", "call", "progress", "logging"}
		if s.name == "official-sessions" {
			all = append(all, "elicitation", "sampling", "elicitation, converted", "sampling, converted", "roots", "several questions")
		} else {
			all = append(all, "elicitation, stateless", "sampling, stateless", "roots", "several questions", "rounds")
		}
		return append(all, rest...)
	}
	all := []string{"list", "call", "elicitation", "URL elicitation", "sampling", "roots", "progress", "cancel"}
	if slices.Contains(w.logs(), s.name) {
		all = append(all, "logging")
	}
	all = append(all, "subscription", "list change", "prompts", "completion", "resources")
	if slices.Contains(app.tasks(), s.name) {
		all = append(all, "task")
	}
	return all
}

func (a application) tasks() []string {
	if a.task {
		return []string{"everything", "everything-http"}
	}
	return []string{}
}

// TestRealClientsUseRealServers runs sessions of clients that the project did
// not write with servers that it did not write, through the program.
func TestRealClientsUseRealServers(t *testing.T) {
	w := inhabit(t)
	t.Run("sessions", func(t *testing.T) {
		// Each of them is a process with many connections, which mostly waits: for
		// its turn, for changes, for programs to start. This is how many of them
		// two cores can bear in the time that a step has.
		slots := make(chan struct{}, 6)
		run := func(name string, session func(t *testing.T)) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				slots <- struct{}{}
				defer func() { <-slots }()
				session(t)
			})
		}
		for _, app := range applications() {
			run(app.name, func(t *testing.T) { w.session(t, app) })
		}
		for _, g := range gophers() {
			run(g.name, func(t *testing.T) { g.run(t, w) })
		}
		for _, i := range inspections() {
			run(i.name, func(t *testing.T) { i.run(t, w) })
		}
	})
	t.Run("crowds", func(t *testing.T) {
		for i, c := range crowds() {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.run(t, w, i+1)
			})
		}
	})
	if !t.Failed() && w.found.complete() {
		w.found.compare(t, w.servers)
	}
}

// session lets an application use all servers.
func (w *world) session(t *testing.T, app application) {
	t.Helper()
	var places []obj
	want := map[string][]string{}
	for _, v := range w.visits(app.transport) {
		place := obj{"together": v.together}
		var servers []obj
		for _, s := range v.shown {
			prefix := ""
			if v.server == "" {
				prefix = s.name + "__"
			}
			servers = append(servers, obj{"name": s.name, "kind": s.kind, "prefix": prefix, "use": v.use[s.name]})
			if v.use[s.name] {
				want[s.name] = w.steps(app, s)
			}
		}
		if v.together {
			want["together"] = []string{"lists", "a call of each"}
		}
		place["servers"] = servers
		switch app.transport {
		case "stdio":
			place["command"] = obj{"command": w.bin, "args": list{"stdio", "-c", w.own(t)}}
		case "websocket":
			place["url"] = "ws://" + w.addr + pathOf("/mcp", v.server)
		case "sse":
			place["url"] = "http://" + w.addr + pathOf("/sse", v.server)
		default:
			place["url"] = "http://" + w.addr + pathOf("/mcp", v.server)
		}
		places = append(places, place)
	}
	p := play{
		world: w, app: app.name, own: app.transport == "stdio", eras: slices.Repeat([]string{app.era}, len(places)), want: want,
		plan: obj{
			"name": plain(app.name), "sdk": app.sdk, "transport": app.transport, "mode": app.mode, "directory": w.dir,
			"visits": places, "logs": w.logs(), "tasks": app.tasks(), "changes": w.changes(app.transport), "seconds": int(stepTime.Seconds()),
		},
	}
	p.run(t)
}

// plain is a name that may stand in a path or a pattern.
func plain(name string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return '-'
	}, strings.ToLower(name))
}
