package login_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
