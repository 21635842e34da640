package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// show writes a list in the form that was asked for.
func (l *list) show(s *screen, found listing) error {
	switch l.form {
	case formJSON:
		return found.json(s)
	case formName:
		for _, o := range found.entries {
			name, _ := o.String(found.kind.key)
			fmt.Fprintln(s.out, oneLine(name))
		}
		return nil
	}
	if len(found.entries) == 0 {
		s.say("no %s", found.kind.word)
		return nil
	}
	t := table{head: found.heading()}
	for _, o := range found.entries {
		t.add(found.row(o)...)
	}
	t.write(s.out, s)
	return nil
}

// json is an object as the protocol has it, with what is missing beside it.
func (found listing) json(s *screen) error {
	entries := make([]json.RawMessage, len(found.entries))
	for i, o := range found.entries {
		entries[i] = o.Raw()
	}
	body := map[string]any{found.kind.member: entries}
	if len(found.missing) > 0 {
		body["missing"] = found.missing
	}
	return printJSON(s, body)
}

func printJSON(s *screen, v any) error {
	encoder := json.NewEncoder(s.out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

func (found listing) heading() []string {
	switch found.kind {
	case prompts:
		return []string{"PROMPT", "ARGUMENTS", "DESCRIPTION"}
	case resources:
		return []string{"RESOURCE", "TYPE", "DESCRIPTION"}
	case templates:
		return []string{"TEMPLATE", "TYPE", "DESCRIPTION"}
	}
	return []string{"TOOL", "DESCRIPTION"}
}

func (found listing) row(o jsonrpc.Object) []string {
	text := func(name string) string {
		value, _ := o.String(name)
		return oneLine(value)
	}
	about := text("description")
	if about == "" {
		about = text("title")
	}
	name := text(found.kind.key)
	switch found.kind {
	case prompts:
		return []string{name, argumentsOf(o), about}
	case resources, templates:
		if about == "" {
			about = text("name")
		}
		return []string{name, text("mimeType"), about}
	}
	return []string{name, about}
}

// argumentsOf lists the arguments of a prompt, those that may be left out in
// brackets.
func argumentsOf(prompt jsonrpc.Object) string {
	var out []string
	for element := range jsonrpc.Elements(prompt.Get("arguments")) {
		o, _ := jsonrpc.Split(element)
		name, _ := o.String("name")
		if string(o.Get("required")) != "true" {
			name = "[" + name + "]"
		}
		out = append(out, oneLine(name))
	}
	return strings.Join(out, " ")
}

// listed is one server as "list servers" shows it.
type listed struct {
	Name        string `json:"name"`
	Kind        string `json:"kind,omitempty"` // builtin, command or url
	Where       string `json:"where,omitempty"`
	Disabled    bool   `json:"disabled,omitempty"`
	Status      string `json:"status,omitempty"` // of a running gateway
	Reason      string `json:"reason,omitempty"`
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
}

// servers lists servers without starting any: those of the configuration, or
// those of a running gateway with their state.
func (l *list) servers(ctx context.Context, cmd *cobra.Command, s *screen, only string) error {
	var all []listed
	var err error
	if l.url != "" {
		all, err = l.running(ctx, cmd)
	} else {
		all, err = l.configured()
	}
	if err != nil {
		return err
	}
	if only != "" {
		all = slices.DeleteFunc(all, func(x listed) bool { return x.Name != only })
		if len(all) == 0 {
			return exit(exitNotFound, fmt.Errorf("there is no server %q", only))
		}
	}
	switch l.form {
	case formJSON:
		return printJSON(s, map[string]any{"servers": all})
	case formName:
		for _, x := range all {
			fmt.Fprintln(s.out, x.Name)
		}
		return nil
	}
	t := table{head: []string{"SERVER", "KIND", "WHERE"}}
	if l.url != "" {
		t.head = []string{"SERVER", "STATUS", "REASON"}
	}
	for _, x := range all {
		kind := x.Kind + x.Status
		if x.Disabled {
			kind = "disabled"
		}
		t.add(x.Name, kind, oneLine(x.Where+x.Reason))
	}
	t.write(s.out, s)
	return nil
}

func (l *list) configured() ([]listed, error) {
	cfg, _, err := l.load()
	if err != nil {
		return nil, err
	}
	out := []listed{}
	for _, name := range slices.Sorted(maps.Keys(cfg.Servers)) {
		section := cfg.Servers[name]
		x := listed{Name: name, Title: section.Title, Description: section.Description, Disabled: section.Disabled}
		x.Kind, x.Where = whereabouts(section)
		out = append(out, x)
	}
	return out, nil
}

// whereabouts says in a line what a server is.
func whereabouts(s config.Server) (kind, where string) {
	switch {
	case s.Builtin != "":
		return "builtin", s.Builtin
	case len(s.Command) > 0:
		return "command", commandLine(s.Argv())
	}
	var addresses []string
	for _, r := range s.Replicas() {
		addresses = append(addresses, redacted(r.URL))
	}
	return "url", strings.Join(addresses, ", ")
}

// running asks a gateway of ours how its servers are.
func (l *list) running(ctx context.Context, cmd *cobra.Command) ([]listed, error) {
	c, err := l.control(cmd)
	if err != nil {
		return nil, err
	}
	defer c.close()
	var body struct {
		Servers map[string]struct{ Status, Reason string }
	}
	if err := c.ask(ctx, http.MethodGet, "/ready", &body); err != nil {
		return nil, err
	}
	if body.Servers == nil {
		return nil, exit(exitAuth, fmt.Errorf("%s does not tell strangers what servers it has: give --token", c.base))
	}
	out := []listed{}
	for _, name := range slices.Sorted(maps.Keys(body.Servers)) {
		out = append(out, listed{Name: name, Status: body.Servers[name].Status, Reason: body.Servers[name].Reason})
	}
	return out, nil
}
