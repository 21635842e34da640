package guards

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"

	"github.com/dragoman-mcp/dragoman/internal/config"
)

// servers is about servers that are in both configurations, by name.
func (c *comparison) servers() {
	for _, name := range slices.Sorted(maps.Keys(c.now.Servers)) {
		was, there := c.was.Servers[name]
		now := c.now.Servers[name]
		if there && !was.Disabled && !now.Disabled {
			c.server("servers."+name, was, now)
		}
	}
}

func (c *comparison) server(path string, was, now config.Server) {
	c.down(path+".isolation", apart(was), apart(now), "shared", "principal", "session")
	c.down(path+".text.definitions", was.Text.Definitions, now.Text.Definitions, "keep", "strip", "withhold")
	c.down(path+".text.results", was.Text.Results, now.Text.Results, "keep", "strip")
	c.wholeOr(path+".tools.allow", was.Tools.Allow, now.Tools.Allow)
	c.narrower(path+".tools.deny", was.Tools.Deny, now.Tools.Deny)
	c.wider(path+".read_only", was.ReadOnly, now.ReadOnly)
	c.wider(path+".idempotent", was.Idempotent, now.Idempotent)
	c.wholeOr(path+".tls_pins", was.TLSPins, now.TLSPins)
	if protected(was) && !protected(now) {
		c.less(path+"."+pathOf(now.URL != "", "url", "urls"), "was reached over TLS and is not any more")
	}
	c.asks(path+".asks", was.Asks, now.Asks)
	if len(was.Command) > 0 && len(now.Command) > 0 {
		c.program(path, was, now)
	}
	if was.Builtin == now.Builtin {
		c.settings(path+".settings", now.Builtin, was.Settings, now.Settings)
	}
}

// asks is about what a server may ask its callers for.
func (c *comparison) asks(path string, was, now config.Asks) {
	c.narrower(path+".refuse", was.Refuse, now.Refuse)
	c.down(path+".secrets", was.Secrets, now.Secrets, "pass", "refuse")
	c.wholeOr(path+".hosts", was.Hosts, now.Hosts)
	c.off(path+".named", was.Named, now.Named)
	c.off(path+".per_minute", was.PerMinute > 0, now.PerMinute > 0)
}

// apart is how callers of a server are kept apart, which a credential of each caller's implies.
func apart(s config.Server) string {
	if s.Isolation == "shared" && s.Auth.Personal() {
		return "principal"
	}
	return s.Isolation
}

// protected says whether all replicas are reached over TLS, or on this machine. What is no URL server is not.
func protected(s config.Server) bool {
	for _, r := range s.Replicas() {
		u, err := url.Parse(r.URL)
		if err != nil || u.Scheme != "https" && u.Scheme != "wss" && !config.IsLoopback(u.Hostname()) {
			return false
		}
	}
	return len(s.Replicas()) > 0
}

// program is about what a child process is kept from.
func (c *comparison) program(path string, was, now config.Server) {
	a, b, box := was.Sandbox, now.Sandbox, path+".sandbox"
	c.fewer(box+".level", a.Level, b.Level)
	c.fewer(box+".min_level", a.MinLevel, b.MinLevel)
	c.on(box+".privileges", a.Privileges, b.Privileges)
	c.on(box+".trust_proxy", a.TrustProxy, b.TrustProxy)
	c.down(box+".fetch.when", a.Fetch.When, b.Fetch.When, "never", "auto", "always")
	c.wholeOr(box+".fetch.hosts", a.Fetch.Hosts, b.Fetch.Hosts)
	c.on(box+".fetch.scripts", a.Fetch.Scripts, b.Fetch.Scripts)
	c.down(box+".network", network(a), network(b), "host", "proxy", "none")
	if a.Level > 0 {
		c.wider(box+".read", slices.Concat(a.Read, a.Write), b.Read)
		c.wider(box+".write", a.Write, b.Write)
	}
	if network(a) == "proxy" && network(b) == "proxy" {
		c.destinations(box+".hosts", a.Hosts, b.Hosts)
	}
	for _, bound := range []struct {
		path     string
		was, now bool
	}{
		{box + ".open_files", a.OpenFiles > 0, b.OpenFiles > 0}, {box + ".file_size", a.FileSize > 0, b.FileSize > 0},
		{box + ".address_space", a.AddressSpace > 0, b.AddressSpace > 0}, {box + ".cpu_time", a.CPUTime > 0, b.CPUTime > 0},
		{box + ".processes", a.Processes > 0, b.Processes > 0}, {path + ".memory_limit", was.MemoryLimit > 0, now.MemoryLimit > 0},
		{path + ".cpu_quota", was.CPUQuota > 0, now.CPUQuota > 0},
	} {
		c.off(bound.path, bound.was, bound.now)
	}
}

func (c *comparison) fewer(path string, was, now int) {
	if now < was {
		c.less(path, fmt.Sprintf("was %d and is %d", was, now))
	}
}

// network is the network that a program has, with what auto means.
func network(s config.Sandbox) string {
	switch {
	case s.Network != "auto":
		return s.Network
	case s.Level >= 2:
		return "none"
	}
	return "host"
}

// destinations is about where a proxy leads: none means every public address.
func (c *comparison) destinations(path string, was, now []string) {
	if len(was) > 0 {
		c.wholeOr(path, was, now)
		return
	}
	var inside []string
	for _, host := range now {
		if n, err := config.Network(host); err == nil && !public(n) {
			inside = append(inside, host)
		}
	}
	c.wider(path, nil, inside)
}

func public(n netip.Prefix) bool {
	a := n.Addr()
	return a.IsGlobalUnicast() && !a.IsPrivate()
}
