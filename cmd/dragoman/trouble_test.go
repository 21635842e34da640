package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/httpsse"
	"github.com/dragoman-mcp/dragoman/mcp/streamhttp"
	"github.com/dragoman-mcp/dragoman/mcp/websocket"
)

func TestEachTroubleHasItsWordsAndItsExitCode(t *testing.T) {
	program := config.Server{Name: "p", Command: []string{"npx", "-y", "a b"}}
	remote := config.Server{Name: "r", URL: "https://user:pw@example.org/mcp?key=secret"}
	guarded := config.Server{Name: "g", URL: "https://example.org/mcp", Headers: map[string]config.Secret{"Authorization": "x"}}
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	tests := []struct {
		name   string
		err    error
		server config.Server
		text   string
		remedy string
		code   int
	}{
		{"a program that is not there", &supervisor.NotFoundError{Command: "npx", Path: "/bin"}, program, "command npx was not found in PATH", "install Node.js (https://nodejs.org); PATH is /bin", exitUnreachable},
		{"a path that is not there", &supervisor.NotFoundError{Command: "./x"}, program, "command ./x was not found", "check the path", exitUnreachable},
		{"a program that ended", &supervisor.ExitError{Code: 3}, program, "its program exited with code 3 before it answered", "run it by hand to see more: npx -y 'a b'", exitUnreachable},
		{"a program that was killed", &supervisor.ExitError{Code: -1, Signal: "killed"}, program, "its program was ended by signal killed", "", exitUnreachable},
		{"a crash loop", &supervisor.CrashLoopError{Exits: 5, Err: &supervisor.ExitError{Code: 1}}, program, "keeps ending: 5 times in a row; its program exited with code 1", "run it by hand", exitUnreachable},
		{"an end without more", io.EOF, program, "its program ended, or closed its output, before it answered", "run it by hand", exitUnreachable},
		{"401 without credentials", &streamhttp.StatusError{Status: 401}, remote, "HTTP 401 Unauthorized: it wants to know who calls", "set headers.Authorization of the server", exitAuth},
		{"401 with credentials", &streamhttp.StatusError{Status: 401}, guarded, "HTTP 401", "the credentials that were sent are not, or no longer, good", exitAuth},
		{"401 at --url", &websocket.StatusError{Status: 401}, config.Server{Name: remoteName}, "HTTP 401", "give --token, or set DRAGOMAN_TOKEN", exitAuth},
		{"403", &httpsse.StatusError{Status: 403}, remote, "HTTP 403 Forbidden", "ask its owner", exitAuth},
		{"404", &httpsse.StatusError{Status: 404}, remote, "HTTP 404 Not Found: there is no MCP server at this path", "check the URL", exitUnreachable},
		{"a redirect", &httpsse.StatusError{Status: 301}, remote, "HTTP 301", "it is elsewhere", exitUnreachable},
		{"429", &streamhttp.StatusError{Status: 429}, remote, "HTTP 429", "try again later", exitUnreachable},
		{"500", &streamhttp.StatusError{Status: 500}, remote, "HTTP 500", "its own log tells more", exitUnreachable},
		{"a web page", &httpsse.StatusError{Status: 200, ContentType: "text/html"}, remote, "it answers, and not as an MCP server", "check the URL", exitUnreachable},
		{"an unknown host", &net.DNSError{Name: "nowhere.example"}, remote, "the host nowhere.example is not known", "DNS", exitUnreachable},
		{"a refused connection", refused, remote, "the connection was refused: nothing listens there", "check host and port of https://redacted@example.org/mcp?redacted", exitUnreachable},
		{"a certificate of nobody", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, remote, "TLS: x509: certificate signed by unknown authority", "SSL_CERT_FILE", exitUnreachable},
		{"a certificate for another", x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"a"}}, Host: "b"}, remote, "TLS: x509: certificate is valid for a, not b", "use the name", exitUnreachable},
		{"no TLS there", tls.RecordHeaderError{Msg: "x"}, remote, "TLS: it does not speak TLS on this port", "http://", exitUnreachable},
		{"a server that wants a certificate", &net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}, remote, "TLS: it demands a client certificate", "--cert", exitAuth},
		{"a certificate that it does not take", &net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, remote, "TLS: it does not take the client certificate: bad certificate", "client_ca", exitAuth},
		{"another end of TLS", &net.OpError{Op: "remote error", Err: errors.New("tls: handshake failure")}, remote, "TLS: it ends the handshake: handshake failure", "its log", exitUnreachable},
		{"400 in clear text", &streamhttp.StatusError{Status: 400}, config.Server{URL: "http://example.org/mcp"}, "HTTP 400", "https://", exitUnreachable},
		{"a broken network", &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ENETUNREACH}, remote, "dial tcp: network is unreachable", "what lies between", exitUnreachable},
		{"a slow program", context.DeadlineExceeded, program, "did not answer in time", "download", exitUnreachable},
		{"a slow server", context.DeadlineExceeded, remote, "did not answer in time", "look at its log", exitUnreachable},
		{"an error of the protocol", mcp.Errorf(-32602, "no such \x1b city"), remote, `no such \x1b city (code -32602)`, "", exitFailure},
		{"a server behind a gateway", mcp.Errorf(mcp.CodeUnavailable, "server x cannot be reached"), remote, "server x cannot be reached", "", exitUnreachable},
		{"a gateway that wants a token", mcp.Errorf(mcp.CodeUnauthenticated, "a token is needed"), remote, "a token is needed", "", exitAuth},
		{"anything else", errors.New("strange"), remote, "strange", "", exitUnreachable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := diagnose(fmt.Errorf("wrapped: %w", test.err), test.server)
			got.text = strings.TrimPrefix(got.text, "wrapped: ")
			if !strings.HasPrefix(got.text, test.text) || !strings.Contains(got.remedy, test.remedy) || got.code != test.code {
				t.Errorf("diagnose(%v) = %q, %q, %d; want %q, %q, %d", test.err, got.text, got.remedy, got.code, test.text, test.remedy, test.code)
			}
			if strings.Contains(got.text+got.remedy, "secret") || strings.Contains(got.text+got.remedy, "pw@") {
				t.Errorf("diagnose(%v) shows a secret: %q, %q", test.err, got.text, got.remedy)
			}
		})
	}
}

