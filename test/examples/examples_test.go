package examples

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/test/peers"
)

// patience is how long anything may take on a busy machine.
const patience = 5 * time.Minute

func TestMain(m *testing.M) {
	supervisor.ShimMain(os.Args) // the test binary is also the guard of its child processes
	goleak.VerifyTestMain(m)
}

// journal keeps the gateway's log for a test that fails.
type journal struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

// copied makes the working directory of the test one with the files of an example.
func copied(t *testing.T, example string) (root string) {
	t.Helper()
	root, err := peers.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "examples", example))); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	return root
}

// open runs the gateway with dragoman.yaml of the working directory, until the test ends.
func open(t *testing.T) mcp.Handler {
	t.Helper()
	text, err := os.ReadFile("dragoman.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("dragoman.yaml", text, nil)
	if err != nil {
		t.Fatal(err)
	}
	var log journal
	a, err := app.Open(cfg, app.Options{Version: "test", Environ: os.Environ(), LogOutput: &log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := a.Close(ctx); err != nil {
			t.Errorf("close the gateway: %v", err)
		}
		if t.Failed() {
			log.mu.Lock()
			defer log.mu.Unlock()
			t.Logf("the gateway's log:\n%s", log.b.String())
		}
	})
	h, ok := a.Endpoint("")
	if !ok {
		t.Fatal("the gateway has no endpoint for everything")
	}
	return h
}

// call calls a tool through the gateway and returns its answer, as text.
func call(t *testing.T, h mcp.Handler, tool, arguments string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	params, ok := jsonrpc.Split([]byte(`{"name":"` + tool + `","arguments":` + arguments + `}`))
	if !ok {
		t.Fatalf("arguments are no object: %s", arguments)
	}
	result, err := h.Handle(ctx, mcp.ReadRequest("tools/call", params, &mcp.Client{Revision: mcp.Revision20260728}))
	if err != nil {
		return "error: " + err.Error()
	}
	var answer struct{ StructuredContent, Content json.RawMessage }
	if err := json.Unmarshal(result.Raw(), &answer); err != nil {
		t.Fatal(err)
	}
	return string(answer.StructuredContent) + string(answer.Content)
}

func expect(t *testing.T, h mcp.Handler, tool, arguments string, want ...string) {
	t.Helper()
	got := strings.ReplaceAll(call(t, h, tool, arguments), " ", "")
	for _, w := range want {
		if !strings.Contains(got, strings.ReplaceAll(w, " ", "")) {
			t.Errorf("%s %s: got %s, want %s", tool, arguments, got, w)
		}
	}
}

func TestPython(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("there is no python3 on this machine")
	}
	copied(t, "python-server")
	h := open(t)
	expect(t, h, "dice__roll", `{"dice": 3, "sides": 2}`, `"rolls":[`, `"sum":`)
	expect(t, h, "dice__roll", `{"dice": 0}`, "dice is a number from 1 to 100")
	expect(t, h, "dice__roll", `{"die": 1}`, "there is nothing else")
}

func TestTypeScript(t *testing.T) {
	node := peers.Path(t, peers.Node)
	root := copied(t, "typescript-server")
	modules := filepath.Join(root, ".cache", "peers", "clients", "node_modules")
	if dir := os.Getenv("DRAGOMAN_PEERS"); dir != "" {
		modules = filepath.Join(dir, "clients", "node_modules")
	}
	if err := os.Symlink(modules, "node_modules"); err != nil { // instead of npm install
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Dir(node)+string(os.PathListSeparator)+os.Getenv("PATH"))
	h := open(t)
	expect(t, h, "colours__mix", `{"a": "#ff0000", "b": "#0000ff"}`, `"colour":"#800080"`)
	expect(t, h, "colours__mix", `{"a": "red", "b": "#0000ff"}`, "a")
}

// build does what dragoman.yaml of the example says. changed takes the place of its source.
func build(t *testing.T, root, changed string) {
	t.Helper()
	source := filepath.Join(root, "examples", "custom-server", "main.go")
	args := []string{"-C", root, "build"}
	if changed != "" {
		overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{source: changed}})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "overlay.json")
		if err := os.WriteFile(file, overlay, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-overlay", file)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "go", append(args, "-o", filepath.Join(here, "words"), "./examples/custom-server")...).CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

// TestAServerThatIsRebuiltTakesThePlaceOfTheOneThatRuns is the development loop: the gateway goes on.
func TestAServerThatIsRebuiltTakesThePlaceOfTheOneThatRuns(t *testing.T) {
	root := copied(t, "custom-server")
	build(t, root, "")
	h := open(t)
	expect(t, h, "words__count", `{"text": "the quick brown fox"}`, `"words":3`)
	expect(t, h, "words__count", `{"text": "the"}`, "there is nothing to count; give it a text with words")

	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	edited := bytes.Replace(source, []byte("out.Words++"), []byte("out.Words += 10"), 1)
	if bytes.Equal(edited, source) {
		t.Fatal("the example does not count words as this test believes")
	}
	changed := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(changed, edited, 0o600); err != nil {
		t.Fatal(err)
	}
	build(t, root, changed)
	rebuilt := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		got := call(t, h, "words__count", `{"text": "the quick brown fox"}`)
		if strings.Contains(got, `"words":30`) {
			t.Logf("the new server answered %v after it was built", time.Since(rebuilt).Round(time.Millisecond))
			return
		}
		if time.Since(rebuilt) > patience {
			t.Fatalf("the old server is still there: %s", got)
		}
		<-tick.C
	}
}

// TestTheServerOfTheManualCompiles builds the first program of docs/custom-servers.md, and lists its tools.
func TestTheServerOfTheManualCompiles(t *testing.T) {
	root, err := peers.Root()
	if err != nil {
		t.Fatal(err)
	}
	manual, err := os.ReadFile(filepath.Join(root, "docs", "custom-servers.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(manual), "```go\npackage main\n")
	program, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("the manual has no program")
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile("main.go", []byte("package main\n"+program), 0o600); err != nil {
		t.Fatal(err)
	}
	source, err := filepath.Abs("main.go")
	if err != nil {
		t.Fatal(err)
	}
	build(t, root, source)
	if err := os.WriteFile("dragoman.yaml", []byte("servers:\n  hello: {command: [./words]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, open(t), "hello__greet", `{"name": "you"}`, `"text":"Hello you"`)
}
