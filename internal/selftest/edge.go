package selftest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// rebinding sends what a browser sends for a page of somebody else, to every path that there is.
func rebinding(ctx context.Context, t *Target, r *Result) error {
	host, _, err := t.at()
	if err != nil {
		return err
	}
	_, port, _ := strings.Cut(host, ":")
	hosts := []string{"evil.example", "evil.example:" + port, "127.0.0.1.evil.example", "localhost.evil.example:" + port, "localhost:1@evil.example", "evil.example@localhost",
		"127.0.0.1.nip.io", "0x7f.1", "2130706433", "169.254.169.254", "metadata.google.internal", "localhost,evil.example", "localhost evil.example", "localhost/evil",
		"localhost?evil", "localhost#evil", "localhost\\evil.example", "[::1", "*", "localhost%2eevil.example", "localhost;evil"}
	origins := []string{"https://evil.example", "http://evil.example:" + port, "null", "http://127.0.0.1.evil.example", "http://localhost.evil.example", "file://", "chrome-extension://abcdef",
		"http://localhost@evil.example", "http://localhost:1@evil.example", "javascript:alert(1)", "http://169.254.169.254", "http://localhost,http://evil.example", "evil.example", "http:localhost", "http://[::1].evil.example"}
	attacks := map[string]request{}
	for _, path := range paths0() {
		q := t.list("")
		q.path = path
		if path != "/mcp" && !strings.HasPrefix(path, "/mcp/") {
			q = q.without("Content-Length", "Content-Type", "Mcp-Method", "MCP-Protocol-Version")
			q.method, q.body = "GET", ""
		}
		for _, h := range hosts {
			attacks[path+" Host: "+h] = q.instead("Host", h)
		}
		for _, o := range origins {
			attacks[path+" Origin: "+o] = q.with("Origin: " + o)
		}
		attacks[path+" without Host"] = q.without("Host")
		attacks[path+" two Hosts"] = q.with("Host: evil.example")
		attacks[path+" two Origins"] = q.with("Origin: http://"+host, "Origin: https://evil.example")
		attacks[path+" upgrade from a page of others"] = q.without("Connection").with("Origin: https://evil.example", "Connection: Upgrade", "Upgrade: websocket",
			"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
	}
	if err := t.each(ctx, r, attacks, turnedAway); err != nil {
		return err
	}
	return t.passes(ctx, r, map[string]request{"no Origin": t.list(""), "its own Origin": t.list("").with("Origin: http://" + host), "Host in capitals": t.list("").instead("Host", strings.ToUpper(host))})
}

// paths0 are the addresses that every instance has, with or without an answer behind them.
func paths0() []string {
	return []string{"/mcp", "/sse", "/health", "/ready", "/", "/metrics", "/users/me", "/.well-known/oauth-protected-resource", "/.well-known/jwks.json"}
}

// framing makes two readers of one connection see different requests. What must not happen is that the request within the
// body of another is answered.
func framing(ctx context.Context, t *Target, r *Result) error {
	host, _, err := t.at()
	if err != nil {
		return err
	}
	inner := "GET /health HTTP/1.1\r\nHost: " + host + "\r\nX-Inner: 1\r\n\r\n"
	for name, text := range frames(host, inner) {
		all, err := t.raw(ctx, text, 4)
		if err != nil {
			return err
		}
		good := 0
		for _, a := range all {
			if a.status == http.StatusOK {
				good++
			}
		}
		r.attack(good == 0, "%s: %v", name, all)
	}
	all, err := t.raw(ctx, inner+strings.Replace(inner, "X-Inner: 1", "Connection: close", 1), 2)
	r.harmless(len(all) == 2 && all[0].status == http.StatusOK && all[1].status == http.StatusOK, "two requests on a connection: %v", all)
	return err
}

// frames are requests that carry inner, and that must not lead to it.
func frames(host, inner string) map[string]string {
	chunk := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(inner), inner)
	head := "POST /mcp HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/json\r\n"
	attacks := map[string]string{
		"two lengths":                  head + fmt.Sprintf("Content-Length: 0\r\nContent-Length: %d\r\n\r\n", len(inner)) + inner,
		"two lengths in a line":        head + fmt.Sprintf("Content-Length: 0, %d\r\n\r\n", len(inner)) + inner,
		"a length with a plus":         head + "Content-Length: +0\r\n\r\n" + inner,
		"a negative length":            head + "Content-Length: -1\r\n\r\n" + inner,
		"a length in hexadecimal":      head + "Content-Length: 0x0\r\n\r\n" + inner,
		"a length with a space before": head + "Content-Length : 0\r\n\r\n" + inner,
		"a length beyond 64 bits":      head + "Content-Length: 18446744073709551616\r\n\r\n" + inner,
		"a length of nothing":          head + "Content-Length: \r\n\r\n" + inner,
		"length and chunks":            head + fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 5+len(inner)) + inner,
		"chunks, then a length":        head + fmt.Sprintf("Transfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n", 5+len(inner)) + inner,
		"chunks twice":                 head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + inner,
		"chunks with a space before":   head + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + inner,
		"a folded line":                head + fmt.Sprintf("X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n", 5+len(inner)) + inner,
		"a header without a name":      head + ": x\r\nContent-Length: 0\r\n\r\n" + inner,
		"a header without a colon":     head + "Content-Length 0\r\n\r\n" + inner,
		"a NUL in a header":            head + "X: a\x00b\r\nContent-Length: 0\r\n\r\n" + inner,
		"a return in a header":         head + "X: a\rContent-Length: 0\r\n\r\n" + inner,
		"space before the first line":  " " + head + "Content-Length: 0\r\n\r\n" + inner,
		"a chunk size with a sign":     head + "Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n" + inner,
		"a chunk size in octal prefix": head + "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n" + inner,
		"a chunk size too long":        head + "Transfer-Encoding: chunked\r\n\r\n00000000000000000\r\n\r\n" + inner,
		"a chunk without its end":      head + "Transfer-Encoding: chunked\r\n\r\n1\r\nAXX0\r\n\r\n" + inner,
		"a bare newline in chunks":     head + "Transfer-Encoding: chunked\r\n\r\n0;a\nb\r\n\r\n" + inner,
		"HTTP/0.9":                     "GET /health\r\n" + inner,
		"HTTP/1.0 with chunks":         strings.Replace(head, "1.1", "1.0", 1) + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
		"HTTP/2 by hand":               "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + inner,
		"HTTP/1.10":                    strings.Replace(head, "1.1", "1.10", 1) + "Content-Length: 0\r\n\r\n" + inner,
		"a target with a space":        "GET /health /x HTTP/1.1\r\nHost: " + host + "\r\n\r\n" + inner,
		"CONNECT":                      "CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: 169.254.169.254:80\r\nConnection: close\r\n\r\n",
		"TRACE":                        "TRACE /mcp HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n",
		"a target of others":           "GET http://evil.example/health HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n",
		"a target with a user":         "GET http://" + host + "@evil.example/health HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n",
		"a length that is not there":   "GET /nowhere HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 3\r\n\r\nabc" + "X" + inner,
	}
	for _, coding := range []string{"xchunked", "chunked, identity", "identity", "chunked,chunked", "\x0bchunked", "chunked\x0b", "\"chunked\"", "chunked;q=1", "gzip, chunked", "identity, chunked"} {
		attacks[fmt.Sprintf("coding %q", coding)] = head + "Transfer-Encoding: " + coding + "\r\nContent-Length: 4\r\n\r\n" + chunk + inner
	}
	return attacks
}

