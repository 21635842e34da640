package policy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/policy"
)

func TestAllFaultsOfPoliciesAreReportedWithTheirPlaces(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cfg := conf("")
	cfg.Access.Policies = []config.PolicySource{
		{File: write("a.cedar", `permit(principal, action == Action::"fly", resource);

@id("x") permit(principal is User, action, resource in Server::"fils");
@id("x") permit(principal, action == Action::"call_tool", resource == Tool::"files");
permit(principal == Usr::"ann", action, resource);
permit(principal, action, resource) when { principal.shoesize > 3 };
permit(principal, action, resource) when { context.arguments.n > 3 && context.arguments.n like "x*" };
@id("role:god") permit(principal, action, resource);
permit(principal, action, resource in View::"unsafe");
`)},
		{File: write("b.cedar", "permit(principal, action, resource);\npermit(principal action resource);\n")},
		{Name: "office", Text: `forbid(principal, action, resource) when { context.weather == "rain" };`},
		{File: filepath.Join(dir, "c.cedar")},
	}
	_, err := policy.New(cfg, policy.Deps{})
	if err == nil {
		t.Fatal("New: got no error")
	}
	for _, want := range []string{
		"a.cedar:1: ", `a.cedar:3: Server::"fils": there is no server "fils"`, `a.cedar:4: the id "x" is already that of a.cedar:3`,
		`a.cedar:4: Tool::"files": write it like Tool::"server/name"`, "a.cedar:5: ", "a.cedar:6: ", "a.cedar:7: ",
		`a.cedar:8: the id "role:god" is reserved`, `a.cedar:9: there is no view "unsafe"`,
		"b.cedar:2: does not parse", "office:1: ", "access.policies[3]: ",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got\n%v\nwant among them %q", err, want)
		}
	}
}

func TestAFaultyConfigurationLeavesTheOldPoliciesInForce(t *testing.T) {
	p := open(t, conf(`permit(principal == User::"bot", action, resource in Server::"time");`), policy.Deps{})
	version := p.Version()
	if _, err := p.Prepare(conf("permit(")); err == nil {
		t.Fatal("Prepare of a faulty policy: got no error")
	}
	q := call("time", "now")
	q.Principal = somebody("bot", "none")
	if d := p.Decide(t.Context(), q); !d.Allow || p.Version() != version {
		t.Errorf("after a faulty policy: got %+v, version %s, want allowed, %s", d, p.Version(), version)
	}
	use, err := p.Prepare(conf(""))
	if err != nil {
		t.Fatal(err)
	}
	use()
	if d := p.Decide(t.Context(), q); d.Allow || p.Version() == version {
		t.Errorf("after the policy is gone: got %+v, version %s, want refused, another", d, p.Version())
	}
}
