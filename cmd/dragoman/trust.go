package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// trust says who vouches for a server that is spoken with over https, and how the
// command shows who itself is.
type trust struct {
	ca, cert, key string
	settings      *tls.Config // read from the files; nil for the system's
}

func (t *trust) flags(f *pflag.FlagSet) {
	f.StringVar(&t.ca, "ca", "", "`FILE` with the authorities that vouch for https servers, PEM, in place of the system's")
	f.StringVar(&t.cert, "cert", "", "`FILE` with the client certificate to show (mTLS), PEM")
	f.StringVar(&t.key, "key", "", "`FILE` with its key, PEM (default: the file of --cert)")
}

// gather reads the files.
func (t *trust) gather() error {
	if t.ca == "" && t.cert == "" && t.key == "" {
		return nil
	}
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.ca != "" {
		text, err := os.ReadFile(t.ca)
		if err != nil {
			return exit(exitUsage, fmt.Errorf("--ca: %w", err))
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(text) {
			return exit(exitUsage, fmt.Errorf("--ca %s has no certificate: it must be PEM, with lines like -----BEGIN CERTIFICATE-----", t.ca))
		}
	}
	if t.cert == "" && t.key != "" {
		return exit(exitUsage, errors.New("--key is the key of --cert: name that too"))
	}
	if t.cert != "" {
		key := t.key
		if key == "" {
			key = t.cert
		}
		pair, err := tls.LoadX509KeyPair(t.cert, key)
		if err != nil {
			return exit(exitUsage, fmt.Errorf("--cert %s with --key %s: %w", t.cert, key, err))
		}
		settings.Certificates = []tls.Certificate{pair}
	}
	t.settings = settings
	return nil
}

// ofAlert knows what servers do not like about a client, which they tell in an
// alert (RFC 8446, section 6). It comes as an error whose type is not exported,
// in a *net.OpError of this name.
const alertOp = "remote error"

func ofAlert(alert error) trouble {
	text := strings.TrimPrefix(alert.Error(), "tls: ")
	switch {
	case text == "certificate required":
		return trouble{text: "TLS: it demands a client certificate of an authority that it knows", remedy: "show one with --cert FILE --key FILE", code: exitAuth}
	case strings.Contains(text, "certificate"):
		return trouble{text: "TLS: it does not take the client certificate: " + text,
			remedy: "show one with --cert that an authority of its tls.client_ca has signed and that has not expired", code: exitAuth}
	}
	return trouble{text: "TLS: it ends the handshake: " + text, remedy: "look at its log"}
}
