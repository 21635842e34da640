package policy_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/policy"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// conf is a configuration with servers files, mail and time, a view safe, and policies.
func conf(policies string) *config.Config {
	cfg := &config.Config{
		Servers: map[string]config.Server{"files": {Name: "files"}, "mail": {Name: "mail"}, "time": {Name: "time"}},
		Views: map[string]config.View{"safe": {
			Name: "safe", Tools: []string{"files__read_*"}, Rename: map[string]string{"now": "time__now"},
			Resources: []string{"files__file:///public/*"},
		}},
		Names:  config.Names{Separator: "__", MaxLength: 64},
		Access: config.Access{DefaultRoles: []string{"user"}},
		Auth:   config.Auth{Tokens: []config.Token{{Name: "laptop", Token: "0123456789abcdef"}}},
	}
	if policies != "" {
		cfg.Access.Policies = []config.PolicySource{{Name: "own", Text: policies}}
	}
	return cfg
}

func open(t testing.TB, cfg *config.Config, d policy.Deps) *policy.Policy {
	t.Helper()
	p, err := policy.New(cfg, d)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return p
}

func object(t testing.TB, text string) jsonrpc.Object {
	t.Helper()
	o, err := jsonrpc.ParseObject([]byte(text), jsonrpc.Limits{})
	if err != nil {
		t.Fatalf("ParseObject(%s): %v", text, err)
	}
	return o
}

func somebody(id string, roles ...string) mcp.Principal {
	return mcp.Principal{ID: id, Roles: roles, Method: "key"}
}

func call(server, tool string) policy.Question {
	return policy.Question{Action: "call_tool", Resource: policy.Resource{Kind: "Tool", Server: server, Name: tool}}
}
