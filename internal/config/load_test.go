package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("dragoman.yaml", []byte(text), environment(text))
	if err != nil {
		t.Fatalf("%s\ngot:\n%v", text, err)
	}
	return cfg
}

func load(t *testing.T, file string) *config.Config {
	t.Helper()
	file = filepath.Join("testdata", file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, environment(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func reveal(secrets map[string]config.Secret) map[string]string {
	plain := map[string]string{}
	for name, s := range secrets {
		plain[name] = s.Reveal()
	}
	return plain
}

func TestAnEmptyFileGivesTheDefaults(t *testing.T) {
	for _, text := range []string{"", "\n# only a comment\n", "{}", "servers:\n", "\xef\xbb\xbf", "---\n"} {
		cfg := parse(t, text)
		if cfg.Listen != "127.0.0.1:8000" || cfg.Limits.Body != 4<<20 || cfg.Limits.UpstreamResponse != 64<<20 ||
			cfg.Limits.Sessions != 10000 || cfg.Names.Separator != "__" || cfg.Defaults.Breaker.OpenFor != time.Minute ||
			!cfg.Telemetry.Metrics || cfg.Log.Level != "info" || len(cfg.Servers) != 0 {
			t.Errorf("%q gives %+v", text, cfg)
		}
	}
	cfg, err := config.Load("", nil)
	if err != nil || cfg.Listen != "127.0.0.1:8000" {
		t.Errorf("no file and no environment give %+v, %v", cfg, err)
	}
}

func TestEveryKeyArrives(t *testing.T) {
	cfg := load(t, "every-key.good.yaml")
	files, replicas := cfg.Servers["files"], cfg.Servers["replicas"]
	home, dir := "/home/ada", "testdata"
	tests := []struct {
		name      string
		got, want any
	}{
		{"a command of text and its arguments, numbers as they are written", files.Argv(),
			[]string{"npx", "-y", "some-server", "--port", "8080", "--fast", "true"}},
		{"env wins over env_file, and both over nothing", reveal(files.Env), map[string]string{
			"DEBUG": "true", "PORT": "8080", "RATIO": "1.5", "WORD": "text", "KEY": "0123456789abcdef-hunter2", "DOLLARS": "$5 $5 $",
			"FROM_FILE": "plain value", "QUOTED": "a \"b\"\nc # kept", "SINGLE": `no \n escapes $HOME`, "EMPTY": "", "HASH": "a#b",
			"WINDOWS": "spaced"}},
		{"~ is the home directory", files.Cwd, filepath.Join(home, "work")},
		{"a relative path begins at the file's directory", files.Watch, []string{filepath.Join(dir, "server.py"), "/abs/lib"}},
		{"a merged section counts", []any{files.Timeout, files.Health.Interval, files.Health.Timeout},
			[]any{90 * time.Second, time.Duration(0), 500 * time.Millisecond}},
		{"what a section does not set comes from defaults", []any{files.ConnectTimeout, files.Health.UnhealthyAfter, files.Health.HealthyAfter},
			[]any{3 * time.Second, 3, 2}},
		{"a server inherits all of defaults", []any{replicas.Timeout, replicas.Health.Interval, replicas.Restart.Enabled},
			[]any{2 * time.Minute, 2 * time.Second, true}},
		{"false and zero are values, not absence", []any{files.Restart.Enabled, replicas.MaxQueue, replicas.Breaker.Failures},
			[]any{false, 0, 0}},
		{"replicas are URLs or sections", replicas.Replicas(), []config.Replica{
			{URL: "http://10.0.0.1:9000/mcp", Weight: 1}, {URL: "http://10.0.0.2:9000/mcp", Weight: 3}}},
		{"one url is one replica", cfg.Servers["socket"].Replicas(), []config.Replica{{URL: "wss://example.org/mcp", Weight: 1}}},
		{"headers", reveal(replicas.Headers), map[string]string{"X-Key": "0123456789abcdef-hunter2", "X-Number": "5"}},
		{"a percentage with and without its sign", []float64{files.CPUQuota, replicas.Retries.Budget}, []float64{80, 0.5}},
		{"sizes with and without unit", []config.Size{files.MemoryLimit, cfg.Limits.Body, cfg.Limits.UpstreamResponse,
			cfg.Limits.Header, cfg.Limits.ReplayBytes, cfg.Processes.LogSize}, []config.Size{3 << 29, 8 << 20, 1 << 20, 32 << 10, 0, 1e6}},
		{"settings stay JSON with every digit", string(cfg.Servers["time"].Settings),
			`{"zones":["Europe/Amsterdam","UTC"],"big":12345678901234567890,"hex":16,"nothing":null,"on":true,"key":{"a":"<&>"}}`},
		{"numbers through references", []int{cfg.Limits.Sessions, cfg.Limits.StreamsPerPrincipal}, []int{77, 12}},
		{"a file reference loses its last line end", cfg.Session.Secret.Reveal(), "0123456789abcdef0123456789abcdef"},
		{"text beside a reference", cfg.Auth.Tokens[1].Token.Reveal(), "0123456789abcdef-hunter2xyz=="},
		{"a disabled server keeps its place", cfg.Servers["off"].Disabled, true},
		{"names are filled in", []string{files.Name, cfg.Views["small"].Name}, []string{"files", "small"}},
		{"the view", cfg.Views["small"], config.View{Name: "small", Title: "Small", Description: "A few",
			Tools: []string{"files__read_text_file", "time__*"}, Prompts: []string{"files__summary"},
			Resources: []string{"files__file:///data/*", "*__x"}, Rename: map[string]string{"read": "files__read_media_file"},
			Override: map[string]config.Override{"read": {Title: "Read", Description: "Reads a file"}, "time__now": {Title: "Now"}}}},
		{"directories", []string{cfg.Processes.LogDir, cfg.Processes.PidDir}, []string{filepath.Join(dir, "logs"), filepath.Join(home, "pids")}},
		{"the rest of limits", cfg.Limits, config.Limits{Body: 8 << 20, Depth: 64, UpstreamResponse: 1 << 20, Header: 32 << 10,
			HeaderTimeout: 5 * time.Second, BodyTimeout: 6 * time.Second, WriteTimeout: 7 * time.Second, IdleTimeout: 8 * time.Second,
			KeepAlive: 9 * time.Second, Connections: 10, InFlight: 11, Sessions: 77, StreamsPerPrincipal: 12,
			ReplayEvents: 14, Parked: 15}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestWhatWins(t *testing.T) {
	level := func(c *config.Config) any { return c.Log.Level }
	tests := []struct {
		name, text string
		get        func(*config.Config) any
		want       any
		key        string
		origin     string
	}{
		{"the default", "", level, "info", "log.level", "default"},
		{"a variable of another system over the default", "# env: MCP_LOG_LEVEL=DEBUG", level, "debug", "log.level", "environment MCP_LOG_LEVEL"},
		{"the file over it", "# env: MCP_LOG_LEVEL=DEBUG\nlog:\n  level: warn", level, "warn", "log.level", "dragoman.yaml:3:10"},
		{"our variable over the file", "# env: DRAGOMAN_LOG_LEVEL=ERROR\nlog: {level: warn}", level, "error", "log.level", "environment DRAGOMAN_LOG_LEVEL"},
		{"an empty variable is none", "# env: DRAGOMAN_LOG_LEVEL=\nlog: {level: warn}", level, "warn", "log.level", "dragoman.yaml:2:14"},
		{"Python's names of levels", "# env: MCP_LOG_LEVEL=WARNING", level, "warn", "log.level", "environment MCP_LOG_LEVEL"},
		{"the bind host keeps the port", "# env: MCP_BIND_HOST=127.0.0.2",
			func(c *config.Config) any { return c.Listen }, "127.0.0.2:8000", "listen", "environment MCP_BIND_HOST"},
		{"the bind host in IPv6", "# env: MCP_BIND_HOST=::1",
			func(c *config.Config) any { return c.Listen }, "[::1]:8000", "listen", "environment MCP_BIND_HOST"},
		{"listen in the file over the bind host", "# env: MCP_BIND_HOST=127.0.0.2\nlisten: localhost:1",
			func(c *config.Config) any { return c.Listen }, "localhost:1", "listen", "dragoman.yaml:2:9"},
		{"a list from the environment", "# env: DRAGOMAN_ALLOWED_HOSTS=a.example, b.example\nallowed_hosts: [c.example]",
			func(c *config.Config) any { return c.AllowedHosts }, []string{"a.example", "b.example"}, "allowed_hosts", "environment DRAGOMAN_ALLOWED_HOSTS"},
		{"a truth value from the environment", "# env: MCP_PARALLEL_STARTUP=0",
			func(c *config.Config) any { return c.Processes.Parallel }, false, "processes.parallel", "environment MCP_PARALLEL_STARTUP"},
		{"seconds from the environment", "# env: MCP_RECOVERY_TIMEOUT=1.5",
			func(c *config.Config) any { return c.Defaults.Breaker.OpenFor }, 1500 * time.Millisecond, "defaults.breaker.open_for", "environment MCP_RECOVERY_TIMEOUT"},
		{"headers of the collector", "# env: OTEL_EXPORTER_OTLP_HEADERS=a=b%20c,d=e",
			func(c *config.Config) any { return reveal(c.Telemetry.OTLPHeaders) }, map[string]string{"a": "b c", "d": "e"}, "telemetry.otlp_headers", "environment OTEL_EXPORTER_OTLP_HEADERS"},
		{"telemetry that is switched off", "# env: OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318\n# env: OTEL_SDK_DISABLED=true",
			func(c *config.Config) any { return c.Telemetry.OTLPEndpoint }, "", "telemetry.otlp_endpoint", ""},
		{"a path from the environment begins at the working directory", "# env: MCP_LOG_DIR=logs",
			func(c *config.Config) any { return c.Processes.LogDir }, "logs", "processes.log_dir", "environment MCP_LOG_DIR"},
		{"defaults in the file reach the servers", "servers: {a: {command: [x]}}\ndefaults: {timeout: 7s}",
			func(c *config.Config) any { return c.Servers["a"].Timeout }, 7 * time.Second, "servers.a.timeout", "defaults.timeout (dragoman.yaml:2:21)"},
		{"defaults in the environment reach the servers", "# env: MCP_FAILURE_THRESHOLD=9\nservers: {a: {command: [x]}}",
			func(c *config.Config) any { return c.Servers["a"].Breaker.Failures }, 9, "servers.a.breaker.failures", "defaults.breaker.failures (environment MCP_FAILURE_THRESHOLD)"},
		{"a server over the defaults", "servers: {a: {command: [x], timeout: 3s}}\ndefaults: {timeout: 7s}",
			func(c *config.Config) any { return c.Servers["a"].Timeout }, 3 * time.Second, "servers.a.timeout", "dragoman.yaml:1:38"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := parse(t, tt.text)
			if diff := cmp.Diff(tt.want, tt.get(cfg)); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tt.text, diff)
			}
			if got := cfg.Origins[tt.key]; got != tt.origin {
				t.Errorf("origin of %s is %q, want %q", tt.key, got, tt.origin)
			}
		})
	}
}

func TestASecretIsNeverShown(t *testing.T) {
	s := config.Secret("hunter2")
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("test", "secret", s, "all", map[string]config.Secret{"a": s})
	inJSON, err := json.Marshal(map[string]any{"a": s, "b": []config.Secret{s}, "c": struct{ S config.Secret }{s}})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{log.String(), string(inJSON), s.String(), fmt.Sprintf("%v %s %q %#v %x %d %10.3s %+v", s, s, s, s, s, s, s, []config.Secret{s}),
		fmt.Sprint(&s), fmt.Errorf("wrap %v", s).Error()} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "68756e74657232") || !strings.Contains(text, "[redacted]") {
			t.Errorf("got %q, want only [redacted]", text)
		}
	}
	if s.Reveal() != "hunter2" {
		t.Errorf("Reveal gives %q", s.Reveal())
	}
	if got := config.Secret("").String(); got != "" {
		t.Errorf("an empty secret prints as %q, want nothing", got)
	}
}

func TestClientsFilesWorkAsTheyAre(t *testing.T) {
	cfg := load(t, "mcp-servers.good.json")
	abs, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	web, files := cfg.Servers["github"], cfg.Servers["file-system"]
	if web.URL != "https://example.org/mcp" || web.Transport != "streamable-http" || web.Headers["Authorization"].Reveal() != "Bearer hunter2" {
		t.Errorf("got %+v", web)
	}
	if diff := cmp.Diff([]string{"npx", "-y", "server", "$$literal"}, files.Argv()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := files.Env["HOME_DIR"].Reveal(); got != "/home/ada" {
		t.Errorf("${userHome} is %q", got)
	}
	if !cfg.Servers["off"].Disabled || !cfg.Servers["off2"].Disabled || cfg.Servers["legacy"].Transport != "sse" || cfg.Servers["socket"].Transport != "auto" {
		t.Errorf("got %+v", cfg.Servers)
	}
	want := `testdata/mcp-servers.good.json:4:3: server "GitHub" is called "github" here`
	if len(cfg.Warnings) != 2 || cfg.Warnings[0] != want {
		t.Errorf("got warnings %q, want two with %q first", cfg.Warnings, want)
	}

	cfg = load(t, "vscode.good.jsonc")
	want = "the environment variable API_KEY"
	if api := cfg.Servers["api"]; api.Argv()[1] != abs+"/server.js" || api.Env["KEY"].Reveal() != "hunter2" ||
		api.Env["EMOJI"].Reveal() != "😀/" || api.Env["HASH"].Reveal() != "a#b" || !strings.Contains(strings.Join(cfg.Warnings, " "), want) {
		t.Errorf("got %q %q and warnings %q", api.Argv(), reveal(api.Env), cfg.Warnings)
	}

	cfg, err = config.Parse("a.json", []byte(`{"listen": "0.0.0.0:1", "mcpServers": {"a": {"command": "x"}}}`), nil)
	if err != nil || len(cfg.Warnings) != 1 || !strings.Contains(cfg.Warnings[0], "listen is not read") || cfg.Listen != "127.0.0.1:8000" {
		t.Errorf("got %+v, %v", cfg, err)
	}
}

func TestAServerOfAClientsFileWithoutItsVariableIsLeftOut(t *testing.T) {
	const unset, set, faulty, asURL = `"gh": {"command": "x", "env": {"TOKEN": "${NO_SUCH}", "B": "${NOR_THIS}"}}`, `"t": {"command": "y"}`,
		`"f": {"command": "x", "args": 5, "env": {"TOKEN": "${NO_SUCH}"}}`, `"u": {"url": "${NO_SUCH}"}`
	for name, test := range map[string]struct {
		text  string
		on    []string // servers that are in use
		warns []string
		fault string
	}{
		"one of two is left out, and each variable is named": {`{"mcpServers": {` + unset + `, ` + set + `}}`, []string{"t"}, []string{
			"a.json:1:57: server gh is left out: the environment variable NO_SUCH is not set; set it, or give a default with ${NO_SUCH:-default}",
			"a.json:1:76: server gh is left out: the environment variable NOR_THIS is not set; set it, or give a default with ${NOR_THIS:-default}"}, ""},
		"also by its address":                  {`{"mcpServers": {` + asURL + `, ` + set + `}}`, []string{"t"}, []string{"a.json:1:30: server u is left out: the environment variable NO_SUCH is not set; set it, or give a default with ${NO_SUCH:-default}"}, ""},
		"not when none would be left":          {`{"mcpServers": {` + unset + `}}`, nil, nil, "NO_SUCH is not set"},
		"nor when all others are disabled":     {`{"mcpServers": {` + unset + `, "o": {"command": "z", "disabled": true}}}`, nil, nil, "NO_SUCH is not set"},
		"another fault in it is one as before": {`{"mcpServers": {` + faulty + `, ` + set + `}}`, nil, nil, "servers.f.args"},
		"a file of our own is not a client's":  {`{"servers": {` + unset + `, ` + set + `}}`, nil, nil, "NO_SUCH:-default}, or leave the server out with disabled: true"},
	} {
		cfg, err := config.Parse("a.json", []byte(test.text), nil)
		if test.fault != "" {
			if err == nil || !strings.Contains(err.Error(), test.fault) {
				t.Errorf("%s: got %v, want %q in it", name, err, test.fault)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		var on []string
		for server, s := range cfg.Servers {
			if !s.Disabled {
				on = append(on, server)
			}
		}
		if diff := cmp.Diff(test.on, on); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
		if got, _, _ := strings.Cut(cfg.Missing("gh"), ";"); strings.Contains(test.text, `"gh"`) != strings.Contains(got, "THIS is not set") || cfg.Missing("t") != "" {
			t.Errorf("%s: gh is missing for %q, and t for %q", name, got, cfg.Missing("t"))
		}
		if diff := cmp.Diff(test.warns, cfg.Warnings); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

func TestADraftIsGivenBesideItsFaults(t *testing.T) {
	cfg, err := config.Draft("a.yaml", []byte("servers:\n  a: {builtin: sundial}\n  b: {comand: x}\n"), nil)
	if err == nil || cfg == nil || cfg.Servers["a"].Builtin != "sundial" || cfg.Servers["a"].Name != "a" {
		t.Errorf("got %+v, %v, want the servers and a fault", cfg, err)
	}
	if cfg, err := config.Draft("a.yaml", []byte("servers: {"), nil); err == nil || cfg != nil {
		t.Errorf("of no document: got %+v, %v", cfg, err)
	}
}

func TestAFlagIsCheckedWithTheRest(t *testing.T) {
	cfg := parse(t, "log: {level: warn}")
	cfg.Listen, cfg.Origins["listen"] = "0.0.0.0:8000", "flag --listen"
	err := cfg.Validate()
	var faults strict.Faults
	if !errors.As(err, &faults) || len(faults) != 1 || !strings.HasPrefix(err.Error(), "flag --listen: listen: 0.0.0.0:8000 can be reached") {
		t.Errorf("got %v", err)
	}
	cfg.Auth.Tokens = []config.Token{{Name: "a", Token: "0123456789abcdef"}}
	if err := cfg.Validate(); err != nil {
		t.Errorf("with a token: got %v", err)
	}
}

func TestACallersFaultHasAPlace(t *testing.T) {
	cfg := parse(t, "servers:\n  clock: {builtin: sundial}\n")
	for path, want := range map[string]string{
		"servers.clock.builtin":       `dragoman.yaml:2:20: servers.clock.builtin: is not there; try time`,
		"servers.clock.settings.zone": `dragoman.yaml:2:3: servers.clock.settings.zone: is not there; try time`,
	} {
		if got := cfg.Fault(path, "is not there", "try time").String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestWarnings(t *testing.T) {
	for text, want := range map[string]string{
		"public_url: https://mcp.example.org": "public_url is set and auth is empty",
	} {
		cfg := parse(t, text)
		if len(cfg.Warnings) != 1 || !strings.Contains(cfg.Warnings[0], want) {
			t.Errorf("%s\ngot %q, want one with %q", text, cfg.Warnings, want)
		}
	}
}

func TestAMissingFileSaysSo(t *testing.T) {
	_, err := config.Load(filepath.Join(t.TempDir(), "none.yaml"), nil)
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "there is no such file") {
		t.Errorf("got %v", err)
	}
}

func TestSettingsGoIntoAStructStrictly(t *testing.T) {
	s := parse(t, "servers: {a: {builtin: time, settings: {zone: UTC}}}").Servers["a"]
	var good struct{ Zone string }
	if err := s.SettingsInto(&good); err != nil || good.Zone != "UTC" {
		t.Errorf("got %+v, %v", good, err)
	}
	var other struct{ City string }
	if err := s.SettingsInto(&other); err == nil || !strings.Contains(err.Error(), "zone") {
		t.Errorf("an unknown key gives %v", err)
	}
	if err := (config.Server{}).SettingsInto(&other); err != nil {
		t.Errorf("no settings give %v", err)
	}
}
