//go:build linux

package faults

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// How a server is reached.
const (
	pipe    = "pipe"    // standard input and output of a process
	modern  = "modern"  // Streamable HTTP of 2026-07-28
	session = "session" // Streamable HTTP with sessions
	sse     = "sse"     // HTTP+SSE of 2024-11-05
	socket  = "socket"  // WebSocket
	builtin = "builtin" // in the gateway
)

// ledger is what all servers have executed.
type ledger struct {
	mu   sync.Mutex // guards runs
	runs map[string]*execution
}

// execution is what became of one call's secret at the servers.
type execution struct {
	server, tool string
	times        int
}

func (l *ledger) note(server, tool, secret string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.runs == nil {
		l.runs = map[string]*execution{}
	}
	e := l.runs[secret]
	if e == nil {
		e = &execution{server: server, tool: tool}
		l.runs[secret] = e
	}
	e.times++
}

// times is how often the call with this secret was executed.
func (l *ledger) times(secret string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.runs[secret]; e != nil {
		return e.times
	}
	return 0
}

// doubled tells of calls of tools that must not be repeated and were.
func (l *ledger) doubled() (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for secret, e := range l.runs {
		if e.times > 1 && e.tool != "look" {
			out = append(out, fmt.Sprintf("%s of %s with %s was executed %d times", e.tool, e.server, secret, e.times))
		}
	}
	return out
}

func (l *ledger) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.runs)
}

// peer is a server of the test, which writes down what it executes and breaks
// when it is told to.
type peer struct {
	name, how, rev string
	events         bool // answers POSTs with event streams
	house          *house
	proxy          *proxy     // before it; nil where processes are
	relay          *portRelay // likewise
	fault          atomic.Pointer[fault]
	turn           atomic.Int64 // chooses among variants of a fault

	mu       sync.Mutex // guards what follows
	pids     []int      // processes that have introduced themselves
	feeds    map[*feed]bool
	sessions map[string]*webSession
	asked    int // handshakes and discoveries
}

// fault is how the answers of a peer are wrong while it has it.
type fault struct {
	kind string
	all  bool // in every answer; otherwise only to tools/call
	once atomic.Bool
}

// feed is where unasked notifications go.
type feed struct {
	line *line
	tag  any // id of the subscription; nil on a line of an older revision
}

// line is something that lasts, over which messages go one by one.
type line struct {
	frame func(message []byte) []byte // as it goes over the wire
	write func(wire []byte) error
	cut   func()
	mu    sync.Mutex // held while something is written
}

func (l *line) send(message obj) error { return l.raw(l.frame(encode(message))) }

func (l *line) raw(wire []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.write(wire)
}

func (p *peer) isModern() bool { return p.rev == revModern }

// breaks returns the fault that spoils an answer to method.
func (p *peer) breaks(method string) *fault {
	f := p.fault.Load()
	if f == nil || !f.all && method != "tools/call" {
		return nil
	}
	return f
}

func (p *peer) addFeed(f *feed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.feeds[f] = true
}

func (p *peer) dropFeeds(l *line, tag any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for f := range p.feeds {
		if f.line == l && (tag == nil || f.tag == tag) {
			delete(p.feeds, f)
		}
	}
}

// tell sends a notification to whoever listens.
func (p *peer) tell(method string, params obj) {
	p.mu.Lock()
	all := make([]*feed, 0, len(p.feeds))
	for f := range p.feeds {
		all = append(all, f)
	}
	p.mu.Unlock()
	for _, f := range all {
		own := obj{}
		for k, v := range params {
			own[k] = v
		}
		if f.tag != nil {
			own["_meta"] = obj{metaSubscription: f.tag}
		}
		_ = f.line.send(notification(method, own)) // who has gone hears nothing
	}
}

// pid is the peer's process of now; 0 when there is none.
func (p *peer) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.pids) - 1; i >= 0; i-- {
		if alive(p.pids[i]) {
			return p.pids[i]
		}
	}
	return 0
}

