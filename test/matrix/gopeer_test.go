package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// gopher is a way for the Go SDK to reach the gateway.
type gopher struct {
	name      string
	transport string
	rev       string // that it asks for, and must get
}

func gophers() []gopher {
	return []gopher{
		{"Go SDK over Streamable HTTP, 2026-07-28", "http", revModern},
		{"Go SDK over Streamable HTTP, 2025-11-25", "http", rev2511},
		{"Go SDK over HTTP+SSE, 2025-11-25", "sse", rev2511},
		{"Go SDK over stdio, 2026-07-28", "stdio", revModern},
	}
}

// gosession is a session of the Go SDK with one server.
type gosession struct {
	t      *testing.T
	w      *world
	how    gopher
	cs     *sdk.ClientSession
	server realServer
	prefix string

	mu    sync.Mutex // guards what follows
	heard map[string]int
	asked map[string]int
	did   map[string][]string
}

// run lets the Go SDK use all servers.
func (g gopher) run(t *testing.T, w *world) {
	did := map[string][]string{}
	for i, v := range w.visits(g.transport) {
		s := &gosession{t: t, w: w, how: g, did: did, heard: map[string]int{}, asked: map[string]int{}}
		s.connect(v.server)
		if i == 0 {
			s.together(v.shown)
		}
		for _, server := range v.shown {
			if !v.use[server.name] {
				continue
			}
			s.server, s.prefix = server, ""
			if v.server == "" {
				s.prefix = server.name + "__"
			}
			map[string]func(){"everything": s.everything, "official": s.official, "files": s.files, "memory": s.memory}[server.kind]()
		}
		if err := s.cs.Close(); err != nil && g.transport != "stdio" {
			t.Errorf("close the session: %v", err)
		}
	}
	want := map[string][]string{"together": {"lists", "a call of each"}}
	for _, v := range w.visits(g.transport) {
		for _, server := range v.shown {
			if v.use[server.name] {
				want[server.name] = w.steps(application{transport: g.transport}, server)
			}
		}
	}
	if diff := cmp.Diff(want, did); diff != "" {
		t.Errorf("it did not do what it should have (-want +got):\n%s", diff)
	}
	w.found.note(g.name, did)
}

// connect opens the session.
func (s *gosession) connect(endpoint string) {
	s.t.Helper()
	hears := func(method string) { s.count(s.heard, method) }
	client := sdk.NewClient(&sdk.Implementation{Name: "gopher", Version: "1"}, &sdk.ClientOptions{
		Capabilities: &sdk.ClientCapabilities{
			RootsV2:     &sdk.RootCapabilities{},
			Elicitation: &sdk.ElicitationCapabilities{Form: &sdk.FormElicitationCapabilities{}, URL: &sdk.URLElicitationCapabilities{}},
		},
		ElicitationHandler:         s.elicit,
		CreateMessageHandler:       s.sample,
		ToolListChangedHandler:     func(context.Context, *sdk.ToolListChangedRequest) { hears("tools") },
		ResourceListChangedHandler: func(context.Context, *sdk.ResourceListChangedRequest) { hears("resources") },
		ResourceUpdatedHandler: func(_ context.Context, r *sdk.ResourceUpdatedNotificationRequest) {
			hears("updated " + r.Params.URI)
		},
		LoggingMessageHandler:       func(context.Context, *sdk.LoggingMessageRequest) { hears("log") },
		ProgressNotificationHandler: func(context.Context, *sdk.ProgressNotificationClientRequest) { hears("progress") },
	})
	client.AddRoots(&sdk.Root{URI: "file:///home/ada", Name: "home of Ada"})
	web := &http.Transport{}
	s.t.Cleanup(web.CloseIdleConnections)
	var transport sdk.Transport
	switch s.how.transport {
	case "stdio":
		transport = &sdk.CommandTransport{Command: exec.Command(s.w.bin, "stdio", "-c", s.w.own(s.t))}
	case "sse":
		transport = &sdk.SSEClientTransport{Endpoint: "http://" + s.w.addr + pathOf("/sse", endpoint), HTTPClient: &http.Client{Transport: web}}
	default:
		transport = &sdk.StreamableClientTransport{Endpoint: "http://" + s.w.addr + pathOf("/mcp", endpoint), HTTPClient: &http.Client{Transport: web}}
	}
	cs, err := client.Connect(s.t.Context(), transport, &sdk.ClientSessionOptions{ProtocolVersion: s.how.rev})
	if err != nil {
		s.t.Fatalf("connect to %q: %v", endpoint, err)
	}
	s.cs = cs
	if got := cs.InitializeResult().ProtocolVersion; got != s.how.rev {
		s.t.Errorf("the session with %q has revision %s, want %s", endpoint, got, s.how.rev)
	}
}

