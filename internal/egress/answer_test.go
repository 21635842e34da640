package egress_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/egress"
)

// answers are all that a peer may send, and how it is understood.
var answers = []struct {
	name, method, raw string
	body              string
	kept              bool
	fault             string // part of the error; empty when there is none
}{
	{"a sized body", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", true, ""},
	{"an empty body", "POST", "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", "", true, ""},
	{"no reason phrase", "GET", "HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", "x", true, ""},
	{"a chunked body", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a=\"b\"\r\n!\r\n0\r\n\r\n", "hello!", true, ""},
	{"trailers are dropped", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n00A\r\n0123456789\r\n0\r\nX: y\r\nZ: 1\r\n\r\n", "0123456789", true, ""},
	{"a body that ends with the connection", "GET", "HTTP/1.1 200 OK\r\nA: b\r\n\r\nto the end", "to the end", false, ""},
	{"HTTP/1.0 ends the connection", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok", "ok", false, ""},
	{"the peer wants to close", "GET", "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nok", "ok", false, ""},
	{"interim answers are passed over", "POST", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", true, ""},
	{"204 has no body", "DELETE", "HTTP/1.1 204 No Content\r\n\r\n", "", true, ""},
	{"204 that announces one is not trusted", "DELETE", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", "", false, ""},
	{"HEAD has no body", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", "", true, ""},
	{"an answer to HEAD that has one ends the connection", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "", false, ""},
	{"bytes after the body end the connection", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n", "ok", false, ""},
	{"bytes after the last chunk end the connection", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nx", "", false, ""},

	{"nothing", "GET", "", "", false, "unexpected EOF"},
	{"half a head", "GET", "HTTP/1.1 200 OK\r\nConten", "", false, "unexpected EOF"},
	{"half a body", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "hel", false, "unexpected EOF"},
	{"half a chunk", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "hel", false, "unexpected EOF"},
	{"no last chunk", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "hello", false, "unexpected EOF"},
	{"only interim answers", "GET", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 9), "", false, "more than 8 interim"},
	{"another protocol unasked", "GET", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "", false, "unasked"},
	{"garbage", "GET", "SSH-2.0-OpenSSH_9.9\r\n\r\n", "", false, "not a status line"},
	{"HTTP/2 unasked", "GET", "HTTP/2.0 200 OK\r\n\r\n", "", false, "not a status line"},
	{"HTTP/1.2", "GET", "HTTP/1.2 200 OK\r\n\r\n", "", false, "not a status line"},
	{"a status of two digits", "GET", "HTTP/1.1 20 OK\r\n\r\n", "", false, "not a status line"},
	{"a status of four digits", "GET", "HTTP/1.1 2000 OK\r\n\r\n", "", false, "not a status line"},
	{"a status with a sign", "GET", "HTTP/1.1 +20 OK\r\n\r\n", "", false, "not a status line"},
	{"a status below 100", "GET", "HTTP/1.1 099 OK\r\n\r\n", "", false, "not a status line"},
	{"two spaces after the version", "GET", "HTTP/1.1  200 OK\r\n\r\n", "", false, "not a status line"},
	{"a space before the status line", "GET", " HTTP/1.1 200 OK\r\n\r\n", "", false, "not a status line"},
	{"an empty line before the status line", "GET", "\r\nHTTP/1.1 200 OK\r\n\r\n", "", false, "not a status line"},
	{"an escape in the reason", "GET", "HTTP/1.1 200 \x1b[2J\r\n\r\n", "", false, "control character"},
	{"lines that end with LF", "GET", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "", false, "CR LF"},
	{"one line that ends with LF", "GET", "HTTP/1.1 200 OK\r\nA: b\nContent-Length: 1\r\n\r\nx", "", false, ""},
	{"a CR in a value", "GET", "HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n", "", false, "control character"},
	{"NUL in a value", "GET", "HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n", "", false, "control character"},
	{"a folded line", "GET", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "", false, "not a header line"},
	{"a space before the colon", "GET", "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n", "", false, "not a header line"},
	{"a line without a colon", "GET", "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", "", false, "not a header line"},
	{"an empty name", "GET", "HTTP/1.1 200 OK\r\n: x\r\n\r\n", "", false, "not a header line"},
	{"a length and a coding", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", false, "both"},
	{"two lengths", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\ncontent-length: 4\r\n\r\nabcd", "", false, "twice"},
	{"the same length twice", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "", false, "twice"},
	{"a list of lengths", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc", "", false, "not a number"},
	{"a length with a sign", "GET", "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc", "", false, "not a number"},
	{"an empty length", "GET", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", "", false, "not a number"},
	{"a length beyond an int64", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n", "", false, "not a number"},
	{"codings on two lines", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", "", false, "twice"},
	{"another coding", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "", false, "not supported"},
	{"identity", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", "", false, "not supported"},
	{"chunks in HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", false, "not supported"},
	{"too many lines", "GET", "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 257) + "\r\n", "", false, "bound is 256"},
	{"a head that is too large", "GET", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", "", false, "larger than 65536"},
	{"interim heads that are too large together", "GET", strings.Repeat("HTTP/1.1 103 X\r\nA: "+strings.Repeat("x", 20<<10)+"\r\n\r\n", 4), "", false, "larger than 65536"},
	{"no size of a chunk", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", "", false, "not the size"},
	{"a size with a prefix", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", "", false, "not the size"},
	{"a negative size", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "", false, "not the size"},
	{"a space after the size", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n", "", false, "not the size"},
	{"a size beyond an int64", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8000000000000000\r\n", "", false, "too large"},
	{"a size line that ends with LF", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", "", false, "CR LF"},
	{"an extension with LF in it", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a\n4\r\nhello\r\n0\r\n\r\n", "", false, "CR LF"},
	{"a long extension", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;" + strings.Repeat("x", 300) + "\r\nhello\r\n0\r\n\r\n", "", false, "longer than 256"},
	{"a chunk that is longer than its size", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n", "hello", false, "longer than its size"},
	{"too many trailers", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("A: "+strings.Repeat("x", 100)+"\r\n", 50), "", false, "trailers are larger"},
	{"a trailer that is no header line", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHTTP/1.1 200 OK\r\n\r\n", "", false, "not a header line"},
}

func TestAnswersAreUnderstoodInOneWayOrRefused(t *testing.T) {
	n := newNetwork(t, egress.Options{})
	for _, tt := range answers {
		t.Run(tt.name, func(t *testing.T) {
			for _, piece := range []int{1, 3, 100, 1 << 20} {
				req := request(t, tt.method, "http://peer.test/", "")
				_, body, kept, err := egress.ReadAnswer(n, req, []byte(tt.raw), piece)
				if tt.name == "one line that ends with LF" {
					if err == nil {
						t.Errorf("pieces of %d: no error", piece)
					}
					continue
				}
				if got := fmt.Sprint(err); (err != nil) != (tt.fault != "") || !strings.Contains(got, tt.fault) {
					t.Errorf("pieces of %d: error is %q, want %q", piece, got, tt.fault)
				}
				// What comes after the end in a read of its own is seen when the connection is used again.
				leftOver := piece < 1<<20 && strings.Contains(tt.name, "the connection")
				if kept != tt.kept && !leftOver || string(body) != tt.body {
					t.Errorf("pieces of %d: body %q, kept %v; want %q, %v", piece, body, kept, tt.body, tt.kept)
				}
			}
		})
	}
}

func FuzzAnswer(f *testing.F) {
	for _, tt := range answers {
		f.Add([]byte(tt.raw), uint16(7))
	}
	n := egress.New(egress.Options{})
	f.Cleanup(func() { _ = n.Close() })
	f.Fuzz(func(t *testing.T, raw []byte, piece uint16) {
		whole, all, _, err := egress.ReadAnswer(n, request(t, "GET", "http://peer.test/", ""), raw, 1<<20)
		parts, some, _, partsErr := egress.ReadAnswer(n, request(t, "GET", "http://peer.test/", ""), raw, 1+int(piece))
		if (err == nil) != (partsErr == nil) || string(all) != string(some) {
			t.Fatalf("whole: %d bytes, %v; in pieces of %d: %d bytes, %v", len(all), err, 1+piece, len(some), partsErr)
		}
		if err != nil {
			return
		}
		if whole.StatusCode != parts.StatusCode {
			t.Fatalf("status is %d, in pieces %d", whole.StatusCode, parts.StatusCode)
		}
		// Whatever we accept, net/http must understand in the same way.
		agreeWithNetHTTP(t, raw, whole, all)
	})
}

func agreeWithNetHTTP(t *testing.T, raw []byte, got *http.Response, body []byte) {
	t.Helper()
	r := bufioReader(raw)
	req := request(t, "GET", "http://peer.test/", "")
	want, err := http.ReadResponse(r, req)
	for err == nil && want.StatusCode < 200 && want.StatusCode != 101 {
		want, err = http.ReadResponse(r, req)
	}
	if err != nil {
		t.Fatalf("net/http refuses what was accepted: %v", err)
	}
	defer want.Body.Close()
	if want.StatusCode != got.StatusCode {
		t.Fatalf("status is %d, net/http reads %d", got.StatusCode, want.StatusCode)
	}
	if got.StatusCode == http.StatusNoContent || got.StatusCode == http.StatusNotModified {
		return
	}
	wantBody, err := io.ReadAll(want.Body)
	if err != nil || string(wantBody) != string(body) {
		t.Fatalf("body is %q, net/http reads %q, %v", body, wantBody, err)
	}
}
