package netguard_test

import (
	"net/netip"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/egress/netguard"
)

func TestAddressesAreOfTheClassThatTheRegistriesSay(t *testing.T) {
	for text, want := range map[string]netguard.Class{
		"8.8.8.8": netguard.Public, "1.1.1.1": netguard.Public, "172.15.255.255": netguard.Public, "172.32.0.0": netguard.Public,
		"100.63.255.255": netguard.Public, "100.128.0.0": netguard.Public, "11.0.0.0": netguard.Public, "9.255.255.255": netguard.Public,
		"223.255.255.255": netguard.Public, "192.0.1.0": netguard.Public, "198.17.255.255": netguard.Public, "198.20.0.0": netguard.Public,
		"2606:4700:4700::1111": netguard.Public, "2a00:1450:4001:80b::200e": netguard.Public, "64:ff9b::808:808": netguard.Public,
		"::ffff:8.8.8.8": netguard.Public,
		"0.0.0.0":        netguard.Loopback, "0.1.2.3": netguard.Special, "10.0.0.1": netguard.Private, "100.64.0.1": netguard.Shared,
		"127.0.0.1": netguard.Loopback, "127.255.255.254": netguard.Loopback, "169.254.0.1": netguard.LinkLocal,
		"169.254.169.254": netguard.Metadata, "169.254.170.2": netguard.Metadata, "168.63.129.16": netguard.Metadata,
		"100.100.100.200": netguard.Metadata, "172.16.0.1": netguard.Private, "172.31.255.255": netguard.Private,
		"192.0.0.9": netguard.Special, "192.0.2.1": netguard.Special, "192.88.99.2": netguard.Special, "192.168.1.1": netguard.Private,
		"198.18.0.1": netguard.Special, "198.51.100.7": netguard.Special, "203.0.113.9": netguard.Special, "224.0.0.1": netguard.Multicast,
		"240.0.0.1": netguard.Special, "255.255.255.255": netguard.Multicast,
		"::": netguard.Loopback, "::1": netguard.Loopback, "::127.0.0.1": netguard.Loopback, "::8.8.8.8": netguard.Special,
		"::ffff:127.0.0.1": netguard.Loopback, "::ffff:a9fe:a9fe": netguard.Metadata, "64:ff9b::a9fe:a9fe": netguard.Metadata,
		"64:ff9b::7f00:1": netguard.Loopback, "64:ff9b:1::808:808": netguard.Special, "64:ff9b:1::a00:1": netguard.Private,
		"100::1": netguard.Special, "100:0:0:1::1": netguard.Special, "2001::1": netguard.Special,
		"2001:0:808:808::5601:5601": netguard.Metadata, "2001:2::1": netguard.Special, "2001:db8::1": netguard.Special,
		"2002:a9fe:a9fe::": netguard.Metadata, "2002:7f00:1::": netguard.Loopback, "2002:808:808::": netguard.Special,
		"2620:4f:8000::1": netguard.Special, "3fff::1": netguard.Special, "5f00::1": netguard.Special, "4000::1": netguard.Special,
		"fc00::1": netguard.Private, "fd00:ec2::254": netguard.Metadata, "fe80::1": netguard.LinkLocal, "fec0::1": netguard.Private,
		"ff02::1": netguard.Multicast, "f000::1": netguard.Special, "2a00:1450::5efe:a00:1": netguard.Private,
		"2a00:1450::200:5efe:808:808": netguard.Public,
	} {
		if got := netguard.Classify(netip.MustParseAddr(text)); got.Class != want {
			t.Errorf("Classify(%s) = %s (%s), want %s", text, got.Class, got.Name, want)
		}
	}
	if got := netguard.Classify(netip.Addr{}); got.Class != netguard.Special {
		t.Errorf("Classify of no address = %s, want %s", got.Class, netguard.Special)
	}
}

func BenchmarkClassify(b *testing.B) {
	a := netip.MustParseAddr("2606:4700:4700::1111")
	for b.Loop() {
		netguard.Classify(a)
	}
}