// bombs are small to send and large to hold, or large to send.
func bombs(ctx context.Context, t *Target, r *Result) error {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	objects := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	huge := t.list("").instead("Content-Length", "1099511627776")
	attacks := map[string]request{
		"lists, 200 deep": t.list(`"x":` + deep(200) + ","), "lists, 100,000 deep": t.list(`"x":` + deep(100_000) + ","), "a million brackets": t.list(`"x":` + strings.Repeat("[", 1_000_000)),
		"objects, 200 deep": t.list(`"x":` + objects(200) + ","), "objects, 100,000 deep": t.list(`"x":` + objects(100_000) + ","), "a body of a tebibyte, announced": huge,
		"a header of two megabytes": t.list("").with("X: " + strings.Repeat("a", 2<<20)), "200,000 headers": t.list("").with(strings.Repeat("X: a\r\n", 200_000) + "X: a"),
		"a name of a megabyte": t.call(strings.Repeat("a", 1<<20), "{}").instead("Mcp-Name", strings.Repeat("a", 1<<10)), "an address of two megabytes": {method: "GET", path: "/" + strings.Repeat("a", 2<<20), header: t.list("").header},
		"a method of a megabyte": {method: strings.Repeat("A", 2<<20), path: "/mcp", header: t.list("").header},
	}
	if err := t.each(ctx, r, attacks, noResult); err != nil {
		return err
	}
	return t.passes(ctx, r, map[string]request{
		"lists, 30 deep": t.list(`"x":` + deep(30) + ","), "a long text": t.list(`"x":"` + strings.Repeat("a", 1<<20) + `",`), "a long number": t.list(`"x":1` + strings.Repeat("0", 1000) + ","),
		"ten thousand members": t.list(`"x":{` + members(10_000) + "},"),
	})
}

func members(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"m%d":%d,`, i, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}
