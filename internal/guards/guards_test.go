package guards_test

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/builtin"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/guards"
	"github.com/dragoman-mcp/dragoman/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// safe has every guard that there is.
const safe = `listen: 127.0.0.1:8000
public_url: https://mcp.example.org
allowed_hosts: [one.example.org]
allowed_origins: ["https://app.example.org"]
trusted_proxies: [10.0.0.5]
tls: {cert: a.crt, key: a.key, client_ca: ca.crt, client_crl: [a.crl, b.crl], require_client_cert: true}
auth:
  tokens: [{name: ann, token: ann-0123456789abcdef, roles: [user]}, {name: bob, token: bob-0123456789abcdef}]
  issuers:
    - {name: corp, url: "https://id.example.org", audience: [a], algorithms: [ES256], scopes: [mcp, extra], roles: {staff: user}, default_roles: [user], claims: {servers: srv}, introspection: {url: "https://id.example.org/i", client_id: gw, client_secret: of-the-gateway}}
    - {name: open, url: "https://id.example.net"}
  certificates: {enabled: true, names: ["a*"], roles: [user]}
  authorization_server: {enabled: true}
access:
  pinning: strict
  flows: [{name: f, from: [web, far], to: [run, db], except: [run__see, run__hear], do: refuse}, {from: [api], to: [fs]}]
  policies: [{name: own, text: 'forbid(principal == User::"bob", action, resource); permit(principal == User::"bob", action, resource);'}, {file: FILE}]
rates: {calls: [{per: principal, rate: 10}, {per: tool, match: [web__*, api__*], at_once: 3}]}
audit: {dir: a, checkpoints: c, reads: strict, read_tools: [time.*], retention: 100h}
secrets: {names: [badge, desk]}
defaults: {sandbox: {level: 2}}
servers:
  run:
    command: [python3, x.py]
    isolation: session
    memory_limit: 1GiB
    cpu_quota: 50%
    tools: {allow: [read_a], deny: [drop_x, kill_x]}
    text: {definitions: withhold, results: strip}
    read_only: [read_a]
    idempotent: [put_a]
    asks: {refuse: [sampling, roots], hosts: [login.example.org], named: true}
    sandbox: {level: 3, min_level: 2, read: [/data], write: [/notes], network: proxy, hosts: [a.example.org, b.example.org], open_files: 99, file_size: 1GiB, address_space: 9GiB, cpu_time: 90s, processes: 9, fetch: {when: always, hosts: [npm.example.org]}}
  any: {command: [python3, y.py], sandbox: {level: 2, network: proxy}}
  far: {url: "https://far.example.org/mcp", auth: {type: oauth}}
  pinned: {url: "https://pinned.example.org/mcp", tls_pins: ["sha256/YLh1dUR9y6Kja30RrAn7JKnbQG/uEtLMkBgFF2Fuihg="]}
  web: {builtin: web, settings: {reach: {allow: [a.example], only: [b.example], deny: [c.example]}}}
  api:
    builtin: httpapi
    settings: {document: x.yaml, pin: abc, writes: "off", only: [get_a], except: [get_b], reach: {allow: [a.example]}, graphql: {ad_hoc: false}}
  db: {builtin: database, settings: {reach: {only: [10.0.0.1], deny: [10.0.0.2]}, sources: {main: {dsn: "sqlite:x", functions: [f]}}}}
  fs: {builtin: filesystem, settings: {mounts: [{url: /data, prefix: in, extensions: [.md], deny: ["*.pem"]}]}}
`

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatalf("the configuration of this test is faulty: %v\n%s", err, text)
	}
	return cfg
}

