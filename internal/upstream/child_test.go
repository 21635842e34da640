package upstream_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
)

// program is the command that starts this binary as a server: what it speaks,
// then what it does besides.
func program(traits ...string) func(*config.Server) {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return func(s *config.Server) {
		s.Command = append([]string{self, "role:server"}, traits...)
		s.StopTimeout = time.Second
		s.Restart.MinBackoff = 20 * time.Millisecond
	}
}

// then puts changes of a configuration one after the other.
func then(changes ...func(*config.Server)) func(*config.Server) {
	return func(s *config.Server) {
		for _, change := range changes {
			change(s)
		}
	}
}

func play(role string, args []string) int {
	if role == "role:sdk" {
		return playSDK()
	}
	if role != "role:server" {
		fmt.Fprintln(os.Stderr, "no", role)
		return 2
	}
	s := &server{out: os.Stdout, traits: make(map[string]string)}
	for _, trait := range args {
		name, value, _ := strings.Cut(trait, "=")
		s.traits[name] = value
	}
	return s.serve(os.Stdin)
}

// server is a server on pipes with traits:
//
//	legacy, modern, dual   what it speaks; legacy answers a probe with an error
//	silent, exits          a legacy one that does not answer a probe, or ends at it
//	revision=R             a legacy one that knows no other
//	late=D                 reads nothing for so long after its start
//	gate=FILE              reads nothing before the file exists
//	single                 does one thing at a time
//	broken                 ends at once
//	until=FILE             ends at once as long as the file exists
//	ledger=FILE            appends a line for each call that it runs
//	deaf                   does not answer ping
//	stays                  does not end with its input
type server struct {
	traits map[string]string
	calls  atomic.Int64
	seen   sync.Map     // texts that echo was called with
	twice  atomic.Int64 // times that one of them came again
	pings  atomic.Int64

	mu        sync.Mutex // guards what follows, and what is written
	out       io.Writer
	cancelled []string
	listening []json.RawMessage      // ids of subscriptions
	asked     map[string]chan string // requests to the client
}

