package h1_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/dragoman-mcp/dragoman/test/bench/h1"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReaderReadsMessagesOneAfterAnother(t *testing.T) {
	const wire = "POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" +
		"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10;x=y\r\n0123456789abcdef\r\n0\r\n\r\n" +
		"GET /s HTTP/1.1\r\nACCEPT:  text/event-stream \r\n\r\n" +
		"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n" +
		"HTTP/1.1 200 OK\r\n\r\nuntil the end"
	want := []string{"hello", "abc0123456789abcdef", "", "", "until the end"}
	for name, from := range map[string]io.Reader{
		"whole":        strings.NewReader(wire),
		"byte by byte": iotest.OneByteReader(strings.NewReader(wire)),
	} {
		t.Run(name, func(t *testing.T) {
			r := h1.NewReader(from, 16)
			var m h1.Message
			for i, body := range want {
				if err := errors.Join(r.ReadHead(&m), r.ReadBody(&m)); err != nil {
					t.Fatalf("message %d: %v", i, err)
				}
				if string(m.Body) != body {
					t.Errorf("message %d: body %q, want %q", i, m.Body, body)
				}
				if got := string(m.Get("accept")); i == 2 && got != "text/event-stream" {
					t.Errorf("message %d: accept %q, want text/event-stream", i, got)
				}
				if got := m.Status(); i == 3 && (got != 204 || !m.Close) {
					t.Errorf("message %d: status %d close %v, want 204 true", i, got, m.Close)
				}
			}
			if err := r.ReadHead(&m); err != io.EOF {
				t.Errorf("after the last message: %v, want EOF", err)
			}
		})
	}
}

func TestBrokenMessagesAreRefused(t *testing.T) {
	tests := map[string]string{
		"head cut short":      "HTTP/1.1 200 OK\r\nA: b\r\n",
		"body cut short":      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
		"chunk cut short":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
		"no last chunk":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
		"bad chunk size":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"two lengths":         "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
		"length and chunked":  "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"body over the bound": "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
		"head over the bound": "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 2*h1.MaxHead),
		"line without a name": "HTTP/1.1 200 OK\r\nnothing\r\n\r\n",
	}
	for name, wire := range tests {
		t.Run(name, func(t *testing.T) {
			r := h1.NewReader(strings.NewReader(wire), 64)
			var m h1.Message
			err := r.ReadHead(&m)
			if err == nil {
				err = r.ReadBody(&m)
			}
			if err == nil {
				t.Errorf("read %q without an error, body %q", wire[:min(60, len(wire))], m.Body)
			}
		})
	}
}
