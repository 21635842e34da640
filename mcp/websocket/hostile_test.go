package websocket_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	coder "github.com/coder/websocket"

	"github.com/dragoman-mcp/dragoman/mcp/websocket"
)

func plain(t testing.TB, h http.HandlerFunc) string {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL + "/mcp"
}

func TestAMessageOfTheBoundPassesAndALongerOneDoesNot(t *testing.T) {
	for n, ok := range map[int]bool{100: true, 101: false, 100000: false} {
		server, dialer := pair(t, websocket.Options{MaxMessageBytes: 100}, websocket.Options{})
		peer := make(chan error, 1)
		go func() {
			_, err := dialer.Read(context.Background())
			peer <- err
		}()
		if err := dialer.Write(within(t, long), []byte(strings.Repeat("x", n))); err != nil {
			t.Fatal(err)
		}
		got, err := server.Read(within(t, long))
		if ok && (err != nil || len(got) != n) {
			t.Errorf("%d bytes: got %d, %v, want them", n, len(got), err)
		}
		if !ok && (err == nil || !strings.Contains(err.Error(), "bound of 100 bytes")) {
			t.Errorf("%d bytes: got %d, %v, want an error that names the bound", n, len(got), err)
		}
		if !ok && coder.CloseStatus(wait(t, peer, "peer")) != coder.StatusMessageTooBig {
			t.Errorf("%d bytes: the peer was not told that they are too many", n)
		}
		dialer.Close()
	}
}

func TestWhatAPeerMayNotSend(t *testing.T) {
	tests := map[string]struct {
		frames []byte
		want   string
		code   int // 0: not looked at
	}{
		"a binary message":                       {frame(0x82, 2, "{}"), "binary message", 1003},
		"text that is not UTF-8":                 {frame(0x81, 4, "{\"\xff\""), "not UTF-8", 1007},
		"a surrogate in UTF-8":                   {frame(0x81, 3, "\xed\xa0\x80"), "not UTF-8", 1007},
		"a compressed message":                   {frame(0xC1, 2, "{}"), "rsv bits", 1002},
		"a frame of an unknown kind":             {frame(0x83, 2, "{}"), "opcode", 1002},
		"a continuation of nothing":              {frame(0x80, 2, "{}"), "continuation", 1002},
		"a second message within the first":      {append(frame(0x01, 1, "{"), frame(0x81, 1, "}")...), "without finishing", 1002},
		"an unmasked frame":                      {[]byte{0x81, 2, '{', '}'}, "unmasked", 0},
		"a frame that declares more than exists": {frame(0x81, 1<<62, strings.Repeat("x", 4000)), "bound of 1000 bytes", 1009},
		"a frame of negative length":             {frame(0x81, -1, "x"), "read message", 0},
		"a close frame with an error":            {append([]byte{0x88, 0x82, 0, 0, 0, 0}, 0x03, 0xf3), "1011", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			url, accepted := serve(t, websocket.Options{MaxMessageBytes: 1000})
			tcp, in := raw(t, url)
			c := wait(t, accepted, "accept")
			if _, err := tcp.Write(test.frames); err != nil {
				t.Fatal(err)
			}
			codes := make(chan int, 1)
			go func() {
				code, _ := closeCode(in)
				codes <- code
				tcp.Close()
			}()
			_, err := c.Read(within(t, long))
			if err == nil || errors.Is(err, io.EOF) || !strings.Contains(err.Error(), test.want) && test.code != 0 {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
			if _, again := c.Read(within(t, long)); again != err {
				t.Errorf("second read: got %v, want %v", again, err)
			}
			if code := wait(t, codes, "close frame"); test.code != 0 && code != test.code {
				t.Errorf("close code: got %d, want %d", code, test.code)
			}
		})
	}
}

func TestAPeerThatVanishesIsNoOrderlyEnd(t *testing.T) {
	url, accepted := serve(t, websocket.Options{})
	tcp, _ := raw(t, url)
	c := wait(t, accepted, "accept")
	tcp.Close()
	if _, err := c.Read(within(t, long)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("got %v, want an error that is not EOF", err)
	}
}

