package gateway

import (
	"context"
	"fmt"
	"strings"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// maxInstructions bounds what one server's instructions add to those of an
// endpoint of many; the rest is left out, and said so.
const maxInstructions = 2048

// federated is what an endpoint of many offers, whatever its servers do.
const federated = `{"tools":{"listChanged":true},"prompts":{"listChanged":true},` +
	`"resources":{"subscribe":true,"listChanged":true},"completions":{},"logging":{}}`

// discover answers from what is known: no server is asked, so that none can
// delay a client that only wants to begin.
func (m *many) discover(ctx context.Context, c *mcp.Client) mcp.Result {
	capabilities, _ := jsonrpc.Split([]byte(federated))
	about := mcp.Server{
		Revisions: mcp.Revisions(), Info: m.set.gateway.o.Info,
		Capabilities: capabilities, Instructions: m.instructions(ctx),
	}
	if c != nil && c.Revision.Modern() {
		if extensions := m.extensions(ctx); extensions != nil {
			about.Capabilities = about.Capabilities.With(jsonrpc.Edit{Name: "extensions", Value: extensions})
		}
	}
	return about.Result()
}

// extensions is the union of what the servers announced, less what needs a
// server of its own: a task's id does not say whose it is.
func (m *many) extensions(ctx context.Context) []byte {
	var edits []jsonrpc.Edit
	seen := map[string]bool{mcp.ExtensionTasks: true}
	for _, member := range m.met(ctx) {
		for _, e := range member.extensions() {
			if !seen[e.Name] {
				seen[e.Name] = true
				edits = append(edits, jsonrpc.Edit(e))
			}
		}
	}
	if edits == nil {
		return nil
	}
	return jsonrpc.Object{}.Append(nil, edits...)
}

// extensions are what the server announced to any class of callers.
func (m *member) extensions() []jsonrpc.Member {
	var all []jsonrpc.Member
	for _, b := range m.shelf.all() {
		if about := b.known(); about != nil {
			announced, _ := jsonrpc.Split(about.Capabilities.Get("extensions"))
			all = append(all, announced.Members()...)
		}
	}
	return all
}

func (m *many) instructions(ctx context.Context) string {
	var b strings.Builder
	if m.view != nil && m.view.Description != "" {
		b.WriteString(m.view.Description + "\n\n")
	}
	if len(m.members) == 0 {
		b.WriteString("No server is configured yet.")
		return b.String()
	}
	members := m.met(ctx)
	fmt.Fprintf(&b, "The tools and prompts of %d servers, named SERVER%sNAME.\n", len(members), m.set.gateway.o.Separator)
	for _, member := range members {
		fmt.Fprintf(&b, "\n# %s", member.Name)
		if member.Title != "" {
			fmt.Fprintf(&b, ": %s", member.Title)
		}
		b.WriteByte('\n')
		if member.Description != "" {
			b.WriteString(member.Description + "\n")
		}
		b.WriteString(member.instructions())
	}
	return b.String()
}

func (m *member) instructions() string {
	for _, b := range m.shelf.all() {
		about := b.known()
		if about == nil || about.Instructions == "" {
			continue
		}
		text := about.Instructions
		if len(text) > maxInstructions {
			text = strings.ToValidUTF8(text[:maxInstructions], "") + " … (the rest is at this server's own endpoint)"
		}
		return text + "\n"
	}
	return ""
}

// discover says what the server says of itself, and that all revisions are
// served. A server that cannot be asked is announced by what it last said.
func (s *single) discover(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	b := s.member.shelf.book(ctx, req.Client)
	about := b.known()
	if about == nil {
		ctx, cancel := context.WithTimeout(ctx, s.set.gateway.o.ListDeadline)
		defer cancel()
		fresh, err := b.discover(ctx)
		if err != nil {
			return mcp.Result{}, s.unavailable(err)
		}
		about = fresh
	}
	out := *about
	out.Revisions = mcp.Revisions()
	if !s.set.gateway.meets(ctx, s.member.Name) {
		out.Instructions = ""
	}
	edits := []jsonrpc.Edit{}
	if req.Client != nil && req.Client.Revision.Modern() {
		edits = append(edits, jsonrpc.Edit{Name: "tasks"}) // of 2025-11-25; another dialect
	}
	if out.Capabilities.Get("tools") != nil {
		edits = append(edits, jsonrpc.Edit{Name: "tools", Value: []byte(`{"listChanged":true}`)})
	}
	if out.Capabilities.Get("prompts") != nil {
		edits = append(edits, jsonrpc.Edit{Name: "prompts", Value: []byte(`{"listChanged":true}`)})
	}
	out.Capabilities = out.Capabilities.With(edits...)
	return out.Result(), nil
}
