package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"encoding/xml"
	"flag"
	"maps"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var h2spec = flag.String("h2spec", "", "`FILE` of the program h2spec; see test/security/setup")

// h2deviations are cases of h2spec 2.2.1 in which net/http answers otherwise than it wants. In none is anything let through.
var h2deviations = map[string]string{
	"Sends a large size HEADERS frame that exceeds the SETTINGS_MAX_FRAME_SIZE":                      "net/http announces frames of 1 MiB, so that the frame is not too large; the header is, and is answered with 431",
	"Sends multiple values of SETTINGS_INITIAL_WINDOW_SIZE":                                          "net/http ends a connection that gives one setting twice in a frame, instead of taking the last",
	"Sends a HEADERS frame that contains the connection-specific header field":                       "net/http answers 400 instead of ending the stream",
	"Sends a HEADERS frame that contains the TE header field with any value other than \"trailers\"": "net/http answers 400 instead of ending the stream",
}

// certificate writes a key and a certificate for 127.0.0.1.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: text}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// T09: the listener speaks HTTP/2 as h2spec wants, but for what net/http does otherwise.
func TestHTTP2(t *testing.T) {
	if *h2spec == "" {
		t.Skip("no -h2spec given")
	}
	cert, key := certificate(t)
	_, address := serve(t, "listen: 127.0.0.1:0\ntls: {cert: "+cert+", key: "+key+"}\nservers: {r: {builtin: recorder}}\n", &recorder{})
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	total, failed := trySpec(t, u)
	// Some cases are about a stream whose answer may have ended before they send their next frame. What fails then and
	// passes another time is chance.
	for again := 0; again < 2 && !maps.Equal(failed, h2deviations); again++ {
		_, more := trySpec(t, u)
		maps.DeleteFunc(failed, func(name, _ string) bool {
			_, still := more[name]
			return !still
		})
	}
	if total < 140 {
		t.Fatalf("h2spec tried %d cases, want at least 140", total)
	}
	if diff := cmp.Diff(h2deviations, failed); diff != "" {
		t.Errorf("cases that failed (-expected +got):\n%s", diff)
	}
	t.Logf("corpus: h2spec 2.2.1: %d of %d cases passed; the rest is net/http's own way (see h2deviations)", total-len(failed), total)
}

// trySpec runs all cases once and returns how many there are, and those that failed with why that is expected.
func trySpec(t *testing.T, u *url.URL) (total int, failed map[string]string) {
	t.Helper()
	report := filepath.Join(t.TempDir(), "report.xml")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	// Its exit code says that something failed, which the report says better.
	out, _ := exec.CommandContext(ctx, *h2spec, "-t", "-k", "-h", u.Hostname(), "-p", u.Port(), "-P", "/health", "-o", "10", "-j", report).CombinedOutput()
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatalf("h2spec left no report: %v\n%s", err, out)
	}
	var suites struct {
		Suites []struct {
			Cases []struct {
				Name    string    `xml:"classname,attr"`
				Failure *struct{} `xml:"failure"`
				Error   *struct{} `xml:"error"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &suites); err != nil {
		t.Fatal(err)
	}
	failed = map[string]string{}
	for _, s := range suites.Suites {
		for _, c := range s.Cases {
			if total++; c.Failure != nil || c.Error != nil {
				failed[c.Name] = h2deviations[c.Name]
			}
		}
	}
	return total, failed
}
