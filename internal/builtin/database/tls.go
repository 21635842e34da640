package database

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// tlsSettings say how a server shows who it is, and we to it. With any of them a connection is encrypted and the server's
// certificate is verified, its name too, wherever the server is.
type tlsSettings struct {
	// File of the authorities that vouch for the server, in PEM; instead of those that the machine trusts.
	CA string `yaml:"ca"`
	// Files of a certificate and its key that the server asks of us, in PEM; both or none.
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	// The name in the server's certificate, when it is not the host of the URL.
	Name string `yaml:"name"`
}

// maxPEM bounds a file of certificates, in bytes. What a machine trusts has some 250 KB.
const maxPEM = 4 << 20

// config reads the files, which are relative to dir; nil when nothing is set.
func (t tlsSettings) config(dir string) (*tls.Config, error) {
	if t == (tlsSettings{}) {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.Name}
	if t.CA != "" {
		text, err := pemFile(dir, t.CA)
		if err != nil {
			return nil, fmt.Errorf("tls.ca: %w", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("tls.ca: %s has no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----", t.CA)
		}
	}
	if (t.Cert == "") != (t.Key == "") {
		return nil, errors.New("tls: give cert and key, or neither of them")
	}
	if t.Cert == "" {
		return c, nil
	}
	cert, err := pemFile(dir, t.Cert)
	if err != nil {
		return nil, fmt.Errorf("tls.cert: %w", err)
	}
	key, err := pemFile(dir, t.Key)
	if err != nil {
		return nil, fmt.Errorf("tls.key: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("tls.cert and tls.key do not go together: %w", err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

func pemFile(dir, path string) ([]byte, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err == nil && len(text) > maxPEM {
		err = fmt.Errorf("%s is larger than %d bytes: it is no file of certificates", path, maxPEM)
	}
	return text, err
}
