package upstream_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/test/bench/upstream"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a server for the length of the test and returns its MCP URL.
func serve(t *testing.T, options upstream.Options) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- upstream.New(options).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		http.DefaultClient.CloseIdleConnections()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return "http://" + l.Addr().String() + "/mcp"
}

// say sends one HTTP request with net/http's client, which shares no code with the server.
func say(t *testing.T, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json, text/event-stream")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 0 && !json.Valid(text) {
		t.Errorf("the answer to %s is no JSON: %.200s", body, text)
	}
	return response, string(text)
}

const (
	meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`
	call = `{"jsonrpc":"2.0","id":9007199254740993,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hi \"x\""},` + meta + `}}`
)

func modern(method, name string) []string {
	return []string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", method, "Mcp-Name", name}
}

func TestStatelessRequestsAreHeldToTheirRevision(t *testing.T) {
	url := serve(t, upstream.Options{})
	tests := []struct {
		name    string
		body    string
		headers []string
		status  int
		want    string
	}{
		{"a call is answered with its own id and complete", call, modern("tools/call", "echo"), 200, `{"jsonrpc":"2.0","id":9007199254740993,"result":{"content":[{"type":"text","text":"hi \"x\""}],"resultType":"complete"`},
		{"a name in the Base64 form matches", call, modern("tools/call", "=?base64?ZWNobw==?="), 200, `"result"`},
		{"another version in the header is a mismatch", call, append(modern("tools/call", "echo"), "MCP-Protocol-Version", "2026-07-29"), 400, `-32020`},
		{"another method in the header is a mismatch", call, modern("tools/list", "echo"), 400, `-32020`},
		{"another name in the header is a mismatch", call, modern("tools/call", "big"), 400, `-32020`},
		{"an unknown revision is refused with those that are known", strings.ReplaceAll(call, "2026-07-28", "2027-01-01"), append(modern("tools/call", "echo"), "MCP-Protocol-Version", "2027-01-01"), 400, `"supported":["2026-07-28"]`},
		{"no capabilities are invalid params", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`, modern("tools/list", ""), 400, `-32602`},
		{"an unknown method is not found", `{"jsonrpc":"2.0","id":1,"method":"ping","params":{` + meta + `}}`, modern("ping", ""), 404, `-32601`},
		{"discover names both revisions", `{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{` + meta + `}}`, modern("server/discover", ""), 200, `"supportedVersions":["2026-07-28","2025-06-18"]`},
		{"a list says how long it holds", `{"jsonrpc":"2.0","id":"a","method":"tools/list","params":{` + meta + `}}`, modern("tools/list", ""), 200, `"ttlMs":60000,"cacheScope":"public"`},
		{"half a message is a parse error", `{"jsonrpc":"2.0","id":1`, modern("tools/list", ""), 400, `-32700`},
		{"two messages are a parse error", `{"jsonrpc":"2.0","id":1}{}`, modern("tools/list", ""), 400, `-32700`},
		{"a browser is refused", call, append(modern("tools/call", "echo"), "Origin", "http://example.com"), 403, ``},
		{"a client that reads no streams is refused", call, append(modern("tools/call", "echo"), "Accept", "application/json"), 406, ``},
		{"another content type is refused", call, append(modern("tools/call", "echo"), "Content-Type", "text/plain"), 415, ``},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			response, got := say(t, "POST", url, test.body, test.headers...)
			if response.StatusCode != test.status || !strings.Contains(got, test.want) {
				t.Errorf("status %d, %s; want %d with %s", response.StatusCode, got, test.status, test.want)
			}
		})
	}
}

