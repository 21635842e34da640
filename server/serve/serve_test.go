package serve_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/serve"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type settings struct {
	Word string `yaml:"word" default:"hello"`
	Deep struct {
		Count int `yaml:"count" default:"1"`
	} `yaml:"deep"`
}

type greeting struct {
	Text string `json:"text"`
	Who  string `json:"who"`
}

func greeter(env *server.Env) (*server.Server, error) {
	var cfg settings
	if err := env.Decode(&cfg); err != nil {
		return nil, err
	}
	s := server.New(env, server.About{Name: "greeter", Title: "Greeter"})
	s.Check("mood", func(context.Context) error {
		if cfg.Word == "bad" {
			return server.Errorf("cheer up", "the mood is bad")
		}
		return nil
	})
	server.AddTool(s, server.Tool{Name: "greet", Title: "Greet", Description: "Greets.",
		Hints: server.Hints{ReadOnly: server.Yes, Destructive: server.No, Idempotent: server.Yes, OpenWorld: server.No},
	}, func(_ context.Context, c *server.Call, _ struct{}) (greeting, error) {
		return greeting{strings.Repeat(cfg.Word, cfg.Deep.Count), c.Principal}, nil
	})
	return s, nil
}

// start runs the server over HTTP until the test ends.
func start(t *testing.T, o serve.Options) (url string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, failed := make(chan string, 1), make(chan error, 1)
	o.Ready = func(u string) { ready <- u }
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	var wg sync.WaitGroup
	wg.Go(func() { failed <- serve.Run(ctx, o, greeter) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		if err := <-failed; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	select {
	case url = <-ready:
		return strings.TrimSuffix(url, "/mcp")
	case err := <-failed:
		failed <- nil
		t.Fatalf("serve: %v", err)
		return ""
	}
}

const call = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"greet","arguments":{},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`

// ask makes one request; headers are names and values in turn, of which Host is taken for itself.
func ask(t *testing.T, method, url, body string, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		for k, v := range map[string]string{"Content-Type": "application/json", "Accept": "application/json, text/event-stream",
			"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": "greet"} {
			req.Header.Set(k, v)
		}
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Add(headers[i], headers[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func TestGuard(t *testing.T) {
	const token = "0123456789abcdef"
	open := start(t, serve.Options{})
	closed := start(t, serve.Options{Token: token, Hosts: []string{"mcp.example.org"}})
	for _, c := range []struct {
		name, url string
		headers   []string
		want      int
	}{
		{"a client of this machine", open, nil, 200},
		{"another host name, as a page does that rebinds its own", open, []string{"Host", "evil.example"}, 403},
		{"a page of another origin", open, []string{"Origin", "https://evil.example"}, 403},
		{"a page without origin", open, []string{"Origin", "null"}, 403},
		{"two origins", open, []string{"Origin", "http://localhost", "Origin", "http://localhost"}, 403},
		{"a page of this machine", open, []string{"Origin", "http://localhost:3000"}, 200},
		{"no token where one is needed", closed, nil, 401},
		{"a wrong token", closed, []string{"Authorization", "Bearer 0123456789abcdeX"}, 401},
		{"the token in another scheme", closed, []string{"Authorization", "Basic " + token}, 401},
		{"the token", closed, []string{"Authorization", "Bearer " + token}, 200},
		{"the token from an allowed host", closed, []string{"Authorization", "Bearer " + token, "Host", "mcp.example.org:443", "Origin", "https://mcp.example.org"}, 200},
		{"the token from another host", closed, []string{"Authorization", "Bearer " + token, "Host", "evil.example"}, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, text := ask(t, "POST", c.url+"/mcp", call, c.headers...)
			if status != c.want || status == 200 && !strings.Contains(text, `"hello"`) {
				t.Errorf("%v: got %d %s, want %d", c.headers, status, text, c.want)
			}
			if status == 200 && c.url == closed && !strings.Contains(text, `"who":"token"`) {
				t.Errorf("got %s, want that the holder of the token called", text)
			}
		})
	}
	t.Run("metrics are for who has the token, health is for everybody", func(t *testing.T) {
		if status, _ := ask(t, "GET", closed+"/metrics", ""); status != 401 {
			t.Errorf("metrics without token: %d", status)
		}
		status, text := ask(t, "GET", closed+"/metrics", "", "Authorization", "Bearer "+token)
		if status != 200 || !strings.Contains(text, `dragoman_tool_calls_total{outcome="ok",server="greeter",tool="greet"}`) {
			t.Errorf("metrics: %d %s", status, text)
		}
		if status, text := ask(t, "GET", closed+"/health", ""); status != 200 || !strings.Contains(text, `"status":"healthy"`) {
			t.Errorf("health: %d %s", status, text)
		}
	})
}

func TestHealthFailsWhenNothingWorks(t *testing.T) {
	url := start(t, serve.Options{Env: server.Env{Settings: []byte(`{"word":"bad"}`)}})
	status, text := ask(t, "GET", url+"/health", "")
	var h server.Health
	if err := json.Unmarshal([]byte(text), &h); err != nil || status != 503 || h.Dependencies["mood"].Reason != "the mood is bad; cheer up" {
		t.Errorf("got %d %s, %v", status, text, err)
	}
}

func TestWhatCannotBeServedIsSaid(t *testing.T) {
	for _, c := range []struct {
		o    serve.Options
		want string
	}{
		{serve.Options{}, "neither an address to listen on nor a pipe"},
		{serve.Options{Listen: "8080"}, "no address to listen on"},
		{serve.Options{Listen: "0.0.0.0:0"}, "not loopback"},
		{serve.Options{Listen: ":0"}, "not loopback"},
		{serve.Options{Listen: "127.0.0.1:0", Env: server.Env{Settings: []byte(`{"wrd":1}`)}}, `did you mean "word"`},
	} {
		if err := serve.Run(t.Context(), c.o, greeter); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.o, err, c.want)
		}
	}
}

func TestSettingsOfTheCommandLine(t *testing.T) {
	for _, c := range []struct {
		set        []string
		want, fail string
	}{
		{[]string{"word=hi", "deep.count=3"}, `{"deep":{"count":3},"word":"hi"}`, ""},
		{[]string{"word=a=b", `list=["x"]`, "yes=true", `text="3"`}, `{"list":["x"],"text":"3","word":"a=b","yes":true}`, ""},
		{[]string{"word"}, "", "write KEY=VALUE"},
		{[]string{"a=1", "a=2"}, "", "it is set twice"},
		{[]string{"a=1", "a.b=2"}, "", "a is a value already"},
		{nil, "", ""},
	} {
		var env server.Env
		err := serve.Settings{Set: c.set}.Read(&env)
		if c.fail != "" {
			if err == nil || !strings.Contains(err.Error(), c.fail) {
				t.Errorf("%v: got %v, want %q", c.set, err, c.fail)
			}
			continue
		}
		if err != nil || string(env.Settings) != c.want {
			t.Errorf("%v: got %s, %v, want %s", c.set, env.Settings, err, c.want)
		}
	}
	if err := (serve.Settings{File: "x", Set: []string{"a=1"}}).Read(&server.Env{}); err == nil {
		t.Error("a file and single settings go together")
	}
}

func TestTokenFiles(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{"0123456789abcdef\n": "0123456789abcdef", "short": "", strings.Repeat("x", 5000): ""} {
		file := filepath.Join(dir, fmt.Sprint(len(text)))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := serve.ReadToken(file)
		if got.Reveal() != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", text, got.Reveal(), err)
		}
	}
}

func TestACallUnderWayIsAnsweredWhenTheServerStops(t *testing.T) {
	begun, release := make(chan bool, 1), make(chan bool, 1)
	slow := func(env *server.Env) (*server.Server, error) {
		s := server.New(env, server.About{Name: "slow", Title: "Slow"})
		server.AddTool(s, server.Tool{Name: "greet", Title: "Greet", Description: "Greets late.",
			Hints: server.Hints{ReadOnly: server.Yes, Destructive: server.No, Idempotent: server.Yes, OpenWorld: server.No},
		}, func(context.Context, *server.Call, struct{}) (greeting, error) {
			begun <- true
			<-release
			return greeting{Text: "late"}, nil
		})
		return s, nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- serve.Run(ctx, serve.Options{Listen: "127.0.0.1:0", Ready: func(u string) { ready <- u }}, slow)
	}()
	url := <-ready
	go func() {
		<-begun
		cancel()
		release <- true
	}()
	if status, text := ask(t, "POST", url, call); status != 200 || !strings.Contains(text, "late") {
		t.Errorf("got %d %s", status, text)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
