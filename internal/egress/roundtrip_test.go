package egress_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/google/go-cmp/cmp"
)

// echo answers with what it was asked, in a way that a test can choose.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("X-Method", r.Method)
	w.Header().Set("X-Length", fmt.Sprint(r.ContentLength))
	w.Header().Set("X-Host", r.Host)
	w.Header().Set("X-Agent", r.UserAgent())
	w.Header().Set("X-Uri", r.RequestURI)
	w.Header()["X-Two"] = []string{"a", "b"}
	if r.URL.Query().Get("flush") != "" {
		for len(body) > 1000 {
			_, _ = w.Write(body[:1000])
			body = body[1000:]
			w.(http.Flusher).Flush()
		}
	}
	_, _ = w.Write(body)
}

func TestARequestAndItsAnswerArriveWhole(t *testing.T) {
	s, conns := server(t, echo)
	rt := newNetwork(t, egress.Options{}).RoundTripper()
	big := strings.Repeat("0123456789abcdef", 1<<16)
	for _, tt := range []struct {
		name, method, path, body, length string
	}{
		{"a small body goes with the head", "POST", "/a?b=c%20d", "hello", "5"},
		{"a body of a megabyte is sent while the answer is awaited", "POST", "/", big, "1048576"},
		{"a chunked answer is put together", "POST", "/?flush=1", big[:100_000], "100000"},
		{"a GET has no body and no length", "GET", "/x", "", "0"},
		{"a POST without a body says so", "POST", "/x", "", "0"},
		{"a HEAD has no answer body", "HEAD", "/x", "", "0"},
		{"a DELETE reaches the peer", "DELETE", "/x", "", "0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := mustDo(t, rt, request(t, tt.method, s.URL+tt.path, tt.body))
			if body != tt.body {
				t.Errorf("body has %d bytes, want %d and equal", len(body), len(tt.body))
			}
			got := []string{resp.Header.Get("X-Method"), resp.Header.Get("X-Length"), resp.Header.Get("X-Agent"), resp.Header.Get("X-Uri")}
			want := []string{tt.method, tt.length, "dragoman", tt.path}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("request differs (-want +got):\n%s", d)
			}
			if d := cmp.Diff([]string{"a", "b"}, resp.Header["X-Two"]); d != "" {
				t.Errorf("repeated header differs:\n%s", d)
			}
		})
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections for requests one after the other, want 1", n)
	}
}

func TestABodyOfUnknownLengthIsSentWhole(t *testing.T) {
	s, conns := server(t, echo)
	rt := newNetwork(t, egress.Options{}).RoundTripper()
	for _, size := range []int{0, 1, 65535, 65536, 65537, 300_000} {
		content := bytes.Repeat([]byte{'x'}, size)
		req := request(t, "POST", s.URL, "")
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(content)), -1
		resp, body := mustDo(t, rt, req)
		want := fmt.Sprint(size)
		if size > 65536 {
			want = "-1"
		}
		if body != string(content) || resp.Header.Get("X-Length") != want {
			t.Errorf("size %d: %d bytes came back, length said to be %s, want %s", size, len(body), resp.Header.Get("X-Length"), want)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestABodyThatIsNotAsLongAsSaidIsAnError(t *testing.T) {
	s, _ := server(t, echo)
	rt := newNetwork(t, egress.Options{}).RoundTripper()
	for _, tt := range []struct {
		name          string
		said, content int
	}{
		{"shorter", 5, 4}, {"longer", 5, 6}, {"empty", 5, 0},
		{"shorter and large", 200_000, 199_999}, {"longer and large", 200_000, 200_001},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := request(t, "POST", s.URL, "")
			req.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", tt.content)))
			req.ContentLength = int64(tt.said)
			if _, _, err := do(rt, req); err == nil || !strings.Contains(err.Error(), "ContentLength") {
				t.Errorf("error is %v, want one about ContentLength", err)
			}
		})
	}
}

func TestWhatWouldSplitARequestIsRefusedBeforeItIsSent(t *testing.T) {
	s, conns := server(t, echo)
	rt := newNetwork(t, egress.Options{}).RoundTripper()
	for _, tt := range []struct {
		name   string
		change func(*http.Request)
	}{
		{"line break in a value", func(r *http.Request) { r.Header.Set("A", "b\r\nC: d") }},
		{"line break in a name", func(r *http.Request) { r.Header["A\r\nB"] = []string{"c"} }},
		{"NUL in a value", func(r *http.Request) { r.Header.Set("A", "\x00") }},
		{"space in the query", func(r *http.Request) { r.URL.RawQuery = "a HTTP/1.1\r\nX: y" }},
		{"space in the method", func(r *http.Request) { r.Method = "GET /x" }},
		{"line break in the host", func(r *http.Request) { r.Host = "a\r\nb" }},
		{"a scheme that is none", func(r *http.Request) { r.URL.Scheme = "ftp" }},
		{"no host", func(r *http.Request) { r.URL.Host = "" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := request(t, "GET", s.URL, "")
			tt.change(req)
			_, _, err := do(rt, req)
			if !errors.Is(err, egress.ErrNotSent) {
				t.Errorf("error is %v, want one that wraps ErrNotSent", err)
			}
		})
	}
	if n := conns.Load(); n != 0 {
		t.Errorf("%d connections were opened, want none", n)
	}
}

