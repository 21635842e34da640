package egress_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/egress"
)

// signed makes a certificate for 127.0.0.1 that parent signs, or an authority when there is none.
func signed(t *testing.T, name string, parent *tls.Certificate) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(int64(len(name))), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		BasicConstraintsValid: true, IsCA: parent == nil, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	above, by := template, any(key)
	if parent != nil {
		above, by = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, above, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func pinOf(c *tls.Certificate) string {
	sum := sha256.Sum256(c.Leaf.RawSubjectPublicKeyInfo)
	return "sha256/" + base64.StdEncoding.EncodeToString(sum[:])
}

// T52: a certificate that is valid is not enough where a key is pinned, of the peer or of who vouches for it.
func TestOnlyAPeerWithAPinnedKeyInItsChainIsSpokenTo(t *testing.T) {
	authority, other := signed(t, "authority", nil), signed(t, "another", nil)
	leaf := signed(t, "peer", authority)
	var asked atomic.Int64
	peer := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	peer.TLS = &tls.Config{Certificates: []tls.Certificate{*leaf}}
	peer.StartTLS()
	t.Cleanup(peer.Close)
	roots := x509.NewCertPool()
	roots.AddCert(authority.Leaf)
	roots.AddCert(other.Leaf)
	network := egress.New(egress.Options{TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
	t.Cleanup(func() { _ = network.Close() })
	for _, tt := range []struct {
		name string
		pins []string
		in   bool
	}{
		{"no pins", nil, true},
		{"the peer's own key", []string{pinOf(leaf)}, true},
		{"the key of the authority", []string{pinOf(authority)}, true},
		{"one of several", []string{pinOf(other), pinOf(authority)}, true},
		{"the key of another authority that is trusted", []string{pinOf(other)}, false}, // though a session could be taken up again
		{"what is no pin", []string{"sha256/x"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pool, before := network.Pool(egress.Limits{Pins: tt.pins}), asked.Load()
			defer pool.Close()
			res, err := (&http.Client{Transport: pool}).Get(peer.URL)
			if err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
			var pin *egress.PinError
			if tt.in != (err == nil) || tt.in != (asked.Load() > before) || !tt.in && !errors.As(err, &pin) {
				t.Fatalf("got %v and %d requests, want it let in: %v", err, asked.Load()-before, tt.in)
			}
			if !tt.in && (!strings.Contains(err.Error(), pinOf(leaf)) || !strings.Contains(err.Error(), pinOf(authority)) || !strings.Contains(err.Error(), "CN=authority")) {
				t.Errorf("got %v, want the keys that were seen, and whose they are", err)
			}
		})
	}
}
