package clients_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/clients"
)

// all reads every client and merges.
func all(t *testing.T, at clients.Locations, own ...string) ([]clients.Server, []string) {
	t.Helper()
	var lists [][]clients.Server
	for _, c := range clients.Known(at) {
		servers, _, err := c.Read()
		if err != nil {
			t.Fatal(err)
		}
		lists = append(lists, servers)
	}
	servers, warnings := clients.Merge(own, lists...)
	var texts []string
	for _, w := range warnings {
		texts = append(texts, w.Client+": "+w.Server+": "+w.Text)
	}
	return servers, texts
}

func TestMergeKeepsEachServerOnceUnderAName(t *testing.T) {
	at := machine(t, "linux", map[string]string{
		".config/Claude/claude_desktop_config.json": `{"mcpServers": {
			"files": {"command": "npx", "args": ["files", "/a"]}, "GitHub": {"command": "gh", "env": {"T": "1"}},
			"an-extremely-long-name-of-a-server": {"command": "x"}}}`,
		".cursor/mcp.json": `{"mcpServers": {
			"files": {"command": "npx", "args": ["files", "/b"]}, "github": {"command": "gh", "env": {"T": "1"}},
			"An extremely long name of a server too": {"command": "y"},
			"us": {"url": "http://localhost:8000/mcp"}, "we": {"command": "/usr/local/bin/dragoman", "args": ["stdio"]},
			"through": {"command": "npx", "args": ["mcp-remote", "http://127.0.0.1:8000/mcp/files"]}, "other": {"url": "http://localhost:8001/mcp"}}}`,
		".codeium/windsurf/mcp_config.json": `{"mcpServers": {"files": {"command": "npx", "args": ["files", "/c"]}, "Files": {"command": "npx", "args": ["files", "/d"]}}}`,
	})
	servers, warnings := all(t, at, "http://127.0.0.1:8000")
	got := map[string]string{}
	for _, s := range servers {
		got[s.Name] = summary(s.Config)
		if s.Config.Name != s.Name {
			t.Errorf("%s has a configuration called %q", s.Name, s.Config.Name)
		}
	}
	want := map[string]string{"files": "npx files /a", "github": "gh | T=1", "files-cursor": "npx files /b", "files-windsurf": "npx files /c",
		"files-windsurf-2": "npx files /d", "an-extremely-long-name-of-a-serv": "x", "an-extremely-long-name-of-cursor": "y", "other": "http://localhost:8001/mcp"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	wantWarnings := []string{
		`cursor: files: another server is called "files" already; this one is called "files-cursor"`,
		`cursor: github: is the same as github of Claude Desktop; taken once`,
		`cursor: An extremely long name of a server too: another server is called "an-extremely-long-name-of-a-serv" already; this one is called "an-extremely-long-name-of-cursor"`,
		`cursor: us: is this gateway itself; left out`,
		`cursor: we: is this gateway itself; left out`,
		`cursor: through: is this gateway itself; left out`,
		`windsurf: files: another server is called "files" already; this one is called "files-windsurf"`,
		`windsurf: Files: another server is called "files" already; this one is called "files-windsurf-2"`,
	}
	if diff := cmp.Diff(wantWarnings, warnings); diff != "" {
		t.Errorf("warnings: -want +got:\n%s", diff)
	}
	text, _, err := clients.Render(servers, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := config.Parse("dragoman.yaml", text, nil); err != nil {
		t.Errorf("%s\n%v", text, err)
	}
}

const oddFile = `{"mcpServers": {
	"files": {"command": "npx", "args": ["-y", "a: b", "#c", "{d}", "true", "1", "", "*", "${WHO}/x", "line\nbreak", "$$5"],
		"env": {"API_KEY": "hunter2-1", "MODE": "fast", "GITHUB_TOKEN": "${GITHUB_TOKEN}", "YES": "yes", "MULTI": "a\nb"}, "cwd": "/tmp/a b"},
	"web": {"url": "https://example.org/mcp?a=b&c=d", "headers": {"Authorization": "Bearer hunter2-2", "X-Mode": "fast", "X-Api-Key": "hunter2-3$$"}, "disabled": true},
	"more": {"command": "x", "env": {"API_KEY": "hunter2-4"}},
	"again": {"command": "y", "env": {"API_KEY": "hunter2-1", "HF": "sk-abcdefghijklmnopqrstuv"}, "description": "Does: things"}
}}`

func TestARenderedFileLoadsToTheSameServers(t *testing.T) {
	at := machine(t, "linux", map[string]string{".cursor/mcp.json": oddFile})
	servers, _ := all(t, at)
	env := func(name string) (string, bool) { return "value-of-" + name, name == "WHO" || name == "GITHUB_TOKEN" }
	direct, err := config.Load(at.Home+"/.cursor/mcp.json", env)
	if err != nil {
		t.Fatal(err)
	}
	for _, references := range []bool{false, true} {
		text, variables, err := clients.Render(servers, references)
		if err != nil {
			t.Fatal(err)
		}
		rendered, err := config.Parse("dragoman.yaml", text, func(name string) (string, bool) {
			for _, v := range variables {
				if v.Name == name {
					return v.Value.Reveal(), true
				}
			}
			return env(name)
		})
		if err != nil {
			t.Fatalf("%s\n%v", text, err)
		}
		for name, want := range direct.Servers {
			got := rendered.Servers[name]
			if diff := cmp.Diff(want.Argv(), got.Argv()); diff != "" {
				t.Errorf("%s: -want +got:\n%s", name, diff)
			}
			if summary(got) != summary(want) {
				t.Errorf("%s:\ngot  %s\nwant %s\n%s", name, summary(got), summary(want), text)
			}
		}
		if len(rendered.Servers) != len(direct.Servers) {
			t.Errorf("got %d servers, want %d", len(rendered.Servers), len(direct.Servers))
		}
	}
}

func TestSecretsMoveIntoVariablesWhenAsked(t *testing.T) {
	at := machine(t, "linux", map[string]string{".cursor/mcp.json": oddFile})
	servers, _ := all(t, at)
	text, variables, err := clients.Render(servers, true)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "hunter2") || strings.Contains(string(text), "sk-abc") {
		t.Errorf("the file still has a secret:\n%s", text)
	}
	got := map[string]string{}
	for _, v := range variables {
		got[v.Name] = v.Value.Reveal()
	}
	want := map[string]string{"API_KEY": "hunter2-1", "MORE_API_KEY": "hunter2-4", "WEB_AUTHORIZATION": "hunter2-2", "WEB_X_API_KEY": "hunter2-3$$",
		"HF": "sk-abcdefghijklmnopqrstuv"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, line := range []string{"# From Cursor, ", "API_KEY: ${MORE_API_KEY}", "Authorization: Bearer ${WEB_AUTHORIZATION}", "MODE: fast", "GITHUB_TOKEN: ${GITHUB_TOKEN}"} {
		if !strings.Contains(string(text), line) {
			t.Errorf("the file lacks %q:\n%s", line, text)
		}
	}
	verbatim, none, err := clients.Render(servers, false)
	if err != nil || len(none) != 0 || !strings.Contains(string(verbatim), "hunter2-1") {
		t.Errorf("without references: got %d variables, %v\n%s", len(none), err, verbatim)
	}
}