func TestTheCallerCannotChangeTheFraming(t *testing.T) {
	s, _ := server(t, echo)
	rt := newNetwork(t, egress.Options{}).RoundTripper()
	req := request(t, "POST", s.URL, "hello")
	req.Header["content-length"] = []string{"3"}
	req.Header["transfer-ENCODING"] = []string{"chunked"}
	req.Header["host"] = []string{"elsewhere"}
	resp, body := mustDo(t, rt, req)
	if body != "hello" || resp.Header.Get("X-Host") != strings.TrimPrefix(s.URL, "http://") {
		t.Errorf("body is %q, host %q", body, resp.Header.Get("X-Host"))
	}
}

func TestRedirectsAreHandedToTheCaller(t *testing.T) {
	var hits sync.Map
	s, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		hits.Store(r.URL.Path, r.Header.Get("Authorization"))
		http.Redirect(w, r, "/secret", http.StatusTemporaryRedirect)
	})
	n := newNetwork(t, egress.Options{})
	req := request(t, "POST", s.URL+"/first", "x")
	req.Header.Set("Authorization", "Bearer t")
	resp, err := n.HTTPClient().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, followed := hits.Load("/secret"); followed || resp.StatusCode != 307 {
		t.Errorf("status %d, followed %v; want 307 and not followed", resp.StatusCode, followed)
	}
}

func TestEventsAreReadAsTheyCome(t *testing.T) {
	next := make(chan string)
	s, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		for event := range next {
			_, _ = io.WriteString(w, event)
			w.(http.Flusher).Flush()
		}
	})
	n := newNetwork(t, egress.Options{})
	resp, err := n.RoundTripper().RoundTrip(request(t, "GET", s.URL, ""))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	for _, event := range []string{"data: 1\n\n", "data: two\n\n", "data: " + strings.Repeat("x", 3000) + "\n\n"} {
		next <- event
		got := ""
		for len(got) < len(event) {
			k, err := resp.Body.Read(buf)
			if err != nil {
				t.Fatalf("read: %v", err)
			}
			got += string(buf[:k])
		}
		if got != event {
			t.Errorf("got %q, want %q", got, event)
		}
	}
	close(next)
	if k, err := resp.Body.Read(buf); k != 0 || err != io.EOF {
		t.Errorf("at the end: %d bytes, %v; want 0 and EOF", k, err)
	}
	if _, idle := n.Own().Open(); idle != 1 {
		t.Errorf("%d idle connections after the stream has ended, want 1", idle)
	}
}

func TestTheContextEndsEveryWait(t *testing.T) {
	release := make(chan struct{})
	s, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	n := newNetwork(t, egress.Options{})
	for _, path := range []string{"/head", "/body"} {
		for _, how := range []string{"deadline", "cancel"} {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			want := context.DeadlineExceeded
			if how == "cancel" {
				cancel()
				ctx, cancel = context.WithCancel(t.Context())
				time.AfterFunc(30*time.Millisecond, cancel)
				want = context.Canceled
			}
			_, _, err := do(n.RoundTripper(), request(t, "POST", s.URL+path, "x").WithContext(ctx))
			if !errors.Is(err, want) || errors.Is(err, egress.ErrNotSent) {
				t.Errorf("%s of %s: error is %v, want %v and not ErrNotSent", how, path, err, want)
			}
			cancel()
		}
	}
	until(t, "connections are closed", func() bool { open, _ := n.Own().Open(); return open == 0 })
}

func TestAnEndedContextSendsNothing(t *testing.T) {
	s, conns := server(t, echo)
	n := newNetwork(t, egress.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := do(n.RoundTripper(), request(t, "POST", s.URL, "x").WithContext(ctx))
	if !errors.Is(err, context.Canceled) || !errors.Is(err, egress.ErrNotSent) || conns.Load() != 0 {
		t.Errorf("error is %v with %d connections", err, conns.Load())
	}
}

func TestEachAddressIsJudgedAfterResolution(t *testing.T) {
	s, conns := server(t, echo)
	var asked []netip.AddrPort
	var mu sync.Mutex
	refused := errors.New("not this one")
	n := newNetwork(t, egress.Options{Allow: func(a netip.AddrPort) error {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, a)
		return refused
	}})
	name := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	_, _, err := do(n.RoundTripper(), request(t, "GET", name, ""))
	if !errors.Is(err, refused) || !errors.Is(err, egress.ErrNotSent) || conns.Load() != 0 {
		t.Errorf("error is %v with %d connections, want a refusal and none", err, conns.Load())
	}
	mu.Lock()
	defer mu.Unlock()
	for _, a := range asked {
		if !a.Addr().IsLoopback() || a.Addr().Is4In6() {
			t.Errorf("judged %v, want an unmapped loopback address", a)
		}
	}
	if len(asked) == 0 {
		t.Error("nothing was judged")
	}
}

