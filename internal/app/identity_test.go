package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/jwt"
)

// issuer is an identity provider on this machine.
type issuer struct {
	*httptest.Server
	signer *jwt.Signer
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	der, err := jwt.NewPrivateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jwt.NewSigner(der)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{signer: signer}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"keys":[%s]}`, signer.JWK())
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) token(t *testing.T, audience string, expires time.Time) string {
	t.Helper()
	raw, err := i.signer.Sign("at+jwt", map[string]any{"iss": i.URL, "sub": "alice", "aud": audience, "exp": expires.Unix(), "scope": "mcp", "jti": "canary-jti"})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// recorder passes requests on and keeps every byte of them.
type recorder struct {
	mu   sync.Mutex // guards seen
	seen bytes.Buffer
}

func (r *recorder) before(t *testing.T, target string) *httptest.Server {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(u) }, FlushInterval: -1}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		dump, _ := httputil.DumpRequest(req, true)
		r.mu.Lock()
		r.seen.Write(dump)
		r.mu.Unlock()
		proxy.ServeHTTP(w, req)
	}))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close(); transport.CloseIdleConnections() })
	return s
}

func TestTokensOfAnIssuerComeInAndGoNoFurther(t *testing.T) {
	as := newIssuer(t)
	_, _, behind := run(t, "listen: 127.0.0.1:0\nservers: {time: {builtin: time}}\n")
	var r recorder
	upstream := r.before(t, behind)
	_, _, gateway := run(t, fmt.Sprintf("listen: 127.0.0.1:0\nauth: {issuers: [{name: corp, url: %q, scopes: mcp}]}\nservers: {far: {url: %q}}\n", as.URL, upstream.URL+"/mcp/time"))
	soon := time.Now().Add(time.Minute)
	token := as.token(t, gateway+"/mcp", soon)
	for _, c := range []struct {
		name, path, token string
		want              int
	}{
		{"for all servers", "/mcp", token, 200},
		{"for all servers, at one", "/mcp/far", token, 200},
		{"for one server", "/mcp/far", as.token(t, gateway+"/mcp/far", soon), 200},
		{"for one server, at all", "/mcp", as.token(t, gateway+"/mcp/far", soon), 401},
		{"for another gateway", "/mcp", as.token(t, "https://other.example/mcp", soon), 401},
		{"that has expired", "/mcp", as.token(t, gateway+"/mcp", time.Now().Add(-time.Hour)), 401},
		{"none", "/mcp", "", 401},
	} {
		header := []string{"X-Canary", "none", "Cookie", "canary-cookie=1"}
		if c.token != "" {
			header = append(header, "Authorization", "Bearer "+c.token)
		}
		if status, text := post(t, gateway+c.path, initialize, header...); status != c.want {
			t.Errorf("a token %s: %d %s, want %d", c.name, status, text, c.want)
		}
	}
	status, text := post(t, gateway+"/mcp/far", `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"now","arguments":{},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}}}`,
		"Authorization", "Bearer "+token, "Cookie", "canary-cookie=1", "MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "now")
	if status != 200 {
		t.Fatalf("call: %d %s", status, text)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen.String()
	if !strings.Contains(seen, "tools/call") {
		t.Fatalf("the call did not come through the recorder: %.300s", seen)
	}
	payload := strings.Split(token, ".")
	for _, secret := range []string{token, payload[1], payload[2], "canary-cookie", "canary-jti"} {
		if strings.Contains(seen, secret) {
			t.Errorf("the server sees %.40s of what the caller showed", secret)
		}
	}
}

func TestClientsThatKnowOnlyTheAddress(t *testing.T) {
	as := newIssuer(t)
	_, _, gateway := run(t, fmt.Sprintf("listen: 127.0.0.1:0\nauth: {issuers: [{name: corp, url: %q, scopes: [mcp]}]}\nservers: {time: {builtin: time}}\n", as.URL))
	req, err := http.NewRequestWithContext(t.Context(), "POST", gateway+"/mcp/time", strings.NewReader(initialize))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	where := gateway + "/.well-known/oauth-protected-resource/mcp/time"
	if got := res.Header.Get("WWW-Authenticate"); res.StatusCode != 401 || !strings.Contains(got, `resource_metadata="`+where+`"`) || !strings.Contains(got, `scope="mcp"`) {
		t.Errorf("status %d, WWW-Authenticate %s; want 401 and %s", res.StatusCode, got, where)
	}
	status, text := fetch(t, "GET", where, "")
	if status != 200 || !strings.Contains(text, `"resource":"`+gateway+`/mcp/time"`) || !strings.Contains(text, as.URL) {
		t.Errorf("metadata: %d %s, want the resource and %s", status, text, as.URL)
	}
}

func TestBrowsersMayAskFirst(t *testing.T) {
	_, _, gateway := run(t, "listen: 127.0.0.1:0\nallowed_origins: [https://app.example]\nauth: {tokens: [{name: me, token: 0123456789abcdef}]}\nservers: {time: {builtin: time}}\n")
	for origin, want := range map[string]int{"https://app.example": 204, "https://evil.example": 403} {
		if status, text := fetch(t, "OPTIONS", gateway+"/mcp", "", "Origin", origin, "Access-Control-Request-Method", "POST"); status != want {
			t.Errorf("preflight from %s: %d %s, want %d", origin, status, text, want)
		}
	}
}
