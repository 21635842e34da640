package app_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/policy"
)

// T30: policies on trial are asked about calls that come over the wire, change none of the answers, and what they would
// have done is shown to administrators only.
func TestPoliciesOnTrialAreAskedAndDecideNothing(t *testing.T) {
	const ann, boss = "ann-0123456789abcdef", "boss-0123456789abcdef"
	text := `
listen: 127.0.0.1:0
auth: {tokens: [{name: ann, token: ` + ann + `}, {name: boss, token: ` + boss + `, roles: [admin]}]}
servers: {time: {builtin: time}}
access:
  policies: [{name: old, text: '@id("no-convert") forbid(principal in Role::"user", action, resource == Tool::"time/convert");'}]
  candidate: [{name: next, text: '@id("no-now") forbid(principal in Role::"user", action, resource == Tool::"time/now") unless { context.address.isInRange(ip("10.0.0.0/8")) };'}]
`
	a, s, url := run(t, text)
	const now, convert = `"name":"time__now","arguments":{},`, `"name":"time__convert","arguments":{"time":"09:30","to":"UTC"},`
	call := func() {
		t.Helper()
		for _, c := range []struct{ who, method, name, params, has string }{
			{ann, "tools/list", "", "", "time__now"},
			{ann, "tools/call", "time__now", now, "utc_offset"},
			{ann, "tools/call", "time__convert", convert, "unknown tool"},
			{boss, "tools/call", "time__convert", convert, "utc_offset"},
		} {
			if _, got := as(t, url, c.who, c.method, c.name, c.params); !strings.Contains(got, c.has) {
				t.Errorf("%s %s %s: got %s, want %q as by the policies in force", c.who[:3], c.method, c.name, got, c.has)
			}
		}
	}
	call()
	show := func(token string) (int, string) {
		return fetch(t, "GET", url+"/policy/candidate", "", "Authorization", "Bearer "+token)
	}
	status, body := show(boss)
	var c policy.Comparison
	if err := json.Unmarshal([]byte(body), &c); status != 200 || err != nil {
		t.Fatalf("GET /policy/candidate: got %d %s, %v", status, body, err)
	}
	if got := c.Servers["time"]; got != (policy.Tally{Asked: 3, Permits: 1, Refuses: 1}) || len(c.Differences) != 2 ||
		c.Differences[0].Name != "convert" || c.Differences[0].Was != "no-convert" || c.Differences[0].Would != "role:user" ||
		c.Differences[1].Name != "now" || c.Differences[1].Principal != "ann" || c.Differences[1].Would != "no-now" || c.Differences[1].Fault != "" {
		t.Errorf("got %s, want convert newly permitted and now newly refused, of three calls", body)
	}
	for token, want := range map[string]int{ann: 403, "": 401} {
		if status, body := show(token); status != want || strings.Contains(body, "convert") {
			t.Errorf("GET /policy/candidate with the token %q: got %d %s, want %d", token, status, body, want)
		}
	}
	_, metrics := fetch(t, "GET", url+"/metrics", "", "Authorization", "Bearer "+boss)
	for _, want := range []string{
		`dragoman_candidate_policy_decisions_total{server="time"} 3`,
		`dragoman_candidate_policy_differences_total{candidate="permits",server="time"} 1`,
		`dragoman_candidate_policy_differences_total{candidate="refuses",server="time"} 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	// The trial ends with a reload, and nothing of it is left.
	if err := a.Reload(parse(t, text[:strings.Index(text, "  candidate:")])); err != nil {
		t.Fatal(err)
	}
	if err := s.Refresh(); err != nil {
		t.Fatal(err)
	}
	call()
	if status, body := show(boss); status != 404 || !strings.Contains(body, "access.candidate") {
		t.Errorf("without a candidate: got %d %s, want 404 that says what to do", status, body)
	}
	if _, metrics := fetch(t, "GET", url+"/metrics", "", "Authorization", "Bearer "+boss); strings.Contains(metrics, "candidate_policy") {
		t.Error("without a candidate: there are metrics of one")
	}
}

// T30, T62: a reload whose policies are not as expected is refused; one that drops the expectation too, guards less.
func TestAReloadMustDecideAsIsExpected(t *testing.T) {
	const expect = "  expect: [{decision: deny, as: ann, name: time__convert}]\n"
	text := "listen: 127.0.0.1:0\nauth: {tokens: [{name: ann, token: ann-0123456789abcdef}]}\nservers: {time: {builtin: time}}\naccess:\n" +
		"  default_roles: []\n  policies: [{name: own, text: 'permit(principal == User::\"ann\", action, resource == Tool::\"time/now\");'}]\n"
	a, _, url := run(t, text+expect)
	wider := strings.Replace(text, "time/now", "time/convert", 1)
	for name, c := range map[string]struct{ text, want string }{
		"policies that permit it":                     {wider + expect, "access.expect[0]: ann tools/call time__convert: expected deny, got allow: permitted by own:1 (own:1)"},
		"policies that permit it, and no expectation": {wider, "access.expect: has no more what was expected: ann tools/call time__convert: deny; it is allow: permitted by own:1 (own:1)"},
	} {
		if err := a.Reload(parse(t, c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	if _, got := as(t, url, "ann-0123456789abcdef", "tools/call", "time__convert", `"name":"time__convert","arguments":{"time":"09:30","to":"UTC"},`); !strings.Contains(got, "unknown tool") {
		t.Errorf("after both: got %s, want what was", got)
	}
	if err := a.Reload(parse(t, text)); err != nil {
		t.Errorf("no expectation, and the same policies: got %v, want none", err)
	}
}
