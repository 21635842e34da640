package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/jsonschema-go/jsonschema"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// Answer answers a question about a tool. The zero value is no answer, so that
// none can be forgotten.
type Answer uint8

// The answers.
const (
	No Answer = iota + 1
	Yes
)

// Hints say what a call of a tool does (2026-07-28, server/tools,
// "ToolAnnotations"). All four must be given: what a client is not told it
// takes for the worst.
type Hints struct {
	// ReadOnly: a call changes nothing.
	ReadOnly Answer
	// Destructive: a call may remove or overwrite something.
	Destructive Answer
	// Idempotent: the same call again changes nothing further.
	Idempotent Answer
	// OpenWorld: what is reached is not known beforehand, such as the web.
	OpenWorld Answer
}

func (h Hints) fault() string {
	switch {
	case h.ReadOnly == 0 || h.Destructive == 0 || h.Idempotent == 0 || h.OpenWorld == 0:
		return "all four Hints must be Yes or No"
	case h.ReadOnly == Yes && h.Destructive == Yes:
		return "it cannot be both ReadOnly and Destructive"
	}
	return ""
}

func (h Hints) annotations(title string) *sdk.ToolAnnotations {
	destructive, open := h.Destructive == Yes, h.OpenWorld == Yes
	return &sdk.ToolAnnotations{
		Title: title, ReadOnlyHint: h.ReadOnly == Yes, IdempotentHint: h.Idempotent == Yes,
		DestructiveHint: &destructive, OpenWorldHint: &open,
	}
}

// Tool describes a tool. Name, Title, Description and Hints must be given.
type Tool struct {
	Name, Title, Description string
	Hints                    Hints
	// Limits bound a call; zero fields mean those of About.
	Limits Limits
	// Input and Output are JSON Schemas, as *jsonschema.Schema or JSON text,
	// that take the place of those inferred from the Go types. The root of Input
	// is an object.
	Input, Output any
}

// AddTool gives s a tool, or replaces the one of the same name.
//
// The schemas are inferred from In and Out: struct fields have their names from
// the tag json and their descriptions from the tag jsonschema; the tags enum
// (values separated by |), default, min and max add those to numbers and texts.
// A field is required unless its json tag says omitempty. Arguments that do not
// fit the schema never reach call.
//
// What call returns is sent as structured content, and as its JSON in text
// unless Call.Text says otherwise. Of an error, an [*Error] is told to the
// caller; see there.
//
// A tool that lacks something is a slip of its author, on which AddTool panics.
func AddTool[In, Out any](s *Server, t Tool, call func(ctx context.Context, c *Call, in In) (Out, error)) {
	if t.Name == "" || t.Title == "" || t.Description == "" {
		panic(fmt.Sprintf("server: tool %q needs Name, Title and Description", t.Name))
	}
	if fault := t.Hints.fault(); fault != "" {
		panic(fmt.Sprintf("server: tool %s: %s", t.Name, fault))
	}
	input, output := t.Input, t.Output
	if input == nil {
		input = schemaOf[In](t.Name, false)
	}
	if output == nil {
		output = schemaOf[Out](t.Name, true)
	}
	limits := t.Limits.over(s.about.Limits)
	s.metrics.know(t.Name)
	sdk.AddTool(s.sdk, &sdk.Tool{
		Name: t.Name, Title: t.Title, Description: t.Description,
		Annotations: t.Hints.annotations(""), InputSchema: input, OutputSchema: output,
	}, func(ctx context.Context, r *sdk.CallToolRequest, in In) (*sdk.CallToolResult, Out, error) {
		c := s.newCall(ctx, t.Name, r, limits)
		ctx, cancel := context.WithTimeoutCause(ctx, limits.Time, errTime)
		defer cancel()
		out, err := call(ctx, c, in)
		var none Out
		if errors.Is(err, errAsk) {
			return c.Result, none, nil
		}
		if err != nil {
			return nil, none, s.told(ctx, c.Log, err)
		}
		if p, ok := any(out).(interface{ cut() bool }); ok && p.cut() {
			c.truncated(ctx)
		}
		return finish(c, out)
	})
}

// schemaOf infers the schema of T.
func schemaOf[T any](tool string, output bool) *jsonschema.Schema {
	schema, err := inferSchema[T](output)
	if err != nil {
		panic(fmt.Sprintf("server: tool %s: %v", tool, err))
	}
	return schema
}
