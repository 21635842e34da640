package tasks

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

const extension = "io.modelcontextprotocol/tasks"

// modern is a server of 2026-07-28 whose only tool, greet, is always a task, and
// asks for a name on its way. It counts what it is asked.
type modern struct {
	mu     sync.Mutex // guards what follows
	counts map[string]int
	tasks  map[string]*job
	wrong  []string // what it was asked against the rules
}

type job struct {
	polls     int
	answers   object
	cancelled bool
}

func newModern() *modern {
	return &modern{counts: make(map[string]int), tasks: make(map[string]*job)}
}

func (s *modern) count(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[method]
}

func (s *modern) faults() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wrong
}

type request struct {
	ID     any
	Method string
	Params struct {
		Name           string
		TaskID         string `json:"taskId"`
		InputResponses object `json:"inputResponses"`
		Meta           struct {
			Capabilities struct{ Extensions object } `json:"io.modelcontextprotocol/clientCapabilities"`
		} `json:"_meta"`
	}
}

// ServeHTTP implements http.Handler.
func (s *modern) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var req request
	if r.Method != http.MethodPost || json.NewDecoder(r.Body).Decode(&req) != nil || r.Header.Get("Mcp-Protocol-Version") != "2026-07-28" {
		http.Error(w, "no", http.StatusMethodNotAllowed)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[req.Method]++
	result, failure := s.answer(req, r.Header.Get("Mcp-Name"))
	status, answer := http.StatusOK, object{"jsonrpc": "2.0", "id": req.ID, "grease": object{"a": 1}}
	if failure != nil {
		answer["error"], status = failure, http.StatusBadRequest
	} else {
		result["grease"] = 1
		answer["result"] = result
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // a caller that has gone does not want it
}

// answer is called with s.mu held.
func (s *modern) answer(req request, name string) (result, failure object) {
	_, declared := req.Params.Meta.Capabilities.Extensions[extension]
	needs := object{"code": -32021, "message": "tasks are needed", "data": object{"requiredCapabilities": object{"extensions": object{extension: object{}}}}}
	about := strings.HasPrefix(req.Method, "tasks/")
	if about && name != req.Params.TaskID {
		s.wrong = append(s.wrong, fmt.Sprintf("%s of %q with Mcp-Name %q", req.Method, req.Params.TaskID, name))
	}
	j := s.tasks[req.Params.TaskID]
	switch {
	case req.Method == "server/discover":
		return object{"resultType": "complete", "supportedVersions": []string{"2026-07-28"}, "capabilities": object{"tools": object{}, "extensions": object{extension: object{}}}, "ttlMs": 0, "cacheScope": "private"}, nil
	case req.Method == "tools/list":
		return object{"resultType": "complete", "tools": []object{{"name": "greet", "inputSchema": object{"type": "object"}, "grease": 1}}, "ttlMs": 0, "cacheScope": "private"}, nil
	case (req.Method == "tools/call" || about) && !declared:
		return nil, needs
	case req.Method == "tools/call":
		id := fmt.Sprintf("task-%d", len(s.tasks))
		s.tasks[id] = &job{}
		return stateOf(id, "working", "task"), nil
	case about && j == nil:
		return nil, object{"code": -32602, "message": "Task not found"}
	case req.Method == "tasks/get":
		return s.state(req.Params.TaskID, j), nil
	case req.Method == "tasks/update":
		j.answers = req.Params.InputResponses
		return object{"resultType": "complete"}, nil
	case req.Method == "tasks/cancel":
		j.cancelled = true
		return object{"resultType": "complete"}, nil
	}
	return nil, object{"code": -32601, "message": "Method not found"}
}

func stateOf(id, status, resultType string) object {
	return object{
		"resultType": resultType, "taskId": id, "status": status, "statusMessage": "it is " + status, "createdAt": "2026-11-21T00:00:00Z",
		"lastUpdatedAt": "2026-11-21T00:00:00Z", "ttlMs": nil, "pollIntervalMs": 10, "grease": "x",
	}
}

// state goes from working over input_required and working to completed.
func (s *modern) state(id string, j *job) object {
	j.polls++
	switch {
	case j.cancelled:
		return stateOf(id, "cancelled", "complete")
	case j.polls < 2:
		return stateOf(id, "working", "complete")
	case j.answers == nil:
		state := stateOf(id, "input_required", "complete")
		state["inputRequests"] = object{"who": object{"method": "elicitation/create", "params": object{
			"mode": "form", "message": "Who are you?",
			"requestedSchema": object{"type": "object", "properties": object{"name": object{"type": "string"}}},
		}}}
		return state
	}
	who, _ := j.answers["who"].(object)
	content, _ := who["content"].(object)
	state := stateOf(id, "completed", "complete")
	state["result"] = object{"content": []object{{"type": "text", "text": fmt.Sprintf("Hello, %v!", content["name"])}}, "grease": 1}
	return state
}
