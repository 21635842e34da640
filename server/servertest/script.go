package servertest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/stdio"
	"github.com/dragoman-mcp/dragoman/mcp/streamhttp"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/serve"
)

// Script plays a file of requests and expected answers with the server in
// process, over stdio and over HTTP, a new server each time, and looks at it
// with the official SDK's client over stdio.
//
// The file has steps of lines. An empty line ends a step; # begins a comment,
// the first of which names the step.
//
//	# a zone that does not exist is told what to write
//	> tools/call {"name": "now", "arguments": {"tz": "Mars"}}
//	< {"isError": true, "content": [{"text": "~there is no time zone"}]}
//
// > is a request: its method and params. < is what its result has; <! is what
// its error has, as {"code": …, "message": …}. Both may go on over further
// lines. An object must have the members that are expected and may have others;
// a list must have the elements, and others only after a last "...". A text that
// begins with ~ is a regular expression that must match; "*" is anything;
// "=name" is anything too, and keeps it, to be used in what follows as "$name".
//
// env is called for each server.
func Script(t *testing.T, build Make, env func(t *testing.T) *server.Env, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := parseScript(string(text))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if env == nil {
		env = func(*testing.T) *server.Env { return &server.Env{} }
	}
	t.Run("in process", func(t *testing.T) { play(t, Open(t, build, env(t)), steps) })
	t.Run("over stdio", func(t *testing.T) { play(t, overPipes(t, build, env(t)), steps) })
	t.Run("over http", func(t *testing.T) { play(t, overHTTP(t, build, env(t)), steps) })
	t.Run("with the SDK's client", func(t *testing.T) { official(t, build, env(t)) })
}

// run runs serve.Run until the test ends.
func run(t *testing.T, o serve.Options, build Make) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := serve.Run(ctx, o, build); err != nil {
			t.Errorf("serve: %v", err)
			cancel()
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

// pipes runs a server on two pipes and returns our ends.
func pipes(t *testing.T, build Make, env *server.Env) (io.ReadCloser, io.WriteCloser) {
	t.Helper()
	theirs, in := io.Pipe()
	out, ours := io.Pipe()
	run(t, serve.Options{Env: *env, In: theirs, Out: ours}, build)
	t.Cleanup(func() {
		_ = in.Close()
		_ = out.Close()
	})
	return out, in
}

func overPipes(t *testing.T, build Make, env *server.Env) *Client {
	t.Helper()
	out, in := pipes(t, build, env)
	h := mcp.NewStateless(mcp.NewMux(stdio.NewConn(out, in, stdio.Options{}), jsonrpc.Limits{}))
	t.Cleanup(func() { _ = h.Close() })
	return &Client{h: h}
}

func overHTTP(t *testing.T, build Make, env *server.Env) *Client {
	t.Helper()
	url := listen(t, build, env)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &Client{h: streamhttp.NewClient(streamhttp.ClientOptions{URL: url, Transport: transport})}
}

func listen(t *testing.T, build Make, env *server.Env) (url string) {
	t.Helper()
	ready := make(chan string, 1)
	run(t, serve.Options{Env: *env, Listen: "127.0.0.1:0", Ready: func(u string) { ready <- u }}, build)
	select {
	case url = <-ready:
		return url
	case <-t.Context().Done():
		t.Fatal("the server was not ready before the test had to end")
		return ""
	}
}

// official compares what the SDK's client sees with what we do.
func official(t *testing.T, build Make, env *server.Env) {
	t.Helper()
	out, in := pipes(t, build, env)
	client := sdk.NewClient(&sdk.Implementation{Name: "servertest", Version: "1"}, nil)
	session, err := client.Connect(t.Context(), &sdk.IOTransport{Reader: out, Writer: in}, nil)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	defer func() { _ = session.Close() }()
	count := 0
	for tool, err := range session.Tools(t.Context(), nil) {
		if err != nil {
			t.Fatalf("list tools: %v", err)
		}
		if tool.Annotations == nil || tool.OutputSchema == nil {
			t.Errorf("tool %s reaches the client without annotations or output schema", tool.Name)
		}
		count++
	}
	if count == 0 {
		t.Error("the client sees no tools")
	}
}

// step is one request with what is expected of its answer.
type step struct {
	name, method string
	line         int
	params, want string
	fails        bool
}

func parseScript(text string) ([]step, error) {
	var steps []step
	var s step
	into := (*string)(nil)
	flush := func() error {
		if s.method != "" && (s.want == "" || !json.Valid([]byte(s.want))) {
			return fmt.Errorf("line %d: %s has no expected answer in JSON", s.line, s.method)
		}
		if s.method != "" {
			steps = append(steps, s)
		}
		s, into = step{}, nil
		return nil
	}
	for i, line := range strings.Split(text+"\n\n", "\n") {
		var err error
		rest := ""
		switch {
		case strings.TrimSpace(line) == "":
			err = flush()
		case line[0] == '#' && s.name == "" && s.method == "":
			s.name = strings.TrimSpace(line[1:])
		case line[0] == '#':
		case line[0] == '>' && s.method != "", line[0] == '<' && s.method == "":
			err = fmt.Errorf("line %d: a step is one request with one answer, and ends with an empty line", i+1)
		case line[0] == '>':
			s.method, rest, _ = strings.Cut(strings.TrimSpace(line[1:]), " ")
			s.line, s.params, into = i+1, rest, &s.params
		case strings.HasPrefix(line, "<!"):
			s.fails, s.want, into = true, line[2:], &s.want
		case line[0] == '<':
			s.want, into = line[1:], &s.want
		case into != nil:
			*into += "\n" + line
		default:
			err = fmt.Errorf("line %d: %q begins no step", i+1, line)
		}
		if err != nil {
			return nil, err
		}
	}
	return steps, nil
}
