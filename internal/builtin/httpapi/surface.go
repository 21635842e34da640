package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/openapi"
	"github.com/dragoman-mcp/dragoman/server"
)

const (
	// directMost is how many operations are tools of their own by default.
	directMost = 8
	// directTokens is what their definitions may cost by default; with the
	// instructions they stay below what a server may cost.
	directTokens = 1350
)

// safe methods change nothing (RFC 9110 §9.2.1).
func safe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, "QUERY":
		return true
	}
	return false
}

// hintsOf are what a method promises. Of POST and PATCH nothing is known, and so
// the worst is said.
func hintsOf(method string) server.Hints {
	h := server.Hints{ReadOnly: server.No, Destructive: server.Yes, Idempotent: server.No, OpenWorld: server.No}
	switch {
	case safe(method):
		h.ReadOnly, h.Destructive, h.Idempotent = server.Yes, server.No, server.Yes
	case method == http.MethodPut || method == http.MethodDelete:
		h.Idempotent = server.Yes
	}
	return h
}

// surface gives the server the tools for a document: each operation one, or three
// for all.
func (a *api) surface(r *rest) {
	tools, cost := a.direct(r)
	few := len(r.operations) <= directMost && cost <= directTokens
	if a.cfg.Surface == "search" || a.cfg.Surface == "auto" && !few {
		a.addSurface()
		return
	}
	a.server.RemoveTools("search", "describe", "call")
	for i, op := range r.operations {
		server.AddTool(a.server, tools[i], func(ctx context.Context, c *server.Call, in map[string]json.RawMessage) (answer, error) {
			return a.operate(ctx, c, r, op, in)
		})
	}
}

// outline is the output schema of direct tools: short, since each has it.
func outline() json.RawMessage {
	return json.RawMessage(`{"type":"object","properties":{"status":{"type":"integer"},"body":{}},"required":["status"]}`)
}

// direct makes the definitions of direct tools and says what they cost.
func (a *api) direct(r *rest) ([]server.Tool, int) {
	if a.cfg.Surface != "direct" && len(r.operations) > directMost {
		return nil, 0
	}
	var tools []server.Tool
	cost := server.Tokens(a.instructions())
	for _, op := range r.operations {
		input := op.Input(openapi.View{Depth: 4, Words: 120})
		properties, _ := input["properties"].(map[string]any)
		for name, s := range map[string]any{
			"_fields": map[string]any{"type": "array", "items": map[string]any{"type": "string"}, "description": "only these, such as items.name"},
			"_cursor": map[string]any{"type": "string"},
		} {
			if _, taken := properties[name]; !taken {
				properties[name] = s
			}
		}
		title := op.Summary
		if title == "" {
			title = op.Method + " " + op.Path
		}
		words := openapi.Clean(op.Description, 300)
		if words == "" {
			words = title
		}
		t := server.Tool{
			Name: op.Name, Title: openapi.Clean(title, 80), Description: words, Hints: hintsOf(op.Method),
			Input: input, Output: outline(),
		}
		text, err := json.Marshal([]any{t.Name, t.Title, t.Description, t.Input, t.Output, "readOnlyHint destructiveHint idempotentHint openWorldHint inputSchema outputSchema annotations"})
		if err != nil {
			continue
		}
		cost += server.Tokens(text) + 10
		tools = append(tools, t)
	}
	return tools, cost
}

type searchInput struct {
	Query  string `json:"query,omitempty" jsonschema:"words; empty lists all"`
	Limit  int    `json:"limit,omitempty" min:"1" max:"100" default:"20"`
	Cursor string `json:"cursor,omitempty"`
}

type match struct {
	Name    string `json:"name"`
	Request string `json:"request"`
	Summary string `json:"summary,omitempty"`
}

type matchesFound struct {
	Operations []match `json:"operations"`
	Total      int     `json:"total"`
	Skipped    int     `json:"skipped,omitempty" jsonschema:"not offered; resource httpapi://coverage says why"`
	server.Page
}

type describeInput struct {
	Operation string `json:"operation,omitempty" jsonschema:"name from search"`
	Schema    string `json:"schema,omitempty" jsonschema:"or a schema that a description names"`
}