func (s *gosession) count(what map[string]int, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what[name]++
}

func (s *gosession) elicit(_ context.Context, r *sdk.ElicitRequest) (*sdk.ElicitResult, error) {
	if r.Params.Mode == "url" {
		s.count(s.asked, "url")
		return &sdk.ElicitResult{Action: "accept"}, nil
	}
	s.count(s.asked, "elicitation")
	schema, _ := r.Params.RequestedSchema.(obj)
	fields, _ := schema["properties"].(obj)
	required, _ := schema["required"].(list)
	content := obj{}
	for name, field := range fields {
		if name != "name" && !slices.Contains(required, any(name)) {
			continue
		}
		f, _ := field.(obj)
		content[name] = map[any]any{"boolean": true, "integer": 7, "number": 7}[f["type"]]
		if content[name] == nil {
			content[name] = "Ada"
		}
	}
	return &sdk.ElicitResult{Action: "accept", Content: content}, nil
}

func (s *gosession) sample(_ context.Context, r *sdk.CreateMessageRequest) (*sdk.CreateMessageResult, error) {
	s.count(s.asked, "sampling")
	text, err := json.Marshal(r.Params.Messages[0].Content)
	if err != nil {
		return nil, err
	}
	return &sdk.CreateMessageResult{
		Role: "assistant", Model: "scripted-model", StopReason: "endTurn", Content: &sdk.TextContent{Text: "you asked: " + string(text)},
	}, nil
}

// step does one thing, in bounded time; alone as in the sessions of TypeScript.
func (s *gosession) step(name string, alone bool, uses []string, work func(ctx context.Context) error) {
	s.t.Helper()
	asked := time.Now()
	if s.how.transport != "stdio" {
		defer s.w.enter(uses, alone)()
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(s.t.Context(), stepTime)
	defer cancel()
	if err := work(ctx); err != nil {
		s.t.Fatalf("%s: %s: %v", s.server.name, name, err)
	}
	s.did[s.server.name] = append(s.did[s.server.name], name)
	slow(s.t, s.server.name+": "+name, asked, begun)
}

// with is a step that others may do at the same time.
func (s *gosession) with(name string, work func(ctx context.Context) error) {
	s.t.Helper()
	s.step(name, false, []string{s.server.name}, work)
}

// alone is a step for which the server has to have no other caller.
func (s *gosession) alone(name string, work func(ctx context.Context) error) {
	s.t.Helper()
	s.step(name, true, []string{s.server.name}, work)
}

// hears waits until a notification has come so many times.
func (s *gosession) hears(ctx context.Context, what string, times int) error {
	if !awaitFor(ctx, stepTime, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.heard[what] >= times
	}) {
		return fmt.Errorf("%q was not heard %d times", what, times)
	}
	return nil
}

func (s *gosession) forget(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.heard, what)
}

// call calls a tool and joins the text of its result.
func (s *gosession) call(ctx context.Context, name string, args obj) (string, *sdk.CallToolResult, error) {
	return s.send(ctx, &sdk.CallToolParams{Name: s.prefix + name, Arguments: args})
}

func (s *gosession) send(ctx context.Context, params *sdk.CallToolParams) (string, *sdk.CallToolResult, error) {
	if params.Arguments == nil || params.Arguments.(obj) == nil {
		params.Arguments = obj{}
	}
	result, err := s.cs.CallTool(ctx, params)
	if err != nil {
		return "", nil, err
	}
	var text []string
	for _, c := range result.Content {
		if c, ok := c.(*sdk.TextContent); ok {
			text = append(text, c.Text)
		}
	}
	return strings.Join(text, "\n"), result, nil
}

// says calls a tool, whose result must have a text.
func (s *gosession) says(name string, args obj, want string) func(context.Context) error {
	return func(ctx context.Context) error {
		got, result, err := s.call(ctx, name, args)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if result.IsError || !strings.Contains(got, want) {
			return fmt.Errorf("%s says %q (error %v), want %q", name, got, result.IsError, want)
		}
		return nil
	}
}

// asks calls a tool that asks the client for some things, so many times.
func (s *gosession) asks(name string, args obj, want string, kinds ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		s.mu.Lock()
		wanted := maps.Clone(s.asked)
		s.mu.Unlock()
		for _, k := range kinds {
			wanted[k]++
		}
		if err := s.says(name, args, want)(ctx); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if diff := cmp.Diff(wanted, s.asked); diff != "" {
			return fmt.Errorf("%s asked for other things (-want +got):\n%s", name, diff)
		}
		return nil
	}
}

