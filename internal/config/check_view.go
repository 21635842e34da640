package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/config/pattern"
	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

// exposedName is what model APIs accept as the name of a tool, and the few characters more that MCP does.
var exposedName = regexp.MustCompile(`^[A-Za-z0-9_./-]+$`)

// view checks one view against the servers that there are.
func (c *checker) view(v View) {
	path := "views." + v.Name
	if len(v.Tools)+len(v.Prompts)+len(v.Resources)+len(v.Rename) == 0 {
		c.hollow(path, "shows nothing", "give it tools, prompts, resources or rename; files"+c.Names.Separator+
			"* is all of a server files")
	}
	c.entries(path+".tools", v.Tools)
	c.entries(path+".prompts", v.Prompts)
	c.entries(path+".resources", v.Resources)
	c.renames(path, v)
	for _, name := range slices.Sorted(maps.Keys(v.Override)) {
		if !c.shows(v, name) {
			c.fault(path+".override."+name, "is not a tool or prompt of this view", "use the name that the view shows")
		}
		if v.Override[name] == (Override{}) {
			c.hollow(path+".override."+name, "changes nothing", "give it title or description")
		}
	}
}

// shows tells whether the view can have a tool or prompt that it shows under this name.
func (c *checker) shows(v View, name string) bool {
	return v.Rename[name] != "" || (pattern.Match(v.Tools, name) || pattern.Match(v.Prompts, name)) && !slices.Contains(slices.Collect(maps.Values(v.Rename)), name)
}

// entries checks that each entry can match something: that its server exists.
func (c *checker) entries(path string, entries []string) {
	seen := map[string]int{}
	for i, entry := range entries {
		here := fmt.Sprintf("%s[%d]", path, i)
		if first, twice := seen[entry]; twice {
			c.fault(here, fmt.Sprintf("%q is here twice, first as %s[%d]", entry, path, first), "remove one of them")
			continue
		}
		seen[entry] = i
		c.entry(here, entry)
	}
}

// entry checks one server__name.
func (c *checker) entry(path, entry string) {
	server, name, ok := strings.Cut(entry, c.Names.Separator)
	if !ok || server == "" || name == "" {
		c.fault(path, fmt.Sprintf("%q is not server%sname", entry, c.Names.Separator),
			fmt.Sprintf("write it like files%sread_file, or files%s* for all of a server", c.Names.Separator, c.Names.Separator))
		return
	}
	servers := slices.Sorted(maps.Keys(c.Servers))
	if slices.ContainsFunc(servers, func(s string) bool { return pattern.Match([]string{server}, s) }) {
		return
	}
	remedy := "the servers are " + strings.Join(servers, ", ")
	if guess := strict.Suggest(server, servers); guess != "" {
		remedy = fmt.Sprintf("did you mean %q?", guess+c.Names.Separator+name)
	} else if len(servers) == 0 {
		remedy = "add one under servers"
	}
	if !slices.ContainsFunc(c.known, func(f strict.Fault) bool { return f.Path == "servers" }) {
		c.fault(path, fmt.Sprintf("there is no server %q", server), remedy)
	}
}

// renames checks new names and what they stand for.
func (c *checker) renames(path string, v View) {
	originals := map[string]string{}
	for _, exposed := range slices.Sorted(maps.Keys(v.Rename)) {
		here, original := path+".rename."+exposed, v.Rename[exposed]
		switch {
		case !exposedName.MatchString(exposed):
			c.fault(here, fmt.Sprintf("%q is not a name for a tool", exposed), "use letters, digits, _ - . and /")
		case len(exposed) > c.Names.MaxLength:
			c.fault(here, fmt.Sprintf("is longer than names.max_length, %d", c.Names.MaxLength), "choose a shorter name")
		case slices.Contains(v.Tools, exposed) || slices.Contains(v.Prompts, exposed):
			c.fault(here, "is also in the view under its own name", "choose another name, or remove that entry")
		case originals[original] != "":
			c.fault(here, fmt.Sprintf("%q is also renamed by %s", original, c.at(originals[original])), "remove one of them")
		}
		originals[original] = here
		if strings.ContainsAny(original, "*?") {
			c.fault(here, fmt.Sprintf("%q is a pattern", original), "name the one tool or prompt that is renamed")
			continue
		}
		c.entry(here, original)
	}
}
