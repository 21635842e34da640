package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
)

// peer is the program mcpserver: a server of 2025-06-18 on standard input and
// output, with tools for every case that scripts need. Its first argument may
// name a way in which it is broken.
func peer() {
	p := &server{in: bufio.NewReader(os.Stdin)}
	if len(os.Args) > 1 {
		p.broken = os.Args[1]
	}
	if p.broken == "crash" {
		fmt.Fprintln(os.Stderr, "cannot open the database: no such file")
		syscall.Exit(3)
	}
	for {
		m, err := p.read()
		if err != nil {
			syscall.Exit(0) // os.Exit takes a second under the race detector
		}
		p.serve(m)
	}
}

type server struct {
	in     *bufio.Reader
	broken string
	asked  int
}

type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
}

func (p *server) read() (message, error) {
	var m message
	line, err := p.in.ReadBytes('\n')
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(line, &m)
}

func (p *server) send(format string, args ...any) { fmt.Printf(format+"\n", args...) }

func (p *server) result(m message, text string) {
	p.send(`{"jsonrpc":"2.0","id":%s,"result":%s,"grease":1}`, m.ID, text)
}

func (p *server) refuse(m message, code int, text string) {
	p.send(`{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%q}}`, m.ID, code, text)
}

// toolList has a tool for each kind of answer, and one whose arguments are of
// every type.
const toolList = `{"tools":[
 {"name":"types","description":"Answers with its arguments.","inputSchema":{"type":"object","properties":{
   "number":{"type":"number","description":"any number"},"whole":{"type":"integer"},"yes":{"type":"boolean"},
   "list":{"type":"array","items":{"type":"string"}},"map":{"type":"object"},"text":{"type":"string"},
   "mode":{"type":"string","enum":["fast","exact"]},"maybe":{"anyOf":[{"type":"integer"},{"type":"null"}]},
   "ref":{"$ref":"#/$defs/level"}},"required":["number"],"$defs":{"level":{"type":"integer"}}}},
 {"name":"strict","inputSchema":{"type":"object","properties":{"city":{"type":"string","description":"where"},"days":{"type":"integer"}},
   "required":["city","days"],"additionalProperties":false}},
 {"name":"fail","inputSchema":{"type":"object"}},{"name":"refuse","inputSchema":{"type":"object"}},
 {"name":"structured","inputSchema":{"type":"object"}},{"name":"media","inputSchema":{"type":"object"}},
 {"name":"ask","inputSchema":{"type":"object"}},{"name":"roots","inputSchema":{"type":"object"}},
 {"name":"wait","inputSchema":{"type":"object"}},{"name":"talk","inputSchema":{"type":"object"}},
 {"name":"die","inputSchema":{"type":"object"}},{"name":"escape","inputSchema":{"type":"object"}},
 {"name":"env","inputSchema":{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}}]}`

func flat(text string) string { return strings.ReplaceAll(text, "\n", " ") }

func (p *server) serve(m message) {
	if p.broken == "silent" || m.ID == nil {
		return
	}
	switch m.Method {
	case "initialize":
		if p.broken == "garbage" {
			fmt.Println("<html>Welcome!</html>")
			syscall.Exit(0)
		}
		p.result(m, `{"protocolVersion":"2025-06-18","capabilities":{"tools":{},"prompts":{},"resources":{},"logging":{}},"serverInfo":{"name":"peer","version":"1"}}`)
	case "tools/list":
		p.listTools(m)
	case "prompts/list":
		p.result(m, `{"prompts":[{"name":"review","description":"Reviews code.","arguments":[{"name":"file","required":true},{"name":"style"}]}]}`)
	case "resources/list":
		p.result(m, `{"resources":[{"uri":"file:///a.txt","name":"a","mimeType":"text/plain","description":"The letter."}]}`)
	case "resources/templates/list":
		p.result(m, `{"resourceTemplates":[{"uriTemplate":"file:///{name}","name":"any file"}]}`)
	case "tools/call":
		p.call(m)
	case "logging/setLevel", "ping":
		p.result(m, `{}`)
	default:
		p.refuse(m, -32601, "no "+m.Method)
	}
}