func tlsServer(t *testing.T, protocols ...string) (*httptest.Server, egress.Options) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Proto", r.Proto)
		echo(w, r)
	}))
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{NextProtos: protocols}
	if !slices.Contains(protocols, "http/1.1") { // crypto/tls lets HTTP/1.1 in beside h2, unless h2 goes by another name
		s.TLS.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if slices.Contains(hello.SupportedProtos, "h2") {
				return nil, nil
			}
			c := s.TLS.Clone()
			c.NextProtos = []string{"something else"}
			return c, nil
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s, egress.Options{TLS: &tls.Config{RootCAs: roots, ServerName: "example.com"}}
}

func TestTLSConnectionsAreKeptAndChecked(t *testing.T) {
	s, o := tlsServer(t, "h2", "http/1.1")
	n := newNetwork(t, o)
	big := strings.Repeat("0123456789abcdef", 1<<14)
	for range 5 {
		resp, body := mustDo(t, n.RoundTripper(), request(t, "POST", s.URL, big))
		if body != big || resp.Header.Get("X-Proto") != "HTTP/1.1" || resp.TLS == nil {
			t.Fatalf("proto %s, %d bytes, TLS %v", resp.Header.Get("X-Proto"), len(body), resp.TLS != nil)
		}
	}
	if open, idle := n.Own().Open(); open != 1 || idle != 1 {
		t.Errorf("%d open, %d idle; want 1 and 1", open, idle)
	}
	stranger := newNetwork(t, egress.Options{})
	if _, _, err := do(stranger.RoundTripper(), request(t, "GET", s.URL, "")); !errors.Is(err, egress.ErrNotSent) {
		t.Errorf("unknown certificate: error is %v, want ErrNotSent", err)
	}
}

func TestAPeerThatOnlySpeaksHTTP2IsReached(t *testing.T) {
	s, o := tlsServer(t, "h2")
	n := newNetwork(t, o)
	big := strings.Repeat("x", 200_000)
	for _, body := range []string{"hello", "", big} {
		resp, got := mustDo(t, n.RoundTripper(), request(t, "POST", s.URL, body))
		if got != body || resp.ProtoMajor != 2 || resp.Header.Get("X-Agent") != "dragoman" {
			t.Errorf("%s, %d bytes, agent %q; want HTTP/2 and %d bytes", resp.Proto, len(got), resp.Header.Get("X-Agent"), len(body))
		}
	}
}

func TestAProxyIsUsedWhereOneIsNamed(t *testing.T) {
	proxy, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "proxied "+r.RequestURI)
	})
	direct, _ := server(t, echo)
	at, _ := url.Parse(proxy.URL)
	n := newNetwork(t, egress.Options{Proxy: func(r *http.Request) (*url.URL, error) {
		if r.URL.Hostname() == "upstream.test" {
			return at, nil
		}
		return nil, nil
	}})
	if _, body := mustDo(t, n.RoundTripper(), request(t, "GET", "http://upstream.test/x", "")); body != "proxied http://upstream.test/x" {
		t.Errorf("body is %q", body)
	}
	if _, body := mustDo(t, n.RoundTripper(), request(t, "POST", direct.URL, "straight")); body != "straight" {
		t.Errorf("body is %q", body)
	}
}

func TestManyCallersGetTheirOwnAnswers(t *testing.T) {
	s, conns := server(t, echo)
	n := newNetwork(t, egress.Options{})
	p := n.Pool(egress.Limits{ConnsPerHost: 8})
	defer p.Close()
	var all sync.WaitGroup
	for worker := range 32 {
		all.Go(func() {
			for i := range 50 {
				seed := sha256.Sum256(fmt.Appendf(nil, "%d/%d", worker, i))
				want := strings.Repeat(fmt.Sprintf("%x", seed), 1+i*7)
				path := "/"
				if i%3 == 0 {
					path = "/?flush=1"
				}
				_, got, err := do(p, request(t, "POST", s.URL+path, want))
				if err != nil || got != want {
					t.Errorf("worker %d, call %d: %v, equal %v", worker, i, err, got == want)
					return
				}
			}
		})
	}
	all.Wait()
	if c := conns.Load(); c > 8 {
		t.Errorf("%d connections, want 8 at most", c)
	}
}
