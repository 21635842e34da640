package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fakeGateway stands for a gateway with one server in the tests of how one is started, asked and stopped: it reads the file that was
// written for it, takes the server's prefix off, has metrics, logs, and ends at SIGTERM.
func fakeGateway(config string) error {
	text, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	listen := regexp.MustCompile(`(?m)^listen: (\S+)$`).FindSubmatch(text)
	server := regexp.MustCompile(`(?m)^  up: \{url: (\S+)/mcp\}$`).FindSubmatch(text)
	upstream, err := url.Parse(string(server[1]))
	if err != nil {
		return err
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(upstream)
		r.Out.URL.Path = "/mcp"
	}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "calls_total 1\n") })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/mcp" {
			body = bytes.Replace(body, []byte(`"up__`), []byte(`"`), 1)
			r.Header.Set("Mcp-Name", strings.TrimPrefix(r.Header.Get("Mcp-Name"), "up__"))
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		proxy.ServeHTTP(w, r)
	})
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s := &http.Server{Addr: string(listen[1]), Handler: mux, ReadHeaderTimeout: time.Second}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	println("a line of log")
	if err := s.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}

func TestAGatewayIsStartedFromAFileAndAskedByItsNames(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range []string{"aggregate", "server"} {
		t.Run(route, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run([]string{"-gateway", self, "-gateway-args", "fake-gateway {config}", "-route", route, "-rounds", "1", "-warm", "1ms",
				"-window", "40ms", "-scenarios", "start,idle,c1,m16,mb,list1000m", "-o", "json"}, &stdout, &stderr)
			if code != exitRight {
				t.Fatalf("exit code %d, want %d; it said:\n%s", code, exitRight, stderr.Bytes())
			}
			var r report
			if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
				t.Fatal(err)
			}
			all := strings.Join(r.Remarks, "\n")
			if !strings.Contains(all, "/metrics has 14 bytes, the log 14") || strings.Contains(all, "METRICS ARE OFF") || strings.Contains(all, "killed") {
				t.Errorf("remarks %q, want metrics and log of 14 bytes each and an orderly end", all)
			}
		})
	}
}
