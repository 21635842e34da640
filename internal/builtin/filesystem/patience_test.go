package filesystem

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestPatience(t *testing.T) {
	release := make(chan struct{})
	at := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/silent") {
			<-release
		}
		_, _ = io.WriteString(w, "begins")
		if r.URL.Path == "/slow" {
			w.(http.Flusher).Flush()
			<-time.After(50 * time.Millisecond)
			_, _ = io.WriteString(w, " and ends")
		}
	}))
	defer at.Close()
	defer close(release)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	for _, tc := range []struct {
		name, path, body string
		wait             time.Duration
		want             string
		err              error
	}{
		{"an answer that does not begin is an error", "/silent", "", 10 * time.Millisecond, "", errSilent},
		{"an answer that has begun may take its time", "/slow", "", time.Hour, "begins and ends", nil},
		{"a request with a body may take its time", "/slow", "body", time.Nanosecond, "begins and ends", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var body io.Reader
			if tc.body != "" {
				body = strings.NewReader(tc.body)
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at.URL+tc.path, body)
			if err != nil {
				t.Fatal(err)
			}
			a, err := patient{transport, tc.wait}.RoundTrip(r)
			if !errors.Is(err, tc.err) {
				t.Fatalf("got %v, want %v", err, tc.err)
			}
			if err != nil {
				return
			}
			text, err := io.ReadAll(a.Body)
			if err := errors.Join(err, a.Body.Close()); string(text) != tc.want || err != nil {
				t.Errorf("got %q, %v, want %q", text, err, tc.want)
			}
		})
	}
}
