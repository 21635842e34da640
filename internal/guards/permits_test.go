package guards_test

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/guards"
)

func withPolicies(t *testing.T, text string) *guards.Inventory {
	t.Helper()
	return of(t, "auth: {keys: {enabled: true}}\naccess: {policies: [{name: own, text: "+strconv.Quote(text)+"}]}\nservers: {db: {builtin: time}}\n")
}

const (
	office = `permit(principal in Group::"staff", action == Action::"call_tool", resource in Server::"db") when { context.address.isLoopback() };`
	twice  = `permit(principal in Group::"staff", action == Action::"call_tool", resource in Server::"db") when { context.address.isLoopback() && principal.authenticated };`
	free   = `permit(principal in Group::"staff", action == Action::"call_tool", resource in Server::"db");`
	never  = `permit(principal, action, resource) when { false };`
)

// T62: a permit may only have more conditions than it had.
func TestConditionsOfPermitsAreKept(t *testing.T) {
	for _, c := range []struct {
		name, was, now string
		less           bool
	}{
		{"the same", office, office, false},
		{"the same, named and laid out otherwise", office, `@id("x") ` + strings.ReplaceAll(office, " when", "\n\nwhen"), false},
		{"one condition more, by and", office, twice, false},
		{"one condition more, by itself", office, strings.TrimSuffix(office, ";") + ` unless { context.revision == "x" };`, false},
		{"two conditions that were one", twice, strings.ReplaceAll(twice, " && principal.authenticated", " } when { principal.authenticated"), false},
		{"gone", office, "", false},
		{"for fewer callers", strings.ReplaceAll(office, `in Group::"staff"`, `is User`), strings.ReplaceAll(office, `in Group::"staff"`, `is User in Group::"staff"`), false},
		{"for fewer actions", strings.ReplaceAll(office, `== Action::"call_tool"`, `in [Action::"call_tool", Action::"list"]`), office, false},
		{"a permit for others beside it", office, office + `permit(principal == User::"bob", action, resource in Server::"db");`, false},
		{"a permit for others where there was none with conditions", free, free + office, false},
		{"permits without conditions are rights that are given", free, strings.ReplaceAll(free, "call_tool", "list"), false},
		{"no condition", office, free, true},
		{"no condition, in a permit of its own", office, office + free, true},
		{"a wider one beside it", office, office + `permit(principal, action, resource in Server::"db") when { principal.authenticated };`, true},
		{"another condition", office, strings.ReplaceAll(office, "isLoopback", "isIpv4"), true},
		{"another word for it", office, strings.ReplaceAll(office, "context.address.isLoopback()", "!!context.address.isLoopback()"), true},
		{"or in the place of and", twice, strings.ReplaceAll(twice, "&&", "||"), true},
		{"one of two conditions", twice, office, true},
		{"when it was unless", strings.ReplaceAll(office, "when", "unless"), office, true},
		{"a condition that is always false", never, `permit(principal, action, resource) when { true };`, true},
		{"in its place one for some of them, without", office, `permit(principal == User::"bob", action, resource in Server::"db");`, true},
		{"in its place one for another action", office, strings.ReplaceAll(free, "call_tool", "list"), false},
		{"for more callers", office, strings.ReplaceAll(office, `principal in Group::"staff"`, "principal"), true},
		{"for more actions", office, strings.ReplaceAll(office, `== Action::"call_tool"`, `in [Action::"call_tool", Action::"list"]`), true},
		{"for another kind of thing", strings.ReplaceAll(office, `resource in`, `resource is Tool in`), strings.ReplaceAll(office, `resource in`, `resource is Prompt in`), true},
		{"of everything, on a condition that is none", free, free + `permit(principal, action, resource) when { 1 < 2 };`, true},
	} {
		got := guards.Less(withPolicies(t, c.was+" "), withPolicies(t, c.now+" "))
		if (len(got) > 0) != c.less {
			t.Errorf("%s:\nwas %s\nis  %s\ngot less: %v, want that there is: %t", c.name, c.was, c.now, got, c.less)
		}
	}
	got := guards.Less(withPolicies(t, office), withPolicies(t, "\n"+free))
	if len(got) != 1 || got[0].Path != "access.policies" || !strings.Contains(got[0].Problem, "at own:2 for what was permitted on conditions at own:1") {
		t.Errorf("got %v, want both places", got)
	}
}

// T62: files count by what they hold, also when the configuration is the same.
func TestFilesThatGuardCountByWhatTheyHold(t *testing.T) {
	dir := t.TempDir()
	rules, ca := filepath.Join(dir, "own.cedar"), filepath.Join(dir, "ca.pem")
	write := func(name string, parts ...string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(strings.Join(parts, "")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert := func(text string) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(text)}))
	}
	text := "auth: {certificates: {enabled: true}}\ntls: {cert: a.crt, key: a.key, client_ca: " + ca + "}\naccess: {policies: [{file: " + rules + "}]}\nservers: {time: {builtin: time}}\n"
	write(rules, office)
	write(ca, cert("one"), cert("two"))
	was := of(t, text)
	for _, c := range []struct {
		name        string
		rules, auth string
		want        string
	}{
		{"the same", office, cert("one") + cert("two"), ""},
		{"in another order, with notes", office, "# two\n" + cert("two") + "# one\n" + cert("one"), ""},
		{"an authority less", office, cert("two"), ""},
		{"none can be read, and no connection is opened", office, "", ""},
		{"an authority more", office, cert("one") + cert("two") + cert("three"), "tls.client_ca"},
		{"another authority", office, cert("one") + cert("four"), "tls.client_ca"},
		{"no conditions", free, cert("one"), "access.policies"},
	} {
		write(rules, c.rules)
		write(ca, c.auth)
		now := of(t, text)
		got := guards.Less(was, now)
		if len(got) > 1 || (len(got) == 1) != (c.want != "") || len(got) == 1 && (got[0].Path != c.want || got[0].Place.Line == 0) {
			t.Errorf("%s: got less: %v, want it at %q", c.name, got, c.want)
		}
		if kept := guards.Less(was.With(parse(t, text)), now); len(kept) != len(got) {
			t.Errorf("%s: got less than what is really in use: %v, want %v", c.name, kept, got)
		}
	}
	write(rules, office)
	if err := os.Remove(ca); err != nil {
		t.Fatal(err)
	}
	if got := guards.Less(was, of(t, text)); got != nil {
		t.Errorf("without the file: got less: %v, want none: nothing is opened", got)
	}
}
