// Package jwt reads, checks and writes signed tokens in the compact form of
// JWS (RFC 7515, RFC 7519, RFC 9068), and the public keys that they are checked
// with (RFC 7517). What the libraries leave to their users is refused here:
// keys that are meant for something else, algorithms that are not the key's,
// keys and extensions that the token itself brings, names that occur twice.
//
// It does not know where keys come from, which issuers are trusted, nor what a
// caller may do.
package jwt

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// MaxToken is the most bytes of a token. What identity providers issue is
// smaller, and more would be decoded for whoever sends it.
const MaxToken = 8 << 10

// ErrSignature is wrapped by every error about a signature that is not right
// for the key, in contrast to a token that is malformed.
var ErrSignature = errors.New("signature is not valid")

// Token is a token that was read, and nothing more: unless Key.Verify has
// accepted it, it is what a stranger says.
type Token struct {
	// Algorithm, KeyID and Type are alg, kid and typ of the header.
	Algorithm, KeyID, Type string
	// Claims is the payload.
	Claims Claims

	signed    []byte // what the signature is over
	signature []byte
}

// unsafeHeaders are parameters that let the token choose its own key, or that
// change what the rest means. They are refused even if crit does not name them
// (RFC 7515, 4.1; RFC 7797; RFC 8725, 3.5 and 3.10).
var unsafeHeaders = []string{"jwk", "jku", "x5u", "x5c", "crit", "zip", "b64", "enc"}

// Parse reads a token without checking its signature.
func Parse(raw string) (*Token, error) {
	if len(raw) > MaxToken {
		return nil, fmt.Errorf("token has %d bytes, more than %d", len(raw), MaxToken)
	}
	t, payload, err := split(raw)
	if err != nil {
		return nil, err
	}
	if t.Claims, err = parseObject(payload); err != nil {
		return nil, fmt.Errorf("read claims: %w", err)
	}
	return t, nil
}

// split reads everything but the payload, which it returns decoded.
func split(raw string) (*Token, []byte, error) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, nil, fmt.Errorf("token has %d parts, not 3", len(parts))
	}
	decoded := make([][]byte, 3)
	for i, part := range parts {
		var err error
		if decoded[i], err = decode(part); err != nil {
			return nil, nil, err
		}
	}
	header, err := parseObject(decoded[0])
	if err != nil {
		return nil, nil, fmt.Errorf("read header: %w", err)
	}
	for _, name := range unsafeHeaders {
		if _, ok := header[name]; ok {
			return nil, nil, fmt.Errorf("header has %q, which is not accepted", name)
		}
	}
	t := &Token{signed: []byte(raw[:len(parts[0])+1+len(parts[1])]), signature: decoded[2]}
	for name, to := range map[string]*string{"alg": &t.Algorithm, "kid": &t.KeyID, "typ": &t.Type} {
		if _, ok := header[name]; !ok {
			continue
		}
		var text bool
		if *to, text = header.Text(name); !text {
			return nil, nil, fmt.Errorf("header has a %s that is not text", name)
		}
	}
	if _, ok := algorithms[t.Algorithm]; !ok {
		return nil, nil, fmt.Errorf("algorithm %q is not accepted", t.Algorithm)
	}
	return t, decoded[1], nil
}

// decode reads base64url without padding, as RFC 7515 defines it. The standard
// decoder passes over line ends, and without Strict over stray bits.
func decode(part string) ([]byte, error) {
	if strings.ContainsAny(part, "\r\n") {
		return nil, errors.New("token has line ends in it")
	}
	out, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, errors.New("token is not base64url")
	}
	return out, nil
}

func encode(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }
