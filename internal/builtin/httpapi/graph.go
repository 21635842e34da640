package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/graphql"
	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/openapi"
	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/outbound"
	"github.com/dragoman-mcp/dragoman/server"
)

// graphSettings are those of a GraphQL API.
type graphSettings struct {
	// URL is the endpoint.
	URL string `yaml:"url"`
	// Schema is a file with the schema; without it the API is asked.
	Schema string `yaml:"schema"`
	// Mutations are refused (off), asked about (ask) or carried out (on).
	Mutations string `yaml:"mutations" default:"off" enum:"off|ask|on"`
	// Operations are files, or directories of files, with operations that become
	// tools.
	Operations []string `yaml:"operations"`
	// AdHoc lets callers write queries of their own.
	AdHoc  bool           `yaml:"ad_hoc" default:"true"`
	Limits graphql.Limits `yaml:"limits"`
}

func (g *graphSettings) check() error {
	if g.URL != "" && !g.AdHoc && len(g.Operations) == 0 {
		return server.Errorf("write operations, or leave ad_hoc on", "graphql has nothing that could be called")
	}
	return nil
}

// graph is a GraphQL API.
type graph struct {
	schema *graphql.Schema // nil while it has not arrived
	sender *outbound.Sender
	at     *url.URL
	header map[string]server.Secret
	found  []graphql.Found
	words  []string
}

func (a *api) openGraph() error {
	at, err := place(a.cfg.GraphQL.URL)
	if err != nil {
		return err
	}
	var credentials []outbound.Credential
	for _, c := range a.cfg.Auth {
		credentials = append(credentials, c.plain())
		if c.Scheme != "" {
			return server.Errorf("leave it out, or write in and name", "a credential has a scheme, which only OpenAPI documents have")
		}
	}
	sender, err := a.sender(at, credentials, true, a.cfg.MaxAnswer)
	if err != nil {
		return err
	}
	g := graph{sender: sender, at: at, header: a.cfg.Headers}
	if a.cfg.GraphQL.AdHoc {
		a.addGraph()
	}
	if a.cfg.GraphQL.Schema != "" {
		text, err := a.readFile(a.cfg.GraphQL.Schema)
		if err != nil {
			return err
		}
		return a.useSchema(g, text)
	}
	// The schema is a document, and may be larger than answers are.
	asks := g
	if asks.sender, err = a.sender(at, credentials, true, max(a.cfg.MaxAnswer, a.cfg.MaxDocument)); err != nil {
		return err
	}
	a.server.Go(func(ctx context.Context) error {
		return a.arrive(ctx, func(ctx context.Context) error {
			text, err := a.pinned(ctx, asks.introspect)
			if err != nil {
				return err
			}
			return a.useSchema(g, text)
		})
	})
	return nil
}

