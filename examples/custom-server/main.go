// Command custom-server is the smallest server worth running: it counts the
// words of a text. Copy it to begin your own; docs/custom-servers.md explains
// every line. It does not know who runs it, a client or the gateway.
package main

import (
	"context"
	"strings"

	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/serve"
)

func main() { serve.Main(New) }

type settings struct {
	// Words that are not counted.
	Ignore []string `yaml:"ignore" example:"[the, a]"`
}

type countInput struct {
	Text string `json:"text" jsonschema:"text whose words are counted"`
}

type counted struct {
	Words int `json:"words"`
}

// New makes the server.
func New(env *server.Env) (*server.Server, error) {
	var cfg settings
	if err := env.Decode(&cfg); err != nil {
		return nil, err
	}
	s := server.New(env, server.About{Name: "words", Title: "Words", Instructions: "Counts words."})
	ignored := map[string]bool{}
	for _, word := range cfg.Ignore {
		ignored[strings.ToLower(word)] = true
	}
	server.AddTool(s, server.Tool{
		Name: "count", Title: "Count words", Description: "Counts the words of a text.",
		Hints: server.Hints{ReadOnly: server.Yes, Destructive: server.No, Idempotent: server.Yes, OpenWorld: server.No},
	}, func(_ context.Context, c *server.Call, in countInput) (counted, error) {
		var out counted
		for _, word := range strings.Fields(in.Text) {
			if !ignored[strings.ToLower(word)] {
				out.Words++
			}
		}
		if out.Words == 0 {
			return out, server.Errorf("give it a text with words", "there is nothing to count")
		}
		return out, nil
	})
	return s, nil
}
