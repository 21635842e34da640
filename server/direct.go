package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/google/jsonschema-go/jsonschema"
	sdkrpc "github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/server/internal/plan"
)

// Calls of tools do not go through the SDK, which would write and read each of
// them several times, with large buffers: a call that does nothing costs 280 KB
// that way. Here the arguments are checked against the schema and decoded once,
// and the answer is encoded once. All else, lists and resources and prompts and
// tools that were added to the SDK's server itself, goes through it.

// bound is a tool with what a direct call of it needs.
type bound struct {
	name     string
	limits   Limits
	schema   *jsonschema.Resolved
	defaults bool         // the schema has some
	usual    atomic.Int64 // size of the last answer in bytes
	run      func(ctx context.Context, c *Call, arguments json.RawMessage) (any, error)
}

// bind prepares a tool for direct calls. Its input schema was given by its author
// or inferred.
func bind[In, Out any](t Tool, input any, limits Limits, call func(context.Context, *Call, In) (Out, error)) (*bound, error) {
	schema, err := schemaFrom(input)
	if err != nil {
		return nil, err
	}
	resolved, err := schema.Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true})
	if err != nil {
		return nil, err
	}
	return &bound{
		name: t.Name, limits: limits, schema: resolved, defaults: hasDefaults(schema),
		run: func(ctx context.Context, c *Call, arguments json.RawMessage) (any, error) {
			var in In
			if err := json.Unmarshal(arguments, &in); err != nil {
				return nil, unfit(err)
			}
			out, err := call(ctx, c, in)
			if p, ok := any(out).(interface{ cut() bool }); ok && err == nil && p.cut() {
				c.outcome.truncated = true
			}
			return out, err
		},
	}, nil
}

func schemaFrom(input any) (*jsonschema.Schema, error) {
	if s, ok := input.(*jsonschema.Schema); ok {
		return s.CloneSchemas(), nil
	}
	text, err := json.Marshal(input)
	if err != nil {
		return nil, err
	}
	var s jsonschema.Schema
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("read the input schema: %w", err)
	}
	return &s, nil
}

func hasDefaults(s *jsonschema.Schema) bool {
	text, err := json.Marshal(s)
	return err != nil || bytes.Contains(text, []byte(`"default":`))
}

// unfit is the error of arguments that are not what the schema says.
func unfit(err error) error {
	return &Error{Message: "the arguments do not fit the tool: " + err.Error(), Next: "correct them by its input schema"}
}

// check returns arguments that fit the schema, with its defaults.
func (b *bound) check(arguments json.RawMessage) (json.RawMessage, error) {
	if len(arguments) == 0 {
		arguments = json.RawMessage("{}")
	}
	var value map[string]any
	if err := json.Unmarshal(arguments, &value); err != nil || value == nil {
		return nil, unfit(errors.New("they are no object"))
	}
	if b.defaults {
		if err := b.schema.ApplyDefaults(&value); err != nil {
			return nil, unfit(err)
		}
	}
	if err := b.schema.Validate(value); err != nil {
		return nil, unfit(err)
	}
	if !b.defaults {
		return arguments, nil
	}
	return json.Marshal(value)
}