// introspect asks the API for its schema. The answer is written anew, so that its
// hash is that of the schema and not of an order.
func (g graph) introspect(ctx context.Context) ([]byte, error) {
	got, err := g.post(ctx, map[string]any{"query": graphql.Introspection}, "", true)
	if err != nil {
		return nil, err
	}
	if got.Status != http.StatusOK {
		return nil, fmt.Errorf("ask for the schema: the answer is %d; write graphql.schema if the API does not tell it", got.Status)
	}
	var v any
	if err := json.Unmarshal(got.Body, &v); err != nil {
		return nil, fmt.Errorf("ask for the schema: %w", err)
	}
	if _, err := graphql.Read(got.Body); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

func (g graph) post(ctx context.Context, body map[string]any, principal string, repeatable bool) (*outbound.Answer, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	h := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/graphql-response+json, application/json;q=0.9"}}
	for name, value := range g.header {
		h.Set(name, value.Reveal())
	}
	return g.sender.Send(ctx, outbound.Message{
		Method: http.MethodPost, URL: g.at, Header: h, Body: text, Principal: principal, Repeatable: repeatable,
	})
}

func (a *api) useSchema(g graph, text []byte) error {
	schema, err := graphql.Read(text)
	if err != nil {
		return err
	}
	if a.cfg.Pin != "" && a.cfg.GraphQL.Schema != "" && schema.Hash != a.cfg.Pin {
		return server.Errorf("review it and set settings.pin to what it has now", "the schema's hash is %s and not the pinned one", schema.Hash)
	}
	if err := a.keep(schema); err != nil {
		return err
	}
	g.schema = schema
	g.found = schema.All(a.cfg.GraphQL.Mutations != "off")
	for _, f := range g.found {
		g.words = append(g.words, strings.Join([]string{apart(f.Name), apart(f.Signature), "", openapi.Clean(strings.ToLower(f.About), 400)}, "|"))
	}
	if err := a.addOperations(&g); err != nil {
		return err
	}
	a.server.Log().Info("schema", "hash", schema.Hash, "names", len(g.found))
	a.graph.Store(&g)
	return nil
}

// keep leaves in a schema what only and except leave: only says which fields of the
// roots there are, except which fields of any type there are not. A pattern that is
// for nothing is an error, since something was meant to be kept from callers.
func (a *api) keep(schema *graphql.Schema) error {
	met := map[string]bool{}
	matches := func(patterns []string, field string, root bool) bool {
		_, bare, _ := strings.Cut(field, ".")
		is := false
		for _, p := range patterns {
			if glob(p, field) || root && glob(p, bare) {
				met[p], is = true, true
			}
		}
		return is
	}
	schema.Keep(func(field string, root bool) bool {
		wanted := !root || len(a.cfg.Only) == 0 || matches(a.cfg.Only, field, root)
		return !matches(a.cfg.Except, field, root) && wanted
	})
	for _, p := range slices.Concat(a.cfg.Only, a.cfg.Except) {
		if !met[p] {
			return server.Errorf("write Type.field, or a field of Query or Mutation, with * for a part", "only or except has %q, which is no field of the schema", p)
		}
	}
	return nil
}

// addOperations makes tools of the operations in files.
func (a *api) addOperations(g *graph) error {
	var files []string
	for _, name := range a.cfg.GraphQL.Operations {
		if !filepath.IsAbs(name) {
			name = filepath.Join(a.env.Dir, name)
		}
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			found, err := filepath.Glob(filepath.Join(name, "*.graphql"))
			if err != nil {
				return fmt.Errorf("list operations: %w", err)
			}
			files = append(files, found...)
			continue
		}
		files = append(files, name)
	}
	slices.Sort(files)
	seen := map[string]bool{"search": true, "describe": true, "validate": true, "execute": true}
	for _, file := range files {
		text, err := a.readFile(file)
		if err != nil {
			return err
		}
		op, err := g.schema.Check(string(text), "", nil, a.cfg.GraphQL.Limits)
		if err != nil {
			return server.Errorf("correct the file, with one named operation in it", "the operation in %s: %w", filepath.Base(file), err)
		}
		if op.Name == "" || len(op.Name) > 40 || seen[op.Name] {
			return server.Errorf("give it a name of its own, of at most 40 letters", "the operation in %s has no name that a tool can have", filepath.Base(file))
		}
		seen[op.Name] = true
		if op.Mutation && a.cfg.GraphQL.Mutations == "off" {
			return server.Errorf("set graphql.mutations", "%s is a mutation, and mutations are off", op.Name)
		}
		a.addOperation(g, op, comment(text))
	}
	return nil
}

func (a *api) addOperation(g *graph, op *graphql.Operation, words string) {
	hints := hintsOf(http.MethodGet)
	if op.Mutation {
		hints = hintsOf(http.MethodPost)
	}
	own := *g
	server.AddTool(a.server, server.Tool{
		Name: op.Name, Title: strings.TrimSpace(apart(op.Name)), Description: openapi.Clean(words+" ", 300) + "GraphQL operation " + op.Name + ".", Hints: hints,
		Input: g.schema.Variables(op), Output: outline(),
	}, func(ctx context.Context, c *server.Call, in map[string]json.RawMessage) (answer, error) {
		if _, err := own.schema.Check(op.Text, op.Name, values(in), a.cfg.GraphQL.Limits); err != nil {
			return answer{}, &server.Error{Message: openapi.Clean(err.Error(), 1000), Next: "ask for fewer elements"}
		}
		return a.send(ctx, c, &own, op, request{arguments: in})
	})
}

// values are the variables of a call: one without a value has its default.
func values(in map[string]json.RawMessage) graphql.Values {
	if in == nil {
		return graphql.Values{}
	}
	return in
}

