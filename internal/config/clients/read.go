package clients

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/dialect"
	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

// maxFile is the most bytes of a client's file. Some keep years of history in the same file.
const maxFile = 32 << 20

// separator is what no name may contain: the one that a rendered file leaves at its default.
const separator = "__"

// Server is one server that a client has.
type Server struct {
	// Name fits our grammar. Original is what the client calls it.
	Name, Original string
	// Client is the ID and Title the name of the client that has it; Place is where.
	Client, Title string
	Place         strict.Place
	// Config is the server in our words. References in it are not resolved.
	Config config.Server
}

// Warning is something that a person should know, or that was left out.
type Warning struct {
	// Client is the ID of the client, and Server the client's name of the server; either may be empty.
	Client, Server string
	Place          strict.Place
	Text           string
}

// String gives place: server: text.
func (w Warning) String() string {
	parts := []string{w.Place.String()}
	if w.Server != "" {
		parts = append(parts, w.Server)
	}
	return strings.TrimPrefix(strings.Join(append(parts, w.Text), ": "), ": ")
}

// Read gives all servers of a client. Files that are not there are not missed. A file that cannot be read is an error,
// beside which the servers of the other files still come.
func (c Client) Read() ([]Server, []Warning, error) {
	var servers []Server
	var warnings []Warning
	var failed []error
	for _, f := range c.Files {
		root, err := parse(f.Path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("read servers of %s: %w", c.Title, err))
			continue
		}
		r := reader{Client: c, file: f}
		r.entries(descend(root, f.Key))
		if c.ID == claudeCode && f.Folder == "" {
			r.elsewhere(member(root, "projects"), c.Files)
		}
		servers = append(servers, r.servers...)
		warnings = append(warnings, r.warnings...)
	}
	return servers, warnings, errors.Join(failed...)
}

