package stdio_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/stdio"
)

// child starts a process and returns the connection to it.
func child(t *testing.T, cmd *exec.Cmd, o stdio.Options) mcp.Conn {
	t.Helper()
	w, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := stdio.NewConn(r, w, o)
	t.Cleanup(func() {
		c.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	return c
}

func python(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed; the test needs a child that is not of our making")
	}
	return exec.Command(path, "-u", "-c", script)
}

func TestAChildThatKeepsItsOutputUncleanIsUnderstood(t *testing.T) {
	var noise []string
	c := child(t, python(t, `
import sys, json, os
print("Fancy MCP server 1.0")
print("[INFO] listening on stdio")
for line in sys.stdin:
    m = json.loads(line)
    text = json.dumps({"jsonrpc": "2.0", "id": m["id"], "result": {"got": len(m["text"]), "x-grease": None}})
    half = len(text) // 2
    os.write(1, text[:half].encode()); os.write(1, text[half:].encode() + b"\r\n")
    print("DEBUG: answered", m["id"])
`), stdio.Options{OnNoise: func(line string) { noise = append(noise, line) }})
	for i, size := range []int{1, 2 << 20, 3} {
		message := fmt.Appendf(nil, "{\"id\":%d,\n\"text\":%q}", i, strings.Repeat("x", size))
		if err := c.Write(within(t, 4*time.Minute), message); err != nil {
			t.Fatal(err)
		}
		got, err := c.Read(within(t, 4*time.Minute))
		want := fmt.Sprintf(`{"jsonrpc": "2.0", "id": %d, "result": {"got": %d, "x-grease": null}}`, i, size)
		if err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	if len(noise) < 4 || noise[0] != "Fancy MCP server 1.0" {
		t.Errorf("noise: got %q, want the banner and what follows", noise)
	}
}

func TestAChildThatWritesAGigabyteWithoutALineEndIsCutOff(t *testing.T) {
	c := child(t, python(t, `
import os, sys
block = b'{"x":"' + b"y" * 1048576
while True:
    os.write(1, block)
`), stdio.Options{MaxMessageBytes: 8 << 20})
	_, err := c.Read(within(t, 4*time.Minute))
	if err == nil || !strings.Contains(err.Error(), "bound of 8388608 bytes") {
		t.Errorf("got %v, want an error that names the bound", err)
	}
}

func TestAChildThatNeverReadsBlocksNobody(t *testing.T) {
	c := child(t, python(t, "import signal; signal.pause()"),
		stdio.Options{WriteTimeout: 200 * time.Millisecond})
	err := c.Write(context.Background(), filler)
	if err == nil || !strings.Contains(err.Error(), "peer does not read") {
		t.Errorf("got %v, want an error that says that the peer does not read", err)
	}
	if _, err := c.Read(context.Background()); err == nil {
		t.Error("read: got no error, want the connection's end")
	}
}

func TestAChildThatDiesEndsTheConnection(t *testing.T) {
	c := child(t, python(t, `
import os, sys
sys.stdin.readline()
print('{"whole":1}')
os.write(1, b'{"half":')
os.kill(os.getpid(), 9)
`), stdio.Options{})
	if err := c.Write(within(t, 4*time.Minute), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	got, err := readAll(t, c)
	if !errors.Is(err, io.EOF) || len(got) == 0 || got[0] != `{"whole":1}` {
		t.Errorf("got %q, %v, want the whole message, what was cut off, and EOF", got, err)
	}
}

// The test binary as child reads its inherited stdin, as `dragoman stdio` does.
func self(t *testing.T) (*exec.Cmd, mcp.Conn) {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), echoEnv+"=1")
	return cmd, child(t, cmd, stdio.Options{})
}

func TestInheritedStandardStreamsWork(t *testing.T) {
	cmd, c := self(t)
	for _, size := range []int{1, 300 << 10, 2} {
		want := `{"x":"` + strings.Repeat("y", size) + `"}`
		errs := make(chan error, 1)
		go func() { errs <- c.Write(within(t, 4*time.Minute), []byte(want)) }()
		got, err := c.Read(within(t, 4*time.Minute))
		if err != nil || string(got) != want {
			t.Errorf("got %d bytes, %v, want %d", len(got), err, len(want))
		}
		if err := wait(t, errs, "write"); err != nil {
			t.Error(err)
		}
	}
	c.Close()
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code after its stdin has ended: got %d, want 0", code)
	}
}

func TestAReadOfInheritedStdinDoesNotHoldUpTheExit(t *testing.T) {
	cmd, c := self(t)
	if err := c.Write(within(t, 4*time.Minute), []byte(`{"method":"leave"}`)); err != nil {
		t.Fatal(err)
	}
	exited := make(chan int, 1)
	go func() { // its stdin stays open
		cmd.Process.Wait()
		exited <- 1
	}()
	wait(t, exited, "exit")
}