func of(t *testing.T, text string) *guards.Inventory {
	t.Helper()
	i, err := guards.Of(parse(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// policies writes a file of policies, and names it in a configuration.
func policies(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "own.cedar")
	if err := os.WriteFile(file, []byte(`forbid(principal, action, resource == Server::"db");`), 0o600); err != nil {
		t.Fatal(err)
	}
	return strings.Replace(text, "FILE", file, 1)
}

// changes are of words in safe, and where there is less because of them.
var changes = []struct{ old, new, want string }{
	{"127.0.0.1:8000", "192.0.2.1:8000", "listen"},
	{"127.0.0.1:8000", "0.0.0.0:8000", "listen"},
	{"127.0.0.1:8000", "':8000'", "listen"},
	{"https://mcp.example.org", "https://other.example.org", "public_url"},
	{"[one.example.org]", "[one.example.org, two.example.org]", "allowed_hosts"},
	{`["https://app.example.org"]`, `["https://app.example.org", "https://b.example.org"]`, "allowed_origins"},
	{"[10.0.0.5]", "[10.0.0.5, 10.0.0.6]", "trusted_proxies"},
	{"require_client_cert: true", "require_client_cert: false", "tls.require_client_cert"},
	{"[a.crl, b.crl]", "[b.crl]", "tls.client_crl"},
	{"ann-0123456789abcdef, roles: [user]", "ann-0123456789abcdef, roles: [user, admin]", "auth.tokens[0].roles"},
	{"bob-0123456789abcdef", "bob-0123456789abcdef, roles: [admin]", "auth.tokens[1].roles"},
	{"https://id.example.org\"", "https://id.example.com\"", "auth.issuers[0].url"},
	{"audience: [a]", "audience: [a, b]", "auth.issuers[0].audience"},
	{"https://id.example.net\"", "https://id.example.net\", audience: [x]", "auth.issuers[1].audience"},
	{"[ES256]", "[ES256, RS256]", "auth.issuers[0].algorithms"},
	{"algorithms: [ES256], ", "", "auth.issuers[0].algorithms"},
	{"algorithms: [ES256]", "algorithms: [ES256], types: [JWT]", "auth.issuers[0].types"},
	{"[mcp, extra]", "[mcp]", "auth.issuers[0].scopes"},
	{"{staff: user}", "{staff: admin}", "auth.issuers[0].roles"},
	{"{staff: user}", "{staff: user, all: user}", "auth.issuers[0].roles"},
	{"default_roles: [user]", "default_roles: [user, admin]", "auth.issuers[0].default_roles"},
	{", claims: {servers: srv}", "", "auth.issuers[0].claims.servers"},
	{"{servers: srv}", "{servers: srv, roles: scope}", "auth.issuers[0].claims.roles"},
	{"{servers: srv}", "{servers: srv, groups: scope}", "auth.issuers[0].claims.groups"},
	{"https://id.example.net\"", "https://id.example.net\", jwks_url: \"https://keys.example.com/keys\"", "auth.issuers[1].jwks_url"},
	{"https://id.example.org/i\"", "https://id.example.org/i\", cache_ttl: 20s", "auth.issuers[0].introspection.cache_ttl"},
	{"https://id.example.org/i\"", "https://id.example.com/i\"", "auth.issuers[0].introspection.url"},
	{`permit(principal == User::"bob", action, resource);`, `permit(principal, action, resource) when { 1 == 1 };`, "access.policies"},
	{`names: ["a*"], `, "", "auth.certificates.names"},
	{`names: ["a*"]`, `names: ["a*", "b*"]`, "auth.certificates.names"},
	{`names: ["a*"], roles: [user]`, `names: ["a*"], roles: [user, admin]`, "auth.certificates.roles"},
	{"authorization_server: {enabled: true", "authorization_server: {enabled: true, dynamic_registration: true", "auth.authorization_server.dynamic_registration"},
	{"pinning: strict", "pinning: first_sight", "access.pinning"},
	{`, tls_pins: ["sha256/YLh1dUR9y6Kja30RrAn7JKnbQG/uEtLMkBgFF2Fuihg="]`, "", "servers.pinned.tls_pins"},
	{"[\"sha256/YLh1d", "[\"sha256/Vjs8r4z+80wjNcr1YKepWQboSIRi63WsWXhIMN+eWys=\", \"sha256/YLh1d", "servers.pinned.tls_pins"},
	{", {from: [api], to: [fs]}", "", "access.flows"},
	{"name: f, from", "name: g, from", "access.flows"},
	{"from: [web, far]", "from: [web]", "access.flows[0].from"},
	{"to: [run, db]", "to: [run, fs]", "access.flows[0].to"},
	{"except: [run__see, run__hear]", "except: [run__see, run__hear, run__do]", "access.flows[0].except"},
	{"run__hear], do: refuse", "run__hear], do: ask", "access.flows[0].do"},
	{"[{name: f", "[{from: [db], to: [api]}, {name: f", "access.flows"},
	{"pinning: strict", "pinning: 'off'", "access.pinning"},
	{"pinning: strict", "pinning: strict\n  default_roles: [user, admin]", "access.default_roles"},
	{`forbid(principal == User::"bob", action, resource); `, "", "access.policies"},
	{`forbid(principal == User::"bob", action, resource)`, `forbid(principal == User::"eve", action, resource)`, "access.policies"},
	{", {file: FILE}", "", "access.policies"},
	{`permit(principal == User::"bob", action, resource);`, `permit(principal, action, resource);`, "access.policies"},
	{"{per: principal, rate: 10}, ", "", "rates.calls"},
	{"[web__*, api__*]", "[web__*]", "rates.calls"},
	{"per: principal, rate: 10", "per: principal, per_day: 10", "rates.calls"},
	{"audit: {dir: a, ", "audit: {", "audit"},
	{"reads: strict", "reads: outcome", "audit.reads"},
	{"read_tools: [time.*]", "read_tools: [time.*, web.*]", "audit.read_tools"},
	{"checkpoints: c, ", "", "audit.checkpoints"},
	{"retention: 100h", "retention: 90h", "audit.retention"},
	{"[badge, desk]", "[badge]", "secrets.names"},
	{"servers:\n", "reload: {may_lower_safety: true}\nservers:\n", "reload.may_lower_safety"},
	{"servers:\n", "telemetry: {profiling: true}\nservers:\n", "telemetry.profiling"},
	{"isolation: session", "isolation: principal", "servers.run.isolation"},
	{"isolation: session", "isolation: shared", "servers.run.isolation"},
	{"memory_limit: 1GiB", "memory_limit: 0", "servers.run.memory_limit"},
	{"cpu_quota: 50%", "cpu_quota: 0%", "servers.run.cpu_quota"},
	{"definitions: withhold", "definitions: strip", "servers.run.text.definitions"},
	{"definitions: withhold", "definitions: keep", "servers.run.text.definitions"},
	{"results: strip", "results: keep", "servers.run.text.results"},
	{"allow: [read_a], ", "", "servers.run.tools.allow"},
	{"allow: [read_a]", "allow: [read_a, write_a]", "servers.run.tools.allow"},
	{"[drop_x, kill_x]", "[drop_x]", "servers.run.tools.deny"},
	{"read_only: [read_a]", "read_only: [read_a, write_a]", "servers.run.read_only"},
	{"idempotent: [put_a]", "idempotent: [put_a, put_b]", "servers.run.idempotent"},
	{"refuse: [sampling, roots]", "refuse: [roots]", "servers.run.asks.refuse"},
	{"hosts: [login.example.org], ", "", "servers.run.asks.hosts"},
	{"hosts: [login.example.org]", "hosts: [login.example.org, evil.example]", "servers.run.asks.hosts"},
	{", named: true", "", "servers.run.asks.named"},
	{"named: true", "named: true, secrets: pass", "servers.run.asks.secrets"},
	{"named: true", "named: true, per_minute: 0", "servers.run.asks.per_minute"},
	{"level: 3, min_level: 2", "level: 2, min_level: 2", "servers.run.sandbox.level"},
	{"min_level: 2", "min_level: 1", "servers.run.sandbox.min_level"},
	{"read: [/data]", "read: [/data, /etc]", "servers.run.sandbox.read"},
	{"write: [/notes]", "write: [/notes, /data]", "servers.run.sandbox.write"},
	{"network: proxy, hosts: [a.example.org, b.example.org]", "network: host", "servers.run.sandbox.network"},
	{"b.example.org]", "b.example.org, c.example.org]", "servers.run.sandbox.hosts"},
	{", hosts: [a.example.org, b.example.org]", "", "servers.run.sandbox.hosts"},
	{"network: proxy}}", "network: proxy, hosts: [10.0.0.0/8]}}", "servers.any.sandbox.hosts"},
	{"sandbox: {level: 2, network: proxy}", "sandbox: {level: 0, privileges: true}", "servers.any.sandbox.privileges"},
	{", open_files: 99", "", "servers.run.sandbox.open_files"},
	{", file_size: 1GiB", "", "servers.run.sandbox.file_size"},
	{", address_space: 9GiB", "", "servers.run.sandbox.address_space"},
	{", cpu_time: 90s", "", "servers.run.sandbox.cpu_time"},
	{", processes: 9", "", "servers.run.sandbox.processes"},
	{"processes: 9", "processes: 9, trust_proxy: true", "servers.run.sandbox.trust_proxy"},
	{"when: always", "when: auto", "servers.run.sandbox.fetch.when"},
	{"hosts: [npm.example.org]", "hosts: [npm.example.org, x.example.org]", "servers.run.sandbox.fetch.hosts"},
	{"when: always", "when: always, scripts: true", "servers.run.sandbox.fetch.scripts"},
	{"https://far.example.org/mcp", "http://far.example.org/mcp", "servers.far.url"},
	{"{type: oauth}", "{type: none}", "servers.far.isolation"},
	{"settings: {reach: {allow: [a.example], only: [b.example]", "settings: {reach: {private: true, allow: [a.example], only: [b.example]", "servers.web.settings.reach.private"},
	{"settings: {reach: {allow: [a.example], only: [b.example]", "settings: {reach: {trust_proxy: true, allow: [a.example], only: [b.example]", "servers.web.settings.reach.trust_proxy"},
	{"allow: [a.example], only: [b.example]", "allow: [a.example, d.example], only: [b.example]", "servers.web.settings.reach.allow"},
	{"only: [b.example], ", "", "servers.web.settings.reach.only"},
	{"deny: [c.example]", "deny: []", "servers.web.settings.reach.deny"},
	{"builtin: web, settings: {", "builtin: web, settings: {robots: crawl-only, ", "servers.web.settings.robots"},
	{`writes: "off", `, "", "servers.api.settings.writes"},
	{`writes: "off"`, `writes: "on"`, "servers.api.settings.writes"},
	{"only: [get_a]", "only: [get_a, get_c]", "servers.api.settings.only"},
	{"except: [get_b], ", "", "servers.api.settings.except"},
	{"pin: abc, ", "", "servers.api.settings.pin"},
	{"pin: abc", "pin: abd", "servers.api.settings.pin"},
	{"pin: abc", "pin: abc, path_slashes: true", "servers.api.settings.path_slashes"},
	{"reach: {allow: [a.example]}, graphql", "reach: {allow: [a.example, 10.0.0.1]}, graphql", "servers.api.settings.reach.allow"},
	{"ad_hoc: false", "ad_hoc: true", "servers.api.settings.graphql.ad_hoc"},
	{"ad_hoc: false", "ad_hoc: false, mutations: ask", "servers.api.settings.graphql.mutations"},
	{"ad_hoc: false", "ad_hoc: false, limits: {introspection: true}", "servers.api.settings.graphql.limits.introspection"},
	{"only: [10.0.0.1]", "only: [10.0.0.1, 10.0.0.3]", "servers.db.settings.reach.only"},
	{", deny: [10.0.0.2]", "", "servers.db.settings.reach.deny"},
	{"sources: {main", "sources: {more: {dsn: \"sqlite:y\"}, main", "servers.db.settings.sources"},
	{"functions: [f]", "functions: [f, g]", "servers.db.settings.sources.main.functions"},
	{"functions: [f]", "functions: [f], write: true", "servers.db.settings.sources.main.write"},
	{"functions: [f]", "functions: [f], confirm: false", "servers.db.settings.sources.main.confirm"},
	{"functions: [f]", "functions: [f], posture: warn", "servers.db.settings.sources.main.posture"},
	{"mounts: [{", "mounts: [{url: /more}, {", "servers.fs.settings.mounts"},
	{"prefix: in", "prefix: in, write: true", "servers.fs.settings.mounts./data.write"},
	{"prefix: in, ", "", "servers.fs.settings.mounts./data.prefix"},
	{"extensions: [.md]", "extensions: [.md, .key]", "servers.fs.settings.mounts./data.extensions"},
	{"extensions: [.md]", "extensions: [.md], hidden: true", "servers.fs.settings.mounts./data.hidden"},
	{`, deny: ["*.pem"]`, "", "servers.fs.settings.mounts./data.deny"},
}

// bothWays is where there may be less on the way back too, since one is another rather than less or more.
var bothWays = []string{"public_url", "access.flows", "access.flows[0].to", "auth.issuers[0].url", "auth.issuers[0].roles", "access.policies", "rates.calls", "auth.issuers[0].types",
	"auth.tokens[1].roles", "servers.any.sandbox.hosts", "servers.api.settings.pin", "servers.run.sandbox.network",
	"auth.issuers[0].claims.roles", "auth.issuers[0].claims.groups", "auth.issuers[1].jwks_url", "auth.issuers[0].introspection.url"}

// T62: each guard that would be less is found, by itself and with its place; the way back is none.
func TestEveryGuardThatIsLessIsFound(t *testing.T) {
	base := policies(t, safe)
	was := of(t, base)
	for _, c := range changes {
		old := strings.Replace(c.old, "FILE", strings.SplitN(strings.SplitN(base, "{file: ", 2)[1], "}", 2)[0], 1)
		if strings.Count(base, old) != 1 {
			t.Fatalf("%q stands %d times in the configuration of this test, want once", old, strings.Count(base, old))
		}
		now := of(t, strings.Replace(base, old, c.new, 1))
		if got := guards.Less(now, was); got != nil && !contains(bothWays, c.want) {
			t.Errorf("%q back to %q: got less: %v, want none", c.new, c.old, got)
		}
		var paths []string
		for _, fault := range guards.Less(was, now) {
			paths = append(paths, fault.Path)
			if fault.Place.File != "test.yaml" || fault.Place.Line == 0 {
				t.Errorf("%q to %q: the place of %s is %s, want a line", c.old, c.new, fault.Path, fault.Place)
			}
		}
		if !contains(paths, c.want) || len(paths) > 3 {
			t.Errorf("%q to %q: got less at %q, want it at %s", c.old, c.new, paths, c.want)
		}
	}
}

func contains(paths []string, want string) bool {
	for _, path := range paths {
		if path == want {
			return true
		}
	}
	return false
}

func TestWhatTakesNoGuardAwayIsNone(t *testing.T) {
	base := policies(t, safe)
	was := of(t, base)
	for name, c := range map[string][2]string{
		"nothing":                          {"", ""},
		"another token":                    {"{name: bob,", "{name: eve, token: eve-0123456789abcdef, roles: [admin]}, {name: bob,"},
		"a token that is gone":             {", {name: bob, token: bob-0123456789abcdef}", ""},
		"a token that is another":          {"bob-0123456789abcdef", "bob-fedcba9876543210"},
		"another issuer":                   {"    - {name: open", "    - {name: new, url: \"https://id.example.com\", audience: [b]}\n    - {name: open"},
		"another server":                   {"servers:\n", "servers:\n  more: {command: [node, x.js], sandbox: {level: 0}}\n"},
		"a server that is gone":            {"  any: {command: [python3, y.py], sandbox: {level: 2, network: proxy}}\n", ""},
		"a server that is off":             {"{level: 2, network: proxy}", "{level: 0}, disabled: true"},
		"a view":                           {"servers:\n", "views: {all: {tools: [web__*]}}\nservers:\n"},
		"a flow for more":                  {"to: [run, db]", "to: [run, db, fs]"},
		"a flow more":                      {", {from: [api], to: [fs]}", ", {from: [api], to: [fs]}, {name: h, from: [web], to: [fs]}"},
		"a flow that excepts less":         {"[run__see, run__hear]", "[run__see]"},
		"a permit for some":                {`permit(principal == User::"bob"`, `permit(principal == User::"ann"`},
		"a permit under a condition":       {`permit(principal == User::"bob", action, resource);`, `permit(principal, action, resource) when { principal == User::"ann" };`},
		"a forbid more":                    {`forbid(principal == User::"bob"`, `forbid(principal == User::"eve", action, resource); forbid(principal == User::"bob"`},
		"more for levels":                  {"sandbox: {level: 2, network: proxy}", "sandbox: {level: 3, network: none}"},
		"fewer hosts":                      {", b.example.org]", "]"},
		"hosts where all public ones were": {"network: proxy}}", "network: proxy, hosts: [a.example.org]}}"},
		"what may be written may be read":  {"read: [/data]", "read: [/data, /notes]"},
		"another rate":                     {"per: principal, rate: 10", "per: principal, rate: 100"},
		"a rule for more":                  {"[web__*, api__*]", "[web__*, api__*, db__*]"},
		"records that are kept for longer": {"retention: 100h", "retention: 0s"},
		"fewer names":                      {"[one.example.org]", "[]"},
		"less to write":                    {`writes: "off"`, `writes: "off", max_request: 1KiB`},
		"tokens for the address only":      {"audience: [a], ", ""},
		"a scope more":                     {"url: \"https://id.example.net\"", "url: \"https://id.example.net\", scopes: [mcp]"},
	} {
		if got := guards.Less(was, of(t, strings.Replace(base, c[0], c[1], 1))); got != nil {
			t.Errorf("%s: got less: %v, want none", name, got)
		}
	}
}

func TestWithoutAuthOrPoliciesEverythingIsOpen(t *testing.T) {
	const bare = "servers: {time: {builtin: time}}\n"
	for name, c := range map[string][2]string{
		"auth":            {"auth: {tokens: [{name: ann, token: ann-0123456789abcdef}]}\n" + bare, "auth"},
		"keys":            {"auth: {keys: {enabled: true}}\n" + bare, "auth"},
		"the last policy": {"access: {policies: [{name: own, text: 'permit(principal == User::\"a\", action, resource);'}]}\n" + bare, "access.policies"},
		"clear text":      {"tls: {cert: a, key: b}\n" + bare, "tls.cert"},
	} {
		got := guards.Less(of(t, c[0]), of(t, bare))
		if len(got) != 1 || got[0].Path != c[1] {
			t.Errorf("%s is gone: got %v, want less at %s", name, got, c[1])
		}
	}
	less := &guards.Lowered{Guards: guards.Less(of(t, "auth: {keys: {enabled: true}}\n"+bare), of(t, "log: {level: info}\nauth: {}\n"+bare))}
	if got := guards.Less(of(t, "auth: {keys: {enabled: true}}\n"+bare), of(t, bare)).Error(); !strings.HasPrefix(got, "test.yaml: auth: had ways") {
		t.Errorf("a section that is gone: got %q, want the file", got)
	}
	const want = "guards less than the one in use, which takes a restart (or reload.may_lower_safety in the configuration that the gateway was started with):\n" +
		"test.yaml:2:7: auth: had ways to show who calls and has none, so that everybody may call"
	if d := cmp.Diff(want, less.Error()); d != "" {
		t.Errorf("error (-want +got):\n%s", d)
	}
}

func TestPoliciesThatCannotBeReadAreToldOf(t *testing.T) {
	cfg := parse(t, "access: {policies: [{file: /no/such.cedar}]}\n")
	if _, err := guards.Of(cfg); err == nil || !strings.Contains(err.Error(), "access.policies[0]: stat /no/such.cedar") {
		t.Errorf("got %v, want what is missing", err)
	}
}

// What is judged of built-in servers are settings that they have.
func TestTheSettingsThatAreJudgedAreThere(t *testing.T) {
	for kind, settings := range map[string]string{
		"web":        `{"reach":{"private":true,"trust_proxy":true,"allow":["a.example"],"only":["a.example"],"deny":["b.example"]},"robots":"crawl-only"}`,
		"httpapi":    `{"reach":{"private":true},"writes":"off","only":["a"],"except":["b"],"path_slashes":true,"pin":"x","graphql":{"mutations":"off","ad_hoc":true,"limits":{"introspection":true}}}`,
		"database":   `{"reach":{"only":["10.0.0.1"],"deny":["10.0.0.2"]},"sources":{"main":{"dsn":"sqlite:x","posture":"warn","functions":["f"],"write":true,"confirm":false}}}`,
		"filesystem": `{"mounts":[{"url":"/nowhere/here","write":true,"prefix":"in","extensions":[".md"],"hidden":true,"deny":["*.pem"]}]}`,
	} {
		s, err := builtin.Open(kind, &server.Env{Name: kind, Version: "test", Log: slog.New(slog.DiscardHandler), Settings: json.RawMessage(settings), DataDir: t.TempDir()})
		if err != nil && strings.Contains(err.Error(), "unknown key") {
			t.Errorf("%s: %v", kind, err)
		}
		if s != nil {
			_ = s.Close()
		}
	}
}
