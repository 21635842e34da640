package mtls

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
)

// Authorities vouch for callers with certificates, and say which of those they
// have taken back. They may be used concurrently.
type Authorities struct {
	pool    *x509.CertPool
	anchors map[string]bool // by their bytes
	revoked *revocations    // nil when no lists are configured
	now     func() time.Time
}

// LoadAuthorities reads the authorities that cfg names and their lists of revoked
// certificates; nil if it names none. A nil clock is time.Now; log, which may be
// nil, takes remarks about lists that become unreadable later.
func LoadAuthorities(cfg config.TLS, now func() time.Time, log *slog.Logger) (*Authorities, error) {
	if cfg.ClientCA == "" {
		return nil, nil
	}
	if now == nil {
		now = time.Now
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	data, err := readFile(cfg.ClientCA, maxFile)
	if err != nil {
		return nil, fmt.Errorf("read tls.client_ca: %w", err)
	}
	a := &Authorities{pool: x509.NewCertPool(), anchors: make(map[string]bool), now: now}
	var all []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read tls.client_ca %s: %w", cfg.ClientCA, err)
		}
		a.pool.AddCert(cert)
		a.anchors[string(cert.Raw)] = true
		all = append(all, cert)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("read tls.client_ca %s: it holds no certificate in PEM", cfg.ClientCA)
	}
	if len(cfg.ClientCRL) > 0 {
		if a.revoked, err = newRevocations(cfg.ClientCRL, all, log); err != nil {
			return nil, fmt.Errorf("read tls.client_crl: %w", err)
		}
	}
	return a, nil
}

// vouch returns a chain of the connection's certificate that the authorities stand
// for now. When the connection was opened the chains were verified, perhaps with
// other authorities, and before something was revoked.
func (a *Authorities) vouch(state *tls.ConnectionState) ([]*x509.Certificate, error) {
	err := fmt.Errorf("the authority of the certificate is not in tls.client_ca any more")
	for _, chain := range state.VerifiedChains {
		if len(chain) == 0 || !a.anchors[string(chain[len(chain)-1].Raw)] {
			continue
		}
		if err = a.revoked.check(chain, a.now()); err == nil {
			return chain, nil
		}
	}
	return nil, err
}

// verify judges a connection that is being opened, or taken up again.
func (a *Authorities) verify(state tls.ConnectionState) error {
	if len(state.VerifiedChains) == 0 { // without a certificate; whether it needs one was judged before
		return nil
	}
	_, err := a.vouch(&state)
	return err
}
