package login_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/test/peers"
)

// suiteClient has this program be the client that the official suite starts: a
// gateway before the suite's server, and a caller who logs in.
const suiteClient = "DRAGOMAN_TEST_SUITE_CLIENT"

var scenarios = flag.String("scenarios", "", "scenarios of the official suite for clients in the place of a few: names with commas, or all")

// allScenarios are those for clients that log in, but auth/basic-cimd: it wants a
// client with an address of the suite's own, and ours is its gateway's.
const allScenarios = "metadata-default,metadata-var1,metadata-var2,metadata-var3,scope-from-www-authenticate,scope-from-scopes-supported," +
	"scope-omitted-when-undefined,scope-step-up,scope-retry-limit,token-endpoint-auth-basic,token-endpoint-auth-post,token-endpoint-auth-none," +
	"pre-registration,resource-mismatch,offline-access-scope,offline-access-not-supported,authorization-server-migration,iss-supported," +
	"iss-not-advertised,iss-supported-missing,iss-wrong-issuer,iss-unexpected,iss-normalized,metadata-issuer-mismatch," +
	"2025-03-26-oauth-metadata-backcompat,2025-03-26-oauth-endpoint-fallback"

// someScenarios are those that reach furthest.
const someScenarios = "scope-step-up,authorization-server-migration,iss-wrong-issuer,pre-registration"

// beSuiteClient calls a tool of the suite's server through a gateway, and logs in
// when it is asked to.
func beSuiteClient(address string) error {
	dir, err := os.MkdirTemp("", "suite-client-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var given struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	_ = json.Unmarshal([]byte(os.Getenv("MCP_CONFORMANCE_CONTEXT")), &given) // only some scenarios have one
	server := map[string]any{"url": address, "auth": map[string]any{"type": "oauth"}, "timeout": "20s"}
	if given.ID != "" {
		issuer, err := issuerOf(address)
		if err != nil {
			return err
		}
		server["auth"] = map[string]any{"type": "oauth", "client_id": given.ID, "client_secret": given.Secret, "issuer": issuer}
	}
	text, err := json.Marshal(map[string]any{
		"listen": "127.0.0.1:0", "state": map[string]any{"path": filepath.Join(dir, "state.db")}, "servers": map[string]any{"suite": server},
	})
	if err != nil {
		return err
	}
	cfg, err := config.Parse("suite.yaml", text, nil)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	a, err := app.Open(cfg, app.Options{Version: "test", LogOutput: os.Stderr})
	if err != nil {
		return err
	}
	defer a.Close(ctx)
	listening, err := a.Listen(ctx)
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- listening.Run(serving) }()
	defer func() { stop(); <-done }()
	return callSuite(ctx, "http://"+listening.Addr().String()+"/mcp")
}

// issuerOf is what an operator looks up who has a secret for it.
func issuerOf(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	u.Path = "/.well-known/oauth-protected-resource" + u.Path
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(u.String())
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var said struct {
		Servers []string `json:"authorization_servers"`
	}
	if err := json.NewDecoder(res.Body).Decode(&said); err != nil || len(said.Servers) == 0 {
		return "", fmt.Errorf("the server names no authorization server: %w", err)
	}
	return said.Servers[0], nil
}

// callSuite lists the tools until there are some of the server's, and calls them.
func callSuite(ctx context.Context, gate string) error {
	asked := 0
	options := &sdk.ClientOptions{
		Capabilities: &sdk.ClientCapabilities{Elicitation: &sdk.ElicitationCapabilities{URL: &sdk.URLElicitationCapabilities{}}},
		ElicitationHandler: func(_ context.Context, req *sdk.ElicitRequest) (*sdk.ElicitResult, error) {
			asked++
			page, err := surf(req.Params.URL)
			fmt.Fprintln(os.Stderr, "the login ends with", page, err)
			if asked > 3 || err != nil || !strings.Contains(page, "Connected") {
				return &sdk.ElicitResult{Action: "decline"}, nil
			}
			return &sdk.ElicitResult{Action: "accept"}, nil
		},
	}
	session, err := sdk.NewClient(&sdk.Implementation{Name: "suite", Version: "1"}, options).Connect(ctx, &sdk.StreamableClientTransport{Endpoint: gate, DisableStandaloneSSE: true}, nil)
	if err != nil {
		return err
	}
	defer session.Close()
	if _, err := session.CallTool(ctx, &sdk.CallToolParams{Name: "suite__log_in"}); err != nil {
		return err
	}
	for range 3 { // after a login there are other tools
		list, err := session.ListTools(ctx, nil)
		if err != nil {
			return err
		}
		again := false
		for _, tool := range list.Tools {
			fmt.Fprintln(os.Stderr, "tool", tool.Name)
			if _, err := session.CallTool(ctx, &sdk.CallToolParams{Name: tool.Name, Arguments: map[string]any{}}); err != nil {
				return err
			}
			again = again || tool.Name == "suite__log_in"
		}
		if !again {
			break
		}
	}
	return nil
}

var formValue = regexp.MustCompile(`name="form" value="([^"]+)"`)

// surf logs in: the suite's authorization server asks nobody.
func surf(link string) (string, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return "", err
	}
	browser := &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	res, err := browser.Get(link)
	for range 2 {
		if err != nil {
			return "", err
		}
		body, readErr := io.ReadAll(res.Body)
		_ = res.Body.Close()
		form := formValue.FindSubmatch(body)
		if form == nil || readErr != nil {
			_, main, _ := strings.Cut(string(body), "<main>")
			return main, readErr
		}
		res, err = browser.PostForm(strings.Split(link, "?")[0], url.Values{"form": {string(form[1])}, "answer": {"go"}})
	}
	return "", err
}

// The scenarios that a gateway can be judged by: the suite has a server behind an
// authorization server, and looks at what its client does.
func TestTheOfficialSuiteForClientsThatLogIn(t *testing.T) {
	suite := peers.Path(t, peers.Conformance)
	list := map[string]string{"": someScenarios, "all": allScenarios}[*scenarios]
	if list == "" {
		list = *scenarios
	}
	for scenario := range strings.SplitSeq(list, ",") {
		t.Run(scenario, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, suite, "client", "--scenario", "auth/"+scenario, "--timeout", "60000", "--command", os.Args[0], "-o", t.TempDir())
			cmd.Env = append(os.Environ(), suiteClient+"=1")
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Run(); err != nil {
				t.Errorf("%v\n%s", err, &out)
			} else if testing.Verbose() {
				t.Logf("%s", &out)
			}
		})
	}
}