// lists reads all lists of the endpoint, by kind.
func (s *gosession) lists(ctx context.Context) (map[string][]string, error) {
	got := map[string][]string{}
	var failed error
	note := func(kind, name string, err error) {
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("list %s: %w", kind, err))
			return
		}
		if slices.Contains(got[kind], name) {
			failed = errors.Join(failed, fmt.Errorf("%s has %s twice", kind, name))
		}
		got[kind] = append(got[kind], name)
	}
	for x, err := range s.cs.Tools(ctx, nil) {
		note("tools", or(x).Name, err)
	}
	for x, err := range s.cs.Prompts(ctx, nil) {
		note("prompts", or(x).Name, err)
	}
	for x, err := range s.cs.Resources(ctx, nil) {
		note("resources", or(x).URI, err)
	}
	for x, err := range s.cs.ResourceTemplates(ctx, nil) {
		note("templates", or(x).URITemplate, err)
	}
	return got, failed
}

// or is what p points to, or nothing.
func or[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}

// listed checks that lists have some entries, each under the prefix if it has one.
func (s *gosession) listed(tools, prompts, uris []string) func(context.Context) error {
	return func(ctx context.Context) error {
		got, err := s.lists(ctx)
		if err != nil {
			return err
		}
		for _, name := range tools {
			if !slices.Contains(got["tools"], s.prefix+name) {
				err = errors.Join(err, fmt.Errorf("tool %s is not in %v", name, got["tools"]))
			}
		}
		for _, name := range prompts {
			if !slices.Contains(got["prompts"], s.prefix+name) {
				err = errors.Join(err, fmt.Errorf("prompt %s is not in %v", name, got["prompts"]))
			}
		}
		for _, uri := range uris {
			if !slices.Contains(append(got["resources"], got["templates"]...), uri) {
				err = errors.Join(err, fmt.Errorf("%s is not in %v or %v", uri, got["resources"], got["templates"]))
			}
		}
		return err
	}
}

// progress calls a tool with a token, and expects it to come back more than once.
func (s *gosession) progress(name string, args obj) func(context.Context) error {
	return func(ctx context.Context) error {
		s.forget("progress")
		params := &sdk.CallToolParams{Name: s.prefix + name, Arguments: args}
		params.SetProgressToken("gopher-" + name)
		if _, result, err := s.send(ctx, params); err != nil || result.IsError {
			return fmt.Errorf("%s: %v %v", name, result, err)
		}
		return s.hears(ctx, "progress", 2)
	}
}

// logging calls a tool that writes log messages, and asks for them.
func (s *gosession) logging(name string, times int) func(context.Context) error {
	return func(ctx context.Context) error {
		s.forget("log")
		params := &sdk.CallToolParams{Name: s.prefix + name}
		if s.how.rev == revModern {
			params.Meta = sdk.Meta{sdk.MetaKeyLogLevel: "debug"}
		} else if err := s.cs.SetLoggingLevel(ctx, &sdk.SetLoggingLevelParams{Level: "debug"}); err != nil {
			return err
		}
		params.Arguments = obj{}
		if _, result, err := s.send(ctx, params); err != nil || result.IsError {
			return fmt.Errorf("%s: %v %v", name, result, err)
		}
		return s.hears(ctx, "log", times)
	}
}

// watching subscribes to a resource, does what makes it change, and undoes that
// when it has heard of it. This SDK does not wait for the acknowledgement of a
// subscription, so the change has to last, or to come again.
func (s *gosession) watching(uri string, do, undo func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		s.forget("updated " + uri)
		if err := s.cs.Subscribe(ctx, &sdk.SubscribeParams{URI: uri}); err != nil {
			return err
		}
		if err := do(ctx); err != nil {
			return err
		}
		if err := s.hears(ctx, "updated "+uri, 1); err != nil {
			return err
		}
		if err := undo(ctx); err != nil {
			return err
		}
		return s.cs.Unsubscribe(ctx, &sdk.UnsubscribeParams{URI: uri})
	}
}

func nothing(context.Context) error { return nil }

// changing hears that a list has changed, and reads it until it has an entry.
func (s *gosession) changing(kind string, work func(context.Context) error, entry string) func(context.Context) error {
	return func(ctx context.Context) error {
		s.forget(kind)
		if err := work(ctx); err != nil {
			return err
		}
		if err := s.hears(ctx, kind, 1); err != nil {
			return err
		}
		for deadline := time.Now().Add(stepTime); time.Now().Before(deadline); {
			got, err := s.lists(ctx)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(got[kind], func(name string) bool { return strings.HasSuffix(name, entry) }) {
				return nil
			}
		}
		return fmt.Errorf("%s do not have %s", kind, entry)
	}
}
