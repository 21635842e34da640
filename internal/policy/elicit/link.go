package elicit

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/idna"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/pattern"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// maxURL is how many bytes a link may have.
const maxURL = 8 << 10

// target is where a link leads.
type target struct {
	text string // the link as it is passed on: in ASCII
	host string // as a browser shows it at worst: in punycode, without the port
}

// link judges the link of a question. It is read as browsers and as this program
// read it alike, or refused: what is shown is what is opened.
func (g *guard) link(params jsonrpc.Object) (target, fault) {
	text, ok := params.String("url")
	if !ok {
		return target{}, bad("is missing")
	}
	t, problem := readLink(text)
	if problem != "" {
		return target{}, bad(problem)
	}
	if len(g.asks.Hosts) > 0 && !pattern.Match(g.asks.Hosts, t.host) {
		return target{}, bad(fmt.Sprintf("leads to %s, which is not among the hosts that this server may send people to", t.host))
	}
	return t, fault{}
}

func bad(problem string) fault { return fault{Link, "the link " + problem} }

// readLink reads a link strictly. problem is empty when it may be passed on.
func readLink(text string) (t target, problem string) {
	if len(text) > maxURL {
		return t, fmt.Sprintf("is longer than %d bytes", maxURL)
	}
	scheme, rest, ok := strings.Cut(text, "://")
	https := strings.EqualFold(scheme, "https")
	if !ok || !https && !strings.EqualFold(scheme, "http") {
		return t, "is not an https:// URL"
	}
	for _, r := range text {
		if r < ' ' || r == 0x7f {
			return t, fmt.Sprintf("has the character %q, which browsers leave out: write it in percent encoding", r)
		}
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, path := rest[:end], rest[end:]
	if strings.Contains(authority, "@") {
		return t, "has a user name before its host, which hides where it leads"
	}
	host, port, problem := hostOf(authority)
	switch {
	case problem != "":
		return t, problem
	case !https && !config.IsLoopback(strings.Trim(host, "[]")):
		return t, "is http:// to another machine, where anybody on the way could answer: use https://"
	}
	t = target{text: strings.ToLower(scheme) + "://" + host + port + encoded(path), host: strings.Trim(host, "[]")}
	if t.text == asciiLower(text, len(scheme)+3+len(authority)) { // as it came, but for capitals
		t.text = text
	}
	if _, err := url.Parse(t.text); err != nil {
		return target{}, "cannot be read"
	}
	return t, ""
}

// asciiLower is text with its first n bytes in small letters.
func asciiLower(text string, n int) string { return strings.ToLower(text[:n]) + text[n:] }

// encoded writes what is not ASCII in percent encoding, as browsers send it.
func encoded(path string) string {
	var out strings.Builder
	for i := range len(path) {
		if path[i] < 0x80 {
			out.WriteByte(path[i])
			continue
		}
		fmt.Fprintf(&out, "%%%02X", path[i])
	}
	return out.String()
}

// hostOf reads an authority without a user: the host in ASCII and small letters,
// and the port with its colon.
func hostOf(authority string) (host, port, problem string) {
	host = authority
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && !strings.HasSuffix(authority, "]") {
		host, port = authority[:i], authority[i:]
		if len(port) < 2 || len(port) > 6 || strings.Trim(port[1:], "0123456789") != "" {
			return "", "", "has a port that is no number"
		}
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		if !closed || err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", "", "has an address that cannot be read"
		}
		return "[" + addr.String() + "]", port, ""
	}
	host, problem = domain(host)
	return host, port, problem
}

// domain is a name or IPv4 address as it is looked up. A name with letters of
// other scripts becomes punycode, so that none can look like another.
func domain(host string) (name, problem string) {
	ascii := strings.ToLower(host)
	if strings.Contains(ascii, "xn--") || strings.ContainsFunc(host, func(r rune) bool { return r >= 0x80 }) {
		var err error
		if ascii, err = idna.Lookup.ToASCII(host); err != nil {
			return "", "has a host name that does not exist in this spelling"
		}
	}
	labels := strings.Split(strings.TrimSuffix(ascii, "."), ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", "has a host name that cannot be read"
		}
	}
	last := labels[len(labels)-1]
	if last[0] >= '0' && last[0] <= '9' { // browsers read 127.1, 0x7f.1 and 2130706433 as addresses
		if addr, err := netip.ParseAddr(ascii); err != nil || addr.String() != ascii {
			return "", "has an address in an uncommon spelling"
		}
	}
	return ascii, ""
}
