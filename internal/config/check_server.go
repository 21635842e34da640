package config

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

var (
	headerName  = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
	builtinName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)
)

// ownHeaders are set by the gateway for each request; a fixed value would break the protocol.
var ownHeaders = []string{"Accept", "Connection", "Content-Length", "Content-Type", "Host", "Last-Event-Id",
	"Mcp-Method", "Mcp-Name", "Mcp-Protocol-Version", "Mcp-Session-Id", "Sec-Websocket-Key", "Sec-Websocket-Protocol",
	"Sec-Websocket-Version", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// kinds are the keys that say what a server is. command comes first in messages.
var kinds = [...]string{"command", "url", "urls", "builtin"}

// fits lists the keys that only make sense with some kinds.
var fits = map[string][]string{
	"args": {"command"}, "env": {"command"}, "env_file": {"command"}, "cwd": {"command"}, "watch": {"command"},
	"start": {"command"}, "idle_stop": {"command"}, "startup_timeout": {"command"}, "stop_timeout": {"command"},
	"restart": {"command"}, "memory_limit": {"command"}, "cpu_quota": {"command"}, "sandbox": {"command"},
	"headers": {"url", "urls"}, "connect_timeout": {"url", "urls"}, "keep_connections": {"url", "urls"},
	"max_connections": {"url", "urls"}, "auth": {"url", "urls"}, "tls_pins": {"url", "urls"}, "settings": {"builtin"},
}

// server checks one server.
func (c *checker) server(s Server) {
	path := "servers." + s.Name
	var is []string
	for _, key := range kinds {
		if c.has(s, key) {
			is = append(is, key)
		}
	}
	switch len(is) {
	case 0:
		c.hollow(path, "does not say what the server is", "give it one of command, url, urls and builtin")
	case 1:
		c.fitting(path, is[0])
		c.transport(s, is[0])
	default:
		c.fault(path, "is "+strings.Join(is, " and ")+" at once", "keep one of them")
	}
	c.command(s)
	c.urls(s)
	if c.has(s, "builtin") && !builtinName.MatchString(s.Builtin) {
		c.fault(path+".builtin", fmt.Sprintf("%q is not the name of a builtin server", s.Builtin), "write a name like time")
	}
	c.headers(path+".headers", s.Headers)
	c.credential(s)
	c.patterns(path+".tools.allow", s.Tools.Allow)
	c.patterns(path+".tools.deny", s.Tools.Deny)
	c.patterns(path+".read_only", s.ReadOnly)
	c.patterns(path+".idempotent", s.Idempotent)
	c.upkeep(path, s.Upkeep)
}

// has tells whether a server has one of kinds, be it empty.
func (c *checker) has(s Server, key string) bool {
	set := map[string]bool{"command": len(s.Command) > 0, "url": s.URL != "", "urls": len(s.URLs) > 0, "builtin": s.Builtin != ""}
	return set[key] || c.isSet("servers."+s.Name+"."+key)
}

// fitting refuses keys that have no effect for what the server is.
func (c *checker) fitting(path, is string) {
	for key, with := range fits {
		if c.isSet(path+"."+key) && !slices.Contains(with, is) {
			c.fault(path+"."+key, "has no effect on a server with "+is, "remove it")
		}
	}
}

// transport refuses ways to speak that the server's kind cannot have.
func (c *checker) transport(s Server, key string) {
	path := "servers." + s.Name + ".transport"
	allowed := []string{"auto", "streamable-http", "sse"}
	switch {
	case key == "command":
		allowed = []string{"auto", "stdio"}
	case key == "builtin":
		allowed = []string{"auto"}
	case len(s.Replicas()) > 0 && strings.HasPrefix(s.Replicas()[0].URL, "ws"):
		allowed = []string{"auto", "websocket"}
	}
	if !slices.Contains(allowed, s.Transport) {
		c.fault(path, fmt.Sprintf("%q does not go with this %s", s.Transport, key), "write one of "+strings.Join(allowed, ", "))
	}
	if s.Transport == "sse" && (s.Protocol == "modern" || s.Protocol == "2026-07-28") {
		c.fault("servers."+s.Name+".protocol", fmt.Sprintf("%q is not spoken over sse", s.Protocol), "use streamable-http, or protocol: legacy")
	}
}

// command checks what a program is started with.
func (c *checker) command(s Server) {
	path := "servers." + s.Name + "."
	if c.isSet(path+"command") && (len(s.Command) == 0 || strings.TrimSpace(s.Command[0]) == "") {
		c.fault(path+"command", "names no program", "write it like [npx, -y, some-server]")
		return
	}
	if len(s.Command) == 1 && len(s.Args) == 0 && strings.Contains(s.Command[0], " ") && !strings.ContainsAny(s.Command[0], `/\`) {
		c.fault(path+"command", "is a whole command line; no shell will split it",
			"write it as a list, ["+strings.Join(strings.Fields(s.Command[0]), ", ")+"]")
	}
	for key, list := range map[string][]string{"command": s.Command, "args": s.Args} {
		for i, arg := range list {
			if strings.ContainsRune(arg, 0) {
				c.fault(fmt.Sprintf("%s%s[%d]", path, key, i), "has a zero byte, which no program can be given", "remove it")
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00"):
			c.fault(path+"env."+name, fmt.Sprintf("%q is not the name of an environment variable", name), "use letters, digits and _")
		case strings.ContainsRune(s.Env[name].Reveal(), 0):
			c.fault(path+"env."+name, "has a zero byte, which no program can be given", "remove it")
		}
	}
}

// urls checks the addresses of a server, without showing them: a query may be a secret.
func (c *checker) urls(s Server) {
	path := "servers." + s.Name
	if c.isSet(path+".url") && s.URL == "" {
		c.fault(path+".url", "is empty", "write an address like https://example.org/mcp")
	}
	if c.isSet(path+".urls") && len(s.URLs) == 0 {
		c.fault(path+".urls", "is empty", "name at least one address")
	}
	schemes, seen := map[bool]bool{}, map[string]string{}
	for i, r := range s.Replicas() {
		here := path + ".url"
		if s.URL == "" {
			here = fmt.Sprintf("%s.urls[%d].url", path, i)
		}
		if problem, remedy := badURL(r.URL, "http", "https", "ws", "wss"); problem != "" {
			c.fault(here, problem, remedy)
			continue
		}
		schemes[strings.HasPrefix(r.URL, "ws")] = true
		if seen[r.URL] != "" {
			c.fault(here, "is also "+c.at(seen[r.URL]), "remove one; weight gives an address a larger share")
		}
		seen[r.URL] = here
	}
	c.pins(path+".tls_pins", s)
	if len(schemes) > 1 {
		c.fault(path+".urls", "has both WebSocket and HTTP addresses", "make two servers of it, or use one kind")
	}
}

// pins checks keys that are pinned, which clear text has none of.
func (c *checker) pins(path string, s Server) {
	for i, pin := range s.TLSPins {
		text, ok := strings.CutPrefix(pin, "sha256/")
		if sum, err := base64.StdEncoding.Strict().DecodeString(text); !ok || err != nil || len(sum) != sha256.Size {
			c.fault(fmt.Sprintf("%s[%d]", path, i), "is no pin of a key", `write "sha256/" and the base64 of the SHA-256 of the key; with any other key of this form the error of a connection names those that are seen`)
		}
	}
	for _, r := range s.Replicas() {
		if len(s.TLSPins) > 0 && (strings.HasPrefix(r.URL, "http://") || strings.HasPrefix(r.URL, "ws://")) {
			c.fault(path, "is for certificates, and an address of the server has none", "use https:// or wss://, or remove it")
			return
		}
	}
}

// badURL says what is wrong with an address, or nothing. It does not repeat the address.
func badURL(text string, schemes ...string) (problem, remedy string) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "is not a URL", "write it like " + schemes[0] + "://example.org/mcp"
	case !slices.Contains(schemes, u.Scheme):
		return "does not begin with " + strings.Join(schemes, "://, ") + "://", "write it like " + schemes[0] + "://example.org/mcp"
	case u.Hostname() == "":
		return "names no host", "write it like " + u.Scheme + "://example.org/mcp"
	case u.User != nil:
		return "has a user or password in it", "send them in headers, as Authorization, where they are kept out of logs"
	case u.Fragment != "":
		return "has a fragment (#), which is never sent", "remove it"
	}
	return "", ""
}

// headers checks names and values, without showing the values.
func (c *checker) headers(path string, headers map[string]Secret) {
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		here, canonical := path+"."+name, textproto.CanonicalMIMEHeaderKey(name)
		value := headers[name].Reveal()
		switch {
		case !headerName.MatchString(name):
			c.fault(here, fmt.Sprintf("%q is not the name of a header", name), "use letters, digits and -")
		case slices.Contains(ownHeaders, canonical) || strings.HasPrefix(canonical, "Mcp-Param-"):
			c.fault(here, "is set by the gateway itself", "remove it")
		case seen[canonical] != "":
			c.fault(here, "is the same header as "+c.at(seen[canonical]), "remove one of them; case does not count")
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			c.fault(here, "has a line break or another control character", "check the file or variable that it comes from")
		}
		seen[canonical] = here
	}
}

// patterns refuses entries that can match nothing.
func (c *checker) patterns(path string, patterns []string) {
	for i, p := range patterns {
		if strings.TrimSpace(p) != p || p == "" || utf8.RuneCountInString(p) > 256 {
			c.fault(fmt.Sprintf("%s[%d]", path, i), fmt.Sprintf("%q matches no name", p), "write a name, or a pattern like read_*")
		}
	}
}

// SettingsInto reads the settings of a builtin server into its own struct and refuses keys that it does not have. Absent
// settings leave the struct as it is.
func (s Server) SettingsInto(into any) error {
	if len(s.Settings) == 0 {
		return nil
	}
	dec := json.NewDecoder(strings.NewReader(string(s.Settings)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("read settings of server %s: %w", s.Name, err)
	}
	return nil
}
