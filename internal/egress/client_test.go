package egress_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/dragoman-mcp/dragoman/internal/egress"
)

// away gives a client for which the given names mean this machine.
func away(t testing.TB, o egress.ClientOptions, hosts ...string) *http.Client {
	t.Helper()
	lookup := names{"secret.internal": {"127.0.0.1"}, "metadata.example": {"169.254.169.254"}}
	for _, h := range hosts {
		lookup[h] = []string{"127.0.0.1"}
	}
	return newNetwork(t, egress.Options{Guard: newGuard(t, egress.Policy{Allow: hosts}, lookup)}).Client(o)
}

func port(s *httptest.Server) string { return s.URL[strings.LastIndexByte(s.URL, ':'):] }

func TestEachRedirectIsJudgedFromTheStart(t *testing.T) {
	var target string
	asked := map[string]int{}
	s, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		asked[r.Host]++
		switch r.URL.Path {
		case "/go":
			http.Redirect(w, r, target, http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		}
	})
	client := away(t, egress.ClientOptions{}, "a.example", "b.example")
	at := "http://a.example" + port(s)
	for to, open := range map[string]bool{
		"http://b.example" + port(s) + "/":        true,
		"/here":                                   true,
		"http://secret.internal" + port(s) + "/":  false,
		"http://127.0.0.1" + port(s) + "/":        false,
		"http://metadata.example/":                false,
		"http://2130706433" + port(s) + "/":       false,
		"http://user:pw@b.example" + port(s):      false,
		"file:///etc/passwd":                      false,
		"gopher://b.example" + port(s) + "/_x":    false,
		"//127.0.0.1" + port(s) + "/":             false,
		"http://[::ffff:127.0.0.1]" + port(s):     false,
		"http://b.example\\@127.0.0.1" + port(s):  false,
		"http://localhost%00.b.example" + port(s): false,
	} {
		target = to
		res, err := client.Get(at + "/go")
		if err == nil {
			_ = res.Body.Close()
		}
		if (err == nil) != open {
			t.Errorf("redirect to %s: got %v, want open = %v", to, err, open)
		}
	}
	if _, err := client.Get(at + "/loop"); !errors.Is(err, egress.ErrRefused) {
		t.Errorf("endless redirects: got %v, want ErrRefused", err)
	}
	for host := range asked {
		if !strings.HasPrefix(host, "a.example") && !strings.HasPrefix(host, "b.example") {
			t.Errorf("a request for %s arrived", host)
		}
	}
	target = "/elsewhere"
	res, err := away(t, egress.ClientOptions{MaxRedirects: -1}, "a.example").Get(at + "/go")
	if err != nil || res.StatusCode != http.StatusFound {
		t.Fatalf("without redirects: got %v, %v, want 302", res, err)
	}
	_ = res.Body.Close()
}

func TestAClientJudgesSchemeAndPortOfEachURL(t *testing.T) {
	s, conns := server(t, func(http.ResponseWriter, *http.Request) {})
	for _, policy := range []egress.Policy{{Schemes: []string{"https"}, Private: true}, {Ports: []uint16{443}, Private: true},
		{Only: []string{"other.example"}, Private: true}, {Deny: []string{"a.example"}, Private: true}} {
		n := newNetwork(t, egress.Options{Guard: newGuard(t, policy, names{"a.example": {"127.0.0.1"}})})
		res, err := n.Client(egress.ClientOptions{}).Get("http://a.example" + port(s))
		if err == nil {
			_ = res.Body.Close()
		}
		if !errors.Is(err, egress.ErrRefused) || conns.Load() != 0 {
			t.Errorf("%+v: got %v and %d connections, want ErrRefused and none", policy, err, conns.Load())
		}
	}
}

