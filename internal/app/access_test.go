package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/audit"
	"github.com/dragoman-mcp/dragoman/internal/builtin"
	"github.com/google/go-cmp/cmp"
)

// as posts a stateless request with a token.
func as(t *testing.T, url, token, method, name, params string) (int, string) {
	t.Helper()
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":{%s"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",`+
		`"io.modelcontextprotocol/clientCapabilities":{}}}}`, method, params)
	header := []string{"Authorization", "Bearer " + token, "Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", method}
	if name != "" {
		header = append(header, "Mcp-Name", name)
	}
	return post(t, url+"/mcp", body, header...)
}

// What is configured about access holds for a running gateway, from the door to the record.
func TestWhoMayWhatIsDecidedCountedAndRecorded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	const ann, bob = "ann-0123456789abcdef", "bob-0123456789abcdef"
	text := `
listen: 127.0.0.1:0
auth: {tokens: [{name: ann, token: ` + ann + `}, {name: bob, token: ` + bob + `}]}
servers: {time: {builtin: time}}
access:
  policies: [{name: bobs, text: 'forbid(principal == User::"bob", action, resource == Tool::"time/convert");'}]
rates: {calls: [{per: principal, rate: 2, every: 1h, burst: 2}]}
audit: {dir: ` + dir + `}
reload: {may_lower_safety: true}
`
	a, _, url := run(t, text)
	const now, convert = `"name":"time__now","arguments":{},`, `"name":"time__convert","arguments":{"time":"09:30","to":"UTC"},`
	for _, c := range []struct{ who, method, name, params, has, lacks string }{
		{ann, "tools/list", "", "", "time__convert", "public"},
		{bob, "tools/list", "", "", "time__now", "time__convert"},
		{bob, "tools/call", "time__convert", convert, "unknown tool: time__convert", "utc_offset"},
		{ann, "tools/call", "time__convert", convert, "utc_offset", "error"},
		{bob, "tools/call", "time__now", now, "utc_offset", "error"},
		{ann, "tools/call", "time__now", now, "utc_offset", "error"},
		{ann, "tools/call", "time__now", now, "retryAfterSeconds", "utc_offset"},
	} {
		if _, got := as(t, url, c.who, c.method, c.name, c.params); !strings.Contains(got, c.has) || c.lacks != "" && strings.Contains(got, c.lacks) {
			t.Errorf("%s %s %s: got %s, want %q and not %q", c.who[:3], c.method, c.name, got, c.has, c.lacks)
		}
	}
	// A reload with faulty policies changes nothing; with others it does.
	if err := a.Reload(parse(t, strings.Replace(text, "forbid(", "forbid((", 1))); err == nil || !strings.Contains(err.Error(), "bobs") {
		t.Errorf("reload with a faulty policy: %v, want its place", err)
	}
	if err := a.Reload(parse(t, strings.Replace(text, "time/convert", "time/now", 1))); err != nil {
		t.Fatal(err)
	}
	if _, got := as(t, url, bob, "tools/list", "", ""); strings.Contains(got, "time__now") || !strings.Contains(got, "time__convert") {
		t.Errorf("after the reload bob sees %s", got)
	}
	closing, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := a.Close(closing); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"refusal bob deny convert", "intent ann allow convert", "outcome", "intent bob allow now", "outcome", "intent ann allow now", "outcome", "event",
	}
	if d := cmp.Diff(want, records(t, dir, ann, bob)); d != "" {
		t.Errorf("records differ (-want +got):\n%s", d)
	}
}

// Of a definition that is pinned the hash is on record with each call of it, so that
// it can be told later what the caller was shown.
func TestTheDefinitionThatWasCalledIsRecorded(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "audit")
	a, _, url := run(t, `
listen: 127.0.0.1:0
auth: {tokens: [{name: ann, token: `+ann+`}]}
servers: {time: {builtin: time}}
access: {pinning: first_sight}
audit: {dir: `+log+`}
state: {path: `+filepath.Join(dir, "state.db")+`}
`)
	const now, convert = `"name":"time__now","arguments":{},`, `"name":"time__convert","arguments":{"time":"09:30","to":"UTC"},`
	as(t, url, ann, "tools/call", "time__now", now)
	as(t, url, ann, "tools/call", "time__convert", convert)
	as(t, url, ann, "tools/call", "time__now", now)
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	defined := make(map[string][]string)
	err := audit.Tail(t.Context(), log, 100, false, func(line []byte) error {
		var r struct{ Kind, Name, Definition, Decision string }
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		if r.Kind == "intent" {
			defined[r.Name] = append(defined[r.Name], r.Decision+" "+r.Definition)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	called, other := defined["now"], defined["convert"]
	if len(called) != 2 || len(other) != 1 || called[0] != called[1] || called[0] == other[0] || !regexp.MustCompile("^allow [0-9a-f]{64}$").MatchString(called[0]) {
		t.Errorf("on record are %q, want the hash of the definition of each", defined)
	}
}

// records returns what a log that is whole, and has no token in it, tells of calls.
func records(t *testing.T, dir string, tokens ...string) []string {
	t.Helper()
	checkpoints := filepath.Join(dir, "checkpoints")
	key, err := audit.PublicKey(checkpoints)
	if err != nil {
		t.Fatal(err)
	}
	report, err := audit.Verify(t.Context(), audit.VerifyOptions{Dir: dir, Checkpoints: checkpoints, Key: key})
	if err != nil || len(report.Faults) > 0 || report.Unfinished > 0 {
		t.Errorf("the audit log: %+v, %v", report, err)
	}
	var out []string
	err = audit.Tail(t.Context(), dir, 100, false, func(line []byte) error {
		for _, token := range tokens {
			if bytes.Contains(line, []byte(token)) {
				t.Errorf("a token is on record: %s", line)
			}
		}
		var r struct{ Kind, Principal, Decision, Name string }
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		if r.Kind != "opened" && r.Kind != "call" { // the log's own, and the gateway's subscription to changes
			out = append(out, strings.TrimSpace(strings.Join([]string{r.Kind, r.Principal, r.Decision, r.Name}, " ")))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWhatCannotBeOpenedLeavesNothingBehind(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"audit log":  "audit: {dir: " + file + "}\n",
		"policies":   "access: {policies: [{name: p, text: 'permit('}]}\n",
		"everything": "audit: {dir: " + file + "}\naccess: {policies: [{name: p, text: 'permit('}]}\n",
	} {
		t.Run(name, func(t *testing.T) {
			if a, err := app.Open(parse(t, text+"servers: {time: {builtin: time}}\n"), app.Options{Servers: builtin.Open}); err == nil {
				_ = a.Close(t.Context())
				t.Error("it was opened")
			}
		})
	}
}

func TestReplicasThatDoNotKnowWhatTheOthersHaveReadAreToldOf(t *testing.T) {
	const flows = "servers: {time: {builtin: time}}\naccess: {flows: [{from: [time], to: [time], do: refuse}]}\n"
	for text, want := range map[string]bool{flows: false, flows + "rates: {replicas: 2}\n": true} {
		log := &logged{}
		a, err := app.Open(parse(t, text), app.Options{Version: "test", LogOutput: log, Servers: builtin.Open})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if got := log.count("each replica remembers for itself") == 1; got != want {
			t.Errorf("the log of\n%ssays that replicas remember each for itself: %t, want %t", text, got, want)
		}
	}
}
