package clients_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/clients"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// machine makes a home directory with files, in which PROJECT and HOME stand for the paths of the two.
func machine(t *testing.T, goos string, files map[string]string) clients.Locations {
	t.Helper()
	home := t.TempDir()
	project := filepath.Join(home, "work", "site")
	for name, text := range files {
		path := filepath.Join(home, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		text = strings.NewReplacer("PROJECT", project, "HOME", home).Replace(text)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return clients.Locations{GOOS: goos, Home: home, Project: project}
}

// read gives the servers of one client by name, and what it warns about.
func read(t *testing.T, at clients.Locations, id string) (map[string]config.Server, []string) {
	t.Helper()
	for _, c := range clients.Known(at) {
		if c.ID != id {
			continue
		}
		servers, warnings, err := c.Read()
		if err != nil {
			t.Fatal(err)
		}
		byName := map[string]config.Server{}
		for _, s := range servers {
			byName[s.Name] = s.Config
		}
		var texts []string
		for _, w := range warnings {
			texts = append(texts, w.Server+": "+w.Text)
		}
		return byName, texts
	}
	t.Fatalf("no client %q", id)
	return nil, nil
}

// summary tells what matters of a server in one line.
func summary(s config.Server) string {
	parts := []string{strings.Join(s.Argv(), " ") + s.URL}
	for _, m := range []map[string]config.Secret{s.Env, s.Headers} {
		for name, value := range m {
			parts = append(parts, name+"="+value.Reveal())
		}
	}
	slices.Sort(parts[1:])
	if s.Transport != "auto" {
		parts = append(parts, "transport "+s.Transport)
	}
	if s.Cwd != "" {
		parts = append(parts, "in "+s.Cwd)
	}
	if s.EnvFile != "" {
		parts = append(parts, "with "+s.EnvFile)
	}
	if s.Timeout > 0 {
		parts = append(parts, "timeout "+s.Timeout.String())
	}
	if s.Disabled {
		parts = append(parts, "disabled")
	}
	if len(s.Tools.Allow)+len(s.Tools.Deny) > 0 {
		parts = append(parts, "tools "+strings.Join(s.Tools.Allow, "+")+"-"+strings.Join(s.Tools.Deny, "-"))
	}
	return strings.Join(parts, " | ")
}

func TestEveryClientIsRead(t *testing.T) {
	tests := []struct {
		client, goos, file, text string
		want                     map[string]string // name to summary
		warnings                 []string
	}{
		{"claude-desktop", "darwin", "Library/Application Support/Claude/claude_desktop_config.json",
			`{"mcpServers": {"File System": {"command": "npx", "args": ["-y", "server", "$HOME/${x}", "a$$b"], "env": {"A": "${B}"}}}}`,
			map[string]string{"file-system": "npx -y server $HOME/$${x} a$$$$b | A=$${B}"}, []string{`File System: is called "file-system" here`}},
		{"claude-desktop", "windows", "AppData/Roaming/Claude/claude_desktop_config.json", `{"mcpServers": {"a": {"command": "C:\\bin\\a.exe"}}}`,
			map[string]string{"a": `C:\bin\a.exe`}, nil},
		{"claude-desktop", "linux", ".config/Claude/claude_desktop_config.json", `{"globalShortcut": "", "mcpServers": {}}`, map[string]string{}, nil},
		{"claude-code", "linux", ".claude.json", `{"numStartups": 5, "mcpServers": {"a": {"type": "http", "url": "https://example.org/mcp", "headers": {"K": "${T:-x}"}, "timeout": 60000}},
			"projects": {"PROJECT": {"mcpServers": {"b": {"type": "stdio", "command": "b", "args": [], "env": {}}}}, "/other": {"mcpServers": {"c": {"command": "c"}}}}}`,
			map[string]string{"a": "https://example.org/mcp | K=${T:-x} | transport streamable-http | timeout 1m0s", "b": "b | in PROJECT"},
			[]string{": servers of single folders are left out (/other); --project DIR takes over those of one"}},
		{"claude-code", "linux", "work/site/.mcp.json", `{"mcpServers": {"a": {"command": "./a.sh"}}}`, map[string]string{"a": "./a.sh | in PROJECT"}, nil},
		{"cursor", "linux", ".cursor/mcp.json", `{"mcpServers": {"a": {"command": "a", "args": ["${userHome}/x", "${env:B}"], "envFile": "${userHome}/.env"}}}`,
			map[string]string{"a": "a HOME/x ${env:B} | with HOME/.env"}, nil},
		{"cursor", "linux", "work/site/.cursor/mcp.json", `{"mcpServers": {"a": {"command": "a", "args": ["${workspaceFolder}/x", "${workspaceFolderBasename}${/}y"], "envFile": ".env", "cwd": "sub"}}}`,
			map[string]string{"a": "a PROJECT/x site/y | in PROJECT/sub | with PROJECT/.env"}, nil},
		{"vscode", "linux", ".config/Code/User/mcp.json", `// comment
			{"inputs": [{"id": "gh-token", "type": "promptString"}], "servers": {"a": {"type": "http", "url": "https://example.org/mcp", "headers": {"Authorization": "Bearer ${input:gh-token}"}, "dev": {}},}}`,
			map[string]string{"a": "https://example.org/mcp | Authorization=Bearer ${GH_TOKEN} | transport streamable-http"},
			[]string{`a: the client asks for "gh-token"; set the environment variable GH_TOKEN instead`}},
		{"vscode", "linux", ".config/Code/User/settings.json", `{"editor.fontSize": 12, "mcp": {"servers": {"a": {"command": "a", "args": ["${workspaceFolder}"]}}}}`,
			map[string]string{"a": "a ${workspaceFolder}"}, []string{"a: the client means the folder that is open by ${workspaceFolder}; put a path in its place"}},
		{"vscode", "darwin", "work/site/.vscode/mcp.json", `{"servers": {"a": {"type": "sse", "url": "http://127.0.0.1:1/sse"}}}`,
			map[string]string{"a": "http://127.0.0.1:1/sse | transport sse"}, nil},
		{"windsurf", "linux", ".codeium/windsurf/mcp_config.json", `{"mcpServers": {"a": {"serverUrl": "https://example.org/mcp", "disabledTools": ["x"]}}}`,
			map[string]string{"a": "https://example.org/mcp | tools -x"}, nil},
		{"cline", "linux", ".config/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json",
			`{"mcpServers": {"a": {"url": "https://example.org/mcp", "type": "streamableHttp", "disabled": true, "timeout": 60, "alwaysAllow": ["x"]}}}`,
			map[string]string{"a": "https://example.org/mcp | transport streamable-http | timeout 1m0s | disabled"}, nil},
		{"cline", "linux", ".cline/data/settings/cline_mcp_settings.json", `{"mcpServers": {"a": {"command": "a"}}}`, map[string]string{"a": "a"}, nil},
		{"gemini", "linux", ".gemini/settings.json", `{"theme": "x", "mcpServers": {"a": {"httpUrl": "https://example.org/mcp", "headers": {"K": "$TOKEN"}, "timeout": 5000, "trust": true,
			"includeTools": ["a", "b"], "excludeTools": ["c"], "authProviderType": "google"}}}`,
			map[string]string{"a": "https://example.org/mcp | K=${TOKEN} | timeout 5s | tools a+b-c"}, []string{"a: not taken over: authProviderType"}},
		{"antigravity", "linux", ".gemini/config/mcp_config.json", `{"mcpServers": {"a": {"serverUrl": "https://example.org/mcp"}}}`, map[string]string{"a": "https://example.org/mcp"}, nil},
		{"kiro", "linux", "work/site/.kiro/settings/mcp.json", `{"mcpServers": {"a": {"command": "a", "timeout": 1500}}}`, map[string]string{"a": "a | in PROJECT | timeout 1.5s"}, nil},
		{"copilot-cli", "linux", ".copilot/mcp-config.json", `{"mcpServers": {"a": {"type": "local", "command": "a", "tools": ["*"]}, "b": {"type": "http", "url": "https://example.org/", "tools": ["x"]}}}`,
			map[string]string{"a": "a", "b": "https://example.org/ | transport streamable-http | tools x-"}, nil},
		{"kimi", "linux", ".kimi-code/mcp.json", `{"mcpServers": {"a": {"transport": "sse", "url": "https://example.org/sse", "toolTimeoutMs": 2000}}}`,
			map[string]string{"a": "https://example.org/sse | transport sse | timeout 2s"}, nil},
		{"pi", "linux", ".pi/agent/mcp.json", `{"mcpServers": {"a": {"command": "a", "requestTimeoutMs": 2000}}}`, map[string]string{"a": "a | timeout 2s"}, nil},
		{"mcporter", "linux", "work/site/config/mcporter.json", `{"mcpServers": {"a": {"command": "a"}}}`, map[string]string{"a": "a | in PROJECT"}, nil},
		{"mastra", "linux", ".mastracode/mcp.json", `{"mcpServers": {"a": {"command": "a"}}}`, map[string]string{"a": "a"}, nil},
		{"codex", "linux", ".codex/config.toml", `
model = "x"
[mcp_servers.a]
command = "npx"
args = ["-y", "${not}"]
env_vars = ["TOKEN"]
startup_timeout_sec = 20
tool_timeout_sec = 45.5
enabled_tools = ["x"]
[mcp_servers.a.env]
B = "c"
[mcp_servers.b]
url = "https://example.org/mcp"
bearer_token_env_var = "B_TOKEN"
enabled = false
http_headers = { X = "y" }
env_http_headers = { Z = "Z_VAR" }
default_tools_approval_mode = "approve"
`, map[string]string{"a": "npx -y $${not} | B=c | TOKEN=${TOKEN} | timeout 45.5s | tools x-",
			"b": "https://example.org/mcp | Authorization=Bearer ${B_TOKEN} | X=y | Z=${Z_VAR} | disabled"}, []string{"b: not taken over: default_tools_approval_mode"}},
		{"grok", "linux", "work/site/.grok/config.toml", "[mcp_servers.a]\nurl = \"https://example.org/mcp\"\nheaders = {K = \"v\"}\n", map[string]string{"a": "https://example.org/mcp | K=v"}, nil},
		{"zed", "linux", ".config/zed/settings.json", `{"context_servers": {
			"a": {"source": "custom", "command": {"path": "a", "args": ["b"], "env": {"C": "d"}}}, "b": {"source": "custom", "command": "b", "args": ["c"], "env": {}},
			"c": {"url": "https://example.org/mcp", "headers": {"K": "v"}}, "d": {"source": "extension", "enabled": true, "settings": {}}}}`,
			map[string]string{"a": "a b | C=d", "b": "b c", "c": "https://example.org/mcp | K=v"},
			[]string{"d: an extension of the editor starts it, which only the editor can do; left out"}},
		{"zed", "darwin", "Library/Application Support/Zed/settings.json", `{"context_servers": {"a": {"command": "a"}}}`, map[string]string{"a": "a"}, nil},
		{"opencode", "linux", ".config/opencode/opencode.jsonc", `{"mcp": {"a": {"type": "local", "command": ["npx", "a"], "environment": {"K": "{env:TOKEN}", "F": "{file:~/.secret}"}, "enabled": false},
			"b": {"type": "remote", "url": "https://example.org/mcp", "oauth": false}}}`,
			map[string]string{"a": "npx a | F=${file:~/.secret} | K=${env:TOKEN} | disabled", "b": "https://example.org/mcp"}, []string{"b: not taken over: oauth"}},
		{"opencode", "linux", "work/site/opencode.json", `{"mcp": {"timeout": 5, "servers": {"a": {"type": "local", "command": ["a"], "disabled": true}}}}`,
			map[string]string{"a": "a | in PROJECT | disabled"}, nil},
		{"kilo", "linux", "work/site/.kilo/kilo.jsonc", `{"mcp": {"a": {"type": "local", "command": ["a"]}}}`, map[string]string{"a": "a | in PROJECT"}, nil},
		{"goose", "linux", ".config/goose/config.yaml", "GOOSE_MODEL: x\nextensions:\n  developer: {type: builtin, enabled: true, name: developer, timeout: 300}\n" +
			"  a:\n    type: stdio\n    cmd: uvx\n    args: [a]\n    envs: {B: c}\n    env_keys: [KEY]\n    timeout: 300\n    enabled: true\n    name: a\n" +
			"  b: {type: streamable_http, uri: \"https://example.org/mcp\", headers: {K: \"${T}\"}, enabled: false}\n",
			map[string]string{"a": "uvx a | B=c | KEY=${KEY} | timeout 5m0s", "b": "https://example.org/mcp | K=${T} | transport streamable-http | disabled"},
			[]string{"developer: it is part of Goose itself (builtin); left out"}},
		{"goose", "windows", "AppData/Roaming/Block/goose/config/config.yaml", "extensions: {a: {cmd: a}}\n", map[string]string{"a": "a"}, nil},
	}
	seen := map[string]bool{}
	for _, tt := range tests {
		seen[tt.client] = true
		t.Run(tt.client+" on "+tt.goos+" in "+tt.file, func(t *testing.T) {
			at := machine(t, tt.goos, map[string]string{tt.file: tt.text})
			servers, warnings := read(t, at, tt.client)
			got := map[string]string{}
			for name, s := range servers {
				got[name] = strings.ReplaceAll(strings.ReplaceAll(summary(s), at.Project, "PROJECT"), at.Home, "HOME")
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tt.text, diff)
			}
			if diff := cmp.Diff(tt.warnings, warnings); diff != "" {
				t.Errorf("warnings: -want +got:\n%s", diff)
			}
		})
	}
	for _, c := range clients.Known(clients.Locations{GOOS: "linux", Home: "/home/ada"}) {
		if !seen[c.ID] {
			t.Errorf("no test reads %s", c.ID)
		}
	}
}

func TestWhatCannotBeTakenOverIsLeftOutWithAWord(t *testing.T) {
	at := machine(t, "linux", map[string]string{".cursor/mcp.json": `{"mcpServers": {
		"good": {"command": "a"},
		"text": "npx",
		"nothing": {},
		"list": {"command": "a", "args": "-y"},
		"address": {"url": "example.org"},
		"line": {"command": "npx -y server"},
		"secret": {"command": "a", "args": ["--api-key=abcdefgh1234"]},
		"password": {"url": "https://ada:hunter2@example.org/mcp"}
	}}`})
	servers, warnings := read(t, at, "cursor")
	if len(servers) != 2 {
		t.Errorf("got %v", servers)
	}
	want := []string{
		"text: is not a section; left out",
		"nothing: does not say what the server is; left out",
		"list: args must be a list, not text; left out",
		"address: url does not begin with http://, https://, ws://, wss://; left out",
		"line: command is a whole command line; no shell will split it; left out",
		"secret: its arguments or address seem to hold a secret; a reference like ${NAME} keeps it out of the file",
		"password: url has a user or password in it; left out",
	}
	if diff := cmp.Diff(want, warnings); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAFileThatCannotBeReadDoesNotHideTheOthers(t *testing.T) {
	at := machine(t, "linux", map[string]string{".cursor/mcp.json": `{"mcpServers": `, "work/site/.cursor/mcp.json": `{"mcpServers": {"a": {"command": "a"}}}`,
		".codex/config.toml": "a = \n", ".kiro/settings/mcp.json": `{"mcpServers": []}`})
	for _, c := range clients.Known(at) {
		servers, warnings, err := c.Read()
		switch c.ID {
		case "cursor":
			if err == nil || !strings.Contains(err.Error(), "mcp.json:1:") || len(servers) != 1 {
				t.Errorf("cursor: got %v, %v", servers, err)
			}
		case "codex":
			if err == nil || !strings.Contains(err.Error(), "config.toml:1:") || !strings.Contains(err.Error(), "is not TOML") {
				t.Errorf("codex: got %v", err)
			}
		case "kiro":
			if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].String(), "mcp.json:1:16: mcpServers is not a section") {
				t.Errorf("kiro: got %v, %v", warnings, err)
			}
		default:
			if err != nil || len(servers) != 0 {
				t.Errorf("%s: got %v, %v", c.ID, servers, err)
			}
		}
	}
}

