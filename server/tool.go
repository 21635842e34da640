package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/jsonschema-go/jsonschema"
	sdkrpc "github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
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

func (h Hints) annotations() *sdk.ToolAnnotations {
	destructive, open := h.Destructive == Yes, h.OpenWorld == Yes
	return &sdk.ToolAnnotations{
		ReadOnlyHint: h.ReadOnly == Yes, IdempotentHint: h.Idempotent == Yes,
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
	b, err := bind(t, input, call)
	if err != nil {
		panic(fmt.Sprintf("server: tool %s: %v", t.Name, err))
	}
	b.limits, b.log, b.counted = t.Limits.over(s.about.Limits), s.log.With("tool", t.Name), s.metrics.of(t.Name)
	s.sdk.AddTool(&sdk.Tool{
		Name: t.Name, Title: t.Title, Description: t.Description,
		Annotations: t.Hints.annotations(), InputSchema: input, OutputSchema: output,
	}, func(ctx context.Context, r *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
		return s.throughSDK(ctx, b, r)
	})
	s.tools.Store(t.Name, b)
}

// RemoveTools removes tools, those that there are. Clients are told.
func (s *Server) RemoveTools(names ...string) {
	for _, name := range names {
		s.tools.Delete(name)
	}
	s.sdk.RemoveTools(names...)
}

// throughSDK answers a call that reaches the SDK's server by itself, such as in
// a program that connects to it: the call is direct from there on.
func (s *Server) throughSDK(ctx context.Context, b *bound, r *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
	text, err := json.Marshal(r.Params)
	if err != nil {
		return nil, err
	}
	params, ok := jsonrpc.Split(text)
	if !ok {
		return nil, &sdkrpc.Error{Code: sdkrpc.CodeInvalidParams, Message: "params are no object"}
	}
	req := mcp.ReadRequest("tools/call", params, &mcp.Client{Revision: mcp.Revision20260728})
	req.Notify = func(n mcp.Notification) {
		var p sdk.ProgressNotificationParams
		if json.Unmarshal(n.Params.Raw(), &p) == nil {
			_ = r.Session.NotifyProgress(ctx, &p) // who has gone does not want it
		}
	}
	result, err := s.direct(ctx, b, req)
	var wire *mcp.Error
	if errors.As(err, &wire) {
		return nil, &sdkrpc.Error{Code: int64(wire.Code), Message: wire.Message, Data: wire.Data}
	}
	if err != nil {
		return nil, err
	}
	var out sdk.CallToolResult
	if err := json.Unmarshal(result.Raw(), &out); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return &out, nil
}

// schemaOf infers the schema of T.
func schemaOf[T any](tool string, output bool) *jsonschema.Schema {
	schema, err := inferSchema[T](output)
	if err != nil {
		panic(fmt.Sprintf("server: tool %s: %v", tool, err))
	}
	return schema
}
