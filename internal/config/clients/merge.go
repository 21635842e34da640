package clients

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/dialect"
)

// Merge makes one list of the servers of several clients, the first ones having the first choice of names. A server that
// two clients have is taken once. Different servers of one name are told apart by their clients' IDs. own are addresses
// of this gateway, like http://127.0.0.1:8000: a server that is the gateway itself is left out, since it would call
// itself forever.
func Merge(own []string, lists ...[]Server) ([]Server, []Warning) {
	m := merger{own: own, names: map[string]bool{}}
	for _, list := range lists {
		for _, s := range list {
			m.add(s)
		}
	}
	return m.servers, m.warnings
}

type merger struct {
	own      []string
	servers  []Server
	names    map[string]bool // folded names that are taken
	warnings []Warning
}

func (m *merger) warn(s Server, text string) {
	m.warnings = append(m.warnings, Warning{Client: s.Client, Server: s.Original, Place: s.Place, Text: text})
}

func (m *merger) add(s Server) {
	if m.itself(s.Config) {
		m.warn(s, "is this gateway itself; left out")
		return
	}
	for _, known := range m.servers {
		if same(known.Config, s.Config) {
			m.warn(s, fmt.Sprintf("is the same as %s of %s; taken once", known.Name, known.Title))
			return
		}
	}
	if name := m.free(s); name != s.Name {
		m.warn(s, fmt.Sprintf("another server is called %q already; this one is called %q", s.Name, name))
		s.Name, s.Config.Name = name, name
	}
	m.names[dialect.Fold(s.Name)] = true
	m.servers = append(m.servers, s)
}

// free gives the server's name, or the nearest one that nobody has.
func (m *merger) free(s Server) string {
	name := s.Name
	for i := 1; m.names[dialect.Fold(name)]; i++ {
		suffix := "-" + s.Client
		if i > 1 {
			suffix = fmt.Sprintf("-%s-%d", s.Client, i)
		}
		stem := s.Name
		if room := dialect.MaxName - len(suffix); len(stem) > room {
			stem = strings.TrimRight(stem[:room], "-_")
		}
		name = stem + suffix
	}
	return name
}

// same tells whether two servers are reached in the same way with the same secrets; what they are called and how they
// are described does not count.
func same(a, b config.Server) bool {
	equal := func(x, y map[string]config.Secret) bool {
		if len(x) != len(y) {
			return false
		}
		for name, value := range x {
			if other, ok := y[name]; !ok || other != value {
				return false
			}
		}
		return true
	}
	return slices.Equal(a.Argv(), b.Argv()) && a.URL == b.URL && a.Cwd == b.Cwd && a.EnvFile == b.EnvFile &&
		equal(a.Env, b.Env) && equal(a.Headers, b.Headers)
}

// itself tells whether a server is this gateway: our own program, one of our addresses, or a bridge to one.
func (m *merger) itself(s config.Server) bool {
	argv := s.Argv()
	if len(argv) > 0 && strings.TrimSuffix(filepath.Base(strings.ReplaceAll(argv[0], `\`, "/")), ".exe") == "dragoman" {
		return true
	}
	return slices.ContainsFunc(append(argv, s.URL), m.isOwn)
}

func (m *merger) isOwn(address string) bool {
	host := authority(address)
	return host != "" && slices.ContainsFunc(m.own, func(own string) bool { return authority(own) == host })
}

// authority gives host:port of a URL, with one name for every loopback address, or nothing for what is no URL.
func authority(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if slices.Contains([]string{"localhost", "::1", "127.0.0.1", "0.0.0.0", "::"}, host) {
		host = "loopback"
	}
	if port == "" {
		port = map[string]string{"http": "80", "ws": "80", "https": "443", "wss": "443"}[u.Scheme]
	}
	return host + ":" + port
}
