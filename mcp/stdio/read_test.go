package stdio_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/mcp/stdio"
)

func TestRead(t *testing.T) {
	big := `{"big":"` + strings.Repeat("x", 300<<10) + `"}`
	tests := map[string]struct {
		in    string
		want  []string
		noise []string
	}{
		"a message is a line":                      {in: "{\"a\":1}\n{\"b\":2}\n", want: []string{`{"a":1}`, `{"b":2}`}},
		"CRLF ends a line, too":                    {in: "{\"a\":1}\r\n{\"b\":2}\r\n", want: []string{`{"a":1}`, `{"b":2}`}},
		"empty lines are skipped":                  {in: "\n\r\n  \t\n{\"a\":1}\n\n", want: []string{`{"a":1}`}},
		"a batch is a message":                     {in: "[{\"a\":1}]\n [ {}]\n[]\n", want: []string{`[{"a":1}]`, ` [ {}]`, `[]`}},
		"banners are skipped and told":             {in: "Server v1 on stdio\n[INFO] up\n{\"a\":1}\n[1]\n", want: []string{`{"a":1}`}, noise: []string{"Server v1 on stdio", "[INFO] up", "[1]"}},
		"a long banner is told in part":            {in: strings.Repeat("b", 999) + "\n{}\n", want: []string{`{}`}, noise: []string{strings.Repeat("b", 200)}},
		"a last line without end counts":           {in: "{\"a\":1}\n{\"b\":2}", want: []string{`{"a":1}`, `{"b":2}`}},
		"big and small messages alternate":         {in: big + "\n{}\n" + big + "\r\n{}\n", want: []string{big, "{}", big, "{}"}},
		"broken JSON is left to the reader above":  {in: "{\"a\n", want: []string{`{"a`}},
		"a big banner does not keep its buffer":    {in: "#" + big + "\n{}\n", want: []string{"{}"}, noise: []string{("#" + big)[:200]}},
		"unknown members and bytes pass untouched": {in: "{\"x-grease\":[1e400,\"\\ud800\xff\"]}\n", want: []string{"{\"x-grease\":[1e400,\"\\ud800\xff\"]}"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var noise []string
			o := stdio.Options{OnNoise: func(line string) { noise = append(noise, line) }}
			both(t, o, func(t *testing.T, e end) {
				noise = nil
				go func() {
					io.WriteString(e.toConn, test.in)
					e.toConn.Close()
				}()
				got, err := readAll(t, e)
				if !errors.Is(err, io.EOF) {
					t.Errorf("error at the end: got %v, want EOF", err)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("messages (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(test.noise, noise); diff != "" {
					t.Errorf("noise (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestReadTakesAMessageInAnyPieces(t *testing.T) {
	both(t, stdio.Options{}, func(t *testing.T, e end) {
		in := "noise\r\n{\"a\":1}\r\n\n{\"b\":[2]}\n"
		go func() {
			for i := range len(in) {
				e.toConn.Write([]byte(in[i : i+1]))
			}
			e.toConn.Close()
		}()
		got, _ := readAll(t, e)
		if diff := cmp.Diff([]string{`{"a":1}`, `{"b":[2]}`}, got); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
	})
}

func TestReadBoundsALine(t *testing.T) {
	const bound = 100
	line := func(n int) string { return `{"x":"` + strings.Repeat("y", n-8) + `"}` }
	tests := map[string]struct {
		in string
		ok bool
	}{
		"a line of the bound passes":                  {line(bound) + "\n", true},
		"a line of the bound with CRLF passes":        {line(bound) + "\r\n", true},
		"a line of the bound at the end passes":       {line(bound), true},
		"one byte more does not":                      {line(bound+1) + "\n", false},
		"one byte more with CRLF does not":            {line(bound+1) + "\r\n", false},
		"one byte more at the end does not":           {line(bound + 1), false},
		"a line that does not end does not, and ends": {line(50 * bound), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			both(t, stdio.Options{MaxMessageBytes: bound}, func(t *testing.T, e end) {
				go func() {
					io.WriteString(e.toConn, test.in)
					e.toConn.Close()
				}()
				message, err := e.Read(within(t, 4*time.Minute))
				if test.ok {
					if err != nil || string(message) != strings.TrimSpace(test.in) {
						t.Errorf("got %q, %v, want the line", message, err)
					}
					return
				}
				if err == nil || !strings.Contains(err.Error(), "bound of 100 bytes") {
					t.Fatalf("got %q, %v, want an error that names the bound", message, err)
				}
				if _, again := e.Read(within(t, 4*time.Minute)); again == nil || again.Error() != err.Error() {
					t.Errorf("second read: got %v, want the same error", again)
				}
			})
		})
	}
}

// endless yields n bytes without a line end.
type endless struct{ n, read int }

func (e *endless) Read(p []byte) (int, error) {
	if e.read >= e.n {
		return 0, io.EOF
	}
	for i := range p {
		p[i] = '{'
	}
	e.read += len(p)
	return len(p), nil
}

func TestReadCutsALineOfAGigabyteAtTheBound(t *testing.T) {
	const bound = 4 << 20
	in := &endless{n: 1 << 30}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c := stdio.NewConn(in, nopCloser{io.Discard}, stdio.Options{MaxMessageBytes: bound})
	_, err := c.Read(within(t, 4*time.Minute))
	c.Close()
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "4194304") {
		t.Errorf("got error %v, want one that names the bound", err)
	}
	if in.read > bound+2 {
		t.Errorf("read %d bytes, want at most the bound of %d", in.read, bound)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 4*bound {
		t.Errorf("allocated %d bytes in all, want at most four times the bound of %d", took, bound)
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func TestReadGivesUpOnAPeerThatOnlyPrintsNoise(t *testing.T) {
	count := 0
	o := stdio.Options{OnNoise: func(string) { count++ }}
	both(t, o, func(t *testing.T, e end) {
		count = 0
		go func() {
			for range 999 {
				io.WriteString(e.toConn, "debug\n")
			}
			io.WriteString(e.toConn, "{}\n")
			for range 1001 {
				io.WriteString(e.toConn, "debug\n")
			}
			e.toConn.Close()
		}()
		got, err := readAll(t, e)
		if len(got) != 1 || err == nil || !strings.Contains(err.Error(), "1000 lines in a row") {
			t.Errorf("got %q, %v, want one message and an error that says how many lines", got, err)
		}
		if count != 1999 {
			t.Errorf("noise was told %d times, want 1999", count)
		}
	})
}

func TestReadHonoursItsContextAndLosesNothing(t *testing.T) {
	both(t, stdio.Options{}, func(t *testing.T, e end) {
		io.WriteString(e.toConn, "{\"first\":")
		for range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			errs := make(chan error)
			go func() {
				_, err := e.Read(ctx)
				errs <- err
			}()
			cancel()
			if err := wait(t, errs, "read"); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want canceled", err)
			}
			if _, err := e.Read(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("read with an ended context: got %v, want canceled", err)
			}
		}
		go io.WriteString(e.toConn, "1}\n{\"second\":2}\n")
		for _, want := range []string{`{"first":1}`, `{"second":2}`} {
			got, err := e.Read(within(t, 4*time.Minute))
			if err != nil || string(got) != want {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		}
	})
}

// What is no message is read with the message before it, and then there is nothing more to read.
func TestReadHonoursItsContextBehindNoise(t *testing.T) {
	both(t, stdio.Options{}, func(t *testing.T, e end) {
		go io.WriteString(e.toConn, "{}\n\nnoise\n")
		if got, err := e.Read(within(t, 4*time.Minute)); err != nil || string(got) != "{}" {
			t.Fatalf("got %q, %v, want {}", got, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error, 1)
		go func() {
			_, err := e.Read(ctx)
			errs <- err
		}()
		cancel()
		if err := wait(t, errs, "read"); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want canceled", err)
		}
	})
}

func TestReadReturnsBytesThatBelongToTheCaller(t *testing.T) {
	both(t, stdio.Options{}, func(t *testing.T, e end) {
		sizes := []int{10, 100 << 10, 20, 40 << 10, 30, 16 << 10}
		go func() {
			for i, n := range sizes {
				io.WriteString(e.toConn, `{"`+strings.Repeat(string(rune('a'+i)), n)+"\"}\n")
			}
			e.toConn.Close()
		}()
		var got [][]byte
		for range sizes {
			message, err := e.Read(within(t, 4*time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, message, append(message, "tail"...))
		}
		for i, n := range sizes {
			want := []byte(`{"` + strings.Repeat(string(rune('a'+i)), n) + `"}`)
			if !bytes.Equal(got[2*i], want) {
				t.Errorf("message %d was changed after it was read", i)
			}
		}
	})
}

func TestCloseUnblocksRead(t *testing.T) {
	both(t, stdio.Options{}, func(t *testing.T, e end) {
		errs := make(chan error)
		go func() {
			_, err := e.Read(t.Context())
			errs <- err
		}()
		for range 3 {
			if err := e.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
		if err := wait(t, errs, "read"); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("read: got %v, want %v", err, io.ErrClosedPipe)
		}
		if _, err := e.Read(t.Context()); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("read after close: got %v, want %v", err, io.ErrClosedPipe)
		}
		if err := e.Write(t.Context(), []byte("{}")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("write after close: got %v, want %v", err, io.ErrClosedPipe)
		}
	})
}