// direct calls a tool.
func (s *Server) direct(ctx context.Context, b *bound, req *mcp.Request) (mcp.Result, error) {
	ctx, leave, ok := s.enter(ctx)
	defer leave()
	if !ok {
		return mcp.Result{}, mcp.Errorf(mcp.CodeUnavailable, "the server %s is closed", s.env.Name)
	}
	o := &outcome{kind: "ok"}
	ctx = context.WithValue(ctx, outcomeKey{}, o)
	end := s.metrics.begin(b.name)
	defer func() { end(o) }()
	c, err := s.directCall(ctx, b, req)
	if err != nil {
		o.kind = "failed"
		return mcp.Result{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, b.limits.Time, errTime)
	defer cancel()
	out, err := b.contained(ctx, c)
	if errors.Is(err, errAsk) {
		return c.question()
	}
	if err == nil {
		var result mcp.Result
		if result, err = s.answer(c, b, out); err == nil {
			return result, nil
		}
	}
	err = s.told(ctx, c.Log, err)
	if o.kind == "ok" {
		o.kind = "failed"
	}
	var own *Error
	var rpc *sdkrpc.Error
	switch {
	case errors.As(err, &own):
		text := append([]byte(`{"resultType":"complete","content":[{"type":"text","text":`), jsonrpc.AppendString(nil, own.Error())...)
		return mcp.RawResult(append(text, `}],"isError":true}`...)), nil
	case errors.As(err, &rpc):
		return mcp.Result{}, &mcp.Error{Code: int(rpc.Code), Message: rpc.Message, Data: rpc.Data}
	}
	return mcp.Result{}, err
}

// contained runs the tool; a panic becomes an error.
func (b *bound) contained(ctx context.Context, c *Call) (out any, err error) {
	defer func() {
		if v := recover(); v != nil {
			out, err = nil, fmt.Errorf("panic: %v\n%s", v, stack())
		}
	}()
	arguments, err := b.check(c.Request.Params.Arguments)
	if err != nil {
		return nil, err
	}
	return b.run(ctx, c, arguments)
}

// directCall makes the Call of a request.
func (s *Server) directCall(ctx context.Context, b *bound, req *mcp.Request) (*Call, error) {
	params := &sdk.CallToolParamsRaw{Name: b.name, Arguments: req.Params.Get("arguments")}
	params.RequestState, _ = req.Params.String("requestState")
	for name, into := range map[string]any{"inputResponses": &params.InputResponses, "_meta": &params.Meta} {
		text := req.Params.Get(name)
		if text == nil {
			continue
		}
		if err := json.Unmarshal(text, into); err != nil {
			return nil, mcp.Errorf(jsonrpc.CodeInvalidParams, "params.%s is not what it should be", name)
		}
	}
	c := s.newCall(ctx, b.name, &sdk.CallToolRequest{Params: params, Extra: &sdk.RequestExtra{}}, b.limits)
	c.loan = req.Loan
	c.elicits = req.Client != nil && req.Client.Kinds.Has(mcp.ElicitForm)
	if req.ProgressToken == nil {
		return c, nil
	}
	var mu sync.Mutex // Notify is not called concurrently
	c.progress = func(p *sdk.ProgressNotificationParams) {
		text, err := json.Marshal(p)
		o, ok := jsonrpc.Split(text)
		if err != nil || !ok {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		req.Emit(mcp.Notification{Method: "notifications/progress", Params: o.With(jsonrpc.Edit{Name: "progressToken", Value: req.ProgressToken})})
	}
	return c, nil
}

// question is the result of a call that asks the user.
func (c *Call) question() (mcp.Result, error) {
	requests, err := json.Marshal(c.Result.InputRequests)
	if err != nil {
		return mcp.Result{}, err
	}
	text := append([]byte(`{"resultType":"input_required","inputRequests":`), requests...)
	text = jsonrpc.AppendString(append(text, `,"requestState":`...), c.Result.RequestState)
	return mcp.RawResult(append(text, '}')), nil
}

// answer encodes what a tool has returned.
func (s *Server) answer(c *Call, b *bound, out any) (mcp.Result, error) {
	if c.Result.InputRequests != nil {
		return c.question()
	}
	t := plan.Text{Bytes: b.room(c.loan)}
	t.Bytes = append(t.Bytes, `{"resultType":"complete","structuredContent":`...)
	begin := len(t.Bytes)
	if err := t.Append(out); err != nil {
		return mcp.Result{}, fmt.Errorf("encode the answer: %w", err)
	}
	structured := [2]int{begin, len(t.Bytes)}
	if string(t.Bytes[begin:]) == "null" {
		t.Bytes = append(t.Bytes[:0], `{"resultType":"complete"`...)
		structured = [2]int{}
	}
	if err := c.appendContent(&t, structured); err != nil {
		return mcp.Result{}, fmt.Errorf("encode the content: %w", err)
	}
	if c.Result.IsError {
		c.outcome.kind = "failed"
		t.Bytes = append(t.Bytes, `,"isError":true`...)
	}
	if c.source != "" {
		c.mark()
	}
	if len(c.Result.Meta) > 0 {
		t.Bytes = append(t.Bytes, `,"_meta":`...)
		if err := t.Append(c.Result.Meta); err != nil {
			return mcp.Result{}, fmt.Errorf("encode _meta: %w", err)
		}
	}
	b.usual.Store(int64(len(t.Bytes)))
	return mcp.RawResult(append(t.Bytes, '}')), nil
}

// room is memory for an answer about as large as the last one.
func (b *bound) room(loan *mcp.Loan) []byte {
	n := int(b.usual.Load())
	n += n/8 + 256
	if lent := loan.Take(n); lent != nil {
		return lent[:0]
	}
	return make([]byte, 0, n)
}

// appendContent writes what people read: what the tool has put there or else the
// JSON of the structured content, which lies between two places of t. Around what
// somebody else has written stand two lines that say so.
func (c *Call) appendContent(t *plan.Text, structured [2]int) error {
	blocks := 0
	next := func() {
		if blocks++; blocks > 1 {
			t.Bytes = append(t.Bytes, ',')
		}
	}
	text := func(s string) {
		next()
		t.Bytes = append(t.Bytes, `{"type":"text","text":`...)
		t.String(s)
		t.Bytes = append(t.Bytes, '}')
	}
	t.Bytes = append(t.Bytes, `,"content":[`...)
	begin, end := c.lines()
	if begin != "" {
		text(begin)
	}
	for _, block := range c.Result.Content {
		if b, ok := block.(*sdk.TextContent); ok && b.Meta == nil && b.Annotations == nil {
			text(b.Text)
			continue
		}
		next()
		if err := t.Append(block); err != nil {
			return err
		}
	}
	if len(c.Result.Content) == 0 && structured[1] > 0 {
		next()
		t.Bytes = append(t.Bytes, `{"type":"text","text":`...)
		t.Bytes = jsonrpc.AppendText(t.Bytes, t.Bytes[structured[0]:structured[1]])
		t.Bytes = append(t.Bytes, '}')
	}
	if end != "" {
		text(end)
	}
	t.Bytes = append(t.Bytes, ']')
	return nil
}
