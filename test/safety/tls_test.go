//go:build linux

package safety

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates of the test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: dir}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.cert, a.key = a.sign(name, template)
	return a
}

// sign writes NAME.crt and NAME.key.
func (a *authority) sign(name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".crt": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(a.dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// TestTheCommandLineReachesAGatewayOverTLS uses the command line against a gateway
// whose certificate an own authority has signed, and that demands one of callers
// too: what works works, and what does not says what to do.
func TestTheCommandLineReachesAGatewayOverTLS(t *testing.T) {
	dir := home(t)
	ca := newAuthority(t, dir, "ca")
	ca.sign("gateway", &x509.Certificate{DNSNames: []string{"localhost"}})
	ca.sign("laptop", &x509.Certificate{DNSNames: []string{"laptop"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	newAuthority(t, dir, "other")
	g := start(t, dir, object{
		"tls":     object{"cert": "gateway.crt", "key": "gateway.key", "client_ca": "ca.crt", "require_client_cert": true},
		"auth":    object{"certificates": object{"enabled": true}},
		"servers": object{"time": object{"builtin": "time"}},
	})
	_, port, _ := strings.Cut(strings.TrimPrefix(g.url, "https://"), ":")
	named, byAddress := "https://localhost:"+port, "https://127.0.0.1:"+port
	whole := []string{"--ca", "ca.crt", "--cert", "laptop.crt", "--key", "laptop.key"}
	for _, tt := range []struct {
		name string
		args []string
		env  string
		code int
		want string
	}{
		{"a list", append([]string{"list", "tools", "--url", named + "/mcp"}, whole...), "", 0, "time__now"},
		{"a call", append([]string{"call", "time__now", "--url", named + "/mcp"}, whole...), "", 0, "UTC"},
		{"over a web socket", append([]string{"list", "tools", "--url", "wss" + strings.TrimPrefix(named, "https") + "/mcp"}, whole...), "", 0, "time__now"},
		{"servers", append([]string{"list", "servers", "--url", named}, whole...), "", 0, "healthy"},
		{"a reload", append([]string{"reload", "--url", named}, whole...), "", 0, "serving 1 server"},
		{"the system's roots, which a variable names", append([]string{"list", "tools", "--url", named + "/mcp"}, whole[2:]...), "SSL_CERT_FILE=ca.crt", 0, "time__now"},
		{"roots that do not have it", append([]string{"list", "tools", "--url", named + "/mcp"}, whole[2:]...), "", 4, "--ca"},
		{"another authority", []string{"call", "time__now", "--url", named + "/mcp", "--ca", "other.crt"}, "", 4, "unknown authority"},
		{"another name", append([]string{"call", "time__now", "--url", byAddress + "/mcp"}, whole...), "", 4, "use the name that the certificate is for"},
		{"a reload under another name", append([]string{"reload", "--url", byAddress}, whole...), "", 4, "use the name that the certificate is for"},
		{"no client certificate", []string{"call", "time__now", "--url", named + "/mcp", "--ca", "ca.crt"}, "", 3, "--cert FILE"},
		{"clear text", []string{"call", "time__now", "--url", "http" + strings.TrimPrefix(named, "https") + "/mcp"}, "", 4, "https://"},
		{"a file that is no certificate", []string{"list", "tools", "--url", named, "--ca", "ca.key"}, "", 2, "--ca ca.key has no certificate"},
		{"a file that is not there", []string{"list", "tools", "--url", named, "--ca", "none"}, "", 2, "--ca: open none"},
		{"a key of nothing", []string{"list", "tools", "--url", named, "--key", "laptop.key"}, "", 2, "--key is the key of --cert"},
		{"a key of another", []string{"list", "tools", "--url", named, "--cert", "laptop.crt", "--key", "ca.key"}, "", 2, "private key does not match"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), dragoman(t), tt.args...)
			cmd.Dir, cmd.Env = dir, append(environ(dir), tt.env)
			out, err := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(string(out), tt.want) {
				t.Errorf("dragoman %s: got code %d (%v) and\n%s\nwant code %d and %q", strings.Join(tt.args, " "), code, err, out, tt.code, tt.want)
			}
		})
	}
}
