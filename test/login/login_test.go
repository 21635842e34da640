// Package login_test lets clients that the project did not write log their users
// in, with the built-in authorization server and with an issuer elsewhere.
package login_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/auth/users"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/sqlite"
	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/test/peers"
)

func TestMain(m *testing.M) {
	supervisor.ShimMain(os.Args)
	if os.Getenv(suiteClient) != "" {
		if err := beSuiteClient(os.Args[len(os.Args)-1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

const password = "correct horse battery"

// serve runs a gateway with a server and a section auth until the test ends.
func serve(t *testing.T, section string) string {
	t.Helper()
	return gateway(t, "servers: {time: {builtin: time}}\nauth:\n"+section+"\n")
}

// addAlice makes a state with the user alice.
func addAlice(t *testing.T, path string) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	err = users.New(s.Users, s.Families, users.Options{}).Add(t.Context(), store.User{Name: "alice", Role: "user"}, password)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// event is a line of login.mjs.
type event map[string]any

// script runs login.mjs and gives its lines by type; of several of one type the last.
func script(t *testing.T, arguments ...string) map[string]event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, peers.Path(t, peers.Node), append([]string{peers.Script(t, "login.mjs")}, arguments...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("login.mjs: %v\n%s\n%s", err, out, &stderr)
	}
	events := make(map[string]event)
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		kind, _ := e["type"].(string)
		events[kind] = e
	}
	if e := events["error"]; e != nil {
		t.Errorf("the client says: %v", e["message"])
	}
	return events
}

func TestTheSDKsClientLogsItsUserIn(t *testing.T) {
	for _, c := range []struct {
		name, section string
		arguments     []string
	}{
		{"registers itself", "  authorization_server: {enabled: true, dynamic_registration: true}", []string{"register"}},
		{"is configured", "  authorization_server: {enabled: true, clients: [{id: desktop, name: Desktop, redirect_uris: [\"http://127.0.0.1/callback\"]}]}", []string{"id", "desktop", "http://127.0.0.1:50123/callback"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			gateway := serve(t, c.section)
			got := script(t, append([]string{gateway + "/mcp/time", "alice", password}, c.arguments...)...)
			if sent := got["sent"]; sent["to"] != gateway+"/oauth/authorize" || sent["method"] != "S256" || sent["resource"] != gateway+"/mcp/time" || sent["scope"] != "mcp" {
				t.Errorf("the user was sent with %v", sent)
			}
			if back := got["back"]; back["code"] != true || back["iss"] != gateway || back["state"] != "state-of-the-client" {
				t.Errorf("the user came back with %v", back)
			}
			if tokens := got["tokens"]; tokens["kind"] != "Bearer" || tokens["expires"] != float64(600) || tokens["refresh"] != true {
				t.Errorf("tokens %v", tokens)
			}
			names, _ := got["tools"]["names"].([]any)
			if !slices.Contains(names, any("now")) {
				t.Errorf("tools %v, want now among them", names)
			}
			if r := got["refreshed"]; r["result"] != "AUTHORIZED" || r["rotated"] != true {
				t.Errorf("refreshed: %v, want authorized with another refresh token", r)
			}
			if got["reused"]["error"] != "invalid_grant" || got["after"]["status"] != float64(401) {
				t.Errorf("a refresh token a second time: %v, and then %v; want invalid_grant and everything ended", got["reused"], got["after"])
			}
		})
	}
}
