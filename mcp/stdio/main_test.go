package stdio_test

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/stdio"
)

// echoEnv makes the test binary a peer that says back what it hears on its own
// standard input, which it reads as `dragoman stdio` does.
const echoEnv = "STDIO_TEST_ECHO"

func TestMain(m *testing.M) {
	if os.Getenv(echoEnv) != "" {
		os.Exit(echo())
	}
	goleak.VerifyTestMain(m)
}

func echo() int {
	c := stdio.NewConn(os.Stdin, os.Stdout, stdio.Options{})
	defer c.Close()
	for {
		message, err := c.Read(context.Background())
		if errors.Is(err, io.EOF) {
			return 0
		}
		if err != nil {
			return 1
		}
		if string(message) == `{"method":"leave"}` {
			return 7 // with a read of stdin under way or not: Close must not wait for it
		}
		if err := c.Write(context.Background(), message); err != nil {
			return 2
		}
	}
}

// end is the connection under test and the other ends of its pipes.
type end struct {
	mcp.Conn
	toConn   io.WriteCloser
	fromConn io.ReadCloser
}

// kinds are the two ways in which a connection works: pipes of the operating
// system, with deadlines, and ends without.
func kinds() map[string]func(testing.TB, stdio.Options) end {
	return map[string]func(testing.TB, stdio.Options) end{
		"with deadlines": func(t testing.TB, o stdio.Options) end {
			r, toConn, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			fromConn, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			return cleaned(t, end{stdio.NewConn(r, w, o), toConn, fromConn})
		},
		"without deadlines": func(t testing.TB, o stdio.Options) end {
			r, toConn := io.Pipe()
			fromConn, w := io.Pipe()
			return cleaned(t, end{stdio.NewConn(r, w, o), toConn, fromConn})
		},
	}
}

func cleaned(t testing.TB, e end) end {
	t.Cleanup(func() {
		e.Close()
		e.toConn.Close()
		e.fromConn.Close()
	})
	return e
}

// both runs a test with each kind.
func both(t *testing.T, o stdio.Options, test func(*testing.T, end)) {
	for name, open := range kinds() {
		t.Run(name, func(t *testing.T) { test(t, open(t, o)) })
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// wait returns what ch yields, and fails when it takes longer than any test here should.
func wait[T any](t *testing.T, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(4 * time.Minute):
		t.Fatalf("%s: nothing came in 4 minutes", what)
		panic("unreachable")
	}
}

func readAll(t *testing.T, c mcp.Conn) (messages []string, err error) {
	t.Helper()
	ctx := within(t, 4*time.Minute)
	for {
		message, err := c.Read(ctx)
		if err != nil {
			return messages, err
		}
		messages = append(messages, string(message))
	}
}
