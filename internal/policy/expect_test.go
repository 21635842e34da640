package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/policy"
)

// expecting is a configuration as somebody writes it: expectations have places there.
func expecting(t *testing.T, policies, expect string) *config.Config {
	t.Helper()
	text := `
servers: {files: {command: [x]}, time: {builtin: time}}
auth: {tokens: [{name: boss, token: 0123456789abcdef, roles: [admin]}]}
access:
  policies: [{name: own, text: '` + policies + `'}]
  expect:
` + expect
	cfg, err := config.Parse("test.yaml", []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatalf("the configuration of this test is faulty: %v\n%s", err, text)
	}
	return cfg
}

const office = `@id("data") forbid(principal in Role::"user", action, resource == Tool::"files/write") unless { context.arguments.path like "/data/*" };
@id("hours") forbid(principal in Group::"temps", action, resource in Server::"time") unless { context.time < datetime("2026-01-01") && context.address.isInRange(ip("10.0.0.0/8")) };`

func TestExpectationsThatAreMetLetPoliciesIn(t *testing.T) {
	policyOf := func(answers ...string) *config.Config {
		var b strings.Builder
		for i, e := range []string{
			`as: ann, name: files__write, arguments: {path: /data/x}`,
			`as: ann, name: files__write, arguments: {path: /etc/passwd}`,
			`as: boss, name: files__write`,
			`as: boss, roles: [user], name: files__write`,
			`name: files__read`,
			`as: bob, groups: [temps], name: time__now, time: 2025-06-01T00:00:00Z, address: 10.1.1.1`,
			`as: bob, groups: [temps], name: time__now, time: 2026-06-01T00:00:00Z, address: 10.1.1.1`,
			`as: bob, groups: [temps], name: time__now, time: 2025-06-01T00:00:00Z`,
			`as: boss, method: manage, name: Platform/users`,
			`as: ann, method: manage, name: Platform/users`,
			`as: ann, method: resources/read, name: "files__file:///x"`,
		} {
			fmt.Fprintf(&b, "    - {decision: %s, %s}\n", answers[i], e)
		}
		return expecting(t, office, b.String())
	}
	right := strings.Fields("allow deny allow deny deny allow deny deny allow deny allow")
	if _, err := policy.New(policyOf(right...), policy.Deps{}); err != nil {
		t.Fatalf("with what is so: got %v, want none", err)
	}
	for i := range right { // none of them can be otherwise
		wrong := append([]string(nil), right...)
		wrong[i] = map[string]string{"allow": "deny", "deny": "allow"}[right[i]]
		_, err := policy.New(policyOf(wrong...), policy.Deps{})
		if want := fmt.Sprintf("test.yaml:%d:7: access.expect[%d]: ", i+8, i); err == nil || strings.Count(err.Error(), "test.yaml:") != 1 || !strings.Contains(err.Error(), want) {
			t.Errorf("expecting %s of the one at %d: got %v, want one fault at %s", wrong[i], i, err, want)
		}
	}
}

func TestAllExpectationsThatAreNotMetAreReportedWithTheRuleThatDecided(t *testing.T) {
	cfg := expecting(t, office, `    - {decision: allow, as: ann, name: files__write, arguments: {path: /etc/passwd}}
    - {decision: deny, as: boss, name: files__write}
    - {decision: allow, as: ann, name: files__write}
    - {decision: allow, name: files__read}
    - {decision: deny, as: ann, name: fils__read}
    - {decision: deny, as: ann, name: read}
    - {decision: deny, as: ann, method: fly, name: high}
`)
	_, err := policy.New(cfg, policy.Deps{})
	if err == nil {
		t.Fatal("New: got no error")
	}
	for _, want := range []string{
		`test.yaml:8:7: access.expect[0]: ann tools/call files__write {"path":"/etc/passwd"}: expected allow, got deny: forbidden by data (own:1); `,
		`access.expect[1]: boss tools/call files__write: expected deny, got allow: permitted by role:admin (roles:9); `,
		`access.expect[2]: ann tools/call files__write: expected allow, got deny by data: a policy could not be evaluated`,
		`access.expect[3]: nobody in particular tools/call files__read: expected allow, got deny: no policy permits somebody who has not shown who they are (in no role and no group)`,
		`access.expect[4].name: there is no server "fils"`, `access.expect[5].name: "read" does not say of which server it is`,
		`access.expect[6].method: "fly" is no method`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got\n%v\nwant among them %q", err, want)
		}
	}
}

// A reload that would break an expectation leaves the policies in force.
func TestPoliciesThatAreNotAsExpectedAreNotTakenUp(t *testing.T) {
	const expect = "    - {decision: deny, as: ann, name: files__write, arguments: {path: /etc/passwd}}\n"
	p := open(t, expecting(t, office, expect), policy.Deps{})
	version := p.Version()
	if _, err := p.Prepare(expecting(t, strings.ReplaceAll(office, "/data/", "/"), expect)); err == nil || p.Version() != version {
		t.Errorf("Prepare of policies that permit it: got %v, version %s; want an error, and %s", err, p.Version(), version)
	}
}

func TestAnExpectationThatIsGoneIsLessWhereItsCallIsPermittedNow(t *testing.T) {
	const expect = "    - {decision: deny, as: ann, name: files__write, arguments: {path: /etc/passwd}}\n    - {decision: allow, as: ann, name: files__read}\n"
	const other = "    - {decision: allow, as: boss, name: files__write}\n"
	was := expecting(t, office, expect)
	for name, c := range map[string]struct {
		now  *config.Config
		want []string
	}{
		"the expectation alone":               {expecting(t, office, other), nil},
		"one that was expected to be allowed": {expecting(t, office+` forbid(principal, action, resource == Tool::"files/read");`, other), nil},
		"with the forbid that met it": {expecting(t, strings.ReplaceAll(office, "/data/", "/"), other), []string{
			`test.yaml:8:5: access.expect: has no more what was expected: ann tools/call files__write {"path":"/etc/passwd"}: deny; it is allow: permitted by role:user (roles:3)`,
		}},
	} {
		faults, err := policy.Released(was, c.now)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range faults {
			got = append(got, f.String())
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: less (-want +got):\n%s", name, d)
		}
	}
	gone := expecting(t, office, other)
	delete(gone.Servers, "files")
	gone.Access.Policies[0].Text = ""
	gone.Access.Policies = nil
	if faults, err := policy.Released(was, gone); err != nil || faults != nil {
		t.Errorf("a server that is gone: got %v, %v, want none", faults, err)
	}
}

func TestAnExpectationWithoutATimeIsAskedNow(t *testing.T) {
	now := time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)
	cfg := expecting(t, office, "    - {decision: allow, as: bob, groups: [temps], name: time__now, address: 10.1.1.1}\n")
	for _, later := range []time.Duration{0, 365 * 24 * time.Hour} {
		_, err := policy.New(cfg, policy.Deps{Now: func() time.Time { return now.Add(later) }})
		if (err == nil) != (later == 0) {
			t.Errorf("%v later: got %v", later, err)
		}
	}
}
