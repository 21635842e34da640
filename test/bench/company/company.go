// Package company is what stands around a gateway that people work with: an identity provider that signs their tokens, and a
// configuration with its keys, two hundred policies, rates, an audit log and approved definitions. It does not know how the
// gateway uses any of it, nor what is measured.
package company

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/jwt"
)

// Users is how many people there are, each with a token of their own.
const Users = 8

// Others is how many servers are configured besides the one that is called.
const Others = 9

// audience is what the tokens are for.
const audience = "https://mcp.company.example"

// Company is a running identity provider. Close it.
type Company struct {
	issuer string
	signer *jwt.Signer
	server *http.Server
	ended  chan struct{}
}

// Open starts the identity provider, which signs with alg: ES256 or EdDSA.
func Open(alg string) (*Company, error) {
	key, err := jwt.NewPrivateKey(alg)
	if err != nil {
		return nil, err
	}
	signer, err := jwt.NewSigner(key)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &Company{issuer: "http://" + l.Addr().String(), signer: signer, ended: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", c.answer(map[string]any{"issuer": c.issuer, "jwks_uri": c.issuer + "/keys"}))
	mux.HandleFunc("GET /keys", c.answer(map[string]any{"keys": []json.RawMessage{signer.JWK()}}))
	c.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go func() {
		defer close(c.ended)
		_ = c.server.Serve(l) // it ends with Close only
	}()
	return c, nil
}

func (c *Company) answer(v any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v) // a gateway that has gone does not want it
	}
}

// Close ends the identity provider and waits for it.
func (c *Company) Close() error {
	err := c.server.Close()
	<-c.ended
	return err
}

// Tokens returns an access token (RFC 9068) of every user, as an identity provider writes them.
func (c *Company) Tokens() ([]string, error) {
	var tokens []string
	now := time.Now()
	for n := range Users {
		token, err := c.signer.Sign("at+jwt", map[string]any{
			"iss": c.issuer, "aud": audience, "sub": fmt.Sprintf("9f1c2d6e-0000-4000-8000-%012d", n), "client_id": "desk-assistant",
			"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": fmt.Sprintf("b7e9-%08d", n),
			"preferred_username": fmt.Sprintf("user-%d", n), "email": fmt.Sprintf("user-%d@company.example", n), "scope": "openid mcp",
			"groups": []string{"staff", fmt.Sprintf("team-%d", n), "analysts"}, "roles": []string{"employee"},
		})
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, token)
	}
	return tokens, nil
}

// Configure writes the policies into dir and returns what belongs into the gateway's file before its servers: all that the
// company asks of its callers. The gateway keeps its state and its audit log in dir too. reads are tools that change nothing.
func (c *Company) Configure(dir string, reads ...string) (string, error) {
	policies := filepath.Join(dir, "company.cedar")
	if err := os.WriteFile(policies, []byte(Policies()), 0o600); err != nil {
		return "", err
	}
	text := bytes.NewBufferString("auth:\n  issuers:\n")
	fmt.Fprintf(text, "    - {name: corp, url: %q, audience: %q, scopes: [mcp], roles: {employee: user}}\n", c.issuer, audience)
	fmt.Fprintf(text, "access: {policies: [%q], pinning: first_sight}\nstate: {path: %q}\naudit: {dir: %q, read_tools: [%s]}\n",
		policies, filepath.Join(dir, "state.db"), filepath.Join(dir, "audit"), strings.Join(reads, ", "))
	text.WriteString(`rates:
  calls:
    - {per: principal, rate: 100000, every: 1s, at_once: 256}
    - {per: principal-tool, rate: 1000000, every: 1m, per_day: 100000000}
    - {per: server, match: ["up__*"], rate: 200000, every: 1s}
`)
	return text.String(), nil
}

// Policies are two hundred: rules by team, user, server, tool, argument, address and time, of which some ten concern a call.
func Policies() string {
	var b strings.Builder
	for n := range 40 {
		server := serverOf(n)
		fmt.Fprintf(&b, "permit(principal in Group::\"team-%d\", action in Action::\"use\", resource in Server::%q);\n", n, server)
		fmt.Fprintf(&b, "permit(principal == User::\"corp:contractor-%d\", action == Action::\"call_tool\", resource == Tool::\"%s/read_message_%03d\");\n", n, server, n)
		fmt.Fprintf(&b, "forbid(principal, action == Action::\"call_tool\", resource == Tool::\"%s/update_file_%03d\")\n"+
			"unless { context.arguments has path && context.arguments.path like \"/data/*\" };\n", server, n)
	}
	for n := range 30 {
		fmt.Fprintf(&b, "forbid(principal in Group::\"contractors-%d\", action, resource in Server::%q);\n", n, serverOf(n))
	}
	for n := range 20 {
		fmt.Fprintf(&b, "forbid(principal in Group::\"partners-%d\", action, resource in Server::%q)\n"+
			"unless { context.address.isInRange(ip(\"10.%d.0.0/16\")) };\n", n, serverOf(n), n)
		fmt.Fprintf(&b, "forbid(principal in Group::\"shift-%d\", action == Action::\"call_tool\", resource in Server::%q)\n"+
			"unless { context.time.toTime() >= duration(\"%dh\") };\n", n, serverOf(n), n)
	}
	b.WriteString(everybody)
	return b.String()
}

// serverOf spreads policies over the servers, the called one among them.
func serverOf(n int) string {
	if n %= Others + 1; n > 0 {
		return Server(n)
	}
	return "up"
}

// Server is the name of the n-th of the others, from 1.
func Server(n int) string { return fmt.Sprintf("dept%d", n) }

// everybody is ten rules, of which most concern a call of the tool that is measured: some by who and what alone, some by argument, address
// and time, which no memory of earlier decisions can answer.
const everybody = `
@id("staff-may-use-up")
permit(principal in Group::"staff", action in Action::"use", resource in Server::"up");
@id("suspended")
forbid(principal in Group::"suspended", action, resource);
@id("known-only")
forbid(principal, action, resource) unless { principal.authenticated };
@id("tokens-only")
forbid(principal in Role::"user", action == Action::"call_tool", resource in Server::"up") unless { principal.method == "jwt" };
@id("no-drafts")
forbid(principal in Group::"staff", action == Action::"call_tool", resource is Tool) when { resource.name like "draft_*" };
@id("no-keys-in-text")
forbid(principal, action == Action::"call_tool", resource == Tool::"up/echo")
when { context.arguments has text && context.arguments.text like "*PRIVATE KEY*" };
@id("inside-only")
forbid(principal in Group::"staff", action, resource in Server::"up")
unless { context.address.isLoopback() || context.address.isInRange(ip("10.0.0.0/8")) };
@id("since-the-contract")
forbid(principal in Group::"staff", action, resource in Server::"up") when { context.time < datetime("2020-01-01") };
@id("analysts-prompts")
permit(principal in Group::"analysts", action == Action::"get_prompt", resource in Server::"up");
@id("administrators")
permit(principal in Group::"administrators", action, resource);
`
