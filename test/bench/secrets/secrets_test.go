package secrets_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/test/bench/load"
	"github.com/dragoman-mcp/dragoman/test/bench/secrets"
	"github.com/dragoman-mcp/dragoman/test/bench/upstream"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lie is a proxy's way to answer: body is the upstream's, request the client's.
type lie func(request, body string) string

// start runs an upstream and a proxy before it that lies, and returns a plan for the proxy.
func start(t *testing.T, twice bool, tell lie) secrets.Plan {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- upstream.New(upstream.Options{Late: time.Millisecond}).Serve(ctx, l) }()
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	send := func(r *http.Request, text string) (*http.Response, string) {
		request, _ := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, "http://"+l.Addr().String()+r.URL.Path, strings.NewReader(text))
		request.Header = r.Header
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Error(err)
			return nil, ""
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		return response, string(body)
	}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request, _ := io.ReadAll(r.Body)
		response, body := send(r, string(request))
		if twice && strings.Contains(string(request), "tools/call") {
			response, body = send(r, string(request))
		}
		if response == nil {
			return
		}
		for _, name := range []string{"Content-Type", "Mcp-Session-Id"} {
			if value := response.Header.Get(name); value != "" {
				w.Header().Set(name, value)
			}
		}
		w.WriteHeader(response.StatusCode)
		_, _ = io.WriteString(w, tell(string(request), body))
	}))
	t.Cleanup(func() {
		proxy.Close()
		transport.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return secrets.Plan{
		Targets: []load.Target{{Addr: proxy.Listener.Addr().String(), Path: "/mcp"}}, Conns: 8, Calls: 1000, Late: time.Millisecond,
		Seed: 1, Until: time.Now().Add(20 * time.Second),
	}
}

func TestAnHonestProxyIsFoundHonest(t *testing.T) {
	r, err := secrets.Run(t.Context(), start(t, false, func(_, body string) string { return body }))
	if err != nil {
		t.Fatal(err)
	}
	if r.Foreign+r.Doubled+r.Lost > 0 || r.HungUp == 0 || r.Cancelled == 0 || r.Answered+r.HungUp+r.Cancelled != r.Calls || r.Calls != 1000 {
		t.Errorf("found %+v, want 1000 calls, some cancelled, the rest answered, and no fault", r)
	}
}

// TestSwappedAnswersAreFound gives one answer in a hundred the text of the answer before it, whosever that was.
func TestSwappedAnswersAreFound(t *testing.T) {
	var mu sync.Mutex // guards n and kept
	n, kept := 0, ""
	r, err := secrets.Run(t.Context(), start(t, false, func(_, body string) string {
		mu.Lock()
		defer mu.Unlock()
		if n++; n%100 != 0 || !strings.Contains(body, "mark-") || kept == "" {
			if at := strings.Index(body, "mark-"); at > 0 {
				kept = body[at : at+37]
			}
			return body
		}
		at := strings.Index(body, "mark-")
		return body[:at] + kept + body[at+37:]
	}))
	if err != nil || r.Foreign == 0 || r.Lost == 0 {
		t.Errorf("found %+v, %v; want foreign secrets and lost calls", r, err)
	}
}

func TestASecretBesideTheTextIsFound(t *testing.T) {
	r, err := secrets.Run(t.Context(), start(t, false, func(_, body string) string {
		return strings.Replace(body, `"result":{`, `"result":{"_meta":{"last":"mark-00000000000000000000000000000000"},`, 1)
	}))
	if err != nil || r.Foreign == 0 {
		t.Errorf("found %+v, %v; want foreign secrets", r, err)
	}
}

func TestALostAnswerIsFound(t *testing.T) {
	r, err := secrets.Run(t.Context(), start(t, false, func(_, body string) string {
		return strings.Replace(body, `"content":`, `"isError":true,"content":`, 1)
	}))
	if err != nil || r.Lost == 0 || r.Answered > 0 {
		t.Errorf("found %+v, %v; want all lost", r, err)
	}
}