type message struct {
	ID     json.RawMessage `json:"id,omitempty"`
	Method string          `json:"method,omitempty"`
	Params json.RawMessage `json:"params,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  json.RawMessage `json:"error,omitempty"`
}

func (s *server) has(trait string) bool {
	_, ok := s.traits[trait]
	return ok
}

func (s *server) serve(in io.Reader) int {
	if s.has("broken") {
		fmt.Fprintln(os.Stderr, "no licence")
		return 3
	}
	if file := s.traits["until"]; file != "" {
		if _, err := os.Stat(file); err == nil {
			return 3
		}
	}
	if d, err := time.ParseDuration(s.traits["late"]); err == nil {
		<-time.After(d)
	}
	s.await(s.traits["gate"])
	s.asked = make(map[string]chan string)
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil && s.has("stays") {
			<-time.After(time.Minute)
		}
		if err != nil {
			return 0
		}
		var m message
		if json.Unmarshal(line, &m) != nil {
			return 4
		}
		if m.Method == "server/discover" && s.has("exits") {
			fmt.Fprintln(os.Stderr, "unexpected message")
			return 1
		}
		if s.has("single") {
			s.take(m)
		} else {
			go s.take(m)
		}
	}
}

// await waits for a file; not at all for an empty name. The test that it is for
// ends long before.
func (s *server) await(file string) {
	for range 5 * 60 * 200 {
		if _, err := os.Stat(file); file == "" || err == nil {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
}

func (s *server) write(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = fmt.Fprintf(s.out, format+"\n", args...)
}

func (s *server) result(id json.RawMessage, result string) {
	s.write(`{"jsonrpc":"2.0","id":%s,"result":%s,"x-grease":{"big":123456789012345678901}}`, id, result)
}

func (s *server) refuse(id json.RawMessage, code int, text string) {
	s.write(`{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%q}}`, id, code, text)
}

// notify sends a notification of a subscription.
func (s *server) notify(id json.RawMessage, what string) {
	s.write(`{"jsonrpc":"2.0","method":"notifications/%s","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":%s}}}`, what, id)
}

func (s *server) say(id json.RawMessage, text string) {
	quoted, _ := json.Marshal(text)
	s.result(id, fmt.Sprintf(`{"content":[{"type":"text","text":%s}]}`, quoted))
}

const capabilities = `{"logging":{},"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true}}`

func (s *server) take(m message) {
	modern := s.has("modern") || s.has("dual")
	switch {
	case m.Method == "":
		s.mu.Lock()
		waiting := s.asked[string(m.ID)]
		s.mu.Unlock()
		if waiting != nil {
			waiting <- string(m.Result) + string(m.Error)
		}
	case m.Method == "server/discover" && s.has("silent"):
	case m.Method == "server/discover" && modern:
		s.result(m.ID, `{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":`+capabilities+`,"ttlMs":0,"cacheScope":"private"}`)
	case m.Method == "initialize" && !s.has("modern"):
		s.initialize(m)
	case m.Method == "ping" && !s.has("modern"):
		s.pings.Add(1)
		if !s.has("deaf") {
			s.result(m.ID, `{}`)
		}
	case m.Method == "tools/list":
		if ms, err := strconv.Atoi(s.traits["lists"]); err == nil { // takes so many milliseconds
			<-time.After(time.Duration(ms) * time.Millisecond)
		}
		s.result(m.ID, `{"tools":[{"name":"echo","inputSchema":{"type":"object"}}]}`)
	case m.Method == "subscriptions/listen" && modern:
		s.mu.Lock()
		s.listening = append(s.listening, m.ID)
		s.mu.Unlock()
		s.notify(m.ID, "subscriptions/acknowledged")
	case m.Method == "resources/subscribe", m.Method == "resources/unsubscribe", m.Method == "logging/setLevel":
		s.result(m.ID, `{}`)
	case m.Method == "notifications/cancelled":
		var p struct{ RequestID json.RawMessage }
		_ = json.Unmarshal(m.Params, &p)
		s.mu.Lock()
		s.cancelled = append(s.cancelled, string(p.RequestID))
		s.mu.Unlock()
	case m.Method == "tools/call":
		s.call(m)
	case len(m.ID) > 0:
		s.refuse(m.ID, -32601, "Method not found")
	}
}

func (s *server) initialize(m message) {
	var p struct{ ProtocolVersion string }
	_ = json.Unmarshal(m.Params, &p)
	if only := s.traits["revision"]; only != "" {
		p.ProtocolVersion = only
	}
	s.result(m.ID, fmt.Sprintf(`{"protocolVersion":%q,"capabilities":%s,"serverInfo":{"name":"child","version":"1"}}`, p.ProtocolVersion, capabilities))
}

// call runs a tool.
func (s *server) call(m message) {
	var p struct {
		Name      string
		Arguments struct {
			Text string
			MS   int
		}
		Meta struct{ ProgressToken json.RawMessage } `json:"_meta"`
	}
	_ = json.Unmarshal(m.Params, &p)
	s.calls.Add(1)
	if file := s.traits["ledger"]; file != "" {
		f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			_, _ = fmt.Fprintln(f, p.Name, p.Arguments.Text)
			_ = f.Close()
		}
	}
	switch p.Name {
	case "echo": // after at most so many milliseconds
		if _, again := s.seen.LoadOrStore(p.Arguments.Text, true); again {
			s.twice.Add(1)
		}
		if p.Arguments.MS > 0 {
			<-time.After(time.Duration(rand.IntN(1000*p.Arguments.MS)) * time.Microsecond)
		}
		s.say(m.ID, p.Arguments.Text)
	case "slow": // after exactly so many
		<-time.After(time.Duration(p.Arguments.MS) * time.Millisecond)
		s.say(m.ID, p.Arguments.Text)
	case "wait": // for a file
		s.await(p.Arguments.Text)
		s.say(m.ID, "done")
	case "pid":
		s.say(m.ID, fmt.Sprint(os.Getpid()))
	case "calls":
		s.say(m.ID, fmt.Sprint(s.calls.Load()))
	case "pings":
		s.say(m.ID, fmt.Sprint(s.pings.Load()))
	case "twice":
		s.say(m.ID, fmt.Sprint(s.twice.Load()))
	case "cancelled":
		s.mu.Lock()
		list := strings.Join(s.cancelled, " ")
		s.mu.Unlock()
		s.say(m.ID, list)
	case "changed":
		s.mu.Lock()
		listening := s.listening
		s.mu.Unlock()
		for _, id := range listening {
			s.notify(id, "tools/list_changed")
		}
		if len(listening) == 0 {
			s.write(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
		}
		s.say(m.ID, "ok")
	case "murmur": // logs a text when it has answered, before it answers anybody else
		s.write(`{"jsonrpc":"2.0","id":%s,"result":{"content":[]}}`+"\n"+
			`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"warning","data":%q}}`, m.ID, p.Arguments.Text)
	case "die":
		fmt.Fprintln(os.Stderr, "cannot go on")
		os.Exit(7)
	case "shut": // closes its output and lives on
		_ = os.Stdout.Close()
	case "leave": // closes its input, which must not be read at that moment, and ends a moment later
		_ = syscall.Close(0)
		s.say(m.ID, "bye")
		<-time.After(20 * time.Millisecond)
		os.Exit(7)
	case "ask":
		s.say(m.ID, s.ask(string(m.ID), p.Arguments.Text))
	case "hang":
	default:
		s.refuse(m.ID, -32602, "no tool "+p.Name)
	}
}

// ask asks the client for something in mid-call.
func (s *server) ask(id, what string) string {
	answer := make(chan string, 1)
	s.mu.Lock()
	key := `"q` + strings.Trim(id, `"`) + `"`
	s.asked[key] = answer
	s.mu.Unlock()
	s.write(`{"jsonrpc":"2.0","id":%s,"method":"elicitation/create","params":{"message":%q,"requestedSchema":{"type":"object","properties":{}}}}`, key, what)
	return <-answer
}
