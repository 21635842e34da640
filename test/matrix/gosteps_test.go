package matrix

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// ownName is a name that no other session uses.
func (s *gosession) ownName() string {
	return fmt.Sprintf("%s-%s%d", plain(s.how.name), s.server.name, time.Now().UnixNano())
}

// everything is a session with server-everything.
func (s *gosession) everything() {
	s.with("list", s.listed(
		[]string{"echo", "get-sum", "trigger-elicitation-request", "trigger-sampling-request", "trigger-url-elicitation", "get-roots-list"},
		[]string{"simple-prompt", "args-prompt", "completable-prompt", "resource-prompt"},
		[]string{"demo://resource/dynamic/text/{resourceId}", "demo://resource/dynamic/blob/{resourceId}"},
	))
	s.with("call", func(ctx context.Context) error {
		_, wrong, err := s.call(ctx, "get-sum", obj{"a": "two", "b": 40})
		if err != nil || !wrong.IsError {
			return fmt.Errorf("get-sum of a word: %v %v", wrong, err)
		}
		_, weather, err := s.call(ctx, "get-structured-content", obj{"location": "Chicago"})
		if err != nil {
			return err
		}
		if m, _ := weather.StructuredContent.(obj); m["temperature"] == nil {
			return fmt.Errorf("get-structured-content has %v", weather.StructuredContent)
		}
		return errors.Join(
			s.says("echo", obj{"message": "grüße €😀"}, "Echo: grüße €😀")(ctx),
			s.says("get-sum", obj{"a": 2, "b": 40}, "is 42.")(ctx),
		)
	})
	s.alone("elicitation", s.asks("trigger-elicitation-request", nil, "Ada", "elicitation"))
	s.alone("URL elicitation", s.asks("trigger-url-elicitation", obj{"url": "https://example.org/a"}, "completed the URL elicitation", "url"))
	prompt := s.ownName()
	s.alone("sampling", s.asks("trigger-sampling-request", obj{"prompt": prompt, "maxTokens": 10}, prompt, "sampling"))
	s.alone("roots", s.says("get-roots-list", nil, "home of Ada"))
	s.with("progress", s.progress("trigger-long-running-operation", obj{"duration": 0.4, "steps": 4}))
	s.with("cancel", func(ctx context.Context) error {
		s.forget("progress")
		calling, cancel := context.WithCancel(ctx)
		defer cancel()
		begun := time.Now()
		go func() {
			_ = s.hears(calling, "progress", 1) // the call fails in time if it was not heard
			cancel()
		}()
		params := &sdk.CallToolParams{Name: s.prefix + "trigger-long-running-operation", Arguments: obj{"duration": 60, "steps": 300}}
		params.SetProgressToken("long")
		if _, err := s.cs.CallTool(calling, params); err == nil {
			return errors.New("a cancelled call has a result")
		}
		if took := time.Since(begun); took > 45*time.Second {
			return fmt.Errorf("a cancelled call took %s", took)
		}
		return s.says("get-sum", obj{"a": 1, "b": 1}, "is 2.")(ctx)
	})
	if slices.Contains(s.w.logs(), s.server.name) {
		s.alone("logging", func(ctx context.Context) error {
			// A message that belongs to no call may be overtaken by the end of the
			// call that it came with.
			for told := false; !told; {
				if err := s.logging("toggle-simulated-logging", 0)(ctx); err != nil {
					return err
				}
				told = awaitFor(ctx, time.Second, func() bool {
					s.mu.Lock()
					defer s.mu.Unlock()
					return s.heard["log"] > 0
				})
				if err := s.says("toggle-simulated-logging", nil, "Stopped")(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	s.alone("subscription", s.watching("demo://resource/dynamic/text/1",
		s.says("toggle-subscriber-updates", nil, "Started"), s.says("toggle-subscriber-updates", nil, "Stopped")))
	name := s.ownName() + ".gz"
	s.with("list change", s.changing("resources",
		s.says("gzip-file-as-resource", obj{"name": name, "data": "data:text/plain,hello", "outputType": "resource"}, ""), name))
	s.with("prompts", s.prompts("args-prompt", map[string]string{"city": "Berlin", "state": "Berlin"}, "Berlin"))
	s.with("completion", func(ctx context.Context) error {
		return errors.Join(
			s.completes(ctx, "completable-prompt", sdk.CompleteParamsArgument{Name: "department", Value: "E"}, nil, "Engineering"),
			s.completes(ctx, "completable-prompt", sdk.CompleteParamsArgument{Name: "name", Value: "G"}, map[string]string{"department": "Marketing"}, "Grace"),
		)
	})
	s.with("resources", s.reads("demo://resource/dynamic/text/none", map[string]string{
		"demo://resource/dynamic/text/7": "Resource 7", "demo://resource/dynamic/blob/8": "Resource 8",
	}))
}

// prompts gets a prompt with arguments, whose first message must have a text.
func (s *gosession) prompts(name string, args map[string]string, want string) func(context.Context) error {
	return func(ctx context.Context) error {
		got, err := s.cs.GetPrompt(ctx, &sdk.GetPromptParams{Name: s.prefix + name, Arguments: args})
		if err != nil {
			return err
		}
		if text, ok := got.Messages[0].Content.(*sdk.TextContent); !ok || !strings.Contains(text.Text, want) {
			return fmt.Errorf("prompt %s is %v, want %q", name, got.Messages[0].Content, want)
		}
		return nil
	}
}

func (s *gosession) completes(ctx context.Context, prompt string, arg sdk.CompleteParamsArgument, known map[string]string, want ...string) error {
	params := &sdk.CompleteParams{Ref: &sdk.CompleteReference{Type: "ref/prompt", Name: s.prefix + prompt}, Argument: arg}
	if known != nil {
		params.Context = &sdk.CompleteContext{Arguments: known}
	}
	got, err := s.cs.Complete(ctx, params)
	if err != nil {
		return err
	}
	if !slices.Equal(got.Completion.Values, want) {
		return fmt.Errorf("%s of %s is completed to %v, want %v", arg.Name, prompt, got.Completion.Values, want)
	}
	return nil
}

// reads reads resources that must have a text, and one that does not exist.
func (s *gosession) reads(missing string, wanted map[string]string) func(context.Context) error {
	return func(ctx context.Context) error {
		for uri, want := range wanted {
			got, err := s.cs.ReadResource(ctx, &sdk.ReadResourceParams{URI: uri})
			if err != nil {
				return fmt.Errorf("read %s: %w", uri, err)
			}
			if c := got.Contents[0]; !strings.Contains(c.Text+string(c.Blob), want) || c.URI != uri {
				return fmt.Errorf("%s has %q, want %q", uri, c.Text, want)
			}
		}
		if missing == "" {
			return nil
		}
		if got, err := s.cs.ReadResource(ctx, &sdk.ReadResourceParams{URI: missing}); err == nil {
			return fmt.Errorf("%s has %v", missing, got)
		}
		return nil
	}
}

// official is a session with the everything-server of the same SDK.
func (s *gosession) official() {
	s.with("list", s.listed(
		[]string{"test_simple_text", "test_input_required_result_multi_round", "json_schema_2020_12_tool"},
		[]string{"test_simple_prompt", "test_prompt_with_image"},
		[]string{"test://static-text", "test://static-binary", "test://watched-resource", "test://template/{id}/data"},
	))
	s.with("call", func(ctx context.Context) error {
		_, wrong, err := s.call(ctx, "test_error_handling", nil)
		if err != nil || !wrong.IsError {
			return fmt.Errorf("test_error_handling: %v %v", wrong, err)
		}
		_, mixed, err := s.call(ctx, "test_multiple_content_types", nil)
		if err != nil || len(mixed.Content) != 3 {
			return fmt.Errorf("test_multiple_content_types: %v %v", mixed, err)
		}
		return errors.Join(
			s.says("test_simple_text", nil, "simple text response")(ctx),
			s.says("test_x_mcp_header", obj{"region": "zürich", "level": 3}, "region=zürich")(ctx),
		)
	})
	s.with("progress", s.progress("test_tool_with_progress", nil))
	s.step("logging", s.server.local(), []string{s.server.name}, s.logging("test_tool_with_logging", 3))
	note := ", stateless"
	if s.server.name == "official-sessions" {
		note = ", converted"
		s.with("elicitation", s.asks("test_elicitation", obj{"message": "who?"}, "username:Ada", "elicitation"))
		s.with("sampling", s.asks("test_sampling", obj{"prompt": "who is it?"}, "who is it?", "sampling"))
	}
	const tool = "test_input_required_result_"
	s.with("elicitation"+note, s.asks(tool+"elicitation", nil, "", "elicitation"))
	s.with("sampling"+note, s.asks(tool+"sampling", nil, "", "sampling"))
	s.with("roots", s.asks(tool+"list_roots", nil, "ada"))
	s.with("several questions", s.asks(tool+"multiple_inputs", nil, "", "elicitation", "sampling"))
	if note == ", stateless" {
		s.with("rounds", s.asks(tool+"multi_round", nil, "", "elicitation", "elicitation"))
	}
	if slices.Contains(s.w.changes(s.how.transport), s.server.name) {
		s.with("list change", s.changing("tools", s.says("test_trigger_tool_change", nil, "published"), "__transient_tool_for_list_changed"))
	}
	s.step("subscription", s.server.local(), []string{s.server.name}, s.watching("test://watched-resource", nothing, nothing))
	s.with("prompts", s.prompts("test_prompt_with_arguments", map[string]string{"arg1": "x", "arg2": "y"}, "x"))
	s.with("completion", func(ctx context.Context) error {
		return s.completes(ctx, "test_prompt_with_arguments", sdk.CompleteParamsArgument{Name: "arg1", Value: "x"}, nil)
	})
	s.with("resources", s.reads("test://nothing", map[string]string{
		"test://static-text": "text", "test://static-binary": "PNG", "test://template/42/data": "42",
	}))
}

// files is a session with server-filesystem.
func (s *gosession) files() {
	path := filepath.Join(s.w.dir, s.ownName()+".txt")
	s.with("list", s.listed([]string{"write_file", "read_text_file", "list_directory"}, nil, nil))
	s.with("write", s.says("write_file", obj{"path": path, "content": "grüße €😀\n"}, "Successfully wrote"))
	s.with("read", s.says("read_text_file", obj{"path": path}, "grüße €😀\n"))
	s.with("directory", s.says("list_directory", obj{"path": s.w.dir}, filepath.Base(path)))
	s.with("refusal", func(ctx context.Context) error {
		_, result, err := s.call(ctx, "read_text_file", obj{"path": "/etc/hostname"})
		if err != nil || !result.IsError {
			return fmt.Errorf("a file elsewhere: %v %v", result, err)
		}
		return nil
	})
}

// memory is a session with server-memory.
func (s *gosession) memory() {
	const uri = "memory://knowledge-graph"
	name := s.ownName()
	create := func(name string) func(context.Context) error {
		entity := obj{"name": name, "entityType": "test", "observations": list{"€"}}
		return s.says("create_entities", obj{"entities": list{entity}}, "€")
	}
	s.with("list", s.listed([]string{"create_entities", "read_graph"}, nil, []string{uri}))
	s.alone("subscription", s.watching(uri, func(ctx context.Context) error {
		for heard := false; !heard; {
			if err := create("first-" + s.ownName())(ctx); err != nil {
				return err
			}
			// A creation before the subscription has come to the server is not heard.
			heard = awaitFor(ctx, time.Second, func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return s.heard["updated "+uri] > 0
			})
		}
		return nil
	}, nothing))
	s.alone("create", create(name))
	s.with("read", s.says("read_graph", nil, name))
	s.with("search", s.says("search_nodes", obj{"query": name}, name))
	s.with("resources", s.reads("", map[string]string{uri: name}))
}

// together looks at all servers at one endpoint, and calls a tool of each.
func (s *gosession) together(shown []realServer) {
	s.server, s.prefix = realServer{name: "together"}, ""
	greetings := map[string]struct {
		tool string
		args obj
		want string
	}{
		"everything": {"get-sum", obj{"a": 2, "b": 40}, "is 42."}, "files": {"list_allowed_directories", nil, s.w.dir},
		"memory": {"read_graph", nil, "entities"}, "official": {"test_simple_text", nil, "simple text"},
	}
	prompt := map[string]string{"everything": "simple-prompt", "official": "test_simple_prompt"}
	var names, tools, prompts []string
	for _, server := range shown {
		names = append(names, server.name)
		tools = append(tools, server.name+"__"+greetings[server.kind].tool)
		if p := prompt[server.kind]; p != "" {
			prompts = append(prompts, server.name+"__"+p)
		}
	}
	all := s.listed(tools, prompts, []string{"memory://knowledge-graph", "test://static-text"})
	s.step("lists", false, names, func(ctx context.Context) (err error) {
		// A gateway that has just been started shows what is there in time, and
		// the rest when it comes.
		if !awaitFor(ctx, stepTime*9/10, func() bool { err = all(ctx); return err == nil }) {
			return err
		}
		return nil
	})
	s.step("a call of each", false, names, func(ctx context.Context) error {
		var failed error
		for i, server := range shown {
			greeting := greetings[server.kind]
			failed = errors.Join(failed, s.says(tools[i], greeting.args, greeting.want)(ctx))
		}
		return failed
	})
}
