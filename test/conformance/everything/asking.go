package everything

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const answerKey = "answer"

// An ask is a tool that needs one answer from the client before it has its result. What the tools are called and what
// they ask for is given by the suite's scenarios tools-call-sampling, tools-call-elicitation, elicitation-sep1034-defaults
// and elicitation-sep1330-enums.
type ask struct {
	tool    string
	request func(arguments map[string]any) mcp.InputRequest
}

var asks = []ask{
	{"test_sampling", func(arguments map[string]any) mcp.InputRequest {
		text := &mcp.TextContent{Text: fmt.Sprint(arguments["prompt"])}
		return &mcp.CreateMessageParams{MaxTokens: 100, Messages: []*mcp.SamplingMessage{{Role: "user", Content: text}}}
	}},
	{"test_elicitation", func(arguments map[string]any) mcp.InputRequest {
		return form(fmt.Sprint(arguments["message"]), `{"username": {"type": "string"}, "email": {"type": "string"}}`)
	}},
	{"test_elicitation_sep1034_defaults", func(map[string]any) mcp.InputRequest {
		return form("a default for each primitive", `{
			"name": {"type": "string", "default": "John Doe"},
			"age": {"type": "integer", "default": 30},
			"score": {"type": "number", "default": 95.5},
			"status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
			"verified": {"type": "boolean", "default": true}}`)
	}},
	{"test_elicitation_sep1330_enums", func(map[string]any) mcp.InputRequest {
		return form("an enumeration of each kind", `{
			"untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
			"titledSingle": {"type": "string", "oneOf": [{"const": "value1", "title": "First Option"},
				{"const": "value2", "title": "Second Option"}, {"const": "value3", "title": "Third Option"}]},
			"legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"],
				"enumNames": ["Option One", "Option Two", "Option Three"]},
			"untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
			"titledMulti": {"type": "array", "items": {"anyOf": [{"const": "value1", "title": "First Choice"},
				{"const": "value2", "title": "Second Choice"}, {"const": "value3", "title": "Third Choice"}]}}}`)
	}},
}

func isAsking(tool string) bool {
	for _, a := range asks {
		if a.tool == tool {
			return true
		}
	}
	return false
}

// newAsking is a server of the tools in asks that speaks 2026-07-28.
func newAsking() http.Handler {
	server := mcp.NewServer(&mcp.Implementation{Name: "asking", Version: "1"}, nil)
	for _, a := range asks {
		server.AddTool(&mcp.Tool{Name: a.tool, InputSchema: map[string]any{"type": "object"}}, a.call)
	}
	serve := func(*http.Request) *mcp.Server { return server }
	return mcp.NewStreamableHTTPHandler(serve, &mcp.StreamableHTTPOptions{Stateless: true})
}

// call asks, and on the retry that brings the answer tells what it was.
func (a ask) call(_ context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	answer := req.Params.InputResponses[answerKey]
	if answer == nil {
		var arguments map[string]any
		if len(req.Params.Arguments) > 0 {
			if err := json.Unmarshal(req.Params.Arguments, &arguments); err != nil {
				return nil, fmt.Errorf("read arguments of %s: %w", a.tool, err)
			}
		}
		return &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{answerKey: a.request(arguments)}}, nil
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return nil, fmt.Errorf("write the answer to %s: %w", a.tool, err)
	}
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "answered " + string(text)}}}, nil
}

// form asks the user to fill in properties, which are JSON.
func form(question, properties string) *mcp.ElicitParams {
	schema := json.RawMessage(`{"type": "object", "properties": ` + properties + `}`)
	return &mcp.ElicitParams{Message: question, RequestedSchema: schema}
}