// parse reads TOML, YAML or JSON into nodes.
func parse(path string) (*yaml.Node, error) {
	data, err := strict.ReadFile(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if strings.EqualFold(filepath.Ext(path), ".toml") {
		return parseTOML(path, data)
	}
	return strict.Parse(path, data)
}

// descend follows a key like mcp.servers. A part in braces is one key, dots and all.
func descend(n *yaml.Node, key string) *yaml.Node {
	for key != "" && n != nil {
		part, rest, _ := strings.Cut(key, ".")
		if strings.HasPrefix(key, "{") {
			part, rest, _ = strings.Cut(key[1:], "}.")
		}
		n, key = member(n, part), rest
	}
	return n
}

func member(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// maxFolders is how many folders a warning names.
const maxFolders = 5

// elsewhere tells of servers that Claude Code keeps for single folders in the user's file, which is where
// "claude mcp add" puts them when nothing else is said. They are read for the folder that is asked for only.
func (r *reader) elsewhere(projects *yaml.Node, read []File) {
	if projects == nil || projects.Kind != yaml.MappingNode {
		return
	}
	var folders []string
	for i := 0; i+1 < len(projects.Content); i += 2 {
		folder, servers := projects.Content[i].Value, member(projects.Content[i+1], r.file.Key)
		if servers == nil || len(servers.Content) == 0 || slices.ContainsFunc(read, func(f File) bool { return f.Folder == folder }) {
			continue
		}
		folders = append(folders, folder)
	}
	if len(folders) == 0 {
		return
	}
	list := strings.Join(folders[:min(len(folders), maxFolders)], ", ")
	if len(folders) > maxFolders {
		list += fmt.Sprintf(" and %d more", len(folders)-maxFolders)
	}
	r.warn(projects, "", "servers of single folders are left out ("+list+"); --project DIR takes over those of one")
}

// reader collects the servers of one file.
type reader struct {
	Client
	file     File
	servers  []Server
	warnings []Warning
}

func (r *reader) warn(at *yaml.Node, server, text string) {
	place := strict.Place{File: r.file.Path, Line: at.Line, Column: at.Column}
	r.warnings = append(r.warnings, Warning{Client: r.ID, Server: server, Place: place, Text: text})
}

func (r *reader) entries(n *yaml.Node) {
	switch {
	case n == nil || n.Tag == "!!null":
		return
	case n.Kind != yaml.MappingNode:
		r.warn(n, "", r.file.Key+" is not a section of servers; left out")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, body := n.Content[i], n.Content[i+1]
		if body.Kind == yaml.AliasNode {
			body = body.Alias
		}
		// Newer OpenCode keeps servers one level deeper, beside settings.
		if r.file.Key == "mcp" && key.Value == "servers" && member(body, "type") == nil && member(body, "command") == nil {
			r.entries(body)
			continue
		}
		if r.file.Key == "mcp" && body.Kind != yaml.MappingNode {
			continue
		}
		r.entry(key, body)
	}
}

// entry reads one server, or says why it cannot be taken over.
func (r *reader) entry(key, body *yaml.Node) {
	original := key.Value
	if body.Kind != yaml.MappingNode {
		r.warn(key, original, "is not a section; left out")
		return
	}
	ctx := r.rules
	ctx.Folder = r.file.Folder
	translated := r.translate(body, ctx)
	if translated.Skip != "" {
		r.warn(key, original, translated.Skip+"; left out")
		return
	}
	s := config.Server{}
	result := strict.Decode(translated.Node, &s, strict.Options{File: r.file.Path, Dir: r.folder(), Verbatim: true})
	if len(result.Faults) > 0 {
		r.warn(key, original, problem(result.Faults[0])+"; left out")
		return
	}
	if len(s.Command) > 0 && s.Cwd == "" {
		s.Cwd = r.file.Folder
	}
	s.Name = dialect.Name(original, separator)
	if text := check(s); text != "" {
		r.warn(key, original, text+"; left out")
		return
	}
	r.servers = append(r.servers, Server{Name: s.Name, Original: original, Client: r.ID, Title: r.Title,
		Place: strict.Place{File: r.file.Path, Line: key.Line, Column: key.Column}, Config: s})
	r.remarks(key, s, translated)
}

// remarks warns about what is different from the client.
func (r *reader) remarks(key *yaml.Node, s config.Server, translated dialect.Entry) {
	if s.Name != key.Value {
		r.warn(key, key.Value, fmt.Sprintf("is called %q here", s.Name))
	}
	for _, text := range translated.Remarks {
		r.warn(key, key.Value, text)
	}
	if len(translated.Ignored) > 0 {
		r.warn(key, key.Value, "not taken over: "+strings.Join(translated.Ignored, ", "))
	}
	if looksSecret(strings.Join(s.Argv(), " ")) || looksSecret(s.URL) {
		r.warn(key, key.Value, "its arguments or address seem to hold a secret; a reference like ${NAME} keeps it out of the file")
	}
}

// folder is where relative paths of the file begin: its project, or its own directory.
func (r *reader) folder() string {
	if r.file.Folder != "" {
		return r.file.Folder
	}
	return filepath.Dir(r.file.Path)
}

// check tells what a rendered file would not be accepted for, or nothing. References count as resolved, and our own
// variables as not set.
func check(s config.Server) string {
	text, err := render([]config.Server{s}, nil)
	if err != nil {
		return err.Error()
	}
	anything := func(name string) (string, bool) { return "1", !strings.HasPrefix(name, "DRAGOMAN_") }
	_, err = config.Parse("-", text, anything)
	var faults strict.Faults
	if !errors.As(err, &faults) {
		return ""
	}
	for _, f := range faults {
		if !f.Unresolved && strings.HasPrefix(f.Path, "servers.") {
			return problem(f)
		}
	}
	return ""
}

// problem tells a fault without its place, and with the path below the server only.
func problem(f strict.Fault) string {
	path := f.Path
	if rest, ok := strings.CutPrefix(path, "servers."); ok {
		_, path, _ = strings.Cut(rest, ".")
	}
	if path == "" {
		return f.Problem
	}
	return path + " " + f.Problem
}