func TestAnyFileCanBeOpened(t *testing.T) {
	at := machine(t, "linux", map[string]string{
		".config/Claude/claude_desktop_config.json": `{"mcpServers": {"a": {"command": "a", "args": ["$$"]}}}`,
		"x/team.json":     `{"mcpServers": {"a": {"command": "a", "args": ["$$"]}}}`,
		"x/code.json":     `{"servers": {"a": {"type": "stdio", "command": "a"}}}`,
		"x/codex.toml":    "[mcp_servers.a]\ncommand = \"a\"\n",
		"x/zed.json":      `{"context_servers": {"a": {"command": {"path": "a"}}}}`,
		"x/opencode.json": `{"mcp": {"a": {"command": ["a"]}}}`,
		"x/goose.yaml":    "extensions: {a: {cmd: a}}\n",
		"x/none.json":     `{"a": 1}`,
	})
	for name, want := range map[string]string{".config/Claude/claude_desktop_config.json": "claude-desktop", "x/team.json": "file", "x/code.json": "file",
		"x/codex.toml": "file", "x/zed.json": "file", "x/opencode.json": "file", "x/goose.yaml": "file"} {
		c, err := clients.Open(filepath.Join(at.Home, name), at)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		servers, _, err := c.Read()
		if err != nil || len(servers) != 1 || servers[0].Config.Command[0] != "a" || c.ID != want {
			t.Errorf("%s: got %q with %v, %v", name, c.ID, servers, err)
		}
	}
	if _, err := clients.Open(filepath.Join(at.Home, "x/none.json"), at); err == nil || !strings.Contains(err.Error(), "has no servers in it") {
		t.Errorf("got %v", err)
	}
	if _, err := clients.Open(filepath.Join(at.Home, "x/absent.json"), at); err == nil || !strings.Contains(err.Error(), "there is no such file") {
		t.Errorf("got %v", err)
	}
}

func TestVariablesMoveClientsFiles(t *testing.T) {
	env := func(name string) (string, bool) {
		value, ok := map[string]string{"XDG_CONFIG_HOME": "/cfg", "CODEX_HOME": "/codex", "HOME": "/home/ada"}[name]
		return value, ok
	}
	at := clients.Here(env, "")
	at.GOOS = "linux"
	want := map[string]string{"claude-desktop": "/cfg/Claude/claude_desktop_config.json", "codex": "/codex/config.toml", "zed": "/cfg/zed/settings.json",
		"goose": "/cfg/goose/config.yaml", "cursor": "/home/ada/.cursor/mcp.json"}
	for _, c := range clients.Known(at) {
		if path, ok := want[c.ID]; ok && c.Files[0].Path != filepath.FromSlash(path) {
			t.Errorf("%s is in %s, want %s", c.ID, c.Files[0].Path, path)
		}
		for _, f := range c.Files {
			if f.Folder != "" {
				t.Errorf("%s looks into a project without one: %s", c.ID, f.Path)
			}
		}
	}
}