func TestAddressesOfAGateway(t *testing.T) {
	tests := map[string]string{
		"http://127.0.0.1:8000":           "http://127.0.0.1:8000",
		"http://127.0.0.1:8000/mcp":       "http://127.0.0.1:8000",
		"http://127.0.0.1:8000/mcp/files": "http://127.0.0.1:8000",
		"ws://127.0.0.1:8000/mcp":         "http://127.0.0.1:8000",
		"wss://example.org/mcp":           "https://example.org",
		"https://example.org/tools/mcp/":  "https://example.org/tools",
		"http://127.0.0.1:8000/sse":       "http://127.0.0.1:8000",
		"https://example.org/mcpx":        "https://example.org/mcpx",
	}
	for address, want := range tests {
		if got, err := baseOf(address); err != nil || got != want {
			t.Errorf("baseOf(%s) = %s, %v, want %s", address, got, err, want)
		}
	}
	for listen, want := range map[string]string{
		"0.0.0.0:80": "127.0.0.1:80", ":80": "127.0.0.1:80", "[::]:80": "127.0.0.1:80", "[::1]:80": "[::1]:80", "x:80": "x:80", "odd": "odd",
	} {
		if got := reachable(listen); got != want {
			t.Errorf("reachable(%s) = %s, want %s", listen, got, want)
		}
	}
}

func TestFilesStayInTheirFolder(t *testing.T) {
	f := &folder{stem: "tool"}
	tests := []struct{ mime, uri, want string }{
		{"image/png", "", "tool.png"},
		{"IMAGE/PNG; x=y", "", "tool.png"},
		{"application/x-nobody", "", "tool.bin"},
		{"text/plain", "file:///etc/passwd", "passwd.txt"},
		{"text/plain", "file:///a/..", "tool.txt"},
		{"text/plain", "file:///a/...", "tool.txt"},
		{"text/plain", "file:///.ssh", "ssh.txt"},
		{"text/plain", "mem:notes.md", "notes.md"},
		{"text/plain", "x:a%2F..%2Fb c.md", "a_2F.._2Fb_c.md"},
		{"text/plain", "://", "tool.txt"},
	}
	for _, test := range tests {
		stem, extension := f.name(blob{mime: test.mime, uri: test.uri})
		if got := stem + extension; got != test.want || strings.ContainsAny(got, "/\\") {
			t.Errorf("name of %s, %q = %q, want %q", test.mime, test.uri, got, test.want)
		}
	}
}

func TestDurationsAreShort(t *testing.T) {
	for text, want := range map[string]string{"5m0s": "5m", "1h0m0s": "1h", "1h5m0s": "1h5m", "30s": "30s", "10s": "10s", "100ms": "100ms", "1m30s": "1m30s", "0s": "0s"} {
		if got := short(text); got != want {
			t.Errorf("short(%s) = %s, want %s", text, got, want)
		}
	}
}