type description struct {
	Request     string         `json:"request,omitempty"`
	Description string         `json:"description,omitempty"`
	Arguments   map[string]any `json:"arguments,omitempty"`
	Answers     map[string]any `json:"answers,omitempty"`
	Schema      map[string]any `json:"schema,omitempty"`
}

type callInput struct {
	Operation string                     `json:"operation" jsonschema:"name from search"`
	Arguments map[string]json.RawMessage `json:"arguments,omitempty" jsonschema:"as describe says; the body is body"`
	Fields    []string                   `json:"fields,omitempty" jsonschema:"only these parts of the answer, such as items.name"`
	Cursor    string                     `json:"cursor,omitempty" jsonschema:"next_cursor, for more of the same answer"`
}

// addSurface adds the three tools for any number of operations.
func (a *api) addSurface() {
	read := server.Hints{ReadOnly: server.Yes, Destructive: server.No, Idempotent: server.Yes, OpenWorld: server.No}
	server.AddTool(a.server, server.Tool{
		Name: "search", Title: "Search operations", Hints: read,
		Description: "Finds operations of the API by words of their names, paths, tags and descriptions.",
	}, a.search)
	server.AddTool(a.server, server.Tool{
		Name: "describe", Title: "Describe an operation", Hints: read,
		Description: "Shows the arguments and answers of an operation, or one named schema.",
	}, a.describe)
	hints, words := hintsOf(http.MethodPost), "Calls an operation of the API."
	switch a.cfg.Writes {
	case "off":
		hints, words = read, "Calls an operation of the API that reads."
	case "ask":
		words += " What may change something asks the user first."
	}
	server.AddTool(a.server, server.Tool{Name: "call", Title: "Call an operation", Description: words, Hints: hints}, a.call)
}

func (a *api) search(_ context.Context, c *server.Call, in searchInput) (matchesFound, error) {
	r := a.rest.Load()
	if r == nil {
		return matchesFound{}, a.notYet()
	}
	at := 0
	if in.Cursor != "" {
		if err := c.Resume(in.Cursor, &at); err != nil {
			return matchesFound{}, err
		}
	}
	found := r.find(in.Query)
	out := matchesFound{Operations: []match{}, Total: len(found), Skipped: len(r.doc.Skipped)}
	c.Budget.Lower(server.Limits{Rows: in.Limit})
	for i := min(at, len(found)); i < len(found); i++ {
		op := found[i]
		m := match{op.Name, op.Method + " " + op.Path, openapi.Clean(op.Summary, 120)}
		if m.Summary == "" {
			m.Summary = openapi.Clean(op.Description, 120)
		}
		if !c.Budget.Row([]byte(m.Name + m.Request + m.Summary)) {
			out.Page = c.More(i)
			break
		}
		out.Operations = append(out.Operations, m)
	}
	c.Untrusted("the description of " + r.base.Host)
	return out, nil
}

// wordsOf is what search looks at: each field in lower case between bars, with
// the words of names apart.
func wordsOf(op *openapi.Operation) string {
	about := op.Summary
	if about == "" {
		about = openapi.Clean(op.Description, 120)
	}
	means := map[string]string{
		http.MethodGet: " get list read", http.MethodPost: " post create add", http.MethodPut: " put update replace",
		http.MethodPatch: " patch update change", http.MethodDelete: " delete remove",
	}[op.Method]
	return strings.Join([]string{apart(op.Name + means), apart(op.Path), apart(strings.Join(op.Tags, " ")), apart(about), openapi.Clean(strings.ToLower(op.Description), 600)}, "|")
}

// apart is s in lower case with its words apart: listItems becomes list items.
func apart(s string) string {
	var out strings.Builder
	lower := false
	for _, r := range s {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			r = ' '
		case unicode.IsUpper(r) && lower:
			out.WriteByte(' ')
		}
		lower = unicode.IsLower(r)
		out.WriteRune(unicode.ToLower(r))
	}
	return " " + strings.Join(strings.Fields(out.String()), " ") + " "
}