// call is one request that a peer answers.
type call struct {
	ctx    context.Context
	id     any
	method string
	params obj
	notify func(obj) // on the way of the answer; nil when there is none before it
}

// answer is the response to a request, without id.
func (p *peer) answer(c *call) obj {
	switch c.method {
	case "initialize":
		p.noteAsked()
		if p.isModern() {
			return obj{"error": obj{
				"code": -32022, "message": "Unsupported protocol version",
				"data": obj{"supported": list{revModern}, "requested": c.params["protocolVersion"]},
			}}
		}
		return result(obj{
			"protocolVersion": p.rev, "serverInfo": obj{"name": p.name, "version": "1"},
			"capabilities": capabilities(),
		})
	case "server/discover":
		p.noteAsked()
		if !p.isModern() {
			return failure(-32601, "Method not found")
		}
		return result(obj{
			"resultType": "complete", "supportedVersions": list{revModern}, "capabilities": capabilities(),
			"ttlMs": 0, "cacheScope": "public",
		})
	case "ping":
		return result(obj{})
	case "tools/list":
		return result(p.cacheable(obj{"tools": tools}))
	case "resources/list":
		return result(p.cacheable(obj{"resources": list{obj{"name": "news", "uri": "news://" + p.name}}}))
	case "resources/templates/list":
		return result(p.cacheable(obj{"resourceTemplates": list{}}))
	case "resources/subscribe", "resources/unsubscribe":
		return result(obj{})
	case "tools/call":
		return p.run(c)
	}
	return failure(-32601, "Method not found")
}

func (p *peer) noteAsked() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
}

func (p *peer) cacheable(o obj) obj {
	if p.isModern() {
		o["resultType"], o["ttlMs"], o["cacheScope"] = "complete", 0, "public"
	}
	return o
}

func result(o obj) obj { return obj{"result": o} }

func failure(code int, message string) obj {
	return obj{"error": obj{"code": code, "message": message}}
}

func capabilities() obj {
	return obj{"tools": obj{"listChanged": true}, "resources": obj{"subscribe": true, "listChanged": true}}
}

// tools are what every peer has: two that echo a secret, of which the operator
// vouches for look, one that takes its time, and one that tells of its progress
// without end.
var tools = list{tool("echo"), tool("look"), tool("wait"), tool("stream")}

func tool(name string) obj {
	return obj{"name": name, "description": "Return the secret.", "inputSchema": obj{"type": "object"}}
}

// run executes a tool.
func (p *peer) run(c *call) obj {
	name, secret := text(c.params, "name"), text(c.params, "arguments", "secret")
	if secret == "" {
		return failure(-32602, "no secret")
	}
	p.house.ledger.note(p.name, name, secret)
	token := dig(c.params, "_meta", "progressToken")
	progress := func(n int, message string) {
		if token != nil && c.notify != nil {
			c.notify(notification("notifications/progress", obj{"progressToken": token, "progress": n, "message": message}))
		}
	}
	switch name {
	case "wait":
		progress(1, secret)
		pause(c.ctx, time.Duration(whole(c.params, "arguments", "ms"))*time.Millisecond)
	case "stream":
		padding := strings.Repeat("x", whole(c.params, "arguments", "size"))
		for n := range whole(c.params, "arguments", "times") {
			if c.ctx.Err() != nil {
				break
			}
			progress(n+1, secret+" "+padding)
		}
	default:
		progress(1, secret)
	}
	done := obj{"content": list{obj{"type": "text", "text": p.name + " " + secret}}}
	if p.isModern() {
		done["resultType"] = "complete"
	}
	return result(done)
}

// withID makes a response of what answer returned.
func withID(answer obj, id any) obj {
	out := obj{}
	for k, v := range answer {
		out[k] = v
	}
	out["jsonrpc"], out["id"] = "2.0", id
	return out
}