const hello = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`

func TestASessionLivesFromInitializeToDelete(t *testing.T) {
	url := serve(t, upstream.Options{IDLast: true})
	response, got := say(t, "POST", url, hello)
	session := response.Header.Get("Mcp-Session-Id")
	if want := `"protocolVersion":"2025-06-18"`; session == "" || !strings.Contains(got, want) {
		t.Fatalf("initialize gave session %q and %s, want one and %s", session, got, want)
	}
	in := []string{"Mcp-Session-Id", session, "MCP-Protocol-Version", "2025-06-18"}
	list := `{"jsonrpc":"2.0","id":"x","method":"tools/list"}`
	steps := []struct {
		method, body string
		headers      []string
		status       int
		want         string
	}{
		{"POST", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, in, 202, ``},
		{"POST", list, in, 200, `,"jsonrpc":"2.0","id":"x"}`},
		{"POST", list, nil, 400, `-32000`},
		{"POST", list, []string{"Mcp-Session-Id", "no"}, 404, `-32001`},
		{"POST", list, append(in, "MCP-Protocol-Version", "2024-11-05"), 400, `-32000`},
		{"DELETE", ``, in, 200, ``},
		{"POST", list, in, 404, `-32001`},
	}
	for i, step := range steps {
		response, got := say(t, step.method, url, step.body, step.headers...)
		if response.StatusCode != step.status || !strings.Contains(got, step.want) {
			t.Errorf("step %d, %s %s: status %d, %s; want %d with %s", i, step.method, step.body, response.StatusCode, got, step.status, step.want)
		}
	}
}

func TestAServerOfOneEraRefusesTheOther(t *testing.T) {
	response, got := say(t, "POST", serve(t, upstream.Options{LegacyOnly: true}), call, modern("tools/call", "echo")...)
	if want := `{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}`; response.StatusCode != 400 || got != want {
		t.Errorf("legacy only: status %d, %s; want 400 and %s", response.StatusCode, got, want)
	}
	url := serve(t, upstream.Options{ModernOnly: true})
	response, got = say(t, "POST", url, hello)
	if response.StatusCode != 400 || !strings.Contains(got, `"supported":["2026-07-28"]`) {
		t.Errorf("modern only, initialize: status %d, %s; want 400 with the supported revisions", response.StatusCode, got)
	}
	for _, method := range []string{"GET", "DELETE"} {
		if response, _ := say(t, method, url, ""); response.StatusCode != 405 {
			t.Errorf("modern only, %s: status %d, want 405", method, response.StatusCode)
		}
	}
}

func TestAStreamIsHeldUntilTheClientGoes(t *testing.T) {
	url := serve(t, upstream.Options{})
	response, _ := say(t, "POST", url, hello)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request, _ := http.NewRequestWithContext(ctx, "GET", url, nil)
	request.Header.Set("Mcp-Session-Id", response.Header.Get("Mcp-Session-Id"))
	stream, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	if got, err := bufio.NewReader(stream.Body).ReadString('\n'); got != ": open\n" {
		t.Errorf("the stream begins with %q, %v; want a comment", got, err)
	}
	if got := stats(t, url).Streams; got != 1 {
		t.Errorf("%d streams are held, want 1", got)
	}
	cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for stats(t, url).Streams > 0 && t.Context().Err() == nil {
		<-tick.C
	}
}

func stats(t *testing.T, url string) upstream.Stats {
	t.Helper()
	_, text := say(t, "GET", strings.TrimSuffix(url, "/mcp")+"/bench/stats", "")
	var s upstream.Stats
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestListsHaveTheirLengthAndRealSchemas(t *testing.T) {
	for _, n := range []int{0, 20, 1000} {
		url := serve(t, upstream.Options{Tools: n})
		_, text := say(t, "POST", url, `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{`+meta+`}}`, modern("tools/list", "")...)
		var list struct {
			Result struct {
				Tools []struct {
					Name        string
					InputSchema struct{ Type string }
				}
			}
		}
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for _, tool := range list.Result.Tools {
			names[tool.Name] = true
			if tool.InputSchema.Type != "object" {
				t.Errorf("schema of %s has type %q, want object", tool.Name, tool.InputSchema.Type)
			}
		}
		if want := max(3, n); len(names) != want {
			t.Errorf("%d tools wanted, got %d different ones, want %d", n, len(names), want)
		}
		if per := len(text) / len(names); n > 3 && (per < 200 || per > 420) {
			t.Errorf("%d bytes per tool of %d, want 200 to 420", per, n)
		}
	}
}

func TestTheLedgerCountsWhatTheLateEchoDidTwice(t *testing.T) {
	url := serve(t, upstream.Options{Late: time.Millisecond})
	for _, text := range []string{"a", "b", "a"} {
		say(t, "POST", url, strings.ReplaceAll(call, `hi \"x\"`, text), modern("tools/call", "echo")...)
	}
	got := stats(t, url)
	if want := (upstream.Stats{Calls: 3, Distinct: 2, Doubled: 1}); !cmp.Equal(got, want) {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

func TestCallsOverAPipeRunSideBySide(t *testing.T) {
	const n = 200
	in, requests := io.Pipe()
	answers, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- upstream.New(upstream.Options{Late: 5 * time.Millisecond}).ServeStdio(t.Context(), in, out)
		out.Close()
	}()
	go func() {
		for id := range n {
			fmt.Fprintf(requests, `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"echo","arguments":{"text":"t%d"}}}`+"\n", id, id)
		}
		requests.Close()
	}()
	seen, turned, last := map[int]bool{}, false, -1
	for lines := bufio.NewScanner(answers); lines.Scan(); {
		var answer struct {
			ID     int
			Result struct{ Content []struct{ Text string } }
		}
		if err := json.Unmarshal(lines.Bytes(), &answer); err != nil {
			t.Fatalf("%v: %s", err, lines.Bytes())
		}
		if want := fmt.Sprintf("t%d", answer.ID); seen[answer.ID] || len(answer.Result.Content) != 1 || answer.Result.Content[0].Text != want {
			t.Errorf("answer %s, want %s once", lines.Bytes(), want)
		}
		seen[answer.ID] = true
		turned = turned || answer.ID < last
		last = answer.ID
	}
	if err := <-done; err != nil || len(seen) != n || !turned {
		t.Errorf("%d answers, out of order %v, error %v; want %d, true and none", len(seen), turned, err, n)
	}
}
