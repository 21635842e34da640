package servertest

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/jsonschema-go/jsonschema"
)

// fits checks the answer to a call against what the tool has promised.
func (c *Client) fits(ctx context.Context, tool string, raw []byte) error {
	var answer struct {
		IsError    bool
		ResultType string
		Structured any `json:"structuredContent"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return err
	}
	if answer.IsError || answer.ResultType == "input_required" {
		return nil
	}
	schema, err := c.promised(ctx, tool)
	if err != nil || schema == nil {
		return err
	}
	if err := schema.Validate(answer.Structured); err != nil {
		return fmt.Errorf("the answer of %s does not fit its output schema: %w", tool, err)
	}
	return nil
}

// promised returns the output schema of a tool, as it was when it was first
// asked for; nil when there is none.
func (c *Client) promised(ctx context.Context, tool string) (*jsonschema.Resolved, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if schema, ok := c.schemas[tool]; ok {
		return schema, nil
	}
	list, err := c.Request(ctx, "tools/list", []byte("{}"))
	if err != nil {
		return nil, err
	}
	var all struct {
		Tools []struct {
			Name         string
			OutputSchema *jsonschema.Schema
		}
	}
	if err := json.Unmarshal(list, &all); err != nil {
		return nil, err
	}
	if c.schemas == nil {
		c.schemas = make(map[string]*jsonschema.Resolved)
	}
	for _, t := range all.Tools {
		if t.OutputSchema == nil {
			c.schemas[t.Name] = nil
			continue
		}
		if c.schemas[t.Name], err = t.OutputSchema.Resolve(nil); err != nil {
			return nil, fmt.Errorf("output schema of %s: %w", t.Name, err)
		}
	}
	return c.schemas[tool], nil
}
