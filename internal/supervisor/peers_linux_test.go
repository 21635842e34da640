package supervisor_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// peers is where `make peers` puts servers that we did not write.
const peers = "../../.cache/peers/bin"

// TestServersThatWeDidNotWriteAnswerAtEveryLevel lets the reference servers, which
// run on node, list and read in the sandbox.
func TestServersThatWeDidNotWriteAnswerAtEveryLevel(t *testing.T) {
	data := away(t)
	if err := os.WriteFile(filepath.Join(data, "note.txt"), []byte("what is kept here"), 0o600); err != nil {
		t.Fatal(err)
	}
	calls := map[string][3]string{ // call, what is in its answer, argument of the program
		"server-filesystem": {`{"name":"read_text_file","arguments":{"path":"` + filepath.Join(data, "note.txt") + `"}}`, "what is kept here", data},
		"server-everything": {`{"name":"echo","arguments":{"message":"over here"}}`, "over here", "stdio"},
	}
	sup := newSupervisor(t, supervisor.Options{})
	for name, call := range calls {
		program, err := filepath.Abs(filepath.Join(peers, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(program); err != nil {
			t.Skip("the peers are not installed: ", err)
		}
		for level := sandbox.Clean; level <= sup.Sandboxes(t.Context()).Level; level++ {
			t.Run(fmt.Sprintf("%s at level %s", name, level), func(t *testing.T) {
				child := add(t, sup, supervisor.Spec{Name: name + level.String(), Command: []string{program, call[2]},
					Sandbox: sandbox.Rules{Level: level, MinLevel: level, Read: []string{data}, NoNetwork: level >= sandbox.Namespaces}})
				p := acquire(t, child)
				_, _ = io.WriteString(p.Stdin(), `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`+"\n"+
					`{"jsonrpc":"2.0","method":"notifications/initialized"}`+"\n"+`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":`+call[0]+"}\n")
				lines := bufio.NewScanner(p.Stdout())
				for lines.Scan() {
					if strings.Contains(lines.Text(), `"id":2`) {
						break
					}
				}
				if !strings.Contains(lines.Text(), call[1]) {
					t.Errorf("got %q, want %q in it; stderr: %v", lines.Text(), call[1], p.Stderr())
				}
				if err := child.Stop(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
