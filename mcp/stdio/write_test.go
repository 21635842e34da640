package stdio_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp/stdio"
)

func TestWriteMakesOneLine(t *testing.T) {
	big := strings.Repeat("é", 100<<10)
	tests := map[string]struct{ message, want string }{
		"a message gets an end":                      {`{"a":1}`, `{"a":1}`},
		"line breaks between tokens go":              {"{\r\n  \"a\":\n[1,\r2]\n}\n", `{  "a":[1,2]}`},
		"escaped line breaks within strings stay":    {`{"a":"x\ny\r\u2028"}`, `{"a":"x\ny\r\u2028"}`},
		"a big message is whole":                     {`{"a":"` + big + `"}`, `{"a":"` + big + `"}`},
		"a big message with line breaks is one, too": {"{\n\"a\":\"" + big + "\"}", `{"a":"` + big + `"}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			both(t, stdio.Options{}, func(t *testing.T, e end) {
				message := []byte(test.message)
				errs := make(chan error, 1)
				go func() {
					errs <- e.Write(within(t, 4*time.Minute), message)
					e.Close()
				}()
				got, err := io.ReadAll(e.fromConn)
				if err != nil && !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
				if string(got) != test.want+"\n" {
					t.Errorf("got %.80q, want %.80q", got, test.want+"\n")
				}
				if err := wait(t, errs, "write"); err != nil {
					t.Error(err)
				}
				if string(message) != test.message {
					t.Error("the caller's message was changed")
				}
			})
		})
	}
}

func TestConcurrentWritesDoNotMix(t *testing.T) {
	both(t, stdio.Options{}, func(t *testing.T, e end) {
		const writers, each = 16, 60
		go func() {
			defer e.Close()
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					for i := range each {
						text := strings.Repeat(string(rune('a'+w)), 1+(i*i*37)%70000)
						if err := e.Write(within(t, 4*time.Minute), fmt.Appendf(nil, `{"w":%d,"i":%d,"text":%q}`, w, i, text)); err != nil {
							t.Errorf("write: %v", err)
						}
					}
				})
			}
			wg.Wait()
		}()
		next := make([]int, writers)
		in := bufio.NewReader(e.fromConn)
		for {
			line, err := in.ReadBytes('\n')
			if err != nil {
				break
			}
			var m struct {
				W, I int
				Text string
			}
			if err := json.Unmarshal(line, &m); err != nil {
				t.Fatalf("line %.60q: %v", line, err)
			}
			if m.I != next[m.W] || strings.Trim(m.Text, string(rune('a'+m.W))) != "" {
				t.Fatalf("writer %d: got message %d, want %d, with its own text", m.W, m.I, next[m.W])
			}
			next[m.W]++
		}
		for w, n := range next {
			if n != each {
				t.Errorf("writer %d: %d messages arrived, want %d", w, n, each)
			}
		}
	})
}

// filler is more than a pipe holds.
var filler = []byte(`{"fill":"` + strings.Repeat("x", 200<<10) + `"}`)

func TestAPeerThatDoesNotReadIsCutOff(t *testing.T) {
	both(t, stdio.Options{WriteTimeout: 150 * time.Millisecond}, func(t *testing.T, e end) {
		errs := make(chan error, 9)
		go func() {
			_, err := e.Read(context.Background())
			errs <- err
		}()
		for range 8 {
			go func() { errs <- e.Write(context.Background(), filler) }()
		}
		for range 9 {
			err := wait(t, errs, "writes and read")
			if err == nil || !strings.Contains(err.Error(), "peer does not read") {
				t.Errorf("got %v, want an error that says that the peer does not read", err)
			}
		}
	})
}

func TestAWriterWithoutPatienceLeaves(t *testing.T) {
	both(t, stdio.Options{WriteTimeout: time.Minute}, func(t *testing.T, e end) {
		first := make(chan error, 1)
		go func() { first <- e.Write(context.Background(), filler) }() // has the turn, and is stuck
		one := make([]byte, 1)
		if _, err := io.ReadFull(e.fromConn, one); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := e.Write(ctx, []byte("{}")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("write behind a stuck one: got %v, want a passed deadline", err)
		}
		in := bufio.NewReader(e.fromConn)
		line, err := in.ReadString('\n')
		if err != nil || string(one)+line != string(filler)+"\n" {
			t.Errorf("the stuck message: got %d bytes, %v, want it whole", len(line), err)
		}
		if err := wait(t, first, "stuck write"); err != nil {
			t.Errorf("stuck write: got %v, want none after the peer has read", err)
		}
	})
}

func TestAWriterThatLeavesBeforeAByteIsOutHarmsNobody(t *testing.T) {
	e := kinds()["with deadlines"](t, stdio.Options{WriteTimeout: time.Minute})
	full := make(chan int)
	go func() { // fill the pipe with short messages until it takes no more
		n := 0
		for {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			err := e.Write(ctx, []byte(`{"n":"`+strings.Repeat("x", 4080)+`"}`))
			cancel()
			if err != nil {
				break
			}
			n++
		}
		full <- n
	}()
	n := wait(t, full, "filling the pipe")
	after := make(chan error, 1)
	go func() { after <- e.Write(within(t, 4*time.Minute), []byte(`{"last":1}`)) }()
	in := bufio.NewReader(e.fromConn)
	for i := range n + 1 {
		line, err := in.ReadBytes('\n')
		if err != nil || !json.Valid(line) {
			t.Fatalf("line %d of %d: got %.40q, %v", i, n+1, line, err)
		}
		if got := strings.HasPrefix(string(line), `{"last"`); got != (i == n) {
			t.Fatalf("line %d of %d: got %.40q", i, n+1, line)
		}
	}
	if err := wait(t, after, "write"); err != nil {
		t.Error(err)
	}
}

func TestCloseUnblocksWrite(t *testing.T) {
	both(t, stdio.Options{}, func(t *testing.T, e end) {
		errs := make(chan error, 2)
		for range 2 {
			go func() { errs <- e.Write(context.Background(), filler) }()
		}
		if _, err := io.ReadFull(e.fromConn, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		e.Close()
		for range 2 {
			if err := wait(t, errs, "write"); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("got %v, want %v", err, io.ErrClosedPipe)
			}
		}
	})
}

func TestWhatAPeerSaidBeforeItLeftCanStillBeRead(t *testing.T) {
	both(t, stdio.Options{}, func(t *testing.T, e end) {
		e.fromConn.Close() // it does not read any more
		go func() {
			io.WriteString(e.toConn, "{\"last\":1}\n")
			e.toConn.Close()
		}()
		for range 2 {
			if err := e.Write(within(t, 4*time.Minute), []byte("{}")); err == nil {
				t.Error("write: got no error, want one")
			}
		}
		got, err := e.Read(within(t, 4*time.Minute))
		if err != nil || string(got) != `{"last":1}` {
			t.Errorf("got %q, %v, want the last message", got, err)
		}
		if _, err := e.Read(within(t, 4*time.Minute)); !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want EOF", err)
		}
	})
}
