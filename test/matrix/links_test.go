package matrix

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"

	"github.com/dragoman-mcp/dragoman/internal/app"
)

// lasting is a link over one connection for everything.
type lasting struct {
	write func(text []byte) error
	end   func()
	done  sync.WaitGroup
}

func (l *lasting) send(_ context.Context, msg any, _ *pending) error { return l.write(encode(msg)) }
func (l *lasting) cancel(*pending) bool                              { return false }

func (l *lasting) close() {
	l.end()
	l.done.Wait()
}

// takeText gives what came on a connection to c: a message, or for 2025-03-26 a
// batch of them.
func (c *client) takeText(text []byte, via *pending) {
	v, err := decode(text)
	if err != nil {
		c.fault("what came is no JSON: %v", err)
		return
	}
	switch v := v.(type) {
	case obj:
		c.take(v, via)
	case list:
		if c.rev != rev2503 {
			c.fault("a batch came, which %s does not know", c.rev)
		}
		for i := range v {
			c.take(objectAt(v, i), via)
		}
	default:
		c.fault("what came is no message: %.100s", text)
	}
}

// connectStdio lets the gateway serve c on two pipes, as dragoman stdio does.
func connectStdio(a *app.App, c *client, server string) error {
	in, toGateway, err := os.Pipe()
	if err != nil {
		return err
	}
	fromGateway, out, err := os.Pipe()
	if err != nil {
		return err
	}
	var mu sync.Mutex
	l := &lasting{
		write: func(text []byte) error {
			mu.Lock()
			defer mu.Unlock()
			_, err := toGateway.Write(append(text, '\n'))
			return err
		},
		end: func() { _ = toGateway.Close() },
	}
	l.done.Go(func() {
		if err := a.ServeStdio(context.Background(), in, out, server); err != nil {
			c.fault("stdio ended: %v", err)
		}
		_, _ = in.Close(), out.Close()
	})
	l.done.Go(func() {
		defer fromGateway.Close()
		lines := bufio.NewReader(fromGateway)
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return
			}
			c.takeText(line, nil)
		}
	})
	c.link = l
	return nil
}

// pathOf is the path of an endpoint; empty is that of all servers.
func pathOf(base, endpoint string) string {
	if endpoint == "" {
		return base
	}
	return base + "/" + endpoint
}

// connectSocket opens a WebSocket.
func connectSocket(addr string, c *client, server string) error {
	sock, err := dialSocket(addr, pathOf("/mcp", server))
	if err != nil {
		return err
	}
	l := &lasting{write: sock.send, end: sock.close}
	l.done.Go(func() {
		for {
			text, err := sock.receive()
			if err != nil {
				return
			}
			c.takeText(text, nil)
		}
	})
	c.link = l
	return nil
}

// connectSSE opens the stream of HTTP+SSE and waits for the endpoint that it names.
func connectSSE(addr string, c *client, server string) error {
	ctx, cancel := context.WithCancel(context.Background())
	base := &url.URL{Scheme: "http", Host: addr, Path: pathOf("/sse", server)}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.String(), nil)
	if err != nil {
		cancel()
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	transport := &http.Transport{}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		cancel()
		return err
	}
	if resp.StatusCode != http.StatusOK {
		cancel()
		_ = resp.Body.Close()
		return fmt.Errorf("GET was answered with %s", resp.Status)
	}
	endpoint := make(chan string, 1)
	l := &lasting{end: func() { cancel(); transport.CloseIdleConnections() }}
	l.done.Go(func() {
		defer resp.Body.Close()
		_ = readEvents(resp.Body, func(e event) {
			if e.kind == "endpoint" {
				endpoint <- e.data
				return
			}
			c.takeText([]byte(e.data), nil)
		})
	})
	c.link = l
	var target *url.URL
	select {
	case rest := <-endpoint:
		if target, err = base.Parse(rest); err != nil {
			return err
		}
	case <-c.ctx.Done():
		return errors.New("no endpoint was named")
	}
	l.write = func(text []byte) error {
		resp, err := postTo(ctx, transport, target.String(), text)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted && resp.StatusCode != http.StatusOK {
			return fmt.Errorf("POST was answered with %s", resp.Status)
		}
		return nil
	}
	return nil
}

func postTo(ctx context.Context, rt http.RoundTripper, target string, text []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	return rt.RoundTrip(req)
}

// event is a server-sent event.
type event struct{ kind, id, data string }

// readEvents reads events until the stream ends.
func readEvents(r io.Reader, take func(event)) error {
	lines := bufio.NewReader(r)
	var e event
	var data []string
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		field, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			e.kind = value
		case "id":
			e.id = value
		case "data":
			data = append(data, value)
		case "":
			if strings.TrimRight(line, "\r\n") != "" { // a comment
				continue
			}
			if data != nil {
				e.data = strings.Join(data, "\n")
				take(e)
			}
			e, data = event{}, nil
		}
	}
}

// web is a link over Streamable HTTP.
type web struct {
	c         *client
	target    string
	transport *http.Transport
	work      sync.WaitGroup

	mu      sync.Mutex // guards what follows
	session string
	aborts  map[*pending]context.CancelFunc
}

func connectHTTP(addr string, c *client, server string) error {
	c.link = &web{c: c, target: "http://" + addr + pathOf("/mcp", server), transport: &http.Transport{}, aborts: map[*pending]context.CancelFunc{}}
	return nil
}

