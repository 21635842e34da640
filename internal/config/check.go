package config

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config/dialect"
	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

const (
	defaultSeparator = "__"
	// minToken and minSecret keep what is guessable out. A token has to be found on the network, a secret can be tried
	// at home.
	minToken, minSecret = 16, 32
)

var (
	serverName      = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)
	separatorForm   = regexp.MustCompile(`^[_.\-/]{1,4}$`)
	tokenForm       = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)
	environmentName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
)

// checker collects what is wrong beyond the form of each value.
type checker struct {
	*Config
	known, faults strict.Faults
}

// fault adds a fault, unless the value or what holds it could not be read: then that was reported already, and what
// stands in its place means nothing.
func (c *checker) fault(path, problem, remedy string) {
	if !slices.ContainsFunc(c.known, func(f strict.Fault) bool { return within(path, f.Path) }) {
		c.faults = append(c.faults, c.Fault(path, problem, remedy))
	}
}

// hollow adds a fault about something that is not there, unless it may be missing because a part could not be read.
func (c *checker) hollow(path, problem, remedy string) {
	if !c.unread(path) {
		c.fault(path, problem, remedy)
	}
}

// unread tells whether a part of the section could not be read.
func (c *checker) unread(section string) bool {
	return slices.ContainsFunc(c.known, func(f strict.Fault) bool { return within(f.Path, section) })
}

// within tells whether a path is another path or leads into it.
func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (outer == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}

// Validate checks the whole again, after something was changed by hand, a flag for example. Its error is strict.Faults.
func (c *Config) Validate() error { return c.check(nil).Err() }

// check finds what is wrong; known is what was found while reading.
func (c *Config) check(known strict.Faults) strict.Faults {
	k := &checker{Config: c, known: known}
	k.listen()
	k.addresses()
	k.tokens()
	k.auth()
	k.separator()
	k.names()
	k.upkeep("defaults", c.Defaults)
	for _, name := range slices.Sorted(maps.Keys(c.Servers)) {
		k.server(c.Servers[name])
	}
	for _, name := range slices.Sorted(maps.Keys(c.Views)) {
		k.view(c.Views[name])
	}
	k.session()
	k.state()
	k.access()
	k.telemetry()
	k.audit()
	k.secrets()
	return k.faults
}

// listen refuses to be reachable from other machines while nobody has to show who they are.
func (c *checker) listen() {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		c.fault("listen", fmt.Sprintf("%q is not host:port", c.Listen), "write it like 127.0.0.1:8000 or [::1]:8000")
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		c.fault("listen", fmt.Sprintf("%q is not a port", port), "write a number from 1 to 65535, or 0 for any free one")
	}
	if strings.ContainsAny(host, " /@") {
		c.fault("listen", fmt.Sprintf("%q is not a host", host), "write it like 127.0.0.1:8000, without http://")
		return
	}
	if !IsLoopback(host) && !c.Auth.Guarded() && !c.unread("auth") {
		c.fault("listen", fmt.Sprintf("%s can be reached from other machines, and nobody has to show who they are", c.Listen),
			"add a token to auth.tokens, or listen on 127.0.0.1")
	}
}

// IsLoopback says whether host, a name or an address without a port, means this
// machine whoever asks: localhost, 127.0.0.0/8 or ::1.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// addresses checks what the gateway is called from outside.
func (c *checker) addresses() {
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
			c.fault("public_url", "is not an http:// or https:// URL", "write it like https://mcp.example.org")
		} else if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			c.fault("public_url", "has a user, a query or a fragment", "write only scheme, host, port and path")
		}
	}
	for i, host := range c.AllowedHosts {
		path := fmt.Sprintf("allowed_hosts[%d]", i)
		switch {
		case strings.Contains(host, "*"):
			c.fault(path, fmt.Sprintf("%q has a pattern", host), "name each host; a pattern would let a page elsewhere reach the gateway by its name")
		case host == "" || strings.ContainsAny(host, "/@ "):
			c.fault(path, fmt.Sprintf("%q is not a host", host), "write it like mcp.example.org or mcp.example.org:8443")
		}
	}
	for i, origin := range c.AllowedOrigins {
		path := fmt.Sprintf("allowed_origins[%d]", i)
		u, err := url.Parse(origin)
		switch {
		case strings.Contains(origin, "*"):
			c.fault(path, fmt.Sprintf("%q has a pattern", origin), "name each origin; a pattern would let any page call the gateway")
		case err != nil || u.Scheme == "" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
			c.fault(path, fmt.Sprintf("%q is not an origin", origin), "write it like https://app.example.org, without a path")
		}
	}
}

