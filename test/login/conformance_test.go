package login_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/test/peers"
)

var hidden = regexp.MustCompile(`name="request" value="([^"]+)"`)

// browse does what a user does at an address of the suite: log in, and allow.
func browse(t *testing.T, address string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	browser := &http.Client{Jar: jar, Transport: transport, Timeout: 30 * time.Second}
	read := func(res *http.Response, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		page, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", res.Request.URL, res.StatusCode, page)
		}
		return string(page)
	}
	form, _, _ := strings.Cut(address, "?")
	page := read(browser.Get(address))
	for _, fields := range []url.Values{
		{"step": {"login"}, "username": {"alice"}, "password": {password}, "answer": {"login"}},
		{"step": {"consent"}, "answer": {"allow"}},
	} {
		found := hidden.FindStringSubmatch(page)
		if found == nil {
			t.Fatalf("no form in %s", page)
		}
		fields.Set("request", found[1])
		page = read(browser.PostForm(form, fields)) // the last one leads to the suite's own listener
	}
}

func TestTheOfficialSuiteForAuthorizationServers(t *testing.T) {
	suite := peers.Path(t, peers.Conformance)
	gateway := serve(t, "  authorization_server: {enabled: true, clients: [{id: suite, name: Suite, redirect_uris: [\"http://127.0.0.1/callback\"]}]}")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(free.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = free.Close() // for the suite to listen on
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, suite, "authorization", "--url", gateway, "--client-id", "suite", "--resource", gateway+"/mcp", "-p", port)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	address, listening := "", false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		line := lines.Text()
		said.WriteString(line + "\n")
		if strings.HasPrefix(line, gateway+"/oauth/authorize?") {
			address = line
		}
		listening = listening || strings.HasPrefix(line, "Callback server started")
		if address != "" && listening {
			browse(t, address)
			address = ""
		}
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(said.String(), "Total: 3 passed, 0 failed") {
		t.Errorf("the suite ended with %v, want 3 passed and 0 failed:\n%s", err, &said)
	}
}
