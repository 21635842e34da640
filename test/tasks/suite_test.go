package tasks

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/streamhttp"
	"github.com/dragoman-mcp/dragoman/test/peers"
)

// fixture is the server that the official suite's scenarios of the extension
// want: greet answers, the other tools are tasks. What a task has come to is
// worked out when it is asked for.
type fixture struct {
	mu    sync.Mutex // guards tasks
	tasks map[string]*work
}

type work struct {
	made      time.Time
	takes     time.Duration
	open      map[string]bool // questions
	result    object
	failure   object
	cancelled bool
}

func (w *work) status() string {
	switch {
	case w.cancelled:
		return "cancelled"
	case len(w.open) > 0:
		return "input_required"
	case time.Since(w.made) < w.takes:
		return "working"
	case w.failure != nil:
		return "failed"
	}
	return "completed"
}

func says(isError bool, format string, args ...any) object {
	return object{"resultType": "complete", "content": []object{{"type": "text", "text": fmt.Sprintf(format, args...)}}, "isError": isError}
}

func form(message, property, kind string) object {
	return object{"method": "elicitation/create", "params": object{"mode": "form", "message": message, "requestedSchema": object{
		"type": "object", "properties": object{property: object{"type": kind}}, "required": []string{property},
	}}}
}

// Handle implements mcp.Handler.
func (f *fixture) Handle(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	var p struct {
		Arguments struct {
			Name, Filename string
			Seconds        float64
		}
		InputResponses map[string]struct{ Content object }
	}
	_ = json.Unmarshal(req.Params.Raw(), &p) // what is missing is empty
	f.mu.Lock()
	defer f.mu.Unlock()
	needs := mcp.ErrorData(mcp.CodeMissingCapability, "tasks are needed", object{"requiredCapabilities": object{"extensions": object{extension: object{}}}})
	switch req.Method {
	case "server/discover":
		return result(object{"supportedVersions": []string{"2026-07-28"}, "capabilities": object{"tools": object{}, "extensions": object{extension: object{}}}})
	case "tools/list":
		var tools []object
		for _, name := range []string{"confirm_delete", "failing_job", "greet", "multi_input", "protocol_error_job", "slow_compute", "test_tool_with_task"} {
			tools = append(tools, object{"name": name, "inputSchema": object{"type": "object"}})
		}
		return result(object{"tools": tools})
	case "tools/call":
	case "tasks/get", "tasks/update", "tasks/cancel":
		if !req.Client.TakesTasks() {
			return mcp.Result{}, needs
		}
		w := f.tasks[req.Name]
		if w == nil {
			return mcp.Result{}, mcp.Errorf(jsonrpc.CodeInvalidParams, "Task not found")
		}
		if req.Method == "tasks/get" {
			return result(f.describe(req.Name, "complete"))
		}
		for key := range p.InputResponses {
			delete(w.open, key)
		}
		w.cancelled = w.cancelled || req.Method == "tasks/cancel" && (w.status() == "working" || w.status() == "input_required")
		return result(object{"resultType": "complete"})
	default:
		return mcp.Result{}, mcp.MethodNotFound(req.Method)
	}
	w := &work{made: time.Now()}
	switch req.Name {
	case "greet":
		return result(says(false, "Hello, %s!", p.Arguments.Name))
	case "slow_compute":
		w.takes, w.result = time.Duration(p.Arguments.Seconds*float64(time.Second)), says(false, "computed")
	case "failing_job":
		w.takes, w.result = time.Second, says(true, "the job failed")
	case "protocol_error_job":
		w.failure = object{"code": -32603, "message": "the job broke"}
	case "confirm_delete":
		w.open, w.result = map[string]bool{"confirm": true}, says(false, "deleted %s", p.Arguments.Filename)
	case "multi_input":
		w.open, w.result = map[string]bool{"one": true, "two": true}, says(false, "thanks")
	case "test_tool_with_task":
		answer, ok := p.InputResponses["user_name"]
		if !ok {
			return result(object{"resultType": "input_required", "requestState": "s", "inputRequests": object{"user_name": form("Who?", "name", "string")}})
		}
		w.result = says(false, "Hello, %v!", answer.Content["name"])
	default:
		return mcp.Result{}, mcp.Errorf(jsonrpc.CodeInvalidParams, "unknown tool: %s", req.Name)
	}
	if !req.Client.TakesTasks() {
		if req.Name != "slow_compute" {
			return mcp.Result{}, needs
		}
		return result(w.result)
	}
	id := fmt.Sprintf("task-%d", len(f.tasks)+1)
	f.tasks[id] = w
	return result(f.describe(id, "task"))
}

// describe is called with f.mu held.
func (f *fixture) describe(id, resultType string) object {
	w := f.tasks[id]
	made := w.made.UTC().Format(time.RFC3339)
	task := object{
		"resultType": resultType, "taskId": id, "status": w.status(), "createdAt": made, "lastUpdatedAt": made,
		"ttlMs": 60000, "pollIntervalMs": 100, "grease": 1,
	}
	if resultType == "task" {
		task["status"] = "working"
		return task
	}
	switch w.status() {
	case "input_required":
		requests := object{}
		for key := range w.open {
			requests[key] = form("Is it "+key+"?", key, "boolean")
		}
		task["inputRequests"] = requests
	case "completed":
		task["result"] = w.result
	case "failed":
		task["error"] = w.failure
	}
	return task
}

func result(o object) (mcp.Result, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return mcp.Result{}, err
	}
	return mcp.RawResult(text), nil
}

func TestOfficialScenariosOfTheExtension(t *testing.T) {
	suite := peers.Path(t, peers.Conformance)
	server := streamhttp.NewServer(&fixture{tasks: make(map[string]*work)}, nil, streamhttp.ServerOptions{})
	site := httptest.NewServer(server)
	t.Cleanup(func() {
		server.Close()
		site.Close()
	})
	// Some checks have to have been made: a scenario that is skipped has none.
	clean := regexp.MustCompile(`Passed: [1-9][0-9]*/[0-9]+, 0 failed`)
	gateway := open(t, object{"fixture": object{"url": site.URL}})
	for _, scenario := range []string{
		"tasks-lifecycle", "tasks-capability-negotiation", "tasks-wire-fields", "tasks-request-state-removal", "tasks-mrtr-input",
		"tasks-request-headers", "tasks-dispatch-and-envelope", "tasks-required-task-error", "tasks-mrtr-composition",
	} {
		for way, url := range map[string]string{"by itself": site.URL, "through the gateway": gateway + "/mcp/fixture"} {
			t.Run(scenario+" "+way, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				out, err := exec.CommandContext(ctx, suite, "server", "--url", url, "--scenario", scenario, "--force").CombinedOutput()
				if err != nil || !clean.Match(out) {
					t.Errorf("the suite ended with %v:\n%s", err, out)
				}
			})
		}
	}
}
