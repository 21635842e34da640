package mtls_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/auth/mtls"
	"github.com/dragoman-mcp/dragoman/internal/config"
)

// revoke signs a list of the serial numbers, in PEM.
func (a *authority) revoke(t *testing.T, change func(*x509.RevocationList), serials ...*big.Int) []byte {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, s := range serials {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: s, RevocationTime: time.Now()})
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, a.cert, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

// below makes an authority that a vouches for.
func (a *authority) below(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(77), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		Subject: pkix.Name{CommonName: "below"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert: cert, key: key}
}

// robot issues a certificate for a caller.
func (a *authority) robot(t *testing.T) *x509.Certificate {
	t.Helper()
	own := a.issue(t, x509.Certificate{DNSNames: []string{"robot"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	leaf, err := x509.ParseCertificate(own.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func TestWhoIsRevokedIsRefused(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	below := ca.below(t)
	robot, lower := ca.robot(t), below.robot(t)
	none := ca.revoke(t, nil)
	impostor := &authority{cert: below.cert, key: other.key}
	for _, c := range []struct {
		name  string
		lists [][]byte
		chain []*x509.Certificate
		want  string // in the error; empty lets in
	}{
		{"not in the list", [][]byte{ca.revoke(t, nil, big.NewInt(3))}, []*x509.Certificate{robot, ca.cert}, ""},
		{"in the list", [][]byte{ca.revoke(t, nil, big.NewInt(3), robot.SerialNumber)}, []*x509.Certificate{robot, ca.cert}, "was revoked"},
		{"in the second of two lists", [][]byte{none, ca.revoke(t, nil, robot.SerialNumber)}, []*x509.Certificate{robot, ca.cert}, "was revoked"},
		{"a list that has ended", [][]byte{ca.revoke(t, func(l *x509.RevocationList) { l.NextUpdate = time.Now().Add(-time.Minute) })}, []*x509.Certificate{robot, ca.cert}, "has ended at"},
		{"in a list that has ended", [][]byte{none, ca.revoke(t, func(l *x509.RevocationList) { l.NextUpdate = time.Now().Add(-time.Minute) }, robot.SerialNumber)}, []*x509.Certificate{robot, ca.cert}, "was revoked"},
		{"an authority between, without a list", [][]byte{none}, []*x509.Certificate{lower, below.cert, ca.cert}, "has no list of"},
		{"an authority between, with a list", [][]byte{none, below.revoke(t, nil)}, []*x509.Certificate{lower, below.cert, ca.cert}, ""},
		{"an authority between, whose list another signed", [][]byte{none, impostor.revoke(t, nil)}, []*x509.Certificate{lower, below.cert, ca.cert}, "has no list of"},
		{"an authority between that is revoked", [][]byte{ca.revoke(t, nil, below.cert.SerialNumber), below.revoke(t, nil)}, []*x509.Certificate{lower, below.cert, ca.cert}, "was revoked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := files(t, ca)
			for i, l := range c.lists {
				cfg.ClientCRL = append(cfg.ClientCRL, write(t, t.TempDir(), string(rune('a'+i))+".crl", l))
			}
			_, err := clients(t, cfg, time.Now()).IdentifyTLS(&tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{c.chain}})
			switch {
			case c.want == "" && err != nil, c.want != "" && !errors.Is(err, auth.ErrInvalid):
				t.Errorf("got %v, want %q", err, c.want)
			case c.want != "" && !strings.Contains(err.Error(), c.want):
				t.Errorf("the refusal says %q, want %q in it", err, c.want)
			}
		})
	}
}

// A list that comes while a connection is open ends what the connection is good
// for, and no other is opened.
func TestARevocationReachesConnectionsThatAreOpen(t *testing.T) {
	ca := newAuthority(t)
	own := ca.issue(t, x509.Certificate{DNSNames: []string{"robot"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	leaf, err := x509.ParseCertificate(own.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	cfg := &config.Config{TLS: files(t, ca)}
	cfg.Auth.Certificates.Enabled = true
	name := write(t, t.TempDir(), "ca.crl", ca.revoke(t, nil))
	cfg.TLS.ClientCRL = []string{name}
	var later atomic.Int64
	server, roots := guarded(t, cfg, ca, func() time.Time { return time.Now().Add(time.Duration(later.Load())) })
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost", Certificates: []tls.Certificate{own}}}
	defer transport.CloseIdleConnections()
	status := func() (int, error) {
		res, err := (&http.Client{Transport: transport}).Get(server.URL)
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return res.StatusCode, err
	}
	if got, err := status(); got != http.StatusOK {
		t.Fatalf("before: status %d, %v; want 200", got, err)
	}
	replace(t, name, ca.revoke(t, nil, leaf.SerialNumber))
	later.Add(int64(3 * time.Second))
	if got, err := status(); got != http.StatusUnauthorized {
		t.Errorf("on the open connection: status %d, %v; want 401", got, err)
	}
	transport.CloseIdleConnections()
	if got, err := status(); err == nil {
		t.Errorf("a new connection is accepted, with status %d", got)
	}
	replace(t, name, []byte("half a li"))
	later.Add(int64(3 * time.Second))
	if got, err := status(); err == nil {
		t.Errorf("when the list is broken: a connection is accepted, with status %d", got)
	}
}

// replace puts another file in the place of one, as those who write lists do.
func replace(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.Rename(write(t, filepath.Dir(name), "new", data), name); err != nil {
		t.Fatal(err)
	}
}

func TestListsThatAreNotTaken(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	critical := func(l *x509.RevocationList) {
		l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}}
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"of another by the same name": {other.revoke(t, nil), "not signed by the authority of that name"},
		"a delta":                     {ca.revoke(t, critical), "critical extension 2.5.29.27"},
		"a certificate":               {ca.pem, "holds no certificate revocation list"},
		"nothing":                     {nil, "crl"},
	} {
		cfg := files(t, ca)
		cfg.ClientCRL = []string{write(t, t.TempDir(), "ca.crl", c.data)}
		if _, err := mtls.LoadAuthorities(cfg, nil, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in the error", name, err, c.want)
		}
	}
	cfg := files(t, ca)
	cfg.ClientCRL = []string{filepath.Join(t.TempDir(), "none.crl")}
	if _, err := mtls.LoadAuthorities(cfg, nil, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a list that is not there: %v, want that said", err)
	}
}