func (p *server) listTools(m message) {
	switch p.broken {
	case "twice":
		p.result(m, `{"tools":[{"name":"same","inputSchema":{"type":"object"}},{"name":"same","inputSchema":{"type":"object"}}]}`)
	case "nolist":
		p.refuse(m, -32601, "no tools/list")
	case "badlist":
		p.refuse(m, -32603, "the index is locked")
	default:
		p.result(m, flat(toolList))
	}
}

func (p *server) call(m message) {
	var params struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
		Meta      struct {
			Token json.RawMessage `json:"progressToken"`
		} `json:"_meta"`
	}
	if err := json.Unmarshal(m.Params, &params); err != nil {
		p.refuse(m, -32602, err.Error())
		return
	}
	text := func(s string) { p.result(m, fmt.Sprintf(`{"content":[{"type":"text","text":%q}]}`, s)) }
	switch params.Name {
	case "types", "strict":
		text(string(params.Arguments))
	case "fail":
		p.result(m, `{"content":[{"type":"text","text":"the disk is full"}],"isError":true}`)
	case "refuse":
		p.refuse(m, -32602, "these arguments will not do")
	case "structured":
		p.result(m, `{"content":[],"structuredContent":{"b":12345678901234567890,"a":[1,2]}}`)
	case "media":
		p.result(m, flat(`{"content":[{"type":"text","text":"two files:"},
			{"type":"image","mimeType":"image/png","data":"iVBORw0KGgo="},
			{"type":"resource","resource":{"uri":"file:///../../etc/notes.md","mimeType":"text/markdown","text":"# Notes"}},
			{"type":"resource","resource":{"uri":"mem://x/blob","mimeType":"application/pdf","blob":"JVBERg=="}},
			{"type":"resource_link","name":"more","uri":"https://example.org/more"}]}`))
	case "escape":
		p.result(m, `{"content":[{"type":"text","text":"before\u001b]0;title\u0007after"}]}`)
	case "ask":
		text(p.ask(`"elicitation/create","params":` + flat(question)))
	case "roots":
		text(p.ask(`"roots/list"`))
	case "env":
		var arguments struct{ Name string }
		_ = json.Unmarshal(params.Arguments, &arguments)
		text(arguments.Name + "=" + os.Getenv(arguments.Name))
	case "talk":
		p.send(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":1,"total":4,"message":"reading"}}`, slices.Concat(params.Meta.Token, []byte("0"))[:1])
		p.send(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"warning","logger":"disk","data":"nearly full"}}`)
		for range 5 {
			p.ask(`"ping"`) // the client has seen what came before when it has answered
		}
		text("done")
	case "wait":
		p.wait(m)
	case "die":
		fmt.Fprintln(os.Stderr, "out of memory")
		syscall.Exit(1)
	default:
		p.refuse(m, -32602, "unknown tool "+params.Name)
	}
}

// question has a field of each type that a form may have.
const question = `{"message":"Who are you?","requestedSchema":{"type":"object","properties":{
	"name":{"type":"string","title":"Name","description":"your full name","minLength":2},
	"age":{"type":"integer","minimum":0,"maximum":150},
	"member":{"type":"boolean","default":true},
	"colour":{"type":"string","enum":["r","g"],"enumNames":["Red","Green"]},
	"size":{"type":"string","oneOf":[{"const":"s","title":"Small"},{"const":"l","title":"Large"}]},
	"days":{"type":"array","items":{"type":"string","enum":["mon","tue","wed"]},"minItems":2}},
	"required":["name","days"]}}`

// ask sends a request to the client and returns its answer.
func (p *server) ask(request string) string {
	p.asked++
	p.send(`{"jsonrpc":"2.0","id":"ask-%d","method":%s}`, p.asked, request)
	for {
		m, err := p.read()
		if err != nil {
			return err.Error()
		}
		if m.Method == "" {
			return string(m.Result)
		}
	}
}

// wait tells that the call is under way, and waits until it is cancelled.
func (p *server) wait(call message) {
	if err := os.WriteFile("started", nil, 0o600); err != nil {
		p.refuse(call, -32603, err.Error())
		return
	}
	for {
		m, err := p.read()
		if err != nil {
			syscall.Exit(0)
		}
		if m.Method == "notifications/cancelled" && strings.Contains(string(m.Params), string(call.ID)) {
			_ = os.WriteFile("cancelled", nil, 0o600) // the script misses it if it is not there
			return
		}
	}
}
