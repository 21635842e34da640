package config

import (
	"cmp"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

// maxFile is the most bytes of a configuration file.
const maxFile = 8 << 20

// environmentPrefix begins the names of the variables that win over the file: DRAGOMAN_LOG_LEVEL over log.level.
const environmentPrefix = "DRAGOMAN"

// Load reads a file; see Parse. With an empty path it is Parse of nothing: the defaults and what the environment says.
func Load(path string, env func(string) (string, bool)) (*Config, error) {
	if path == "" {
		return Parse("", nil, env)
	}
	data, err := strict.ReadFile(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("read configuration %s: %w", path, err)
	}
	return Parse(path, data, env)
}

// Parse reads a configuration in YAML or JSON, or a client's file with mcpServers as it is. name is shown in faults, and
// relative paths begin at its directory; an empty name or "-" is no file. env looks up environment variables and may be
// nil.
//
// For one value the order is: DRAGOMAN_… in the environment, the file, the environment variable that the manual names
// for it (MCP_…, OTEL_…), its default.
//
// The error is strict.Faults with all that is wrong, in the order of the file.
//
// In a client's file a server with a reference that cannot be resolved is left out, with a warning: the file belongs to
// programs that do without one server too. In a file of our own it is a fault.
func Parse(name string, data []byte, env func(string) (string, bool)) (*Config, error) {
	cfg, err := Draft(name, data, env)
	if err != nil {
		return nil, err
	}
	return cfg, nil
}

// Draft is Parse that gives what could be read beside the faults, for who looks for more of them; nothing may be made of
// it. It is nil when nothing could be.
func Draft(name string, data []byte, env func(string) (string, bool)) (*Config, error) {
	if name == "" {
		name = "-"
	}
	root, err := strict.Parse(name, data)
	if err != nil {
		return nil, err
	}
	env = settings(env)
	root, remarks, theirs := foreign(name, root, env)
	options := strict.Options{File: name, Env: env, EnvPrefix: environmentPrefix}
	if name != "-" {
		options.Dir = filepath.Dir(name)
	}
	cfg := &Config{Warnings: remarks, source: name}
	result := strict.Decode(root, cfg, options)
	cfg.places, cfg.Origins = result.Places, result.Origins
	faults := append(result.Faults, cfg.complete(result, env)...)
	if theirs {
		cfg.leaveOut(faults)
	}
	more := cfg.check(faults)
	faults = append(cfg.withoutDisabled(faults), more...)
	if err := faults.Err(); err != nil {
		return cfg, err
	}
	cfg.warn()
	return cfg, nil
}

// complete fills in what does not stand in the file itself.
func (c *Config) complete(result strict.Result, env func(string) (string, bool)) strict.Faults {
	if host, ok := env("MCP_BIND_HOST"); ok && host != "" && c.Origins["listen"] == "default" {
		_, port, _ := net.SplitHostPort(c.Listen)
		c.Listen = net.JoinHostPort(strings.Trim(host, "[]"), port)
		place := strict.Place{File: "environment MCP_BIND_HOST"}
		c.places["listen"], c.Origins["listen"] = place, place.String()
	}
	if !c.isSet("access.default_roles") {
		c.Access.DefaultRoles = []string{"user"}
	}
	if c.State.Driver == "sqlite" && c.State.Path == "" {
		c.State.Path = stateFile(env)
	}
	if state := cmp.Or(c.State.Path, stateFile(env)); c.Processes.PackageDir == "" && state != "" {
		c.Processes.PackageDir = filepath.Join(filepath.Dir(state), "packages")
	}
	var faults strict.Faults
	for name, s := range c.Servers {
		s.Name = name
		strict.Inherit(&s.Upkeep, &c.Defaults, "servers."+name, "defaults", result)
		faults = append(faults, c.readEnvFile(&s)...)
		c.Servers[name] = s
	}
	for name, v := range c.Views {
		v.Name = name
		c.Views[name] = v
	}
	return faults
}

// leaveOut disables the servers that have references which cannot be resolved, unless none would be left.
func (c *Config) leaveOut(faults strict.Faults) {
	var remarks []string
	out := map[string]string{}
	for _, f := range faults {
		if server := serverOf(f); f.Unresolved && server != "" && !c.Servers[server].Disabled {
			out[server] = f.Problem
			remarks = append(remarks, fmt.Sprintf("%s: server %s is left out: %s; %s", f.Place, server, f.Problem, f.Remedy))
		}
	}
	left := 0
	for name, s := range c.Servers {
		if !s.Disabled && out[name] == "" {
			left++
		}
	}
	if left == 0 {
		return
	}
	for name := range out {
		s := c.Servers[name]
		s.Disabled = true
		c.Servers[name] = s
	}
	c.missing, c.Warnings = out, append(c.Warnings, remarks...)
}

// Missing says what a server of a client's file was left out for; empty when it was not.
func (c *Config) Missing(server string) string { return c.missing[server] }

// withoutDisabled drops faults about references that cannot be resolved in servers that are not used, and says of others
// that the server need not be.
func (c *Config) withoutDisabled(faults strict.Faults) strict.Faults {
	var kept strict.Faults
	for _, f := range faults {
		server := serverOf(f)
		if f.Unresolved && server != "" {
			if c.Servers[server].Disabled {
				continue
			}
			f.Remedy += ", or leave the server out with disabled: true"
		}
		kept = append(kept, f)
	}
	return kept
}

// serverOf is the name of the server that a fault is in; empty when it is in none.
func serverOf(f strict.Fault) string {
	rest, ok := strings.CutPrefix(f.Path, "servers.")
	name, _, inside := strings.Cut(rest, ".")
	if !ok || !inside {
		return ""
	}
	return name
}

// Source is the name of the file that this was read from, as faults say it; "-" when it was none.
func (c *Config) Source() string { return c.source }

// Fault makes a fault about a value of this configuration with the place where it was written, for checks that only the
// caller can do: whether a builtin server exists, for one. path is like servers.time.builtin.
func (c *Config) Fault(path, problem, remedy string) strict.Fault {
	return strict.Fault{Place: c.place(path), Path: path, Problem: problem, Remedy: remedy}
}

// place is where the value at path was written, or else the nearest thing around it.
func (c *Config) place(path string) strict.Place {
	if origin := c.Origins[path]; strings.HasPrefix(origin, "flag ") {
		return strict.Place{File: origin}
	}
	for {
		if p, ok := c.places[path]; ok {
			return p
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return strict.Place{}
		}
		path = path[:i]
	}
}

// isSet tells whether the file or the environment says anything at path.
func (c *Config) isSet(path string) bool {
	_, ok := c.places[path]
	return ok
}

// yamlMapping gives the value of a key of a mapping node, or nil.
func yamlMapping(n *yaml.Node, key string) *yaml.Node {
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
