package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
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
	log      *slog.Logger
	counted  counted
	schema   *jsonschema.Resolved
	defaults bool         // the schema has some
	usual    atomic.Int64 // size of the last answer in bytes
	run      func(ctx context.Context, c *Call, arguments json.RawMessage) (any, error)
}

// bind prepares a tool for direct calls. Its input schema was given by its author
// or inferred.
func bind[In, Out any](t Tool, input any, call func(context.Context, *Call, In) (Out, error)) (*bound, error) {
	schema, err := schemaFrom(input)
	if err != nil {
		return nil, err
	}
	resolved, err := schema.Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true})
	if err != nil {
		return nil, err
	}
	b := &bound{name: t.Name, schema: resolved, defaults: hasDefaults(schema)}
	reader := plan.NewReader(schema, reflect.TypeFor[In]())
	b.run = func(ctx context.Context, c *Call, arguments json.RawMessage) (any, error) {
		in := new(In)
		if reader == nil || !reader.Read(arguments, reflect.ValueOf(in).Elem()) {
			in = new(In) // some of the first may have been read
			arguments, err := b.check(arguments)
			if err != nil {
				return nil, err
			}
			if err := json.Unmarshal(arguments, in); err != nil {
				return nil, unfit(err)
			}
		}
		out, err := call(ctx, c, *in)
		if p, ok := any(out).(interface{ cut() bool }); ok && err == nil && p.cut() {
			c.outcome.truncated = true
		}
		return out, err
	}
	return b, nil
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
	ctx, leave, ok := s.enter(ctx, b.limits.Time)
	defer leave()
	if !ok {
		return mcp.Result{}, mcp.Errorf(mcp.CodeUnavailable, "the server %s is closed", s.env.Name)
	}
	o := &outcome{kind: "ok"}
	start := s.metrics.begin()
	defer func() { s.metrics.end(b.counted, start, o) }()
	c, err := s.directCall(ctx, b, req)
	if err != nil {
		o.kind = "failed"
		return mcp.Result{}, err
	}
	c.outcome = o
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
	err = s.told(ctx, c.Log, o, err)
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
	return b.run(ctx, c, c.Request.Params.Arguments)
}

// directCall makes the Call of a request.
func (s *Server) directCall(ctx context.Context, b *bound, req *mcp.Request) (*Call, error) {
	params := &sdk.CallToolParamsRaw{Name: b.name, Arguments: req.Params.Get("arguments")}
	params.RequestState, _ = req.Params.String("requestState")
	if err := member(req.Params, "inputResponses", &params.InputResponses); err != nil {
		return nil, err
	}
	if err := member(req.Params, "_meta", &params.Meta); err != nil {
		return nil, err
	}
	c := s.newCall(ctx, b, &sdk.CallToolRequest{Params: params, Extra: &sdk.RequestExtra{}})
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

// member reads a member of params, if it is there.
func member(params jsonrpc.Object, name string, into any) error {
	text := params.Get(name)
	if text == nil {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return mcp.Errorf(jsonrpc.CodeInvalidParams, "params.%s is not what it should be", name)
	}
	return nil
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
	w := writer{Text: plan.Text{Bytes: b.room(c.loan), Plans: &s.plans}}
	if err := w.member("structuredContent", out); err != nil {
		return mcp.Result{}, fmt.Errorf("encode the answer: %w", err)
	}
	structured := w.parts[0]
	if string(w.Bytes[structured.from:]) == "null" {
		w = writer{Text: plan.Text{Bytes: w.Bytes[:0], Plans: &s.plans}}
		structured = part{}
	}
	w.begin("content")
	if err := c.appendContent(&w.Text, structured); err != nil {
		return mcp.Result{}, fmt.Errorf("encode the content: %w", err)
	}
	w.end()
	if c.source != "" {
		c.mark()
	}
	if len(c.Result.Meta) > 0 {
		if err := w.member("_meta", c.Result.Meta); err != nil {
			return mcp.Result{}, fmt.Errorf("encode _meta: %w", err)
		}
	}
	if c.Result.IsError {
		c.outcome.kind = "failed"
		_ = w.member("isError", true) // which has JSON
	}
	b.usual.Store(int64(len(w.Bytes)))
	return w.result(), nil
}

// writer writes a result and notes where its members are.
type writer struct {
	plan.Text
	parts []part
	room  [4]part // for those
}

// part is a member of the result: where its value begins and ends.
type part struct {
	name     string
	from, to int
}

func (w *writer) begin(name string) {
	if w.parts == nil {
		w.parts = w.room[:0]
		w.Bytes = append(w.Bytes, '{')
	} else {
		w.Bytes = append(w.Bytes, ',')
	}
	w.Bytes = append(append(append(w.Bytes, '"'), name...), '"', ':')
	w.parts = append(w.parts, part{name: name, from: len(w.Bytes)})
}

func (w *writer) end() { w.parts[len(w.parts)-1].to = len(w.Bytes) }

func (w *writer) member(name string, v any) error {
	w.begin(name)
	err := w.Append(v)
	w.end()
	return err
}

func (w *writer) result() mcp.Result {
	w.begin("resultType")
	w.Bytes = append(w.Bytes, `"complete"`...)
	w.end()
	w.Bytes = append(w.Bytes, '}')
	members := make([]jsonrpc.Member, len(w.parts))
	for i, p := range w.parts {
		members[i] = jsonrpc.Member{Name: p.name, Value: w.Bytes[p.from:p.to:p.to]}
	}
	return mcp.Result{Object: jsonrpc.Written(w.Bytes, members)}
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
func (c *Call) appendContent(t *plan.Text, structured part) error {
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
	t.Bytes = append(t.Bytes, '[')
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
	if len(c.Result.Content) == 0 && structured.to > 0 {
		next()
		t.Bytes = append(t.Bytes, `{"type":"text","text":`...)
		t.Bytes = plan.AppendQuoted(t.Bytes, t.Bytes[structured.from:structured.to])
		t.Bytes = append(t.Bytes, '}')
	}
	if end != "" {
		text(end)
	}
	t.Bytes = append(t.Bytes, ']')
	return nil
}
