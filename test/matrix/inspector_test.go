package matrix

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-mcp/dragoman/test/peers"
)

// inspection is a way for the Inspector's command line to reach the gateway.
type inspection struct {
	name      string // how the page calls it
	transport string
	era       string
}

func inspections() []inspection {
	return []inspection{
		{"Inspector CLI over stdio", "stdio", "legacy"},
		{"Inspector CLI over HTTP+SSE", "sse", "legacy"},
		{"Inspector CLI over Streamable HTTP, legacy", "http", "legacy"},
		{"Inspector CLI over Streamable HTTP, modern", "http", "modern"},
	}
}

// glance is one run of the Inspector: it connects, does one thing and ends.
type glance struct {
	server string // together for what is of all servers
	did    string
	args   []string
	want   []string // in the result
}

func (w *world) glances() []glance {
	file := w.dir + "/inspected.txt"
	return []glance{
		{"together", "tools/list", nil, []string{`"everything__get-sum"`, `"files__read_text_file"`}},
		{"together", "resources/list", nil, []string{`"demo://resource/static/document/`}},
		{"together", "prompts/list", nil, []string{`"everything__args-prompt"`}},
		{"everything", "tools/call", []string{"--tool-name", "everything__get-sum", "--tool-arg", "a=2", "b=40"}, []string{"The sum of 2 and 40 is 42."}},
		{"everything", "resources/read", []string{"--uri", "demo://resource/dynamic/text/3"}, []string{"Resource 3"}},
		{"everything", "prompts/get", []string{"--prompt-name", "everything__args-prompt", "--prompt-args", "city=Berlin"}, []string{"What's weather in Berlin?"}},
		{"files", "tools/call", []string{"--tool-name", "files__write_file", "--tool-args-json", string(encode(obj{"path": file, "content": "grüße"}))}, []string{"Successfully wrote"}},
	}
}

// run lets the Inspector look at everything.
func (i inspection) run(t *testing.T, w *world) {
	args := []string{peers.Path(t, peers.Inspector), "--cli", "--format", "json", "--protocol-era", i.era}
	switch i.transport {
	case "stdio":
		config := writeFile(t, t.TempDir(), "inspector.json", encode(obj{"mcpServers": obj{
			"gateway": obj{"command": w.bin, "args": list{"stdio", "-c", w.some(t, "everything", "files")}},
		}}))
		args = append(args, "--config", config, "--server", "gateway")
	case "sse":
		args = append(args, "--server-url", "http://"+w.addr+"/sse", "--transport", "sse")
	default:
		args = append(args, "--server-url", "http://"+w.addr+"/mcp", "--transport", "http")
	}
	glances := w.glances()
	abreast := make(chan struct{}, 1)
	if i.transport == "stdio" {
		abreast = make(chan struct{}, 3) // each has a gateway of its own
	}
	var work sync.WaitGroup
	for _, g := range glances {
		abreast <- struct{}{}
		work.Go(func() {
			defer func() { <-abreast }()
			i.look(t, w, g, args)
		})
	}
	work.Wait()
	did := map[string][]string{}
	for _, g := range glances {
		did[g.server] = append(did[g.server], g.did)
	}
	w.found.note(i.name, did)
}

// look is one run. The lists of all servers are the gateway's own, so that nobody is
// disturbed by a look at them.
func (i inspection) look(t *testing.T, w *world, g glance, args []string) {
	if i.transport != "stdio" && g.server != "together" {
		defer w.enter([]string{g.server}, false)()
	}
	said := lines(t, slices.Concat(args, []string{"--method", g.did}, g.args)...)
	var answer struct{ Result json.RawMessage }
	if err := json.Unmarshal([]byte(strings.Join(said, "\n")), &answer); err != nil || answer.Result == nil {
		t.Errorf("%s: %v in %q", g.did, err, said)
		return
	}
	for _, want := range g.want {
		if !strings.Contains(string(answer.Result), want) {
			t.Errorf("%s says %s, want %s", g.did, answer.Result, want)
		}
	}
}
