package servertest

import (
	"encoding/json"
	"regexp"
	"testing"

	"github.com/dragoman-mcp/dragoman/server"
)

// MaxTokens is what the definitions of one server may cost a model at most, as
// server.Tokens counts the JSON of all its tools, and of its instructions. It is
// what the model is given before it has asked for anything.
const MaxTokens = 1500

// toolName is what all clients accept.
var toolName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{0,39}$`)

type definition struct {
	Name, Title, Description string
	Annotations              map[string]any
	InputSchema              map[string]any
	OutputSchema             map[string]any
}

// Check fails the test for each thing that a definition of the server lacks, and
// when they cost more than MaxTokens. It returns what they cost.
func Check(t testing.TB, build Make, env *server.Env) (tokens int) {
	t.Helper()
	c := Open(t, build, env)
	about, err := c.Request(t.Context(), "server/discover", []byte("{}"))
	if err != nil {
		t.Fatalf("discover: %v", err)
	}
	var told struct{ Instructions string }
	if err := json.Unmarshal(about, &told); err != nil {
		t.Fatalf("discover: %v", err)
	}
	if told.Instructions == "" {
		t.Error("the server has no instructions")
	}
	tokens = server.Tokens(told.Instructions)
	tools := list(t, c)
	for _, raw := range tools {
		cost := server.Tokens(raw)
		tokens += cost
		t.Logf("%5d tokens: %s", cost, checkTool(t, raw))
	}
	t.Logf("%5d tokens: %d tools and the instructions", tokens, len(tools))
	if tokens > MaxTokens {
		t.Errorf("the definitions cost %d tokens, more than %d: use fewer tools, shorter descriptions, smaller outputs", tokens, MaxTokens)
	}
	return tokens
}

// list returns the definitions of all tools.
func list(t testing.TB, c *Client) []json.RawMessage {
	t.Helper()
	var all []json.RawMessage
	params := []byte("{}")
	for range 100 {
		raw, err := c.Request(t.Context(), "tools/list", params)
		if err != nil {
			t.Fatalf("list tools: %v", err)
		}
		var page struct {
			Tools      []json.RawMessage
			NextCursor string
		}
		if err := json.Unmarshal(raw, &page); err != nil {
			t.Fatalf("list tools: %v", err)
		}
		all = append(all, page.Tools...)
		if page.NextCursor == "" {
			return all
		}
		if params, err = json.Marshal(map[string]string{"cursor": page.NextCursor}); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the list of tools has more than 100 pages")
	return nil
}

func checkTool(t testing.TB, raw json.RawMessage) (name string) {
	t.Helper()
	var d definition
	if err := json.Unmarshal(raw, &d); err != nil {
		t.Errorf("definition %s: %v", raw, err)
		return ""
	}
	if !toolName.MatchString(d.Name) {
		t.Errorf("tool %q: its name must match %s", d.Name, toolName)
	}
	if d.Title == "" || d.Description == "" {
		t.Errorf("tool %s: title %q, description %q; both must be there", d.Name, d.Title, d.Description)
	}
	// false is what readOnlyHint and idempotentHint are when they are left out, and
	// the SDK leaves false out; the others are true then (server/tools).
	for _, hint := range []string{"destructiveHint", "openWorldHint"} {
		if _, ok := d.Annotations[hint].(bool); !ok {
			t.Errorf("tool %s: no %s in %v", d.Name, hint, d.Annotations)
		}
	}
	if d.InputSchema["type"] != "object" {
		t.Errorf("tool %s: the input schema's root is no object: %v", d.Name, d.InputSchema)
	}
	if d.OutputSchema == nil {
		t.Errorf("tool %s: no output schema", d.Name)
	}
	return d.Name
}