// tokens checks the fixed tokens, without showing them.
func (c *checker) tokens() {
	names, values := map[string]string{}, map[string]string{}
	for i, t := range c.Auth.Tokens {
		path := fmt.Sprintf("auth.tokens[%d]", i)
		switch {
		case t.Name == "" || strings.TrimSpace(t.Name) != t.Name || len(t.Name) > 64:
			c.fault(path+".name", fmt.Sprintf("%q is not a name", t.Name), "write 1 to 64 characters without space around them")
		case names[t.Name] != "":
			c.fault(path+".name", fmt.Sprintf("%q is also the name in %s", t.Name, c.at(names[t.Name]+".name")), "give each its own")
		}
		secret := t.Token.Reveal()
		switch {
		case len(secret) < minToken:
			c.fault(path+".token", fmt.Sprintf("has %d characters and could be guessed", len(secret)),
				fmt.Sprintf("use at least %d; openssl rand -hex 32 makes a good one", minToken))
		case !tokenForm.MatchString(secret):
			c.fault(path+".token", "has characters that a bearer token cannot have", "use A-Z, a-z, 0-9 and -._~+/")
		case values[secret] != "":
			c.fault(path+".token", "is also the token in "+c.at(values[secret]+".token"), "give each caller its own")
		}
		names[t.Name], values[secret] = cmp.Or(names[t.Name], path), cmp.Or(values[secret], path)
	}
}

// at names another path with its place.
func (c *checker) at(path string) string {
	return path + " (" + c.place(path).String() + ")"
}

func (c *checker) separator() {
	if !separatorForm.MatchString(c.Names.Separator) {
		c.fault("names.separator", fmt.Sprintf("%q cannot stand between names", c.Names.Separator),
			"write one to four of the characters _ - . and /")
	}
}

// names checks what servers and views are called: each name by itself, and that no two are alike.
func (c *checker) names() {
	seen := map[string]string{}
	one := func(kind, name string) {
		path := kind + "." + name
		if !serverName.MatchString(name) {
			c.fault(path, fmt.Sprintf("%q is not a name", name), fmt.Sprintf(
				"use 1 to 32 of a-z, 0-9, _ and -, beginning with a letter or digit; %q would do",
				dialect.Name(name, c.Names.Separator)))
		} else if sep := c.Names.Separator; sep != "" && strings.Index(name+sep, sep) != len(name) {
			c.fault(path, fmt.Sprintf("contains or ends like the separator %q, so that it cannot be told where the name ends", sep),
				fmt.Sprintf("rename it; %q would do", dialect.Name(name, sep)))
		}
		fold := dialect.Fold(name)
		if other := seen[fold]; other != "" {
			c.fault(path, "is too much like "+c.at(other), "rename one of them; case, _ - and . do not tell names apart")
		}
		seen[fold] = cmp.Or(seen[fold], path)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Servers)) {
		one("servers", name)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Views)) {
		one("views", name)
	}
}

// upkeep checks pairs of values of which one bounds the other.
func (c *checker) upkeep(path string, u Upkeep) {
	c.sandbox(path, u.Sandbox)
	c.asks(path, u.Asks)
	atMost := func(low, high string, a, b time.Duration) {
		if a > b && c.either(path, low, high) {
			c.fault(path+"."+low, fmt.Sprintf("%v is more than %s, %v", a, high, b), "make it smaller, or the other larger")
		}
	}
	atMost("retries.min_backoff", "retries.max_backoff", u.Retries.MinBackoff, u.Retries.MaxBackoff)
	atMost("restart.min_backoff", "restart.max_backoff", u.Restart.MinBackoff, u.Restart.MaxBackoff)
	kept := c.isSet(path+".keep_connections") || c.isSet(path+".max_connections") && c.isSet("defaults.keep_connections")
	if u.KeepConnections > u.MaxConnections && kept { // its own default just means all of them
		c.fault(path+".keep_connections", fmt.Sprintf("%d is more than max_connections, %d", u.KeepConnections, u.MaxConnections),
			"make it smaller, or the other larger")
	}
}

// either tells whether a section sets one of two keys itself. When it inherits both, their fault is reported where they
// were written.
func (c *checker) either(path, a, b string) bool {
	return path == "defaults" || c.isSet(path+"."+a) || c.isSet(path+"."+b)
}

func (c *checker) session() {
	if n := len(c.Session.Secret); n > 0 && n < minSecret {
		c.fault("session.secret", fmt.Sprintf("has %d characters and could be guessed", n),
			fmt.Sprintf("use at least %d; openssl rand -hex 32 makes a good one", minSecret))
	}
}

func (c *checker) telemetry() {
	if c.Telemetry.OTLPEndpoint != "" {
		if problem, remedy := badURL(c.Telemetry.OTLPEndpoint, "http", "https"); problem != "" {
			c.fault("telemetry.otlp_endpoint", problem, remedy)
		}
	}
	c.headers("telemetry.otlp_headers", c.Telemetry.OTLPHeaders)
}

// warn notes what works and yet may surprise.
func (c *Config) warn() {
	if c.PublicURL != "" && !c.Auth.Guarded() {
		c.Warnings = append(c.Warnings,
			"public_url is set and auth is empty: everybody who reaches the gateway through it may use every server")
	}
}
