package mtls_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/auth/mtls"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority makes certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// issue makes a certificate for what the template names.
func (a *authority) issue(t *testing.T, template x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(30 * time.Minute)
	}
	template.NotBefore = time.Now().Add(-30 * time.Minute)
	der, err := x509.CreateCertificate(rand.Reader, &template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func write(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func files(t *testing.T, ca *authority) config.TLS {
	t.Helper()
	dir := t.TempDir()
	server := ca.issue(t, x509.Certificate{DNSNames: []string{"localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	key, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return config.TLS{
		Cert:     write(t, dir, "tls.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate[0]})),
		Key:      write(t, dir, "tls.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
		ClientCA: write(t, dir, "ca.crt", ca.pem),
	}
}

func uris(all ...string) (out []*url.URL) {
	for _, s := range all {
		u, err := url.Parse(s)
		if err != nil {
			panic(err)
		}
		out = append(out, u)
	}
	return out
}

// guarded starts a server that tells callers who they are, and gives it with the
// authority that its own certificate is of.
func guarded(t *testing.T, cfg *config.Config, ca *authority, now func() time.Time) (*httptest.Server, *x509.CertPool) {
	t.Helper()
	vouching, err := mtls.LoadAuthorities(cfg.TLS, now, nil)
	if err != nil {
		t.Fatal(err)
	}
	setup, err := mtls.Load(cfg.TLS, vouching)
	if err != nil {
		t.Fatal(err)
	}
	g := auth.NewGuard(cfg, auth.Options{Certificates: mtls.NewClients(cfg.Auth.Certificates, vouching)})
	server := httptest.NewUnstartedServer(g.Private(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, mcp.PrincipalOf(r.Context()).ID)
	})))
	server.TLS = setup
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	return server, roots
}

func TestCallersWithCertificates(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	cfg := &config.Config{TLS: files(t, ca)}
	cfg.Auth.Certificates = config.Certificates{Enabled: true, Roles: []string{"user"}, Names: []string{"spiffe://example.org/*", "*@example.org", "robot"}}
	server, roots := guarded(t, cfg, ca, nil)
	for _, c := range []struct {
		name     string
		from     *authority
		template *x509.Certificate
		want     int // 0: no connection
		who      string
	}{
		{"a URI", ca, &x509.Certificate{URIs: uris("spiffe://example.org/agents/a"), DNSNames: []string{"x"}, ExtKeyUsage: client}, 200, "cert:spiffe://example.org/agents/a"},
		{"an address", ca, &x509.Certificate{EmailAddresses: []string{"a@example.org"}, ExtKeyUsage: client}, 200, "cert:a@example.org"},
		{"a DNS name", ca, &x509.Certificate{DNSNames: []string{"robot"}, ExtKeyUsage: client}, 200, "cert:robot"},
		{"a name that is not let in", ca, &x509.Certificate{DNSNames: []string{"robot2"}, ExtKeyUsage: client}, 401, ""},
		{"two URIs", ca, &x509.Certificate{URIs: uris("spiffe://example.org/a", "spiffe://example.org/b"), ExtKeyUsage: client}, 401, ""},
		{"a common name only", ca, &x509.Certificate{Subject: pkix.Name{CommonName: "robot"}, ExtKeyUsage: client}, 401, ""},
		{"another authority", stranger, &x509.Certificate{DNSNames: []string{"robot"}, ExtKeyUsage: client}, 0, ""},
		{"for servers only", ca, &x509.Certificate{DNSNames: []string{"robot"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, 0, ""},
		{"expired", ca, &x509.Certificate{DNSNames: []string{"robot"}, ExtKeyUsage: client, NotAfter: time.Now().Add(-time.Minute)}, 0, ""},
		{"none", nil, nil, 401, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			own := &tls.Config{RootCAs: roots, ServerName: "localhost"}
			if c.from != nil {
				cert := c.from.issue(t, *c.template)
				own.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
			}
			transport := &http.Transport{TLSClientConfig: own}
			defer transport.CloseIdleConnections()
			res, err := (&http.Client{Transport: transport}).Get(server.URL)
			if c.want == 0 {
				if err == nil {
					res.Body.Close()
					t.Errorf("the connection is accepted (status %d), want it refused", res.StatusCode)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			if res.StatusCode != c.want || c.want == 200 && string(body) != c.who {
				t.Errorf("status %d as %s, want %d as %s", res.StatusCode, body, c.want, c.who)
			}
		})
	}
}

func TestCertificatesEndWithinAConnection(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, x509.Certificate{DNSNames: []string{"robot"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	state := &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leaf, ca.cert}}}
	for name, c := range map[string]struct {
		trusted *authority
		now     time.Time
		want    error
	}{
		"good":                         {ca, time.Now(), nil},
		"after its end":                {ca, leaf.NotAfter.Add(time.Second), auth.ErrInvalid},
		"its authority was taken away": {newAuthority(t), time.Now(), auth.ErrInvalid},
	} {
		_, err := clients(t, files(t, c.trusted), c.now).IdentifyTLS(state)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	unverified := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
	if _, err := clients(t, files(t, ca), time.Now()).IdentifyTLS(unverified); !errors.Is(err, auth.ErrForeign) {
		t.Errorf("a certificate that nobody verified: %v, want ErrForeign", err)
	}
}

// clients are those that the files vouch for at a time.
func clients(t *testing.T, cfg config.TLS, now time.Time) *mtls.Clients {
	t.Helper()
	vouching, err := mtls.LoadAuthorities(cfg, func() time.Time { return now }, nil)
	if err != nil {
		t.Fatal(err)
	}
	return mtls.NewClients(config.Certificates{}, vouching)
}

func TestFilesThatAreWrong(t *testing.T) {
	good := files(t, newAuthority(t))
	other := files(t, newAuthority(t))
	for name, cfg := range map[string]config.TLS{
		"a key of another certificate": {Cert: good.Cert, Key: other.Key},
		"no key":                       {Cert: good.Cert, Key: filepath.Join(t.TempDir(), "none")},
		"authorities that are a key":   {Cert: good.Cert, Key: good.Key, ClientCA: good.Key},
		"no authorities":               {Cert: good.Cert, Key: good.Key, ClientCA: filepath.Join(t.TempDir(), "none")},
	} {
		vouching, err := mtls.LoadAuthorities(cfg, nil, nil)
		if err == nil {
			_, err = mtls.Load(cfg, vouching)
		}
		if err == nil {
			t.Errorf("%s: loaded, want an error", name)
		} else if bytes.Contains([]byte(err.Error()), []byte("PRIVATE")) {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
	if got, err := mtls.Load(config.TLS{}, nil); got != nil || err != nil {
		t.Errorf("Load of nothing = %v, %v; want none", got, err)
	}
}
