package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/audit"
)

// inquirer is a server of the official SDK with a tool that asks what it is told to.
func inquirer() *sdk.Server {
	server := sdk.NewServer(&sdk.Implementation{Name: "inquirer", Version: "1"}, nil)
	server.AddTool(&sdk.Tool{Name: "ask", InputSchema: map[string]any{"type": "object"}}, func(ctx context.Context, req *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
		var in struct{ Field, Link string }
		if err := json.Unmarshal(req.Params.Arguments, &in); err != nil {
			return nil, err
		}
		question := &sdk.ElicitParams{Mode: "form", Message: "Go on?", RequestedSchema: map[string]any{
			"type": "object", "properties": map[string]any{in.Field: map[string]any{"type": "string"}},
		}}
		if in.Link != "" {
			question = &sdk.ElicitParams{Mode: "url", Message: "Go on?", URL: in.Link, ElicitationID: "e"}
		}
		answer, err := any(nil), error(nil)
		if old := req.Session.InitializeParams(); old != nil && old.ProtocolVersion < "2026" {
			answer, err = req.Session.Elicit(ctx, question)
		} else if req.Params.InputResponses["q"] == nil {
			question.ElicitationID = ""
			return &sdk.CallToolResult{InputRequests: sdk.InputRequestMap{"q": question}}, nil
		} else {
			answer = req.Params.InputResponses["q"]
		}
		text, _ := json.Marshal(answer)
		return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: fmt.Sprintf("%s %v", text, err)}}}, nil
	})
	return server
}

// inquirers are one for each way in which servers ask, and the configuration that
// has them.
func inquirers(t *testing.T) string {
	t.Helper()
	one := func(*http.Request) *sdk.Server { return inquirer() }
	var text strings.Builder
	for name, handler := range map[string]http.Handler{
		"modern":   sdk.NewStreamableHTTPHandler(one, &sdk.StreamableHTTPOptions{Stateless: true}),
		"sessions": sdk.NewStreamableHTTPHandler(one, nil),
		"oldest":   sdk.NewSSEHandler(one, nil),
	} {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		t.Cleanup(server.CloseClientConnections)
		protocol := "legacy"
		if name == "modern" {
			protocol = "modern"
		}
		fmt.Fprintf(&text, "  %s: {url: %q, protocol: %s}\n", name, server.URL, protocol)
	}
	return text.String()
}

// logged is what a gateway wrote into its log.
type logged struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (s *logged) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *logged) count(words string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.text.String(), words)
}

// inquire calls the tool as a client of a revision, and tells how often its user was
// asked, and what the tool got.
func inquire(t *testing.T, url, revision, tool string, arguments map[string]any) (times int, got string) {
	t.Helper()
	var mu sync.Mutex
	client := sdk.NewClient(&sdk.Implementation{Name: "t", Version: "1"}, &sdk.ClientOptions{
		Capabilities: &sdk.ClientCapabilities{Elicitation: &sdk.ElicitationCapabilities{Form: &sdk.FormElicitationCapabilities{}, URL: &sdk.URLElicitationCapabilities{}}},
		ElicitationHandler: func(context.Context, *sdk.ElicitRequest) (*sdk.ElicitResult, error) {
			mu.Lock()
			defer mu.Unlock()
			times++
			return &sdk.ElicitResult{Action: "cancel"}, nil
		},
	})
	web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	session, err := client.Connect(t.Context(), &sdk.StreamableClientTransport{Endpoint: url + "/mcp", HTTPClient: web},
		&sdk.ClientSessionOptions{ProtocolVersion: revision})
	if err != nil {
		t.Fatalf("connect with %s: %v", revision, err)
	}
	defer session.Close()
	result, err := session.CallTool(t.Context(), &sdk.CallToolParams{Name: tool, Arguments: arguments})
	if err != nil {
		t.Fatalf("call %s with %v as %s: %v", tool, arguments, revision, err)
	}
	text, _ := json.Marshal(result)
	mu.Lock()
	defer mu.Unlock()
	return times, string(text)
}

func TestServersOfEveryRevisionAreKeptFromAskingForSecrets(t *testing.T) {
	dir, log := t.TempDir(), &logged{}
	cfg := parse(t, fmt.Sprintf("listen: 127.0.0.1:0\naudit: {dir: %q, checkpoints: %q}\nservers:\n%s", dir, filepath.Join(dir, "checkpoints"), inquirers(t)))
	a, err := app.Open(cfg, app.Options{Version: "test", LogOutput: log})
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + serve(t, a).Addr().String()
	refused := 0
	for _, server := range []string{"modern", "sessions", "oldest"} {
		for _, revision := range []string{"2025-06-18", "2025-11-25", "2026-07-28"} {
			t.Run(revision+" to "+server, func(t *testing.T) {
				tool := server + "__ask"
				if times, got := inquire(t, url, revision, tool, map[string]any{"field": "name"}); times != 1 || !strings.Contains(got, "cancel") {
					t.Errorf("asked for a name %d times, and the tool got %s; want once, and that it was cancelled", times, got)
				}
				times, got := inquire(t, url, revision, tool, map[string]any{"field": "p4ssw0rd"})
				if refused++; times != 0 || !strings.Contains(got, "decline") && !strings.Contains(got, "not passed on to the user") {
					t.Errorf("asked for a password %d times, and the tool got %s; want never, and why", times, got)
				}
				if revision == "2025-06-18" { // which has no links
					return
				}
				if times, got := inquire(t, url, revision, tool, map[string]any{"link": "https://login.example.org/"}); times != 1 {
					t.Errorf("asked to open a link %d times, and the tool got %s; want once", times, got)
				}
				times, got = inquire(t, url, revision, tool, map[string]any{"link": "https://login.example.org@evil.example/"})
				if refused++; times != 0 || !strings.Contains(got, "decline") && !strings.Contains(got, "not passed on to the user") {
					t.Errorf("asked to open a link to a stranger %d times, and the tool got %s; want never, and why", times, got)
				}
			})
		}
	}
	_, metrics := fetch(t, "GET", url+"/metrics", "")
	for _, want := range []string{
		`dragoman_questions_refused_total{reason="secret",server="modern"} 3`, `dragoman_questions_refused_total{reason="secret",server="oldest"} 3`,
		`dragoman_questions_refused_total{reason="link",server="sessions"} 2`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics do not have %s", want)
		}
	}
	if got := log.count("question of a server is not passed on"); got != refused {
		t.Errorf("the log speaks of %d refused questions, want %d", got, refused)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	onRecord := 0
	err = audit.Tail(t.Context(), dir, 1000, false, func(line []byte) error {
		if bytes.Contains(line, []byte(`"elicitation/create"`)) && bytes.Contains(line, []byte(`"deny"`)) {
			onRecord++
		}
		return nil
	})
	if err != nil || onRecord != refused {
		t.Errorf("the audit log has %d refused questions (%v), want %d", onRecord, err, refused)
	}
}
