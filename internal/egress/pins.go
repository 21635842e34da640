package egress

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// pinPrefix begins a pin, as in RFC 7469 §2.4 and curl's --pinnedpubkey.
const pinPrefix = "sha256/"

// PinError says that a peer's certificate is valid, and nobody's in its chain that was pinned.
type PinError struct {
	Host string
	// Seen are the keys of the chain, the peer's own first, each with whose it is.
	Seen []string
}

// Error names the keys that were seen, so that one of them can be pinned by who knows that it is right.
func (e *PinError) Error() string {
	return fmt.Sprintf("certificate of %s has none of the pinned keys in its chain; it has %s", e.Host, strings.Join(e.Seen, ", "))
}

// maxSeen bounds the certificates that a PinError tells of.
const maxSeen = 8

// pinned returns settings by which a peer has to have, besides a certificate that is valid, one of the keys in the chain
// that makes it valid: its own, or that of an authority that vouches for it, which outlives renewals. Without pins they
// are as they were.
func pinned(settings *tls.Config, pins []string) *tls.Config {
	if len(pins) == 0 {
		return settings
	}
	settings = settings.Clone()
	before := settings.VerifyConnection
	settings.VerifyConnection = func(s tls.ConnectionState) error { // also of sessions that are taken up again
		if before != nil {
			if err := before(s); err != nil {
				return err
			}
		}
		var seen []string
		for _, chain := range s.VerifiedChains {
			for _, c := range chain {
				if slices.Contains(pins, pinOf(c)) {
					return nil
				}
				if said := pinOf(c) + " of " + fmt.Sprintf("%.100q", c.Subject.String()); len(seen) < maxSeen && !slices.Contains(seen, said) {
					seen = append(seen, said)
				}
			}
		}
		return &PinError{Host: s.ServerName, Seen: seen}
	}
	return settings
}

func pinOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return pinPrefix + base64.StdEncoding.EncodeToString(sum[:])
}
