package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/httpsse"
	"github.com/dragoman-mcp/dragoman/mcp/streamhttp"
	"github.com/dragoman-mcp/dragoman/mcp/websocket"
)

// trouble is why a server cannot be spoken with, in words for the person who can
// mend it.
type trouble struct {
	text   string   // what is wrong
	remedy string   // what to do; may be empty
	lines  []string // last words of a program
	code   int      // that a command ends with
}

// diagnose tells what an error of a server means.
func diagnose(err error, s config.Server) trouble {
	t := ofProcess(err, s)
	if t.text == "" {
		t = ofStatus(err, s)
	}
	if t.text == "" {
		t = ofNetwork(err, s)
	}
	if t.text == "" {
		t = ofAnswer(err)
	}
	if t.code == 0 {
		t.code = exitUnreachable
	}
	return t
}

// ofProcess knows how programs fail.
func ofProcess(err error, s config.Server) trouble {
	var missing *supervisor.NotFoundError
	var crash *supervisor.CrashLoopError
	var ended *supervisor.ExitError
	var fetch *supervisor.FetchError
	switch {
	case errors.As(err, &missing) && missing.Path != "":
		return trouble{
			text:   fmt.Sprintf("command %s was not found in PATH", missing.Command),
			remedy: installation(missing.Command) + "; PATH is " + missing.Path,
		}
	case errors.As(err, &missing):
		return trouble{
			text:   fmt.Sprintf("command %s was not found", missing.Command),
			remedy: "check the path, and that the file is executable",
		}
	case errors.As(err, &fetch):
		return ofFetch(fetch)
	case errors.As(err, &crash):
		t := ofProcess(crash.Err, s)
		t.text = fmt.Sprintf("keeps ending: %d times in a row; %s", crash.Exits, t.text)
		return t
	case errors.As(err, &ended):
		how := fmt.Sprintf("exited with code %d", ended.Code)
		if ended.Signal != "" {
			how = "was ended by signal " + ended.Signal
		}
		return trouble{
			text:   "its program " + how + " before it answered",
			remedy: "run it by hand to see more: " + commandLine(s.Argv()),
			lines:  ended.Stderr,
		}
	}
	gone := func(why error) bool { return errors.Is(err, why) }
	if len(s.Command) > 0 && slices.ContainsFunc([]error{io.EOF, io.ErrClosedPipe, os.ErrClosed, syscall.EPIPE}, gone) {
		return trouble{
			text:   "its program ended, or closed its output, before it answered",
			remedy: "run it by hand to see more: " + commandLine(s.Argv()),
		}
	}
	return trouble{}
}

// ofFetch tells why the package of a program is not there.
func ofFetch(err *supervisor.FetchError) trouble {
	t := trouble{text: fmt.Sprintf("its package %s could not be fetched: %v", err.Package, err.Err), remedy: err.Remedy()}
	var ended *supervisor.ExitError
	if errors.As(err.Err, &ended) {
		how := fmt.Sprintf("exited with code %d", ended.Code)
		if ended.Reason != nil {
			how = fmt.Sprintf("was ended: %v", ended.Reason)
		}
		t.text, t.lines = fmt.Sprintf("its package %s could not be fetched: what fetches it %s", err.Package, how), ended.Stderr
	}
	return t
}

// installation says where well-known programs come from.
func installation(command string) string {
	switch command {
	case "node", "npx", "npm":
		return "install Node.js (https://nodejs.org)"
	case "uv", "uvx":
		return "install uv (https://docs.astral.sh/uv)"
	case "docker":
		return "install Docker (https://docs.docker.com/get-docker)"
	case "python", "python3":
		return "install Python (https://www.python.org)"
	}
	return "install it, or write its absolute path"
}

