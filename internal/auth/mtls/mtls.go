// Package mtls reads the gateway's certificate, and knows callers by theirs.
// It does not know what a caller may do, and opens no listener.
package mtls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// maxFile is the most bytes of a file with certificates.
const maxFile = 4 << 20

// Load reads the gateway's own certificate, and has callers show theirs if there are
// authorities for them. It gives nil if there is no certificate: then the gateway
// answers in clear text.
func Load(cfg config.TLS, vouching *Authorities) (*tls.Config, error) {
	if cfg.Cert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(cfg.Cert, cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("read tls.cert %s and tls.key: %w", cfg.Cert, err)
	}
	out := &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
	}
	if vouching == nil {
		return out, nil
	}
	out.ClientCAs, out.VerifyConnection = vouching.pool, vouching.verify
	out.ClientAuth = tls.VerifyClientCertIfGiven
	if cfg.RequireClientCert {
		out.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return out, nil
}

// Clients knows callers by their certificates. It may be used concurrently.
type Clients struct {
	cfg      config.Certificates
	vouching *Authorities
}

// NewClients returns Clients for whom the authorities vouch.
func NewClients(cfg config.Certificates, vouching *Authorities) *Clients {
	return &Clients{cfg: cfg, vouching: vouching}
}

var _ auth.Certificates = (*Clients)(nil)

// IdentifyTLS implements auth.Certificates. The chain was verified when the
// connection was opened; that the certificate has not expired since, nor was revoked,
// nor its authority is trusted no more, is checked here, for connections last.
func (c *Clients) IdentifyTLS(state *tls.ConnectionState) (auth.Identity, error) {
	if state == nil || len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return auth.Identity{}, auth.ErrForeign
	}
	chain, err := c.vouching.vouch(state)
	if err != nil {
		return auth.Identity{}, auth.Invalid("%w", err)
	}
	leaf := chain[0]
	if now := c.vouching.now(); now.After(leaf.NotAfter) || now.Before(leaf.NotBefore) {
		return auth.Identity{}, auth.Invalid("certificate holds from %s to %s", leaf.NotBefore, leaf.NotAfter)
	}
	name, err := nameOf(leaf)
	if err != nil {
		return auth.Identity{}, auth.Invalid("%w", err)
	}
	if !c.cfg.Admits(name) {
		return auth.Identity{}, auth.Invalid("certificate of %q is not among auth.certificates.names", name)
	}
	return auth.Identity{
		Principal: mcp.Principal{ID: "cert:" + name, Name: name, Roles: slices.Clone(c.cfg.Roles), Method: "mtls"},
		Expires:   leaf.NotAfter, Issued: leaf.NotBefore,
	}, nil
}

// nameOf takes the subject alternative name: the only URI (as SPIFFE has it),
// else the only e-mail address, else the only DNS name. The common name is for
// people, and an authority need not have checked it (RFC 9525, 2). Of several
// names of one kind none is the caller's.
func nameOf(leaf *x509.Certificate) (string, error) {
	var uris []string
	for _, u := range leaf.URIs {
		uris = append(uris, u.String())
	}
	for _, names := range [][]string{uris, leaf.EmailAddresses, leaf.DNSNames} {
		switch len(names) {
		case 0:
			continue
		case 1:
			return names[0], nil
		}
		return "", fmt.Errorf("certificate has %d names, %q and others: give it one", len(names), names[0])
	}
	return "", errors.New("certificate has no subject alternative name that is a URI, an e-mail address or a DNS name")
}
