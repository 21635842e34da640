package netguard

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxHost bounds a host in bytes before it is brought into ASCII, where a name has
// at most 253.
const maxHost = 1 << 10

// maxURL bounds a URL in bytes, as it came and as it is written out.
const maxURL = 8 << 10

// Target is where a URL leads.
type Target struct {
	// URL is the URL as it is to be sent: host in ASCII and lower case, no user, no fragment.
	URL *url.URL
	// Scheme is in lower case.
	Scheme string
	// Host is a name in ASCII and lower case without a final dot, or the text of Addr.
	Host string
	// Addr is valid when the host is an address and not a name.
	Addr netip.Addr
	// Port is the port of the URL, or the one that its scheme stands for.
	Port uint16
}

// Address is host and port, as dialers take them.
func (t *Target) Address() string {
	return net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port)))
}

// ParseURL reads an absolute URL of a scheme with a known port (http, https, ws,
// wss), and refuses every spelling that two readers could take for two hosts:
// control characters, spaces and backslashes, a user, a zone, hosts in percent
// code, and IPv4 addresses in any but the usual form.
func ParseURL(raw string) (*Target, error) {
	if err := plain(raw); err != nil {
		return nil, fmt.Errorf("read URL: %w", err)
	}
	u, err := url.Parse(raw)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err // without the URL, which may hold a secret
		}
		return nil, fmt.Errorf("read URL: %w", err)
	}
	port := map[string]uint16{"http": 80, "https": 443, "ws": 80, "wss": 443}[u.Scheme]
	switch {
	case port == 0:
		return nil, fmt.Errorf("read URL: scheme is %q; use http or https", u.Scheme)
	case u.Opaque != "" || u.Host == "" || !strings.HasPrefix(raw[len(u.Scheme):], "://"):
		return nil, errors.New("read URL: it has no host: write it like https://example.com/")
	case strings.Contains(authority(raw), "%"):
		return nil, errors.New("read URL: its host has a zone or percent code: write the name or address itself")
	case u.User != nil:
		return nil, errors.New("read URL: it has a user name: send credentials in a header")
	}
	t := &Target{Scheme: u.Scheme, Port: port}
	if t.Host, t.Addr, err = ParseHost(u.Hostname()); err != nil {
		return nil, err
	}
	if strings.HasPrefix(u.Host, "[") != (t.Addr.IsValid() && t.Addr.Is6()) {
		return nil, fmt.Errorf("read host %q: brackets are for IPv6 addresses, and only for them", u.Host)
	}
	if text := u.Port(); text != "" {
		if t.Port, err = parsePort(text); err != nil {
			return nil, err
		}
	}
	t.URL = t.rewrite(u)
	if len(raw) > maxURL/4 { // as percent codes it may be three times as long, and its host a little
		if n := len(t.URL.String()); n > maxURL {
			return nil, fmt.Errorf("read URL: written out it has %d bytes, more than %d", n, maxURL)
		}
	}
	return t, nil
}

// authority is what stands between the scheme and the path, as it was written.
func authority(raw string) string {
	_, rest, _ := strings.Cut(raw, "://")
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		return rest[:end]
	}
	return rest
}

// rewrite returns u with the host that was understood.
func (t *Target) rewrite(u *url.URL) *url.URL {
	clean := *u
	clean.Fragment, clean.RawFragment = "", ""
	clean.Host = t.Host
	if t.Addr.Is6() {
		clean.Host = "[" + t.Host + "]"
	}
	if u.Port() != "" {
		clean.Host = t.Address()
	}
	return &clean
}

// plain refuses bytes that some readers of URLs drop, or take for others.
func plain(raw string) error {
	if len(raw) > maxURL {
		return fmt.Errorf("it has %d bytes, more than %d", len(raw), maxURL)
	}
	if !utf8.ValidString(raw) {
		return errors.New("it is not UTF-8")
	}
	for _, r := range raw {
		if r <= ' ' || r == 0x7f || r == '\\' || r >= 0x80 && r <= 0xa0 || r == '\ufeff' || r >= '\u2000' && r <= '\u200f' || r >= '\u2028' && r <= '\u202e' {
			return fmt.Errorf("it contains the character %U: write it in percent code", r)
		}
	}
	return nil
}

func parsePort(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 || text != strconv.FormatUint(n, 10) {
		return 0, fmt.Errorf("read port %q: use a number from 1 to 65535", text)
	}
	return uint16(n), nil
}

// hostNames is IDNA for lookups (UTS 46, nontransitional) that lets the
// underscore pass, which names of services in networks of containers have.
var hostNames = func() *idna.Profile {
	return idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false), idna.StrictDomainName(false),
		idna.VerifyDNSLength(true))
}()

// ParseHost reads a host: the text of an IPv4 address in four decimal numbers, of
// an IPv6 address without brackets and zone, or a name, which is returned in
// ASCII and lower case. A name that ends in a number is refused: it is a spelling
// of an IPv4 address to some, and a name to others (WHATWG URL, "ends in a number checker").
func ParseHost(host string) (string, netip.Addr, error) {
	refuse := func(why string) (string, netip.Addr, error) {
		return "", netip.Addr{}, fmt.Errorf("read host %q: %s", shorten(host), why)
	}
	if strings.ContainsAny(host, "%") {
		return refuse("it has a zone or percent code: write the name or address itself")
	}
	if strings.Contains(host, ":") {
		addr, err := netip.ParseAddr(host)
		if err != nil {
			return refuse("it is no IPv6 address")
		}
		if addr.Is4In6() {
			return refuse("it is an IPv4 address in IPv6 form: write it as IPv4")
		}
		return addr.String(), addr, nil
	}
	if len(host) > maxHost || !utf8.ValidString(host) {
		return refuse("it is too long, or not UTF-8")
	}
	name, err := hostNames.ToASCII(strings.TrimSuffix(host, "."))
	if err != nil || name == "" || strings.HasSuffix(name, ".") || strings.Contains(name, "..") {
		return refuse("it is no name of a host")
	}
	name = strings.ToLower(name)
	if again, err := hostNames.ToASCII(name); err != nil || again != name {
		return refuse("it is no name of a host, or has more than one form")
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return refuse("it contains a character that no name of a host has")
		}
	}
	if !endsInNumber(name) {
		return name, netip.Addr{}, nil
	}
	addr, err := netip.ParseAddr(name)
	if err != nil || name != host {
		return refuse("write an IPv4 address as four decimal numbers without leading zeros, like 192.0.2.1")
	}
	return name, addr, nil
}

// endsInNumber reports whether the last label is a number in one of the bases in
// which system libraries read IPv4 addresses.
func endsInNumber(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if rest, ok := strings.CutPrefix(last, "0x"); ok {
		_, err := strconv.ParseUint(rest, 16, 64)
		return rest == "" || err == nil || errors.Is(err, strconv.ErrRange)
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// shorten cuts what is shown of a host that nobody has judged yet.
func shorten(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}
