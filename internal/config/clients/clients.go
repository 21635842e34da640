// Package clients finds the MCP servers that the clients on this machine are configured with, and makes one file of our
// own of them.
//
// It does not know how to run any of them, and it writes nothing: files are read, and text comes back.
package clients

import (
	"path/filepath"
	"runtime"

	"github.com/dragoman-mcp/dragoman/internal/config/dialect"
)

// Locations is where to look.
type Locations struct {
	// GOOS is the operating system, as runtime.GOOS names it.
	GOOS string
	// Home is the user's home directory.
	Home string
	// Project is a directory whose own client files count too; none when empty.
	Project string
	// Env looks up an environment variable: APPDATA, XDG_CONFIG_HOME, CODEX_HOME and others move clients' files.
	Env func(string) (string, bool)
}

// Here gives the locations of this machine.
func Here(env func(string) (string, bool), project string) Locations {
	home, ok := env("HOME")
	if !ok || runtime.GOOS == "windows" {
		if profile, ok := env("USERPROFILE"); ok {
			home = profile
		}
	}
	return Locations{GOOS: runtime.GOOS, Home: home, Project: project, Env: env}
}

// env gives a variable, or a path below the home directory when it is not set.
func (l Locations) env(name string, otherwise ...string) string {
	if l.Env != nil {
		if value, ok := l.Env(name); ok && value != "" {
			return value
		}
	}
	return filepath.Join(append([]string{l.Home}, otherwise...)...)
}

// app is where desktop programs keep their settings.
func (l Locations) app() string {
	switch l.GOOS {
	case "windows":
		return l.env("APPDATA", "AppData", "Roaming")
	case "darwin":
		return filepath.Join(l.Home, "Library", "Application Support")
	default:
		return l.env("XDG_CONFIG_HOME", ".config")
	}
}

// Client is one program that has servers configured, and the files where it keeps them.
type Client struct {
	// ID is the name on the command line: claude-desktop. Title is the name for people: Claude Desktop.
	ID, Title string
	// Files are all places where its servers may be; most do not exist on a given machine.
	Files []File

	translate dialect.Translate
	rules     dialect.Context
}

// File is one file of a client.
type File struct {
	// Path is where it is; Key leads to the servers inside it, as in mcp.servers.
	Path, Key string
	// Folder is the project that the file belongs to, in which its servers are started; empty for a file of the user.
	Folder string
}

// files lists user files with one key.
func files(key string, paths ...string) []File {
	var list []File
	for _, p := range paths {
		list = append(list, File{Path: p, Key: key})
	}
	return list
}

// inProject adds files below the project, if there is one.
func (l Locations) inProject(list []File, key string, paths ...string) []File {
	if l.Project == "" {
		return list
	}
	for _, p := range paths {
		list = append(list, File{Path: filepath.Join(l.Project, filepath.FromSlash(p)), Key: key, Folder: l.Project})
	}
	return list
}

// Known lists the clients whose files we can read.
func Known(at Locations) []Client {
	home := func(parts ...string) string { return filepath.Join(append([]string{at.Home}, parts...)...) }
	app := func(parts ...string) string { return filepath.Join(append([]string{at.app()}, parts...)...) }
	const key = "mcpServers"
	both := func(user, project string) []File { return at.inProject(files(key, user), key, project) }
	milliseconds, literal := dialect.Context{TimeoutUnit: "ms"}, dialect.Context{Literal: true}
	list := []Client{
		{ID: "claude-desktop", Title: "Claude Desktop", Files: files(key, app("Claude", "claude_desktop_config.json")), rules: literal},
		{ID: claudeCode, Title: "Claude Code", Files: at.claudeCode(key), rules: milliseconds},
		{ID: "cursor", Title: "Cursor", Files: both(home(".cursor", "mcp.json"), ".cursor/mcp.json")},
		{ID: "vscode", Title: "VS Code", Files: at.vsCode(app("Code", "User"))},
		{ID: "windsurf", Title: "Windsurf", Files: files(key, home(".codeium", "windsurf", "mcp_config.json"))},
		{ID: "cline", Title: "Cline", rules: dialect.Context{TimeoutUnit: "s"}, Files: files(key,
			app("Code", "User", "globalStorage", "saoudrizwan.claude-dev", "settings", "cline_mcp_settings.json"),
			filepath.Join(at.env("CLINE_DIR", ".cline"), "data", "settings", "cline_mcp_settings.json"))},
		{ID: "gemini", Title: "Gemini CLI", Files: both(home(".gemini", "settings.json"), ".gemini/settings.json"),
			rules: dialect.Context{TimeoutUnit: "ms", BareDollar: true}},
		{ID: "antigravity", Title: "Antigravity", Files: files(key, home(".gemini", "config", "mcp_config.json"),
			home(".gemini", "antigravity", "mcp_config.json"))},
		{ID: "kiro", Title: "Kiro", Files: both(home(".kiro", "settings", "mcp.json"), ".kiro/settings/mcp.json"), rules: milliseconds},
		{ID: "copilot-cli", Title: "Copilot CLI", Files: at.inProject(files(key, home(".copilot", "mcp-config.json")), key, ".github/mcp.json")},
		{ID: "kimi", Title: "Kimi Code", Files: both(filepath.Join(at.env("KIMI_CODE_HOME", ".kimi-code"), "mcp.json"), ".kimi-code/mcp.json")},
		{ID: "pi", Title: "Pi", Files: both(home(".pi", "agent", "mcp.json"), ".pi/mcp.json")},
		{ID: "mcporter", Title: "MCPorter", Files: at.inProject(files(key, home(".mcporter", "mcporter.json"),
			home(".mcporter", "mcporter.jsonc")), key, "config/mcporter.json")},
		{ID: "mastra", Title: "Mastra Code", Files: both(home(".mastracode", "mcp.json"), ".mastracode/mcp.json")},
	}
	for i := range list {
		list[i].translate = dialect.Standard
	}
	list = append(list, at.others(home, app)...)
	for i := range list {
		list[i].rules.Home = at.Home
	}
	return list
}

