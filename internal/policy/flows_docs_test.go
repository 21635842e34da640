package policy_test

import (
	"os"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/policy"
	"github.com/dragoman-mcp/dragoman/internal/policy/flow"
)

func TestTheExampleOfTheManualDoesWhatItSays(t *testing.T) {
	manual, err := os.ReadFile("../../docs/policies.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(manual), "\n## What was read before\n")
	_, example, _ := strings.Cut(section, "```yaml\n")
	example, _, ok := strings.Cut(example, "```\n")
	if !ok {
		t.Fatal("docs/policies.md has no example of flows")
	}
	cfg, err := config.Parse("policies.md", []byte(example), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatalf("the example: %v", err)
	}
	p := open(t, cfg, policy.Deps{})
	for _, tt := range []struct{ seen, server, tool, want string }{
		{"", "mail", "send", "allow"},
		{"web", "mail", "send", "flow:web-to-mail wanted"},
		{"web", "mail", "search", "allow"},
		{"web", "files", "write_file", "flow:web-to-mail wanted"},
		{"web", "files", "read_file", "allow"},
		{"database", "mail", "search", "flow:out-of-the-database "},
		{"web database", "mail", "send", "flow:out-of-the-database "},
		{"web database", "files", "read_file", "strangers-and-secrets "},
		{"", "files", "delete_file", "deleting wanted"},
		{"web database", "files", "delete_file", "strangers-and-secrets "},
	} {
		q := call(tt.server, tt.tool)
		q.Principal = somebody("ann", "user")
		for _, server := range strings.Fields(tt.seen) {
			q.Seen = append(q.Seen, flow.Source{Server: server})
		}
		d := p.Decide(t.Context(), q)
		got := d.Rule + " " + string(d.Approval)
		if d.Allow {
			got = "allow"
		}
		if got != tt.want {
			t.Errorf("after %q %s/%s: got %s, want %s", tt.seen, tt.server, tt.tool, got, tt.want)
		}
	}
}
