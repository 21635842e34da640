// Package netguard judges destinations: what kind of address an address is, and
// what host and port a URL means, so that every reader of the URL means the same.
// It does not know policies, names' addresses or connections: it looks nothing
// up and dials nothing.
package netguard

import (
	_ "embed" // the table of addresses
	"encoding/csv"
	"fmt"
	"net/netip"
	"strings"
)

// Class is what a policy decides by.
type Class string

// The classes of addresses. Only those in the table special.csv are not Public.
const (
	Public    Class = "public"
	Loopback  Class = "loopback"   // this machine
	Private   Class = "private"    // RFC 1918, unique local, site local
	LinkLocal Class = "link-local" // the same network segment
	Shared    Class = "shared"     // RFC 6598
	Metadata  Class = "metadata"   // where clouds hand out credentials
	Multicast Class = "multicast"  // and broadcast: never a peer of TCP
	Special   Class = "special"    // whatever else is registered, or not given to anybody yet
)

// Verdict says what an address is.
type Verdict struct {
	Class Class
	// Name says why, in words of the registry; empty for a public address.
	Name string
	// Inner is the IPv4 address that an IPv6 address carries and that a
	// translator or tunnel would reach; the class is then that of the worse of both.
	Inner netip.Addr
}

//go:embed special.csv
var specialCSV string

// entry is a line of the table.
type entry struct {
	prefix netip.Prefix
	class  Class
	source string
	name   string
}

var table = func() []entry {
	r := csv.NewReader(strings.NewReader(specialCSV))
	r.Comment = '#'
	rows, err := r.ReadAll()
	if err != nil {
		panic(fmt.Sprintf("special.csv: %v", err)) // it is part of this program
	}
	entries := make([]entry, len(rows))
	for i, row := range rows {
		entries[i] = entry{netip.MustParsePrefix(row[0]), Class(row[1]), row[2], row[3]}
	}
	return entries
}()

// Classify says what an address is, and looks into those that carry another one:
// IPv4-mapped and IPv4-compatible, NAT64, 6to4, Teredo and ISATAP.
func Classify(a netip.Addr) Verdict {
	a = a.WithZone("").Unmap()
	if !a.IsValid() {
		return Verdict{Class: Special, Name: "no address"}
	}
	own := lookup(a)
	inner, transparent := embedded(a)
	if !inner.IsValid() {
		return own
	}
	carried := lookup(inner)
	switch {
	case carried.Class != Public:
		return Verdict{Class: carried.Class, Inner: inner, Name: strings.TrimPrefix(own.Name+" to ", " to ") + carried.Name}
	case transparent:
		return Verdict{Class: Public, Inner: inner}
	}
	own.Inner = inner
	return own
}

// lookup finds the longest prefix of the table.
func lookup(a netip.Addr) Verdict {
	found := Verdict{Class: Public}
	bits := -1
	for _, e := range table {
		if e.prefix.Bits() > bits && e.prefix.Contains(a) {
			found, bits = Verdict{Class: e.class, Name: e.name}, e.prefix.Bits()
		}
	}
	if bits < 0 && a.Is6() && a.As16()[0]&0xe0 != 0x20 {
		return Verdict{Class: Special, Name: "not given to anybody (RFC 4291)"} // outside of 2000::/3
	}
	return found
}

// embedded returns the IPv4 address within an IPv6 address. transparent says that
// reaching the outer address is nothing else than reaching the inner one.
func embedded(a netip.Addr) (inner netip.Addr, transparent bool) {
	if !a.Is6() {
		return netip.Addr{}, false
	}
	b := a.As16()
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte(b[i : i+4])) }
	in := func(prefix string) bool { return netip.MustParsePrefix(prefix).Contains(a) }
	switch {
	case in("64:ff9b::/96"):
		return at(12), true // RFC 6052 §2.2
	case in("64:ff9b:1::/48"): // RFC 8215; where in it the address is depends on the network
		return at(12), false
	case in("2002::/16"):
		return at(2), false // RFC 3056 §2
	case in("2001::/32"):
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}), false // RFC 4380 §4
	case in("::/96") && a != netip.IPv6Unspecified() && a != netip.IPv6Loopback():
		return at(12), false
	case b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe:
		return at(12), in("2000::/3") && lookup(a).Class == Public // ISATAP, RFC 5214 §6.1
	}
	return netip.Addr{}, false
}
