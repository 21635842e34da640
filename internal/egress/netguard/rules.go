package netguard

import (
	"fmt"
	"net/netip"
	"strings"
)

// Rules are a list of destinations, by name or by address.
type Rules struct {
	names    []string // in ASCII; a leading "." means all names below
	prefixes []netip.Prefix
}

// ParseRules reads a list. An element is a name (api.example.com), all names
// below one (*.example.com, which is not example.com itself), an address, or a
// network (10.1.0.0/16).
func ParseRules(list []string) (Rules, error) {
	var r Rules
	for _, text := range list {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			if prefix != prefix.Masked() {
				return Rules{}, fmt.Errorf("read network %q: it has bits after its length; is %s meant?", text, prefix.Masked())
			}
			r.prefixes = append(r.prefixes, prefix)
			continue
		}
		below := strings.HasPrefix(text, "*.")
		name, addr, err := ParseHost(strings.Trim(strings.TrimPrefix(text, "*."), "[]"))
		if err != nil {
			return Rules{}, err
		}
		switch {
		case addr.IsValid() && below:
			return Rules{}, fmt.Errorf("read %q: an address has nothing below it; write a network like 10.0.0.0/8", text)
		case addr.IsValid():
			r.prefixes = append(r.prefixes, netip.PrefixFrom(addr, addr.BitLen()))
		case below:
			r.names = append(r.names, "."+name)
		default:
			r.names = append(r.names, name)
		}
	}
	return r, nil
}

// Empty reports whether the list has no element.
func (r Rules) Empty() bool { return len(r.names) == 0 && len(r.prefixes) == 0 }

// Name reports whether a name, as ParseHost returns it, is in the list.
func (r Rules) Name(name string) bool {
	for _, n := range r.names {
		if n == name || n[0] == '.' && strings.HasSuffix(name, n) && len(name) > len(n) {
			return true
		}
	}
	return false
}

// Addr reports whether an address is in the list.
func (r Rules) Addr(a netip.Addr) bool {
	a = a.WithZone("").Unmap()
	for _, p := range r.prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// HasAddrs reports whether the list has addresses or networks.
func (r Rules) HasAddrs() bool { return len(r.prefixes) > 0 }