func (w *web) headers(msg any) http.Header {
	h := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	o, _ := msg.(obj)
	if w.c.modern() {
		params := objectAt(o, "params")
		h.Set("Mcp-Protocol-Version", revModern)
		h.Set("Mcp-Method", textAt(o, "method"))
		switch o["method"] {
		case "tools/call", "prompts/get":
			h.Set("Mcp-Name", wrap(textAt(params, "name")))
		case "resources/read":
			h.Set("Mcp-Name", wrap(textAt(params, "uri")))
		}
		for header, value := range objectAt(params, "_meta", "test/headers") {
			text, _ := value.(string)
			h.Set(header, wrap(text))
		}
		return h
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.session != "" {
		h.Set("Mcp-Session-Id", w.session)
		if w.c.rev >= rev2506 {
			h.Set("Mcp-Protocol-Version", w.c.rev)
		}
	}
	return h
}

func (w *web) request(ctx context.Context, method string, h http.Header, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = h
	return w.transport.RoundTrip(req)
}

// send implements link. A call's answer is read behind the caller's back; what
// wants no answer is acknowledged before send returns.
func (w *web) send(_ context.Context, msg any, p *pending) error {
	ctx, abort := context.WithCancel(w.c.ctx)
	if p == nil {
		defer abort()
		resp, err := w.request(ctx, http.MethodPost, w.headers(msg), encode(msg))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted {
			return fmt.Errorf("POST was answered with %s", resp.Status)
		}
		if o, _ := msg.(obj); o["method"] == "notifications/initialized" {
			w.listen()
		}
		return nil
	}
	w.mu.Lock()
	w.aborts[p] = abort
	w.mu.Unlock()
	w.work.Go(func() {
		defer abort()
		if err := w.call(ctx, msg, p); err != nil && ctx.Err() == nil {
			w.c.fault("%s: %v", p.method, err)
		}
	})
	return nil
}

func (w *web) call(ctx context.Context, msg any, p *pending) error {
	resp, err := w.request(ctx, http.MethodPost, w.headers(msg), encode(msg))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	p.mu.Lock()
	p.status = resp.StatusCode
	p.mu.Unlock()
	if id := resp.Header.Get("Mcp-Session-Id"); id != "" && p.method == "initialize" {
		w.mu.Lock()
		w.session = id
		w.mu.Unlock()
	}
	kind := resp.Header.Get("Content-Type")
	switch {
	case resp.StatusCode == http.StatusAccepted:
		return nil // cancelled: there is no response
	case strings.HasPrefix(kind, "application/json"):
		text, err := io.ReadAll(resp.Body)
		if err == nil {
			w.c.takeText(text, p)
		}
		return err
	case strings.HasPrefix(kind, "text/event-stream"):
		err := readEvents(resp.Body, func(e event) {
			if ctx.Err() == nil { // the connection may outlive its end by a moment
				w.take(e, p)
			}
		})
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return err
	}
	return fmt.Errorf("answered with %s and %s", resp.Status, kind)
}

func (w *web) take(e event, p *pending) {
	if p != nil && e.id != "" {
		p.mu.Lock()
		p.lastID = e.id
		p.mu.Unlock()
	}
	if e.kind != "" && e.kind != "message" {
		w.c.fault("event of type %s", e.kind)
	}
	if e.data != "" { // the first event of 2025-11-25 has none
		w.c.takeText([]byte(e.data), p)
	}
}

// listen opens the standalone stream, and returns when it is open.
func (w *web) listen() {
	open := make(chan struct{})
	w.work.Go(func() {
		once := sync.OnceFunc(func() { close(open) })
		defer once()
		h := w.headers(nil)
		h.Set("Accept", "text/event-stream")
		resp, err := w.request(w.c.ctx, http.MethodGet, h, nil)
		if err != nil {
			w.c.fault("GET: %v", err)
			return
		}
		defer resp.Body.Close()
		once()
		if resp.StatusCode != http.StatusOK {
			w.c.fault("GET was answered with %s", resp.Status)
			return
		}
		_ = readEvents(resp.Body, func(e event) { w.take(e, nil) })
	})
	<-open
}

// drop lets the connection of p break, as networks do.
func (w *web) drop(p *pending) {
	w.mu.Lock()
	abort := w.aborts[p]
	w.mu.Unlock()
	abort()
}

// resume asks for the rest of p's stream.
func (w *web) resume(p *pending) {
	w.work.Go(func() {
		h := w.headers(nil)
		h.Set("Accept", "text/event-stream")
		p.mu.Lock()
		h.Set("Last-Event-Id", p.lastID)
		p.mu.Unlock()
		resp, err := w.request(w.c.ctx, http.MethodGet, h, nil)
		if err != nil {
			w.c.fault("GET with Last-Event-ID: %v", err)
			return
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			w.c.fault("GET with Last-Event-ID was answered with %s", resp.Status)
		}
		_ = readEvents(resp.Body, func(e event) { w.take(e, p) })
	})
}

func (w *web) cancel(p *pending) bool {
	if !w.c.modern() {
		return false
	}
	w.drop(p)
	return true
}

func (w *web) close() {
	w.mu.Lock()
	session := w.session
	w.mu.Unlock()
	if session != "" {
		// The client's own context has ended.
		resp, err := w.request(context.Background(), http.MethodDelete, w.headers(nil), nil)
		if err == nil {
			_ = resp.Body.Close()
		}
	}
	w.work.Wait()
	w.transport.CloseIdleConnections()
}
