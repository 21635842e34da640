package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/websocket"
)

// A policy sees where a call comes from, over every transport; and a caller cannot say so itself.
func TestPoliciesAskWhereACallComesFrom(t *testing.T) {
	const token = "ann-0123456789abcdef"
	text := `
listen: 127.0.0.1:0
auth: {tokens: [{name: ann, token: ` + token + `}]}
servers: {time: {builtin: time}}
access:
  policies: [{name: inside, text: 'forbid(principal, action == Action::"call_tool", resource in Server::"time") unless { context.address.isInRange(ip("%s")) };'}]
%s
`
	const loopback, branch = "127.0.0.0/8", "203.0.113.0/24"
	for _, c := range []struct {
		name, inside, config, forwarded string
		allowed                         bool
	}{
		{"from the network that is permitted", loopback, "", "", true},
		{"from another network", branch, "", "", false},
		{"a caller that says it is elsewhere", branch, "", "203.0.113.9", false},
		{"a caller that says it is elsewhere to one who believes others", branch, "trusted_proxies: 10.0.0.5", "203.0.113.9", false},
		{"a proxy that is believed", branch, "trusted_proxies: [127.0.0.1]", "203.0.113.9", true},
		{"a proxy that is believed, for another network", branch, "trusted_proxies: [127.0.0.1]", "203.0.113.9, 198.51.100.1", false},
		{"a proxy that is believed and says nothing of use", branch, "trusted_proxies: [127.0.0.1]", "203.0.113.9, somebody", false},
		{"a proxy is not who it asks for", loopback, "trusted_proxies: [127.0.0.1]", "203.0.113.9", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, url := run(t, fmt.Sprintf(text, c.inside, c.config))
			header := []string{"Authorization", "Bearer " + token}
			if c.forwarded != "" {
				header = append(header, "X-Forwarded-For", c.forwarded)
			}
			for transport, got := range map[string]string{
				"without session": stateless(t, url, header), "with session": session(t, url, header), "over a websocket": socket(t, url, header),
			} {
				if allowed := strings.Contains(got, "utc_offset"); allowed != c.allowed || !allowed && !strings.Contains(got, "1006") {
					t.Errorf("%s: got %s, want it permitted: %v", transport, got, c.allowed)
				}
			}
		})
	}
}

const nowCall = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"time__now","arguments":{}%s}}`

func stateless(t *testing.T, url string, header []string) string {
	t.Helper()
	meta := `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`
	_, got := post(t, url+"/mcp", fmt.Sprintf(nowCall, meta),
		append(header, "Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "time__now")...)
	return got
}

const openingWords = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`

func session(t *testing.T, url string, header []string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", url+"/mcp", strings.NewReader(openingWords))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	_, got := post(t, url+"/mcp", fmt.Sprintf(nowCall, ""), append(header, "Mcp-Session-Id", res.Header.Get("Mcp-Session-Id"), "Mcp-Protocol-Version", "2025-06-18")...)
	return got
}

func socket(t *testing.T, url string, header []string) string {
	t.Helper()
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	conn, err := websocket.Dial(t.Context(), url+"/mcp", websocket.Options{HTTPClient: &http.Client{Transport: transport}, Header: h})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var got string
	for _, words := range []string{openingWords, fmt.Sprintf(nowCall, "")} {
		got = exchange(t, conn, words)
	}
	return got
}

func exchange(t *testing.T, conn mcp.Conn, words string) string {
	t.Helper()
	if err := conn.Write(t.Context(), []byte(words)); err != nil {
		t.Fatal(err)
	}
	for {
		answer, err := conn.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(answer), `"id":`) {
			return string(answer)
		}
	}
}
