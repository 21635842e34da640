package tasks

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/test/peers"
)

// stage is a gateway of server-everything, over stdio and over HTTP, and of a
// server of the extension.
func stage(t *testing.T) (string, *modern) {
	t.Helper()
	everything := peers.Path(t, peers.ServerEverything)
	m := newModern()
	site := httptest.NewServer(m)
	t.Cleanup(site.Close)
	return open(t, object{
		"everything": object{"command": []string{everything, "stdio"}},
		"web":        object{"url": web(t, everything)},
		"new":        object{"url": site.URL},
	}), m
}

// web starts server-everything over HTTP and returns its address.
func web(t *testing.T, program string) string {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	_ = free.Close()
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command(program, "streamableHttp")
	cmd.Env = append(os.Environ(), "PORT="+port)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); ; {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
			return "http://" + addr + "/mcp"
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("server-everything does not listen: %v", err)
		}
	}
}

// forms are the capabilities of a client that can be asked to fill in a form.
func forms() object { return object{"elicitation": object{"form": object{}}} }

func TestClientOf20260728(t *testing.T) {
	gateway, server := stage(t)
	for endpoint, prefix := range map[string]string{"/mcp": "everything__", "/mcp/web": ""} {
		t.Run("calls a tool of a real server that is always a task, at "+endpoint, func(t *testing.T) {
			t.Parallel()
			c := caller{gateway + endpoint, forms()}
			params := object{"name": prefix + "simulate-research-query", "arguments": object{"topic": "python", "ambiguous": true}}
			first := c.ask(t, "tools/call", params)
			result := first.result(t)
			questions, _ := result["inputRequests"].(object)
			if result["resultType"] != "input_required" || len(questions) != 1 || strings.Contains(string(encoded(t, result)), "related-task") {
				t.Fatalf("got %v, want one question, without the task", result)
			}
			if !slices.Contains(first.progress, "Gathering sources...") {
				t.Errorf("told %q, want what the server says of its task", first.progress)
			}
			answers := object{}
			for key := range questions {
				answers[key] = object{"action": "accept", "content": object{"interpretation": "technical"}}
			}
			params["inputResponses"], params["requestState"] = answers, result["requestState"]
			result = c.ask(t, "tools/call", params).result(t)
			if got := text(result); !strings.Contains(got, "# Research Report: python (technical)") || result["isError"] == true {
				t.Errorf("got %v", result)
			}
		})
	}
	t.Run("calls a tool of a server of the extension without declaring it, at /mcp", func(t *testing.T) {
		c := caller{gateway + "/mcp", object{"elicitation": object{}, "extensions": object{extension: object{}}}}
		params := object{"name": "new__greet", "arguments": object{}}
		result := c.ask(t, "tools/call", params).result(t)
		if result["resultType"] != "input_required" {
			t.Fatalf("got %v, want a question: nobody said that there are tasks here", result)
		}
		params["inputResponses"] = object{"who": object{"action": "accept", "content": object{"name": "Ada"}}}
		params["requestState"] = result["requestState"]
		if got := text(c.ask(t, "tools/call", params).result(t)); got != "Hello, Ada!" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("has the tasks of the extension for itself, at the server's own endpoint", func(t *testing.T) {
		c := caller{gateway + "/mcp/new", object{"elicitation": object{}, "extensions": object{extension: object{}}}}
		made := c.ask(t, "tools/call", object{"name": "greet", "arguments": object{}}).result(t)
		id, _ := made["taskId"].(string)
		if made["resultType"] != "task" || id == "" || made["grease"] == nil {
			t.Fatalf("got %v, want a task", made)
		}
		if got := c.ask(t, "tasks/get", object{"taskId": id}).result(t); got["status"] != "working" {
			t.Errorf("got %v", got)
		}
		if got := c.ask(t, "tasks/get", object{"taskId": id}).result(t); got["status"] != "input_required" || got["inputRequests"] == nil {
			t.Errorf("got %v", got)
		}
		if got := c.ask(t, "tasks/update", object{"taskId": id, "inputResponses": object{"who": object{"content": object{"name": "Bob"}}}}).result(t); got["resultType"] != "complete" {
			t.Errorf("got %v", got)
		}
		if got := c.ask(t, "tasks/get", object{"taskId": id}).result(t); got["status"] != "completed" || !strings.Contains(string(encoded(t, got)), "Hello, Bob!") {
			t.Errorf("got %v", got)
		}
		if got := c.ask(t, "tasks/cancel", object{"taskId": id}).result(t); got["resultType"] != "complete" {
			t.Errorf("got %v", got)
		}
		if got := (caller{gateway + "/mcp", c.capabilities}).ask(t, "tasks/get", object{"taskId": id}).code(); got != -32601 {
			t.Errorf("at /mcp tasks/get got %v, want -32601", got)
		}
	})
	if faults := server.faults(); faults != nil {
		t.Errorf("the server noticed: %q", faults)
	}
}

// line is what the client of the TypeScript SDK tells.
type line struct {
	Type, Status, Message, Error, Support string
	Tasks                                 object
	Mine                                  bool
	Result                                object
}

// typescript runs that client and returns what it tells, by type.
func typescript(t *testing.T, url, tool, arguments, how string) map[string][]line {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, errors bytes.Buffer
	cmd := exec.CommandContext(ctx, peers.Path(t, peers.Node), peers.Script(t, "tasks.mjs"), url, tool, arguments, how)
	cmd.Stdout, cmd.Stderr = &out, &errors
	if err := cmd.Run(); err != nil {
		t.Fatalf("the client ended with %v:\n%s%s", err, out.String(), errors.String())
	}
	told := make(map[string][]line)
	for d := json.NewDecoder(&out); d.More(); {
		var l line
		if err := d.Decode(&l); err != nil {
			t.Fatal(err)
		}
		told[l.Type] = append(told[l.Type], l)
	}
	return told
}

func TestRealClientOf20251125(t *testing.T) {
	gateway, server := stage(t)
	const ambiguous = `{"topic":"python","ambiguous":true}`
	for _, endpoint := range []string{"/mcp/everything", "/mcp/web"} {
		t.Run("has the tasks of a real server for itself, at "+endpoint, func(t *testing.T) {
			t.Parallel()
			told := typescript(t, gateway+endpoint, "simulate-research-query", ambiguous, "task")
			if told["connected"][0].Tasks == nil || told["listed"][0].Support != "required" {
				t.Errorf("connected %+v, listed %+v, want tasks announced", told["connected"], told["listed"])
			}
			if len(told["taskCreated"]) != 1 || len(told["asked"]) != 1 || len(told["result"]) != 1 || len(told["error"]) > 0 {
				t.Fatalf("the client tells %+v", told)
			}
			if got := text(told["result"][0].Result); !strings.Contains(got, "# Research Report: python (technical)") {
				t.Errorf("got %q", got)
			}
			if !told["tasks"][0].Mine || told["cancelled"][0].Status != "cancelled" {
				t.Errorf("listed %+v, cancelled %+v", told["tasks"], told["cancelled"])
			}
			if len(told["status"]) == 0 {
				t.Error("the client was told nothing of its task unasked, which the server does")
			}
		})
	}
	t.Run("sees an ordinary call at the endpoint of all", func(t *testing.T) {
		t.Parallel()
		told := typescript(t, gateway+"/mcp", "everything__simulate-research-query", ambiguous, "plain")
		if told["connected"][0].Tasks != nil || told["listed"][0].Support != "" {
			t.Errorf("connected %+v, listed %+v, want no tasks announced", told["connected"], told["listed"])
		}
		if got := text(told["result"][0].Result); !strings.Contains(got, "# Research Report: python (technical)") || len(told["asked"]) != 1 || len(told["progress"]) == 0 {
			t.Errorf("the client tells %+v", told)
		}
	})
	for endpoint, tool := range map[string]string{"/mcp/new": "greet", "/mcp": "new__greet"} {
		t.Run("calls a tool of a server of the extension, at "+endpoint, func(t *testing.T) {
			t.Parallel()
			told := typescript(t, gateway+endpoint, tool, `{}`, "plain")
			if got := text(told["result"][0].Result); got != "Hello, technical!" || len(told["asked"]) != 1 || len(told["progress"]) == 0 {
				t.Errorf("the client tells %+v", told)
			}
		})
	}
	t.Cleanup(func() {
		if faults := server.faults(); faults != nil {
			t.Errorf("the server noticed: %q", faults)
		}
		if calls := server.count("tools/call"); calls != 4 {
			t.Errorf("the server got %d calls, want one refused and one made for each of two", calls)
		}
	})
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
