package selftest

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

const (
	// answerWait bounds one exchange, for a machine that is busy with other things.
	answerWait = time.Minute
	// maxAnswer bounds what is read of one answer.
	maxAnswer = 4 << 20

	revision = "2026-07-28"
	meta     = `"_meta":{"io.modelcontextprotocol/protocolVersion":"` + revision + `","io.modelcontextprotocol/clientCapabilities":{}}`
)

// request is written to the byte as it stands here: no library may mend it.
type request struct {
	method, path string
	header       []string // lines, without their ends
	body         string
}

// answer is what came back. Status 0 is a connection that was closed without one.
type answer struct {
	status int
	header http.Header
	body   string
}

// outcome is what a JSON-RPC request came to: carried out, or an error. Neither is true of what is no answer to one.
func (a answer) outcome() (done, failed bool) {
	o, err := jsonrpc.ParseObject([]byte(a.text()), jsonrpc.Limits{})
	if err != nil {
		return false, false
	}
	result, ok := jsonrpc.Split(o.Get("result"))
	failed = o.Get("error") != nil || ok && string(result.Get("isError")) == "true"
	return ok && !failed && a.status == http.StatusOK, failed
}

// result says whether a request was carried out.
func (a answer) result() bool {
	done, _ := a.outcome()
	return done
}

// text is the body, or the last event of a stream.
func (a answer) text() string {
	if !strings.HasPrefix(a.header.Get("Content-Type"), "text/event-stream") {
		return a.body
	}
	last := ""
	for line := range strings.Lines(a.body) {
		if data, ok := strings.CutPrefix(strings.TrimSpace(line), "data:"); ok {
			last = strings.TrimSpace(data)
		}
	}
	return last
}

func (a answer) String() string { return fmt.Sprintf("HTTP %d %.120q", a.status, a.body) }

// at is host and port of the target, and whether it speaks TLS.
func (t *Target) at() (host string, secure bool, err error) {
	u, err := url.Parse(t.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", false, fmt.Errorf("%q is no address of a gateway: write it like http://127.0.0.1:8000", t.URL)
	}
	return u.Host, u.Scheme == "https", nil
}

func (t *Target) connect(ctx context.Context) (net.Conn, error) {
	host, secure, err := t.at()
	if err != nil {
		return nil, err
	}
	address := host
	if _, _, err := net.SplitHostPort(host); err != nil {
		address = net.JoinHostPort(strings.Trim(host, "[]"), map[bool]string{false: "80", true: "443"}[secure])
	}
	conn, err := t.network.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if secure {
		name, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		conn = tls.Client(conn, &tls.Config{ServerName: name, MinVersion: tls.VersionTLS12})
	}
	_ = conn.SetDeadline(time.Now().Add(answerWait)) // a connection that takes none fails with the first write
	return conn, nil
}

// raw writes bytes to a new connection and returns at most n answers. When more than one is wanted, the peer is told that
// nothing else will come, so that it closes the connection when it has answered all that it sees.
func (t *Target) raw(ctx context.Context, text string, n int) ([]answer, error) {
	conn, err := t.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	written := make(chan struct{})
	go func() { // beside the reading: a peer may answer before it has read all
		defer close(written)
		_, _ = io.WriteString(conn, text) // who refuses early closes before the end
		if half, ok := conn.(interface{ CloseWrite() error }); ok && n > 1 {
			_ = half.CloseWrite()
		}
	}()
	in := bufio.NewReader(conn)
	var all []answer
	for len(all) < n {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			break
		}
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		all = append(all, answer{resp.StatusCode, resp.Header, string(body)})
		_ = resp.Body.Close()
		if err != nil || resp.Close || resp.StatusCode == http.StatusSwitchingProtocols {
			break
		}
	}
	_ = conn.Close()
	<-written
	return all, ctx.Err()
}

// send makes one exchange.
func (t *Target) send(ctx context.Context, q request) (answer, error) {
	all, err := t.raw(ctx, q.text(), 1)
	if err != nil || len(all) == 0 {
		return answer{}, err
	}
	return all[0], nil
}

func (q request) text() string {
	return q.method + " " + q.path + " HTTP/1.1\r\n" + strings.Join(q.header, "\r\n") + "\r\n\r\n" + q.body
}

// without drops the lines of a header.
func (q request) without(names ...string) request {
	var kept []string
	for _, line := range q.header {
		drop := false
		for _, name := range names {
			drop = drop || len(line) > len(name) && line[len(name)] == ':' && strings.EqualFold(line[:len(name)], name)
		}
		if !drop {
			kept = append(kept, line)
		}
	}
	q.header = kept
	return q
}

func (q request) with(lines ...string) request {
	q.header = append(append([]string(nil), q.header...), lines...)
	return q
}

// instead replaces the lines of a header by one.
func (q request) instead(name, value string) request {
	return q.without(name).with(name + ": " + value)
}

// post is a message as a client of the newest revision sends it.
func (t *Target) post(method, name, body string) request {
	host, _, _ := t.at()
	q := request{method: "POST", path: "/mcp", body: body, header: []string{
		"Host: " + host, "Content-Type: application/json", "Accept: application/json, text/event-stream", "Connection: close",
		"MCP-Protocol-Version: " + revision, "Mcp-Method: " + method, fmt.Sprintf("Content-Length: %d", len(body)),
	}}
	if name != "" {
		q.header = append(q.header, "Mcp-Name: "+name)
	}
	if t.Token != "" {
		q.header = append(q.header, "Authorization: Bearer "+t.Token)
	}
	return q
}

// list is the question that every instance answers, with more in its params.
func (t *Target) list(more string) request {
	return t.post("tools/list", "", `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{`+more+meta+`}}`)
}

// call is a call of a tool.
func (t *Target) call(tool, arguments string) request {
	return t.post("tools/call", tool, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`","arguments":`+arguments+`,`+meta+`}}`)
}

func (t *Target) reachable(ctx context.Context) error {
	conn, err := t.connect(ctx)
	if err != nil {
		return fmt.Errorf("reach %s: %w", t.URL, err)
	}
	_ = conn.Close()
	a, err := t.send(ctx, t.list(""))
	switch {
	case err != nil:
		return fmt.Errorf("ask %s for its tools: %w", t.URL, err)
	case a.status == http.StatusUnauthorized:
		return fmt.Errorf("%s asks for a token: give one that may list tools (--token or $DRAGOMAN_TOKEN)", t.URL)
	case !a.result():
		return fmt.Errorf("%s does not answer like a gateway: %s", t.URL, a)
	}
	return nil
}

// each tries requests that must be refused.
func (t *Target) each(ctx context.Context, r *Result, attacks map[string]request, refused func(answer) bool) error {
	for name, q := range attacks {
		a, err := t.send(ctx, q)
		if err != nil {
			return err
		}
		r.attack(refused(a), "%s: %s", name, a)
	}
	return nil
}

// passes tries requests that must be answered.
func (t *Target) passes(ctx context.Context, r *Result, harmless map[string]request) error {
	for name, q := range harmless {
		a, err := t.send(ctx, q)
		if err != nil {
			return err
		}
		r.harmless(a.result(), "%s: %s", name, a)
	}
	return nil
}

// noResult is a refusal in whatever form. A fault of the target's is none, nor is an answer that nobody can read.
func noResult(a answer) bool {
	_, failed := a.outcome()
	return turnedAway(a) || failed && a.status == http.StatusOK
}

// turnedAway is a refusal before anything was read of the message.
func turnedAway(a answer) bool { return a.status >= 400 && a.status < 500 || a.status == 0 }
