package app_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificates writes an authority, and a certificate for 127.0.0.1 with its key,
// into a directory, and gives a client certificate of the same authority.
func certificates(t *testing.T, dir string) (roots *x509.CertPool, client tls.Certificate) {
	t.Helper()
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	authority, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fatal(err)
	root := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, authority.Public(), authority)
	fatal(err)
	issue := func(template *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		fatal(err)
		template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), root.NotBefore, root.NotAfter
		der, err := x509.CreateCertificate(rand.Reader, template, root, key.Public(), authority)
		fatal(err)
		return der, key
	}
	server, serverKey := issue(&x509.Certificate{DNSNames: []string{"localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	name, err := url.Parse("spiffe://example.org/agents/a")
	fatal(err)
	own, ownKey := issue(&x509.Certificate{URIs: []*url.URL{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	pkcs8, err := x509.MarshalPKCS8PrivateKey(serverKey)
	fatal(err)
	for file, block := range map[string]*pem.Block{
		"ca.crt": {Type: "CERTIFICATE", Bytes: rootDER}, "tls.crt": {Type: "CERTIFICATE", Bytes: server}, "tls.key": {Type: "PRIVATE KEY", Bytes: pkcs8},
	} {
		fatal(os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600))
	}
	roots = x509.NewCertPool()
	parsed, err := x509.ParseCertificate(rootDER)
	fatal(err)
	roots.AddCert(parsed)
	return roots, tls.Certificate{Certificate: [][]byte{own}, PrivateKey: ownKey}
}

func TestClientsWithCertificatesComeIn(t *testing.T) {
	dir := t.TempDir()
	roots, own := certificates(t, dir)
	config := fmt.Sprintf("listen: 127.0.0.1:0\ntls: {cert: %[1]s/tls.crt, key: %[1]s/tls.key, client_ca: %[1]s/ca.crt}\nauth: {certificates: {enabled: true, roles: admin}}\n"+
		"reload: {may_lower_safety: true}\nservers: {time: {builtin: time}}\n", dir) // a new authority may let others in
	a, s, plain := run(t, config)
	address := "https" + strings.TrimPrefix(plain, "http")
	who := func(t *testing.T, roots *x509.CertPool, certificates ...tls.Certificate) (int, string, int) {
		t.Helper()
		transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost", Certificates: certificates}}
		defer transport.CloseIdleConnections()
		res, err := (&http.Client{Transport: transport}).Get(address + "/users/me/")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body), res.ProtoMajor
	}
	if status, body, proto := who(t, roots, own); status != 200 || proto != 2 || !strings.Contains(body, `"id":"cert:spiffe://example.org/agents/a"`) || !strings.Contains(body, `"role":"admin"`) {
		t.Errorf("with a certificate: %d %s over HTTP/%d, want who it is over HTTP/2", status, body, proto)
	}
	if status, body, _ := who(t, roots); status != 401 {
		t.Errorf("without a certificate: %d %s, want 401", status, body)
	}
	if res, err := http.Get(plain + "/health"); err == nil {
		defer res.Body.Close()
		if res.StatusCode != 400 {
			t.Errorf("in clear text: %d, want 400", res.StatusCode)
		}
	}
	// Other files under the same names are taken up with a reload, wrong ones are not.
	newRoots, newOwn := certificates(t, dir)
	if err := a.Reload(parse(t, config)); err != nil {
		t.Fatal(err)
	}
	if err := s.Refresh(); err != nil {
		t.Fatal(err)
	}
	if status, body, _ := who(t, newRoots, newOwn); status != 200 {
		t.Errorf("with a certificate of the new authority: %d %s, want 200", status, body)
	}
	if err := os.WriteFile(filepath.Join(dir, "tls.key"), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Refresh(); err == nil || !strings.Contains(err.Error(), "tls.cert") {
		t.Errorf("Refresh with a broken key: %v, want an error", err)
	}
	if status, body, _ := who(t, newRoots, newOwn); status != 200 {
		t.Errorf("after a refresh that failed: %d %s, want the old one in use", status, body)
	}
}
