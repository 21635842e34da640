package selftest

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
)

// strangers call every address in every way without a credential, with one in the wrong place, and with words of those who
// attack databases.
func strangers(ctx context.Context, t *Target, r *Result) error {
	a, err := t.send(ctx, t.list("").without("Authorization"))
	if err != nil {
		return err
	}
	if a.result() {
		r.Skipped = "the instance asks nobody who they are"
		return nil
	}
	attacks := map[string]request{}
	for _, path := range []string{"/mcp", "/mcp/", "/mcp/files", "/mcp/time/health", "/sse", "/sse/time", "/reload", "/metrics", "/users/me", "/users/me/", "/debug/pprof/", "/debug/pprof/profile?seconds=1",
		"/debug/pprof/trace?seconds=1", "//mcp", "/./mcp", "/x/../mcp", "/%6dcp", "/mcp;x=1", "/mcp%2f", "/MCP", "/health/../mcp", "/.well-known/../metrics", "/metrics?x=/health", "/mcp#/health"} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "QUERY", "MCP", "get", "post"} {
			q := t.list("").without("Authorization")
			q.method, q.path = method, path
			attacks[method+" "+path] = q
		}
	}
	wrong := t.list("").without("Authorization")
	for _, line := range []string{"Bearer", "Bearer ", "Bearer x", "Bearer null", "Bearer undefined", "Basic YWRtaW46YWRtaW4=", "Basic " + base64.StdEncoding.EncodeToString([]byte("x:"+t.Token)), "Digest username=admin",
		"Token " + t.Token, t.Token, "Bearer " + t.Token + "x", "Bearer " + swapped(t.Token), "Bearer " + t.Token[:max(len(t.Token)-1, 0)], "Bearer " + t.Token + "," + t.Token, "Bearer \"" + t.Token + "\"",
		"Bearer ' OR '1'='1", "Bearer ' OR 1=1--", "Bearer admin'--", "Bearer '; DROP TABLE users;--", "Bearer ' UNION SELECT 1,2,3--", "Bearer \" OR \"\"=\"", "Bearer %27%20OR%201=1", "Bearer mcp_' OR 1=1--_x_y",
		"Bearer 1 AND SLEEP(5)", "Bearer $ne", "Bearer {\"$gt\":\"\"}", "Bearer ${env:HOME}", "Bearer *", "Bearer \x00", "Bearer " + strings.Repeat("a", 100_000)} {
		attacks["Authorization: "+line] = wrong.with("Authorization: " + line)
	}
	for _, line := range []string{"X-Forwarded-User: admin", "X-Remote-User: admin", "Remote-User: admin", "X-Auth-Request-User: admin", "X-Forwarded-Email: admin@example.org", "X-User-Id: 1", "X-Role: admin",
		"X-Original-URL: /health", "X-Rewrite-URL: /health", "X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1;by=127.0.0.1", "X-Real-IP: 127.0.0.1", "X-HTTP-Method-Override: GET", "X-Forwarded-Prefix: /health",
		"Cookie: token=" + t.Token, "Cookie: Authorization=Bearer " + t.Token, "X-API-Key: " + t.Token, "Proxy-Authorization: Bearer " + t.Token, "Authentication: Bearer " + t.Token, "X-Client-Cert: admin", "SSL_CLIENT_VERIFY: SUCCESS",
		"router-key: secret-api-key", "Mcp-Session-Id: 1", "Sec-WebSocket-Protocol: bearer, " + t.Token} {
		attacks[line] = wrong.with(line)
	}
	for _, query := range []string{"access_token=", "token=", "api_key=", "authorization=Bearer%20"} {
		q := wrong
		q.path += "?" + query + t.Token
		attacks["in the address: "+query] = q
	}
	if err := t.each(ctx, r, attacks, func(a answer) bool { return turnedAway(a) || a.status >= 300 && a.status < 400 }); err != nil {
		return err
	}
	public := t.list("").without("Authorization", "Content-Length", "Content-Type", "Mcp-Method", "MCP-Protocol-Version")
	public.method, public.body = "GET", ""
	for _, path := range []string{"/health", "/ready", "/"} {
		public.path = path
		a, err := t.send(ctx, public)
		if err != nil {
			return err
		}
		r.harmless(a.status == http.StatusOK, "GET %s: %s", path, a)
	}
	return t.passes(ctx, r, map[string]request{"with the token": t.list(""), "the scheme in small letters": wrong.with("Authorization: bearer " + t.Token)})
}

// swapped is a text in letters of the other kind: capitals, unless that changes nothing.
func swapped(text string) string {
	if upper := strings.ToUpper(text); upper != text {
		return upper
	}
	return strings.ToLower(text)
}
