//go:build linux

package safety

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
)

// roles are what the test binary is when the gateway starts it.
func roles() map[string]func(args []string) {
	return map[string]func([]string){"talker": talk, "reach": reach, "linger": linger, "sleeper": sleep, "library": library, "deceiver": deceive}
}

// message is any JSON-RPC message.
type message struct {
	ID     json.RawMessage `json:"id,omitempty"`
	Method string          `json:"method,omitempty"`
	Params struct {
		Name      string         `json:"name"`
		Arguments map[string]any `json:"arguments"`
		RequestID any            `json:"requestId"`
		Revision  string         `json:"protocolVersion"`
	} `json:"params"`
	Result json.RawMessage `json:"result,omitempty"`
}

// talker is a stdio server of 2025-06-18 that tells everybody everything.
type talker struct {
	mu      sync.Mutex // guards out, and what follows
	out     *bufio.Writer
	waiting map[string]json.RawMessage // the calls that wait for an answer of the user, by the id of the question
	asked   int

	observer net.Conn          // hears of calls that hang; nil for none
	hanging  map[string]string // those, by the id of the request
}

// talk serves until its input ends. Its argument, if there is one, is the socket of
// an observer.
func talk(args []string) {
	s := &talker{out: bufio.NewWriter(os.Stdout), waiting: map[string]json.RawMessage{}, hanging: map[string]string{}}
	if len(args) > 0 {
		observer, err := net.Dial("unixgram", args[0])
		if err != nil {
			panic(err)
		}
		s.observer = observer
	}
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadBytes('\n')
		var m message
		if json.Unmarshal(line, &m) == nil {
			s.take(m)
		}
		if err != nil {
			return
		}
	}
}

func (s *talker) write(v any) {
	text, _ := json.Marshal(v)
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.out.Write(append(text, '\n'))
	_ = s.out.Flush()
}

func (s *talker) answer(id json.RawMessage, result any) {
	s.write(object{"jsonrpc": "2.0", "id": id, "result": result})
}

func (s *talker) take(m message) {
	switch {
	case m.Method == "" && m.Result != nil:
		s.answered(m)
	case m.Method == "initialize":
		s.answer(m.ID, object{"protocolVersion": "2025-06-18", "capabilities": object{"tools": object{}},
			"serverInfo": object{"name": "talker", "version": "1"}})
	case m.Method == "tools/list":
		var tools []object
		for _, name := range []string{"echo", "say", "fail", "toolfail", "garbage", "die", "ask", "hang", "eat", "spin"} {
			tools = append(tools, object{"name": name, "inputSchema": object{"type": "object"}})
		}
		s.answer(m.ID, object{"tools": tools})
	case m.Method == "tools/call":
		s.call(m)
	case m.Method == "notifications/cancelled":
		text, _ := json.Marshal(m.Params.RequestID)
		if id, ok := s.hanging[string(text)]; ok {
			_, _ = io.WriteString(s.observer, "ended "+id)
		}
	case m.ID != nil:
		s.answer(m.ID, object{})
	}
}

// call does what was asked, with the text that was given.
func (s *talker) call(m message) {
	text, _ := m.Params.Arguments["text"].(string)
	content := func(text string) object { return object{"content": []object{{"type": "text", "text": text}}} }
	switch m.Params.Name {
	case "echo":
		all, _ := json.Marshal(m.Params.Arguments)
		result := content(string(all))
		result["structuredContent"] = m.Params.Arguments
		s.answer(m.ID, result)
	case "say":
		_, _ = io.WriteString(os.Stderr, text+"\n")
		s.answer(m.ID, content("said"))
	case "fail":
		s.write(object{"jsonrpc": "2.0", "id": m.ID, "error": object{"code": -32099, "message": text, "data": object{"cause": text, "input": m.Params.Arguments}}})
	case "toolfail":
		result := content(text)
		result["isError"] = true
		s.answer(m.ID, result)
	case "garbage":
		s.mu.Lock()
		_, _ = fmt.Fprintf(s.out, "%s\n{\"jsonrpc\":\"2.0\",\"id\":\"%s\",\"result\":{}}\n", text, text)
		s.mu.Unlock()
		s.answer(m.ID, content("ok"))
	case "hang":
		id, _ := m.Params.Arguments["id"].(string)
		s.hanging[string(m.ID)] = id
		_, _ = io.WriteString(s.observer, "begun "+id)
	case "eat":
		s.answer(m.ID, content(eat(m.Params.Arguments["bytes"])))
	case "spin":
		s.answer(m.ID, content(spin()))
	case "die":
		panic(text)
	case "ask":
		s.mu.Lock()
		s.asked++
		id := fmt.Sprintf("q%d", s.asked)
		s.waiting[id] = m.ID
		s.mu.Unlock()
		s.write(object{"jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": object{"message": "What is it?",
			"requestedSchema": object{"type": "object", "properties": object{"answer": object{"type": "string"}}}}})
	}
}

// answered ends the call that waits for an answer: the answer is its result.
func (s *talker) answered(m message) {
	var id string
	_ = json.Unmarshal(m.ID, &id)
	s.mu.Lock()
	call := s.waiting[id]
	delete(s.waiting, id)
	s.mu.Unlock()
	_, _ = fmt.Fprintf(os.Stderr, "the user has said %s\n", m.Result)
	s.answer(call, object{"content": []object{{"type": "text", "text": string(m.Result)}}})
}