// comment is what stands before an operation.
func comment(text []byte) string {
	var out []string
	for line := range bytes.Lines(text) {
		s, is := strings.CutPrefix(strings.TrimSpace(string(line)), "#")
		if !is {
			break
		}
		out = append(out, strings.TrimSpace(s))
	}
	if len(out) == 0 {
		return ""
	}
	return strings.Join(out, " ") + " "
}

type queryInput struct {
	Query     string                     `json:"query" jsonschema:"GraphQL text"`
	Operation string                     `json:"operation,omitempty" jsonschema:"which, if the text has several"`
	Variables map[string]json.RawMessage `json:"variables,omitempty"`
	Fields    []string                   `json:"fields,omitempty" jsonschema:"only these parts of the answer"`
	Cursor    string                     `json:"cursor,omitempty" jsonschema:"next_cursor, for more of the same answer"`
}

type validateInput struct {
	Query     string                     `json:"query"`
	Operation string                     `json:"operation,omitempty"`
	Variables map[string]json.RawMessage `json:"variables,omitempty"`
}

type verdict struct {
	Valid    bool   `json:"valid"`
	Problem  string `json:"problem,omitempty"`
	Mutation bool   `json:"mutation"`
	Cost     int    `json:"cost"`
}

type typeInput struct {
	Type  string `json:"type" jsonschema:"such as Query"`
	Depth int    `json:"depth,omitempty" min:"1" max:"5" default:"1"`
}

type definitions struct {
	Schema    string `json:"schema"`
	Truncated bool   `json:"truncated" jsonschema:"ask for one type or less depth"`
}

type namesFound struct {
	Found []graphql.Found `json:"found"`
	server.Page
}

func (a *api) addGraph() {
	read := hintsOf(http.MethodGet)
	server.AddTool(a.server, server.Tool{
		Name: "search", Title: "Search the schema", Description: "Finds fields and types by words.", Hints: read,
	}, a.searchGraph)
	server.AddTool(a.server, server.Tool{
		Name: "describe", Title: "Describe a type", Description: "Shows a type as GraphQL SDL, with those that it leads to by depth.", Hints: read,
	}, a.describeType)
	server.AddTool(a.server, server.Tool{
		Name: "validate", Title: "Validate a query", Description: "Tells whether a query is valid and within the limits, without sending it.", Hints: read,
	}, a.validate)
	hints, words := read, "Sends a query. Mutations are off."
	switch a.cfg.GraphQL.Mutations {
	case "ask":
		hints, words = hintsOf(http.MethodPost), "Sends a query or mutation; mutations ask the user first."
	case "on":
		hints, words = hintsOf(http.MethodPost), "Sends a query or mutation."
	}
	server.AddTool(a.server, server.Tool{Name: "execute", Title: "Execute a query", Description: words, Hints: hints}, a.execute)
}

func (a *api) searchGraph(_ context.Context, c *server.Call, in searchInput) (namesFound, error) {
	g := a.graph.Load()
	if g == nil {
		return namesFound{}, a.notYet()
	}
	at := 0
	if in.Cursor != "" {
		if err := c.Resume(in.Cursor, &at); err != nil {
			return namesFound{}, err
		}
	}
	c.Untrusted("the schema of " + g.at.Host)
	c.Budget.Lower(server.Limits{Rows: in.Limit})
	order := g.order(in.Query)
	out := namesFound{Found: []graphql.Found{}}
	for i := min(at, len(order)); i < len(order); i++ {
		f := g.found[order[i]]
		f.About = openapi.Clean(f.About, 100)
		if !c.Budget.Row([]byte(f.Name + f.Signature + f.About)) {
			out.Page = c.More(i)
			break
		}
		out.Found = append(out.Found, f)
	}
	return out, nil
}

// order are the places of what a query means, the best first.
func (g *graph) order(query string) []int {
	words := strings.Fields(apart(query))
	var places []int
	scores := make([]int, len(g.found))
	for i := range g.found {
		hit := 0
		for _, w := range words {
			if n := worth(strings.Split(g.words[i], "|"), w); n > 0 {
				scores[i], hit = scores[i]+n, hit+1
			}
		}
		scores[i] *= hit
		if len(words) == 0 || hit > 0 {
			places = append(places, i)
		}
	}
	slices.SortStableFunc(places, func(a, b int) int { return scores[b] - scores[a] })
	return places
}