func TestCredentialsStayWithTheirOrigin(t *testing.T) {
	var got []http.Header
	var chain []string
	s, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Clone())
		if len(got) <= len(chain) {
			http.Redirect(w, r, chain[len(got)-1], http.StatusTemporaryRedirect)
		}
	})
	client := away(t, egress.ClientOptions{}, "a.example", "b.example", "sub.a.example")
	at := func(host string) string { return "http://" + host + port(s) + "/?token=in-path" }
	secrets := []string{"Authorization", "Cookie", "X-Api-Key", "Proxy-Authorization", "Www-Authenticate", "Mcp-Session-Id"}
	send := func(method string, body io.Reader) error {
		req, _ := http.NewRequestWithContext(t.Context(), method, at("a.example"), body)
		for _, name := range secrets {
			req.Header.Set(name, "secret")
		}
		req.Header.Set("Accept", "text/html")
		res, err := client.Do(req)
		if err == nil {
			_ = res.Body.Close()
		}
		return err
	}
	for name, c := range map[string]struct {
		chain []string
		kept  bool
	}{
		"the same origin keeps them":               {[]string{"/other"}, true},
		"another host loses them":                  {[]string{at("b.example")}, false},
		"a host below loses them":                  {[]string{at("sub.a.example")}, false},
		"coming back does not bring them back":     {[]string{at("b.example"), at("a.example")}, false},
		"going on after the return does not, too":  {[]string{at("b.example"), at("a.example"), "/more"}, false},
		"two steps in the same origin keep them":   {[]string{"/one", "/two"}, true},
		"leaving after a step at home loses them.": {[]string{"/one", at("b.example")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, chain = nil, c.chain
			if err := send(http.MethodGet, nil); err != nil {
				t.Fatal(err)
			}
			last := got[len(got)-1]
			for _, name := range secrets {
				if (last.Get(name) != "") != c.kept {
					t.Errorf("%s arrived = %v, want %v", name, last.Get(name) != "", c.kept)
				}
			}
			if last.Get("Accept") != "text/html" || last.Get("Referer") != "" {
				t.Errorf("Accept is %q and Referer %q, want text/html and none", last.Get("Accept"), last.Get("Referer"))
			}
		})
	}
	got, chain = nil, []string{at("b.example")}
	if err := send(http.MethodPost, strings.NewReader("password=1")); !errors.Is(err, egress.ErrRefused) || len(got) != 1 {
		t.Errorf("a body was sent on to another origin: %v, %d requests", err, len(got))
	}
}

func packed(t testing.TB, coding string, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "br":
		w = brotli.NewWriterLevel(&b, 1)
	case "zstd":
		z, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		w = z
	}
	_, _ = w.Write(text)
	_ = w.Close()
	return b.Bytes()
}

func TestBodiesAreDecompressedAndBoundedAfterwards(t *testing.T) {
	text := []byte(strings.Repeat("All work and no play. ", 1000))
	bomb := make([]byte, 8<<20)
	bodies := map[string][]byte{}
	for _, coding := range []string{"gzip", "br", "zstd"} {
		bodies["/text/"+coding], bodies["/bomb/"+coding] = packed(t, coding, text), packed(t, coding, bomb)
	}
	s, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		coding := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		if coding != "plain" {
			w.Header().Set("Content-Encoding", coding)
		}
		if body, ok := bodies[r.URL.Path]; ok {
			_, _ = w.Write(body)
			return
		}
		_, _ = w.Write(text)
	})
	get := func(path string, limit int64) (string, error) {
		res, err := away(t, egress.ClientOptions{MaxBodyBytes: limit}, "a.example").Get("http://a.example" + port(s) + path)
		if err != nil {
			return "", err
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		return string(body), err
	}
	for _, coding := range []string{"gzip", "br", "zstd"} {
		if got, err := get("/text/"+coding, 100<<20); got != string(text) || err != nil {
			t.Errorf("%s: got %d bytes, %v; want %d", coding, len(got), err, len(text))
		}
		if got, err := get("/bomb/"+coding, 100<<20); len(got) > 4<<20 || !errors.Is(err, egress.ErrTooLarge) {
			t.Errorf("%s bomb: got %d bytes, %v; want ErrTooLarge early", coding, len(got), err)
		}
	}
	if got, err := get("/text/gzip", int64(len(text))); got != string(text) || err != nil {
		t.Errorf("at the limit: got %d bytes, %v; want %d", len(got), err, len(text))
	}
	if got, err := get("/text/gzip", int64(len(text))-1); len(got) != len(text)-1 || !errors.Is(err, egress.ErrTooLarge) {
		t.Errorf("above the limit: got %d bytes, %v; want ErrTooLarge", len(got), err)
	}
	if got, err := get("/plain", int64(len(text))-1); !errors.Is(err, egress.ErrTooLarge) {
		t.Errorf("plain above the limit: got %d bytes, %v; want ErrTooLarge", len(got), err)
	}
	if _, err := get("/gzip, gzip", 0); !errors.Is(err, egress.ErrCoding) {
		t.Errorf("twice compressed: got %v, want ErrCoding", err)
	}
}