// claudeCode is the one client that is not like the others in more than its files.
const claudeCode = "claude-code"

// claudeCode keeps servers of the user, of a project for everybody, and of a project for the user.
func (l Locations) claudeCode(key string) []File {
	list := l.inProject(files(key, filepath.Join(l.Home, ".claude.json")), key, ".mcp.json")
	if l.Project != "" {
		// The project's path is a key with dots and slashes; it stands for itself between braces.
		list = append(list, File{Path: filepath.Join(l.Home, ".claude.json"), Key: "projects.{" + l.Project + "}." + key, Folder: l.Project})
	}
	return list
}

func (l Locations) vsCode(user string) []File {
	list := files("servers", filepath.Join(user, "mcp.json"))
	list = append(list, files("mcp.servers", filepath.Join(user, "settings.json"))...)
	return l.inProject(list, "servers", ".vscode/mcp.json")
}

// others are the clients with a grammar of their own.
func (l Locations) others(home, app func(...string) string) []Client {
	toml := func(dir, project string) []File {
		return l.inProject(files("mcp_servers", filepath.Join(dir, "config.toml")), "mcp_servers", project+"/config.toml")
	}
	zed := app("zed", "settings.json")
	if l.GOOS == "darwin" || l.GOOS == "windows" {
		zed = app("Zed", "settings.json")
	}
	goose := home(".config", "goose", "config.yaml")
	switch l.GOOS {
	case "windows":
		goose = app("Block", "goose", "config", "config.yaml")
	case "linux":
		goose = app("goose", "config.yaml")
	}
	openCode, kilo := home(".config", "opencode"), home(".config", "kilo")
	return []Client{
		{ID: "codex", Title: "Codex", Files: toml(l.env("CODEX_HOME", ".codex"), ".codex"), translate: dialect.Codex},
		{ID: "grok", Title: "Grok Build", Files: toml(l.env("GROK_HOME", ".grok"), ".grok"), translate: dialect.Codex},
		{ID: "zed", Title: "Zed", Files: l.inProject(files("context_servers", zed), "context_servers", ".zed/settings.json"), translate: dialect.Zed},
		{ID: "opencode", Title: "OpenCode", translate: dialect.OpenCode,
			Files: l.inProject(files("mcp", filepath.Join(openCode, "opencode.jsonc"), filepath.Join(openCode, "opencode.json")),
				"mcp", "opencode.jsonc", "opencode.json", ".opencode/opencode.jsonc", ".opencode/opencode.json")},
		{ID: "kilo", Title: "Kilo Code", translate: dialect.OpenCode,
			Files: l.inProject(files("mcp", filepath.Join(kilo, "kilo.jsonc"), filepath.Join(kilo, "kilo.json")),
				"mcp", ".kilo/kilo.jsonc", ".kilo/kilo.json", ".kilocode/kilo.jsonc", ".kilocode/kilo.json", "kilo.jsonc", "kilo.json")},
		{ID: "goose", Title: "Goose", Files: files("extensions", goose), translate: dialect.Goose},
	}
}

// Open gives the client that keeps its servers in a file: the known one whose file it is, or else one that fits what is
// in it.
func Open(path string, at Locations) (Client, error) {
	for _, c := range Known(at) {
		for _, f := range c.Files {
			if samePath(f.Path, path) {
				c.Files = []File{f}
				return c, nil
			}
		}
	}
	return recognise(path, at)
}

func samePath(a, b string) bool {
	x, errX := filepath.Abs(a)
	y, errY := filepath.Abs(b)
	return errX == nil && errY == nil && x == y
}
