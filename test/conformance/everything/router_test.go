package everything_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/test/conformance/everything"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// named is a server that answers with its name.
func named(t *testing.T, name string) *url.URL {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func serve(t *testing.T, legacy, modern *url.URL) *httptest.Server {
	t.Helper()
	router := everything.New(legacy, modern)
	server := httptest.NewServer(router)
	t.Cleanup(func() { server.Close(); router.Close() })
	return server
}

func TestRequestsFindTheServerOfTheirEra(t *testing.T) {
	server := serve(t, named(t, "legacy"), named(t, "modern"))
	for _, tt := range []struct {
		name, method, header, value, body, want string
	}{
		{"a handshake is legacy", "POST", "", "", `{"jsonrpc":"2.0","id":1,"method":"initialize"}`, "legacy"},
		{"a session is legacy whatever the revision says", "POST", "Mcp-Session-Id", "s", `{"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`, "legacy"},
		{"GET is legacy", "GET", "", "", "", "legacy"},
		{"DELETE is legacy", "DELETE", "", "", "", "legacy"},
		{"an older revision in the header is legacy", "POST", "Mcp-Protocol-Version", "2025-11-25", `{}`, "legacy"},
		{"a body that is not JSON is legacy", "POST", "", "", `[`, "legacy"},
		{"the new revision in the header is modern", "POST", "Mcp-Protocol-Version", "2026-07-28", `{}`, "modern"},
		{"a later revision in the header is modern", "POST", "Mcp-Protocol-Version", "2027-01-01", `{}`, "modern"},
		{"a method in the header is modern", "POST", "Mcp-Method", "ping", `{}`, "modern"},
		{"a revision in the body is modern", "POST", "", "", `{"params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"x"}}}`, "modern"},
		{"other tools are the modern server's", "POST", "Mcp-Method", "tools/call", `{"method":"tools/call","params":{"name":"test_simple_text"}}`, "modern"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, server.URL, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if tt.header != "" {
				req.Header.Set(tt.header, tt.value)
			}
			answer, err := server.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			got, err := io.ReadAll(answer.Body)
			if err != nil || string(got) != tt.want {
				t.Errorf("%s %q with %s: %q got %q, %v, want %q", tt.method, tt.body, tt.header, tt.value, got, err, tt.want)
			}
		})
	}
}

func TestWithoutALegacyServerHandshakesAreRefused(t *testing.T) {
	server := serve(t, nil, named(t, "modern"))
	answer, err := server.Client().Post(server.URL, "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":7,"method":"initialize"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"id":7`, `-32022`, `"supported":["2026-07-28"]`} {
		if !strings.Contains(string(body), want) {
			t.Errorf("got %s, want %s in it", body, want)
		}
	}
	if answer.StatusCode != http.StatusBadRequest {
		t.Errorf("got status %d, want 400", answer.StatusCode)
	}
	get, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer get.Body.Close()
	if get.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: got status %d, want 405", get.StatusCode)
	}
}

// TestToolsAskByInputRequired has the official client, which comes again by itself with the answers, call each tool.
func TestToolsAskByInputRequired(t *testing.T) {
	// The server behind has no tools, so that only the router's own can have answered.
	modern := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server {
		return mcp.NewServer(&mcp.Implementation{Name: "empty", Version: "1"}, nil)
	}, &mcp.StreamableHTTPOptions{Stateless: true}))
	t.Cleanup(modern.Close)
	u, err := url.Parse(modern.URL)
	if err != nil {
		t.Fatal(err)
	}
	server := serve(t, nil, u)

	var asked []string
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, &mcp.ClientOptions{
		CreateMessageHandler: func(_ context.Context, req *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			asked = append(asked, req.Params.Messages[0].Content.(*mcp.TextContent).Text)
			return &mcp.CreateMessageResult{Role: "assistant", Model: "m", Content: &mcp.TextContent{Text: "said"}}, nil
		},
		ElicitationHandler: func(_ context.Context, req *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			asked = append(asked, req.Params.Message)
			return &mcp.ElicitResult{Action: "decline"}, nil
		},
	})
	session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: server.URL, HTTPClient: server.Client(), DisableStandaloneSSE: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	for _, tt := range []struct{ tool, question, answer string }{
		{"test_sampling", "what?", "said"},
		{"test_elicitation", "who?", "decline"},
		{"test_elicitation_sep1034_defaults", "a default for each primitive", "decline"},
		{"test_elicitation_sep1330_enums", "an enumeration of each kind", "decline"},
	} {
		asked = nil
		result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: tt.tool, Arguments: map[string]any{"prompt": "what?", "message": "who?"}})
		if err != nil {
			t.Fatalf("call %s: %v", tt.tool, err)
		}
		if len(asked) != 1 || asked[0] != tt.question {
			t.Errorf("%s asked %q, want once %q", tt.tool, asked, tt.question)
		}
		if text := result.Content[0].(*mcp.TextContent).Text; !strings.Contains(text, tt.answer) {
			t.Errorf("%s answered %q, want %q in it", tt.tool, text, tt.answer)
		}
	}
}