func TestARequestHasOneDeadlineForEverything(t *testing.T) {
	stop := make(chan struct{})
	s, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/go" {
			http.Redirect(w, r, "/drip", http.StatusFound)
			return
		}
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			_, _ = fmt.Fprint(w, ".")
			w.(http.Flusher).Flush()
			select {
			case <-stop:
				return
			case <-r.Context().Done():
				return
			case <-tick.C:
			}
		}
	})
	defer close(stop)
	began := time.Now()
	res, err := away(t, egress.ClientOptions{Timeout: 300 * time.Millisecond}, "a.example").Get("http://a.example" + port(s) + "/go")
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	var timeout interface{ Timeout() bool }
	if !errors.As(err, &timeout) && !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 2*time.Minute {
		t.Errorf("got %v after %s, want a timeout after 300ms", err, time.Since(began))
	}
}

// An origin that was open the last time is not judged again, and nothing else passes with it.
func TestWhatWasOpenBeforeOpensNothingElse(t *testing.T) {
	s, conns := server(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) })
	rt := newNetwork(t, egress.Options{Guard: newGuard(t, egress.Policy{Allow: []string{"a.example"}}, names{"a.example": {"127.0.0.1"}, "b.example": {"127.0.0.1"}})}).
		Transport(egress.ClientOptions{})
	at := "a.example" + port(s)
	send := func(u *url.URL) (string, error) {
		res, err := rt.RoundTrip((&http.Request{Method: http.MethodGet, URL: u}).WithContext(t.Context()))
		if err != nil {
			return "", err
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		return string(body), err
	}
	for range 2 { // the second time it is known
		for want, u := range map[string]*url.URL{
			"/x?y=1":        {Scheme: "http", Host: at, Path: "/x", RawQuery: "y=1"},
			"/":             {Scheme: "http", Host: at},
			"/a%2Fb/%C3%A4": {Scheme: "http", Host: at, Path: "/a/b/ä", RawPath: "/a%2Fb/%C3%A4"},
			"/without":      {Scheme: "http", Host: at, Path: "without"},
		} {
			if got, err := send(u); got != want || err != nil {
				t.Errorf("%v: got %q, %v, want %q", u, got, err, want)
			}
		}
		before := conns.Load()
		for _, u := range []*url.URL{
			{Scheme: "http", Host: "b.example" + port(s), Path: "/"},
			{Scheme: "https", Host: "169.254.169.254", Path: "/"},
			{Scheme: "ftp", Host: at, Path: "/"},
			{Scheme: "http", Host: at, Path: "/", User: url.User("somebody")},
			{Scheme: "http", Host: at, Path: "/", RawQuery: "x=\\@b.example"},
			{Scheme: "http", Host: at, Path: "/", RawQuery: "x y"},
			{Scheme: "http", Host: at, Path: "/", RawQuery: "\u202e"},
			{Scheme: "http", Host: at, Path: "/", RawQuery: strings.Repeat("x", 9<<10)},
			{Scheme: "http", Host: at, Opaque: "//b.example/"},
		} {
			if got, err := send(u); !errors.Is(err, egress.ErrRefused) {
				t.Errorf("%#v: got %q, %v, want ErrRefused", u, got, err)
			}
		}
		if conns.Load() != before {
			t.Errorf("%d connections were made for what is closed", conns.Load()-before)
		}
	}
}
