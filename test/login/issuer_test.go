package login_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/test/peers"
)

const redirect = "http://127.0.0.1:4712/callback"

// provider runs an OpenID provider until the test ends, and gives its address.
func provider(t *testing.T, algorithm, redirect string) string {
	t.Helper()
	root, err := peers.Root()
	if err != nil {
		t.Fatal(err)
	}
	node := peers.Path(t, peers.Node)
	dir := filepath.Join(root, "test", "peers", "issuer")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "oidc-provider")); err != nil {
		if os.Getenv("DRAGOMAN_NEED_PEERS") != "" {
			t.Fatalf("the OpenID provider is not installed: %v; run test/peers/setup", err)
		}
		t.Skipf("the OpenID provider is not installed: %v; run test/peers/setup", err)
	}
	cmd := exec.Command(node, filepath.Join(dir, "issuer.mjs"), algorithm, redirect)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hang := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
		hang.Stop()
	})
	lines := bufio.NewScanner(out)
	var said struct{ Issuer string }
	for lines.Scan() {
		if json.Unmarshal(lines.Bytes(), &said) == nil && said.Issuer != "" {
			return said.Issuer
		}
	}
	t.Fatalf("the OpenID provider did not say where it is: %v", lines.Err())
	return ""
}

func TestTheSDKsClientLogsItsUserInElsewhere(t *testing.T) {
	for _, algorithm := range []string{"RS256", "ES256", "EdDSA", "PS256"} {
		t.Run(algorithm, func(t *testing.T) {
			issuer := provider(t, algorithm, redirect)
			gateway := serve(t, fmt.Sprintf("  issuers: [{name: corp, url: %q, scopes: mcp, algorithms: %s, roles: {staff: user}}]", issuer, algorithm))
			got := script(t, gateway+"/mcp/time", "alice", "anything at all", "id", "login", redirect)
			if sent := got["sent"]; sent["resource"] != gateway+"/mcp/time" || sent["scope"] != "mcp" {
				t.Errorf("the user was sent with %v", sent)
			}
			if back := got["back"]; back["code"] != true || back["iss"] != issuer {
				t.Errorf("the user came back with %v", back)
			}
			names, _ := got["tools"]["names"].([]any)
			if !slices.Contains(names, any("now")) {
				t.Errorf("tools %v, want now among them", names)
			}
		})
	}
}

// TestAnIssuersOpaqueTokensAreAskedAbout has a user log in at a provider whose tokens only itself can read, and then the
// provider takes the token back.
func TestAnIssuersOpaqueTokensAreAskedAbout(t *testing.T) {
	issuer := provider(t, "opaque", redirect)
	const settings = `  issuers: [{name: corp, url: %q, scopes: mcp, roles: {staff: user}, introspection: {url: %q, client_id: gateway, client_secret: %q, cache_ttl: 1s}}]`
	const secret = "the gateway's: own secret"
	gateway := serve(t, fmt.Sprintf(settings, issuer, issuer+"/token/introspection", secret))
	got := script(t, gateway+"/mcp/time", "alice", "anything at all", "id", "login", redirect)
	names, _ := got["tools"]["names"].([]any)
	if !slices.Contains(names, any("now")) {
		t.Errorf("tools %v, want now among them", names)
	}
	token, _ := got["tokens"]["access"].(string)
	if token == "" || strings.Count(token, ".") == 2 {
		t.Fatalf("the token is %q, want an opaque one", token)
	}
	if status := as(t, gateway, token[1:]+"x"); status != http.StatusUnauthorized {
		t.Errorf("a token that nobody gave: got HTTP %d, want 401", status)
	}
	if status := as(t, gateway, token); status != http.StatusOK {
		t.Errorf("the token of the login: got HTTP %d, want 200", status)
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).PostForm(issuer+"/token/revocation", url.Values{"token": {token}, "client_id": {"login"}})
	if err != nil {
		t.Fatal(err)
	}
	if res.Body.Close(); res.StatusCode != http.StatusOK {
		t.Fatalf("the provider answers a revocation with HTTP %d", res.StatusCode)
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		status := as(t, gateway, token)
		if status == http.StatusUnauthorized {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("a token that the provider has taken back: got HTTP %d, want 401", status)
		}
	}
	stranger := serve(t, fmt.Sprintf(settings, issuer, issuer+"/token/introspection", secret+" of another"))
	if status := as(t, stranger, token); status != http.StatusServiceUnavailable {
		t.Errorf("a token that the provider does not let us ask about: got HTTP %d, want 503", status)
	}
}

// as asks a gateway for a server's health with a token, and gives the status of its answer.
func as(t *testing.T, gateway, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, gateway+"/mcp/time/health", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}