func TestAGigabyteInOneMessageIsCutAtTheBound(t *testing.T) {
	const bound = 4 << 20
	url, accepted := serve(t, websocket.Options{MaxMessageBytes: bound})
	tcp, _ := raw(t, url)
	c := wait(t, accepted, "accept")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	go func() {
		tcp.Write(frame(0x81, 1<<30, ""))
		block := make([]byte, 1<<20)
		for range 1024 {
			if _, err := tcp.Write(block); err != nil {
				break
			}
		}
		tcp.Close()
	}()
	_, err := c.Read(within(t, long))
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "4194304") {
		t.Errorf("got %v, want an error that names the bound", err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 5*bound {
		t.Errorf("allocated %d bytes in all, want at most five times the bound of %d", took, bound)
	}
}

func TestAPeerThatNeverReadsIsCutOff(t *testing.T) {
	url, accepted := serve(t, websocket.Options{WriteTimeout: 200 * time.Millisecond, PingInterval: -1})
	raw(t, url)
	c := wait(t, accepted, "accept")
	errs := make(chan error, 5)
	go func() {
		_, err := c.Read(context.Background())
		errs <- err
	}()
	for range 4 {
		go func() {
			for {
				if err := c.Write(context.Background(), []byte(strings.Repeat("x", 60<<10))); err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	for range 5 {
		if err := wait(t, errs, "writes and read"); !strings.Contains(err.Error(), "peer does not read") {
			t.Errorf("got %v, want an error that says that the peer does not read", err)
		}
	}
}

func TestAWriterBehindAStuckOneLeavesWithItsContext(t *testing.T) {
	url, accepted := serve(t, websocket.Options{PingInterval: -1})
	raw(t, url)
	c := wait(t, accepted, "accept")
	stuck := make(chan error, 1)
	go func() {
		for {
			if err := c.Write(context.Background(), []byte(strings.Repeat("x", 4<<20))); err != nil {
				stuck <- err
				return
			}
		}
	}()
	var err error
	for err == nil { // until the socket takes no more
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err = c.Write(ctx, []byte("{}"))
		cancel()
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want a passed deadline", err)
	}
	c.Close()
	if err := wait(t, stuck, "stuck write"); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("stuck write: got %v, want %v after close", err, io.ErrClosedPipe)
	}
}

func TestAPeerThatDoesNotAnswerPingsIsCutOff(t *testing.T) {
	url, accepted := serve(t, websocket.Options{PingInterval: 20 * time.Millisecond, PongTimeout: 100 * time.Millisecond})
	raw(t, url) // it reads nothing and says nothing
	c := wait(t, accepted, "accept")
	if _, err := c.Read(within(t, long)); err == nil || !strings.Contains(err.Error(), "not answered a ping") {
		t.Errorf("got %v, want an error about the ping", err)
	}
}

func TestAPeerThatAnswersPingsStays(t *testing.T) {
	url, accepted := serve(t, websocket.Options{PingInterval: 10 * time.Millisecond})
	pings := make(chan struct{}, 100)
	ws := foreign(t, url, &coder.DialOptions{OnPingReceived: func(context.Context, []byte) bool {
		pings <- struct{}{}
		return true
	}})
	go ws.Read(within(t, long))
	c := wait(t, accepted, "accept")
	got := make(chan string, 1)
	go func() {
		message, err := c.Read(context.Background())
		got <- fmt.Sprintf("%s %v", message, err)
	}()
	for range 5 { // the next comes only when the one before was answered
		wait(t, pings, "ping")
	}
	if err := ws.Write(within(t, long), coder.MessageText, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if got := wait(t, got, "message"); got != "{} <nil>" {
		t.Errorf("got %q, want the message", got)
	}
}

func TestCloseDoesNotWaitForAPeerThatDoesNotClose(t *testing.T) {
	url, accepted := serve(t, websocket.Options{})
	raw(t, url)
	c := wait(t, accepted, "accept")
	began := time.Now()
	c.Close()
	if took := time.Since(began); took > time.Minute {
		t.Errorf("close took %s, want about 2 s", took)
	}
}
