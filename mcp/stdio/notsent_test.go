package stdio_test

import (
	"errors"
	"os"
	"testing"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/stdio"
)

func TestAMessageForAPipeThatIsClosedWasNotSent(t *testing.T) {
	in, _, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	conn := stdio.NewConn(in, w, stdio.Options{})
	defer conn.Close()
	if err := w.Close(); err != nil { // as who started the reader does when it has ended
		t.Fatal(err)
	}
	if err := conn.Write(t.Context(), []byte(`{}`)); !errors.Is(err, mcp.ErrNotSent) {
		t.Errorf("write to a pipe that was closed: %v, want %v in it", err, mcp.ErrNotSent)
	}
}

func TestAMessageForAReaderThatHasGoneWasNotSent(t *testing.T) {
	in, _, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	conn := stdio.NewConn(in, w, stdio.Options{})
	defer conn.Close()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds the connection broken already
		if err := conn.Write(t.Context(), []byte(`{}`)); !errors.Is(err, mcp.ErrNotSent) {
			t.Errorf("write to a pipe that nobody reads: %v, want %v in it", err, mcp.ErrNotSent)
		}
	}
}
