//go:build linux

package safety

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
)

// leaky is a server of 2026-07-28 over HTTP that says what it was told in every
// way in which a server can fail.
type leaky struct {
	hanging   atomic.Int64
	cancelled atomic.Int64
	called    func(arguments object) // told of each call, before its answer; may be nil
	ended     func(arguments object) // told of each call of hang that ended; may be nil
}

type asked struct {
	ID     any
	Method string
	Params struct {
		Name           string
		Arguments      object
		InputResponses object `json:"inputResponses"`
		Ref            object
	}
}

// ServeHTTP implements http.Handler.
func (s *leaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var req asked
	if r.Method != http.MethodPost || json.NewDecoder(r.Body).Decode(&req) != nil || r.Header.Get("Mcp-Protocol-Version") != "2026-07-28" {
		http.Error(w, "no", http.StatusMethodNotAllowed)
		return
	}
	text, _ := req.Params.Arguments["text"].(string)
	answer := func(result object) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(object{"jsonrpc": "2.0", "id": req.ID, "result": result}) // who has gone does not want it
	}
	complete := object{"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
	switch req.Method {
	case "server/discover":
		complete["supportedVersions"] = []string{"2026-07-28"}
		complete["capabilities"] = object{"tools": object{}, "prompts": object{}, "resources": object{}, "completions": object{}}
		answer(complete)
	case "tools/list":
		var tools []object
		for _, name := range []string{"echo", "fail", "page", "refuse", "redirect", "stream", "ask", "hang"} {
			tools = append(tools, object{"name": name, "inputSchema": object{"type": "object"}})
		}
		complete["tools"] = tools
		answer(complete)
	case "prompts/list":
		complete["prompts"] = []object{{"name": "greet"}}
		answer(complete)
	case "resources/templates/list":
		complete["resourceTemplates"] = []object{{"name": "any", "uriTemplate": "https://ann@files.example.org/{x}"}}
		answer(complete)
	case "resources/list":
		complete["resources"] = []object{}
		answer(complete)
	case "tools/call":
		if s.called != nil {
			s.called(req.Params.Arguments)
		}
		s.call(w, r, req, text, answer)
	default:
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(object{"jsonrpc": "2.0", "id": req.ID, "error": object{"code": -32601, "message": "cannot do " + req.Method + " of " + fmt.Sprint(req.Params)}})
	}
}

// call answers a call of a tool, each in its own way.
func (s *leaky) call(w http.ResponseWriter, r *http.Request, req asked, text string, answer func(object)) {
	switch req.Params.Name {
	case "fail":
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(object{"jsonrpc": "2.0", "id": req.ID, "error": object{"code": -32602, "message": text, "data": object{"cause": text}}})
	case "page":
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = fmt.Fprintf(w, "<html><pre>Traceback: %s</pre></html>", text)
	case "refuse":
		w.Header().Set("WWW-Authenticate", fmt.Sprintf("Bearer error=%q", oneLine(text)))
		w.Header().Set("Set-Cookie", "sid="+url.QueryEscape(text))
		http.Error(w, text, http.StatusUnauthorized)
	case "redirect":
		w.Header().Set("Location", "https://login.example.org/?token="+url.QueryEscape(text))
		w.WriteHeader(http.StatusFound)
	case "stream":
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprintf(w, "event: message\ndata: %s\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":%q}\n\n", text, text)
	case "ask":
		if req.Params.InputResponses == nil {
			answer(object{"resultType": "input_required", "requestState": "s", "inputRequests": object{"it": object{"method": "elicitation/create",
				"params": object{"mode": "form", "message": "What is it?", "requestedSchema": object{"type": "object", "properties": object{"answer": object{"type": "string"}}}}}}})
			return
		}
		said, _ := json.Marshal(req.Params.InputResponses)
		answer(object{"resultType": "complete", "content": []object{{"type": "text", "text": string(said)}}})
	case "hang":
		s.hanging.Add(1)
		<-r.Context().Done()
		s.cancelled.Add(1)
		if s.ended != nil {
			s.ended(req.Params.Arguments)
		}
	default:
		answer(object{"resultType": "complete", "content": []object{{"type": "text", "text": text}}, "structuredContent": req.Params.Arguments})
	}
}
