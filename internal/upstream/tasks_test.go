package upstream_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// taskSite is a server of the stateless era that makes a task of every call.
type taskSite struct {
	name string

	mu    sync.Mutex      // guards what follows
	tasks map[string]bool // by id, whether it has ended
	calls int
}

func (s *taskSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var m message
	_ = json.Unmarshal(body, &m)
	var p struct{ TaskID string }
	_ = json.Unmarshal(m.Params, &p)
	s.mu.Lock()
	defer s.mu.Unlock()
	ended, known := s.tasks[p.TaskID]
	declares := strings.Contains(string(m.Params), "io.modelcontextprotocol/tasks")
	switch {
	case m.Method == "server/discover":
		respond(w, http.StatusOK, m.ID, `"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{},"extensions":{"io.modelcontextprotocol/tasks":{}}},"ttlMs":0,"cacheScope":"private"}`)
	case !declares:
		respond(w, http.StatusBadRequest, m.ID, `"error":{"code":-32021,"message":"no","data":{"requiredCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}}`)
	case m.Method == "tools/call":
		s.calls++
		id := fmt.Sprint(s.name, s.calls)
		s.tasks[id] = false
		respond(w, http.StatusOK, m.ID, `"result":{"resultType":"task","taskId":"`+id+`","status":"working","createdAt":"","lastUpdatedAt":"","ttlMs":null,"pollIntervalMs":1}`)
	case r.Header.Get("Mcp-Name") != p.TaskID || !known:
		respond(w, http.StatusOK, m.ID, `"error":{"code":-32602,"message":"Task not found"}`)
	case m.Method == "tasks/get" && ended:
		respond(w, http.StatusOK, m.ID, `"result":{"resultType":"complete","taskId":"`+p.TaskID+`","status":"completed","createdAt":"","lastUpdatedAt":"","ttlMs":null,"result":{"content":[{"type":"text","text":"`+p.TaskID+`"}]}}`)
	default:
		s.tasks[p.TaskID] = true
		respond(w, http.StatusOK, m.ID, `"result":{"resultType":"complete","taskId":"`+p.TaskID+`","status":"working","createdAt":"","lastUpdatedAt":"","ttlMs":null,"pollIntervalMs":1}`)
	}
}

func TestATaskStaysWithTheReplicaThatMadeIt(t *testing.T) {
	var sites []*site
	for _, name := range []string{"a", "b", "c"} {
		sites = append(sites, newSite(t, &taskSite{name: name, tasks: make(map[string]bool)}))
	}
	u := newHouse(t).open(at(sites...))
	seen := make(map[byte]bool)
	t.Run("for a client that takes tasks", func(t *testing.T) {
		capabilities, _ := jsonrpc.Split([]byte(`{"extensions":{"io.modelcontextprotocol/tasks":{}}}`))
		client := mcp.NewClient(mcp.Revision20260728, nil, capabilities)
		for range 60 {
			req := tool("slow", `{}`)
			req.Client = client
			made, err := u.Handle(t.Context(), req)
			id, _ := made.String("taskId")
			if err != nil || made.Type() != mcp.TaskCreated {
				t.Fatalf("got %s, %v, want a task", made.Raw(), err)
			}
			seen[id[0]] = true
			params, _ := jsonrpc.Split([]byte(`{"taskId":"` + id + `"}`))
			for _, method := range []string{"tasks/update", "tasks/get", "tasks/cancel"} {
				got, err := u.Handle(t.Context(), &mcp.Request{Method: method, Name: id, Params: params, Client: client})
				if err != nil {
					t.Fatalf("%s of %s: got %s, %v", method, id, got.Raw(), err)
				}
			}
		}
		if len(seen) != 3 {
			t.Errorf("%d replicas had a task, want 3", len(seen))
		}
	})
	t.Run("and while it is driven for another", func(t *testing.T) {
		for range 6 {
			req := tool("slow", `{}`)
			req.NoTasks = true
			if got := must(t, u, req); len(got) < 2 {
				t.Errorf("got %q, want the name of a task", got)
			}
		}
	})
}
