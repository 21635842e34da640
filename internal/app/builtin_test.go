package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/server"
)

type moody struct {
	Word string `yaml:"word" default:"well"`
}

type said struct {
	Word string      `json:"word"`
	Who  string      `json:"who"`
	Page server.Page `json:"page"`
}

// servers counts those that are open.
func servers(open *atomic.Int64) func(string, *server.Env) (*server.Server, error) {
	return func(kind string, env *server.Env) (*server.Server, error) {
		return server.Open(env, func(env *server.Env) (*server.Server, error) {
			var cfg moody
			if err := env.Decode(&cfg); err != nil {
				return nil, err
			}
			s := server.New(env, server.About{Name: kind, Title: kind})
			open.Add(1)
			s.OnClose(func() error { open.Add(-1); return nil })
			s.Check("mood", func(context.Context) error {
				if cfg.Word == "ill" {
					return server.Errorf("rest", "it is ill")
				}
				return nil
			})
			s.Check("rest", func(context.Context) error { return nil })
			server.AddTool(s, server.Tool{Name: "say", Title: "Say", Description: "Says how it is.",
				Hints: server.Hints{ReadOnly: server.Yes, Destructive: server.No, Idempotent: server.Yes, OpenWorld: server.No},
			}, func(_ context.Context, c *server.Call, _ struct{}) (said, error) {
				return said{Word: cfg.Word, Who: c.Principal, Page: c.More(1)}, nil
			})
			return s, nil
		})
	}
}

func TestBuiltInServersInTheGateway(t *testing.T) {
	var open atomic.Int64
	text := "listen: 127.0.0.1:0\nservers:\n  a: {builtin: mood, settings: {word: %s}}\n  b: {builtin: mood}\n"
	a, err := app.Open(parse(t, fmt.Sprintf(text, "ill")), app.Options{Version: "9", Servers: servers(&open)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := a.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	url := "http://" + s.Addr().String()
	call := func(principal string) string {
		t.Helper()
		h, ok := a.Endpoint("a")
		if !ok {
			t.Fatal("there is no endpoint a")
		}
		params, _ := jsonrpc.Split([]byte(`{"name":"say","arguments":{}}`))
		ctx := mcp.WithPrincipal(t.Context(), mcp.Principal{ID: principal})
		r, err := h.Handle(ctx, mcp.ReadRequest("tools/call", params, &mcp.Client{Revision: mcp.Revision20260728}))
		if err != nil {
			t.Fatal(err)
		}
		return string(r.Raw())
	}
	if got := call("alice"); !strings.Contains(got, `"word":"ill"`) || !strings.Contains(got, `"who":"alice"`) {
		t.Errorf("got %s, want what alice is told with the settings of a", got)
	}
	_, health := fetch(t, "GET", url+"/mcp/a/health", "")
	var report struct {
		Dependencies map[string]struct{ Status, Reason string }
	}
	if err := json.Unmarshal([]byte(health), &report); err != nil {
		t.Fatal(err)
	}
	if d := report.Dependencies["mood"]; d.Status != "unhealthy" || d.Reason != "it is ill; rest" || !strings.Contains(health, `"status": "degraded"`) {
		t.Errorf("got %s, want it degraded by its mood", health)
	}
	_, metrics := fetch(t, "GET", url+"/metrics", "")
	if want := `dragoman_tool_calls_total{outcome="ok",server="a",tool="say"} 1`; !strings.Contains(metrics, want) {
		t.Errorf("the metrics do not have %s", want)
	}
	if err := a.Reload(parse(t, fmt.Sprintf(text, "better"))); err != nil {
		t.Fatal(err)
	}
	if got := call("bob"); !strings.Contains(got, `"word":"better"`) {
		t.Errorf("after a reload: got %s", got)
	}
	if err := a.Reload(parse(t, strings.ReplaceAll(fmt.Sprintf(text, "x"), "word", "wrod"))); err == nil || !strings.Contains(err.Error(), `settings.wrod: unknown key; did you mean "word"?`) {
		t.Errorf("settings that are wrong: got %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	closing, stop := context.WithTimeout(context.Background(), 4*time.Minute)
	defer stop()
	if err := a.Close(closing); err != nil {
		t.Error(err)
	}
	if n := open.Load(); n != 0 {
		t.Errorf("%d built-in servers are open after everything was closed", n)
	}
}

// A question of a built-in server reaches the client through the gateway, and its answer the server.
func TestBuiltInServersAskTheUser(t *testing.T) {
	cfg := parse(t, "listen: 127.0.0.1:0\nservers:\n  a: {builtin: x}\n")
	a, err := app.Open(cfg, app.Options{Version: "9", Servers: func(kind string, env *server.Env) (*server.Server, error) {
		s := server.New(env, server.About{Name: kind, Title: kind})
		server.AddTool(s, server.Tool{Name: "drop", Title: "Drop", Description: "Drops it.",
			Hints: server.Hints{ReadOnly: server.No, Destructive: server.Yes, Idempotent: server.Yes, OpenWorld: server.No},
		}, func(_ context.Context, c *server.Call, _ struct{}) (said, error) {
			return said{Word: "dropped"}, c.Confirm("Drop it?")
		})
		return s, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close(context.Background()) }()
	h, _ := a.Endpoint("")
	call := func(params string) string {
		t.Helper()
		kinds, _ := jsonrpc.Split([]byte(`{"elicitation":{"form":{}}}`))
		o, ok := jsonrpc.Split([]byte(params))
		if !ok {
			t.Fatalf("no object: %s", params)
		}
		r, err := h.Handle(t.Context(), mcp.ReadRequest("tools/call", o, mcp.NewClient(mcp.Revision20260728, nil, kinds)))
		if err != nil {
			t.Fatal(err)
		}
		return string(r.Raw())
	}
	var asked struct{ ResultType, RequestState string }
	question := call(`{"name":"a__drop","arguments":{}}`)
	if err := json.Unmarshal([]byte(question), &asked); err != nil || asked.ResultType != "input_required" || !strings.Contains(question, "Drop it?") {
		t.Fatalf("got %s, %v, want a question", question, err)
	}
	state, err := json.Marshal(asked.RequestState)
	if err != nil {
		t.Fatal(err)
	}
	got := call(`{"name":"a__drop","arguments":{},"requestState":` + string(state) + `,"inputResponses":{"confirm":{"action":"accept","content":{}}}}`)
	if !strings.Contains(got, `"word":"dropped"`) {
		t.Errorf("got %s, want what the tool does when the user agrees", got)
	}
}