// find gives the operations that a query means, the best first: a word counts
// more in a name or path than in a description, and whole more than in part.
func (r *rest) find(query string) []*operation {
	words := strings.Fields(apart(query))
	if len(words) == 0 {
		return r.operations
	}
	type scored struct {
		op    *operation
		score int
	}
	var all []scored
	for _, op := range r.operations {
		fields := strings.Split(op.words, "|")
		score, hit := 0, 0
		for _, w := range words {
			if n := worth(fields, w); n > 0 {
				score, hit = score+n, hit+1
			}
		}
		if hit > 0 {
			// Of two that have the words, the one with fewer others is meant.
			others := strings.Count(fields[0], " ") + strings.Count(fields[1], " ")
			all = append(all, scored{op, score * hit * 100 / (10 + others)})
		}
	}
	slices.SortStableFunc(all, func(a, b scored) int { return b.score - a.score })
	out := make([]*operation, len(all))
	for i, s := range all {
		out[i] = s.op
	}
	return out
}

func worth(fields []string, word string) int {
	weights := [...]int{8, 6, 6, 4, 2}
	total := 0
	stem := strings.TrimSuffix(word, "s")
	for i, f := range fields {
		switch w := weights[min(i, len(weights)-1)]; {
		case strings.Contains(f, " "+word+" "), strings.Contains(f, " "+stem+" "), strings.Contains(f, " "+stem+"s "):
			total += 2 * w
		case strings.Contains(f, " "+stem):
			total += w
		case len(word) > 3 && strings.Contains(f, stem):
			total += w / 2
		}
	}
	return total
}

// describeTokens is what a description may cost; schemas are cut to it.
const describeTokens = 4000

func (a *api) describe(_ context.Context, c *server.Call, in describeInput) (description, error) {
	r := a.rest.Load()
	if r == nil {
		return description{}, a.notYet()
	}
	c.Untrusted("the description of " + r.base.Host)
	var write func(v openapi.View) description
	if in.Schema != "" {
		if r.doc.Schema(in.Schema, openapi.View{Depth: 1}) == nil {
			return description{}, server.Errorf("take a name from a description", "there is no schema %q", openapi.Clean(in.Schema, 80))
		}
		write = func(v openapi.View) description { return description{Schema: r.doc.Schema(in.Schema, v)} }
	} else {
		op, err := r.named(in.Operation)
		if err != nil {
			return description{}, err
		}
		write = func(v openapi.View) description {
			return description{
				Request: op.Method + " " + op.Path, Description: op.Summary + " " + openapi.Clean(op.Description, max(v.Words, 0)*4+200),
				Arguments: op.Input(v), Answers: op.Answers(openapi.View{Depth: max(v.Depth-1, 1), Words: v.Words}),
			}
		}
	}
	views := []openapi.View{{Depth: 6, Words: 300}, {Depth: 4, Words: 150}, {Depth: 3, Words: 80}, {Depth: 2, Words: 60}, {Depth: 2, Words: -1}, {Depth: 1, Words: 60}, {Depth: 1, Words: -1}}
	var out description
	for _, v := range views {
		out = write(v)
		text, err := json.Marshal(out)
		if err != nil {
			return description{}, err
		}
		if server.Tokens(text) <= min(describeTokens, a.cfg.Limits.Tokens) && len(text) <= int(a.cfg.Limits.Bytes) {
			return out, nil
		}
	}
	return out, nil
}

// named finds an operation that may be called.
func (r *rest) named(name string) (*operation, error) {
	if op := r.doc.Operation(name); op != nil {
		for _, known := range r.operations {
			if known.Operation == op {
				return known, nil
			}
		}
	}
	for _, s := range r.doc.Skipped {
		if strings.EqualFold(s.Method+" "+s.Path, name) {
			return nil, server.Errorf("search for another", "the operation is not offered: %s", s.Reason)
		}
	}
	return nil, server.Errorf("search finds operations by words", "there is no operation %q", openapi.Clean(name, 80))
}

func (a *api) call(ctx context.Context, c *server.Call, in callInput) (answer, error) {
	r := a.rest.Load()
	if r == nil {
		return answer{}, a.notYet()
	}
	if in.Cursor != "" {
		return a.resume(c, r.base.Host, in.Cursor)
	}
	op, err := r.named(in.Operation)
	if err != nil {
		return answer{}, err
	}
	return a.perform(ctx, c, r, op, request{in.Arguments, in.Fields})
}