func (a *api) describeType(_ context.Context, c *server.Call, in typeInput) (definitions, error) {
	g := a.graph.Load()
	if g == nil {
		return definitions{}, a.notYet()
	}
	c.Untrusted("the schema of " + g.at.Host)
	fits := func(text string) bool {
		return server.Tokens(text) <= min(describeTokens, a.cfg.Limits.Tokens) && len(text) <= int(a.cfg.Limits.Bytes)
	}
	for _, words := range []bool{true, false} {
		text, whole := g.schema.Describe(in.Type, in.Depth, words, fits)
		switch {
		case text == "" && whole:
			return definitions{}, server.Errorf("search finds types", "there is no type %q", openapi.Clean(in.Type, 80))
		case whole || !words && text != "":
			return definitions{text, !whole}, nil
		}
	}
	return definitions{}, server.Errorf("search finds its fields by words", "the type %q is too large to be shown", in.Type)
}

func (a *api) validate(_ context.Context, _ *server.Call, in validateInput) (verdict, error) {
	g := a.graph.Load()
	if g == nil {
		return verdict{}, a.notYet()
	}
	op, err := a.judged(g, in.Query, in.Operation, in.Variables)
	if err != nil {
		return verdict{Problem: openapi.Clean(err.Error(), 1000)}, nil
	}
	return verdict{Valid: true, Mutation: op.Mutation, Cost: op.Cost}, nil
}

var errMutation = errors.New("mutations are off; the operator sets graphql.mutations")

func (a *api) judged(g *graph, query, name string, v graphql.Values) (*graphql.Operation, error) {
	op, err := g.schema.Check(query, name, v, a.cfg.GraphQL.Limits)
	if err != nil {
		return nil, err
	}
	if op.Mutation && a.cfg.GraphQL.Mutations == "off" {
		return nil, errMutation
	}
	return op, nil
}

func (a *api) execute(ctx context.Context, c *server.Call, in queryInput) (answer, error) {
	g := a.graph.Load()
	if g == nil {
		return answer{}, a.notYet()
	}
	if in.Cursor != "" {
		return a.resume(c, g.at.Host, in.Cursor)
	}
	op, err := a.judged(g, in.Query, in.Operation, values(in.Variables))
	if err != nil {
		return answer{}, &server.Error{Message: openapi.Clean(err.Error(), 1000), Next: "describe shows types; validate checks without sending"}
	}
	if in.Operation != "" {
		op.Name = in.Operation
	}
	return a.send(ctx, c, g, op, request{in.Variables, in.Fields})
}

// send carries an operation out that was judged.
func (a *api) send(ctx context.Context, c *server.Call, g *graph, op *graphql.Operation, q request) (answer, error) {
	if op.Mutation && a.cfg.GraphQL.Mutations == "ask" {
		if err := c.Confirm(fmt.Sprintf("Let %s change something at %s with the mutation %s?", a.name(), g.at.Host, op.Name)); err != nil {
			return answer{}, err
		}
	}
	body := map[string]any{"query": op.Text}
	if op.Name != "" {
		body["operationName"] = op.Name
	}
	if len(q.arguments) > 0 {
		body["variables"] = q.arguments
	}
	got, err := g.post(ctx, body, c.Principal, !op.Mutation)
	if err != nil {
		return answer{}, unsent(err, !op.Mutation)
	}
	c.Untrusted(g.at.Host)
	var fields []string
	for _, f := range q.fields { // they are named from data on
		fields = append(fields, "data."+strings.TrimPrefix(f, "data."))
	}
	if len(fields) > 0 {
		fields = append(fields, "errors")
	}
	out, err := a.shape(c, got, fields)
	if err != nil {
		return answer{}, err
	}
	var told struct {
		Errors []json.RawMessage `json:"errors"`
	}
	if err := json.NewDecoder(bytes.NewReader(got.Body)).Decode(&told); err != nil && !errors.Is(err, io.EOF) {
		told.Errors = nil // it is no JSON, and its status says what it is
	}
	switch {
	case got.Status >= 300:
		c.Result.IsError = got.Status >= 400
		out.Next = a.next(got, &operation{Operation: &openapi.Operation{Method: map[bool]string{true: http.MethodPost, false: http.MethodGet}[op.Mutation]}})
	case len(told.Errors) > 0:
		c.Result.IsError = true
		out.Next = "the API reports errors: correct the query or its variables"
	}
	return out, nil
}