// ofStatus knows what HTTP statuses mean on the three transports over HTTP.
func ofStatus(err error, s config.Server) trouble {
	var stream *streamhttp.StatusError
	var events *httpsse.StatusError
	var socket *websocket.StatusError
	status := 0
	switch {
	case errors.As(err, &stream):
		status = stream.Status
	case errors.As(err, &socket):
		status = socket.Status
	case errors.As(err, &events):
		status = events.Status
	default:
		return trouble{}
	}
	t := trouble{text: fmt.Sprintf("HTTP %d %s", status, http.StatusText(status))}
	switch {
	case status == http.StatusUnauthorized:
		t.text, t.code = t.text+": it wants to know who calls", exitAuth
		switch {
		case len(s.Headers) > 0:
			t.remedy = "the credentials that were sent are not, or no longer, good"
		case s.Name == remoteName:
			t.remedy = "give --token, or set DRAGOMAN_TOKEN"
		default:
			t.remedy = "set headers.Authorization of the server"
		}
	case status == http.StatusForbidden:
		t.text, t.code = t.text+": it knows who calls, and refuses", exitAuth
		t.remedy = "ask its owner for access; a gateway also refuses hosts and origins that it does not know"
	case status < 300:
		t.text, t.remedy = "it answers, and not as an MCP server", "check the URL; most servers are at /mcp, older ones at /sse"
	case status >= 300 && status < 400:
		t.remedy = "it is elsewhere; write the address that it is at now"
	case status == http.StatusTooManyRequests:
		t.remedy = "it asks for fewer requests; try again later"
	case status >= 500:
		t.remedy = "the fault is on its side; its own log tells more"
	case status == http.StatusBadRequest && strings.HasPrefix(plainURL(s), "http:"):
		t.text += ": it does not understand the request"
		t.remedy = "check the URL; if it speaks TLS there, write https:// instead of http://"
	default:
		t.text += ": there is no MCP server at this path"
		t.remedy = "check the URL; most servers are at /mcp, older ones at /sse"
	}
	return t
}

// ofNetwork knows what keeps a connection from coming about.
func ofNetwork(err error, s config.Server) trouble {
	var dns *net.DNSError
	var untrusted *tls.CertificateVerificationError
	var noTLS tls.RecordHeaderError
	var name x509.HostnameError
	var op *net.OpError
	switch {
	case errors.As(err, &dns):
		return trouble{text: "the host " + dns.Name + " is not known", remedy: "check the URL's spelling, and this machine's DNS"}
	case errors.As(err, &name):
		return trouble{text: "TLS: " + name.Error(), remedy: "use the name that the certificate is for in the URL"}
	case errors.As(err, &untrusted):
		return trouble{text: "TLS: " + untrusted.Err.Error(), remedy: "add the authority that signed it to the system's, or name its file in SSL_CERT_FILE (or with --ca)"}
	case errors.As(err, &noTLS):
		return trouble{text: "TLS: it does not speak TLS on this port", remedy: "write http:// instead of https://, or use the port for TLS"}
	case errors.As(err, &op) && op.Op == alertOp:
		return ofAlert(op.Err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return trouble{text: "the connection was refused: nothing listens there", remedy: "start the server, or check host and port of " + hostOf(s)}
	case errors.Is(err, context.DeadlineExceeded) && len(s.Command) > 0:
		return trouble{text: "did not answer in time", remedy: "the first start may have to download a package: try again with a longer --timeout"}
	case errors.Is(err, context.DeadlineExceeded):
		return trouble{text: "did not answer in time", remedy: "look at its log, or try a longer --timeout"}
	case errors.As(err, &op):
		return trouble{text: op.Error(), remedy: "check host and port of " + hostOf(s) + ", and what lies between"}
	}
	return trouble{}
}

// plainURL is the address of a server as it was written; "" for a program.
func plainURL(s config.Server) string {
	for _, r := range s.Replicas() {
		return r.URL
	}
	return ""
}

func hostOf(s config.Server) string {
	for _, r := range s.Replicas() {
		return redacted(r.URL)
	}
	return "its address"
}

// ofAnswer is for errors that say themselves what is wrong.
func ofAnswer(err error) trouble {
	var wire *mcp.Error
	t := trouble{text: harmless(err.Error())}
	if !errors.As(err, &wire) {
		return t
	}
	t.text = harmless(wire.Message)
	switch wire.Code {
	case mcp.CodeUnauthenticated:
		t.code = exitAuth
	case mcp.CodeUnavailable, mcp.CodeTimeout, mcp.CodeBusy, mcp.CodeCallLost:
	default:
		t.text += fmt.Sprintf(" (code %d)", wire.Code)
		t.code = exitFailure
	}
	return t
}

// failure is the trouble as the error of a command about a server.
func (t trouble) failure(about string) error {
	text := about + ": " + t.text
	if t.remedy != "" {
		text += "\n  " + t.remedy
	}
	for _, line := range tail(t.lines) {
		text += "\n  | " + line
	}
	return exit(t.code, errors.New(text))
}

// tail is the end of what a program wrote: at most 10 lines.
func tail(lines []string) []string {
	const most, length = 10, 200
	var out []string
	for _, line := range lines[max(len(lines)-most, 0):] {
		out = append(out, cut(harmless(line), length))
	}
	return out
}

// commandLine writes a command so that a shell reads it as it is.
func commandLine(argv []string) string {
	words := make([]string, len(argv))
	for i, word := range argv {
		words[i] = word
		if word == "" || strings.ContainsAny(word, " \t\n\"'`$&|;<>()*?[]{}#!~\\") {
			words[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}
