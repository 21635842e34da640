package auth

import (
	"context"
	"net/http"
	"net/netip"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/config"
)

type addressKey struct{}

// Address tells where the caller of a request that a Guard let in calls from, for who is given the request's context. It is
// invalid where that is not known: for calls that did not come over a network, and where a proxy that is believed says
// something that is no address.
func Address(ctx context.Context) netip.Addr {
	address, _ := ctx.Value(addressKey{}).(*netip.Addr)
	if address == nil {
		return netip.Addr{}
	}
	return *address
}

// proxies are those that say for whom they ask, and are believed.
type proxies []netip.Prefix

func newProxies(cfg *config.Config) proxies {
	var p proxies
	for _, text := range cfg.TrustedProxies {
		if network, err := config.Network(text); err == nil { // the configuration was checked
			p = append(p, network)
		}
	}
	return p
}

func (p proxies) believed(address netip.Addr) bool {
	for _, network := range p {
		if network.Contains(address) {
			return true
		}
	}
	return false
}

// forwarded is where proxies say for whom they ask: each adds at the end whom it was asked by.
const forwarded = "X-Forwarded-For"

// from finds out where a request comes from: the address at the other end of the connection, or if that is a proxy that is
// believed, the last in its list that is none. Everything before that was written by somebody unknown.
func (p proxies) from(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	address := peer.Addr().Unmap().WithZone("")
	if !p.believed(address) {
		return address
	}
	lines := r.Header.Values(forwarded)
	for n := len(lines) - 1; n >= 0; n-- {
		for rest, more := lines[n], true; more; {
			var entry string
			rest, entry, more = cutLast(rest)
			if address = readHop(entry); !p.believed(address) {
				return address // the caller; or no address, and then it is not known who that proxy was asked by
			}
		}
	}
	return address
}

// cutLast cuts a list at its last comma.
func cutLast(list string) (before, last string, more bool) {
	at := strings.LastIndexByte(list, ',')
	return list[:max(at, 0)], list[at+1:], at >= 0
}

// readHop reads an entry of the list, which some proxies write with a port. It is invalid if it is no address.
func readHop(entry string) netip.Addr {
	entry = strings.TrimSpace(entry)
	if withPort, err := netip.ParseAddrPort(entry); err == nil {
		return withPort.Addr().Unmap().WithZone("")
	}
	address, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(entry, "["), "]"))
	if err != nil {
		return netip.Addr{}
	}
	return address.Unmap().WithZone("")
}
