package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	_ "crypto/sha256" // for crypto.Hash.New
	_ "crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// algorithm is what the name of an algorithm stands for (RFC 7518, 3.1; RFC 8037; RFC 9864).
type algorithm struct {
	family string // of keys: RSA, EC, OKP or oct
	hash   crypto.Hash
	curve  elliptic.Curve // EC only
	pss    bool
}

// algorithms are all that are ever accepted: "none" is not one of them.
var algorithms = map[string]algorithm{
	"RS256": {family: "RSA", hash: crypto.SHA256}, "RS384": {family: "RSA", hash: crypto.SHA384}, "RS512": {family: "RSA", hash: crypto.SHA512},
	"PS256": {family: "RSA", hash: crypto.SHA256, pss: true}, "PS384": {family: "RSA", hash: crypto.SHA384, pss: true},
	"PS512": {family: "RSA", hash: crypto.SHA512, pss: true},
	"ES256": {family: "EC", hash: crypto.SHA256, curve: elliptic.P256()}, "ES384": {family: "EC", hash: crypto.SHA384, curve: elliptic.P384()},
	"ES512": {family: "EC", hash: crypto.SHA512, curve: elliptic.P521()},
	"EdDSA": {family: "OKP"}, "Ed25519": {family: "OKP"},
	"HS256": {family: "oct", hash: crypto.SHA256}, "HS384": {family: "oct", hash: crypto.SHA384}, "HS512": {family: "oct", hash: crypto.SHA512},
}

// Symmetric says whether who can check a signature of this algorithm can also make one.
func Symmetric(alg string) bool { return algorithms[alg].family == "oct" }

// Known says whether an algorithm can be accepted at all.
func Known(alg string) bool { _, ok := algorithms[alg]; return ok }

// Key is a key to check signatures with.
type Key struct {
	// ID is its kid; may be empty.
	ID string
	// Algorithm is the only one that it is for; empty means all of its family.
	Algorithm string

	public any // *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey or secret
}

type secret []byte

// Fits says whether the key may be used for a token with this header.
func (k Key) Fits(alg string) bool {
	a, ok := algorithms[alg]
	if !ok || k.Algorithm != "" && k.Algorithm != alg {
		return false
	}
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		return a.family == "RSA"
	case *ecdsa.PublicKey:
		return a.family == "EC" && public.Curve == a.curve
	case ed25519.PublicKey:
		return a.family == "OKP"
	case secret:
		return a.family == "oct"
	}
	return false
}

// Verify checks the signature. Which algorithms are allowed is the caller's
// decision; that the key is one for the token's algorithm is checked here, so
// that a public key is never taken for a secret (RFC 8725, 2.1 and 3.1).
func (k Key) Verify(t *Token) error { return k.verify(t.Algorithm, t.signed, t.signature) }

func (k Key) verify(alg string, signed, signature []byte) error {
	if !k.Fits(alg) {
		return fmt.Errorf("key is not for %s: %w", alg, ErrSignature)
	}
	a := algorithms[alg]
	var digest []byte
	if a.hash != 0 {
		h := a.hash.New()
		h.Write(signed)
		digest = h.Sum(nil)
	}
	ok := false
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		ok = verifyRSA(public, a, digest, signature) == nil
	case *ecdsa.PublicKey:
		ok = verifyEC(public, digest, signature)
	case ed25519.PublicKey:
		ok = ed25519.Verify(public, signed, signature)
	case secret:
		h := hmac.New(a.hash.New, public)
		h.Write(signed)
		ok = hmac.Equal(h.Sum(nil), signature)
	}
	if !ok {
		return ErrSignature
	}
	return nil
}

func verifyRSA(public *rsa.PublicKey, a algorithm, digest, signature []byte) error {
	if a.pss {
		// The salt is as long as the digest (RFC 7518, 3.5).
		return rsa.VerifyPSS(public, a.hash, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	}
	return rsa.VerifyPKCS1v15(public, a.hash, digest, signature)
}

// verifyEC takes r and s as numbers of the curve's length, one after the other
// (RFC 7518, 3.4).
func verifyEC(public *ecdsa.PublicKey, digest, signature []byte) bool {
	size := (public.Curve.Params().BitSize + 7) / 8
	if len(signature) != 2*size {
		return false
	}
	r, s := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
	return ecdsa.Verify(public, digest, r, s)
}

// Bounds of a key set.
const (
	maxKeys              = 100
	minRSABits           = 2048 // RFC 7518, 3.3
	maxRSABits           = 8192 // more would make each signature a burden
	smallestExponent     = 3
	largestExponentBytes = 4
)

// ParseKeys reads a JWK set as an issuer publishes it. Keys that are for
// something else, of unknown kind, too weak or secret are left out: a set may
// hold them, and they are not for us. A set without any usable key is an error.
func ParseKeys(data []byte) ([]Key, error) {
	set, err := parseObject(data)
	if err != nil {
		return nil, fmt.Errorf("read key set: %w", err)
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(set["keys"], &raw); err != nil {
		return nil, errors.New("read key set: it has no list named keys")
	}
	if len(raw) > maxKeys {
		return nil, fmt.Errorf("read key set: %d keys are more than %d", len(raw), maxKeys)
	}
	var keys []Key
	var why error
	for _, one := range raw {
		k, err := ParseKey(one)
		if err != nil {
			why = err
			continue
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("read key set: none of %d keys can be used: %w", len(raw), why)
	}
	return keys, nil
}

// ParseKey reads one public JWK that is for checking signatures.
func ParseKey(data []byte) (Key, error) {
	c, err := parseObject(data)
	if err != nil {
		return Key{}, fmt.Errorf("read key: %w", err)
	}
	if use, ok := c["use"]; ok && string(use) != `"sig"` {
		return Key{}, fmt.Errorf("key is for %s, not for signatures", use)
	}
	if _, ok := c["key_ops"]; ok {
		if ops, _ := c.Texts("key_ops"); !slices.Contains(ops, "verify") {
			return Key{}, fmt.Errorf("key is for %q, not to verify", ops)
		}
	}
	k := Key{}
	k.ID, _ = c.Text("kid")
	k.Algorithm, _ = c.Text("alg")
	kty, _ := c.Text("kty")
	switch kty {
	case "RSA":
		k.public, err = rsaKey(c)
	case "EC":
		k.public, err = ecKey(c)
	case "OKP":
		k.public, err = okpKey(c)
	default:
		err = fmt.Errorf("key is of kind %q", kty)
	}
	if err == nil && k.Algorithm != "" && !k.Fits(k.Algorithm) {
		err = fmt.Errorf("key of kind %s says that it is for %q", kty, k.Algorithm)
	}
	return k, err
}

func (c Claims) bytes(name string) ([]byte, error) {
	s, _ := c.Text(name)
	b, err := decode(s)
	if err != nil || len(b) == 0 {
		return nil, fmt.Errorf("key has no %s", name)
	}
	return b, nil
}

func rsaKey(c Claims) (any, error) {
	n, err := c.bytes("n")
	if err != nil {
		return nil, err
	}
	e, err := c.bytes("e")
	if err != nil {
		return nil, err
	}
	public := &rsa.PublicKey{N: new(big.Int).SetBytes(n)}
	if bits := public.N.BitLen(); bits < minRSABits || bits > maxRSABits || public.N.Bit(0) == 0 {
		return nil, fmt.Errorf("RSA key has %d bits, want %d to %d, and odd", bits, minRSABits, maxRSABits)
	}
	exponent := new(big.Int).SetBytes(e)
	if len(e) > largestExponentBytes || exponent.BitLen() > 31 || exponent.Int64() < smallestExponent || exponent.Bit(0) == 0 {
		return nil, errors.New("RSA key has an exponent that is not accepted")
	}
	public.E = int(exponent.Int64())
	return public, nil
}

func ecKey(c Claims) (any, error) {
	name, _ := c.Text("crv")
	curves := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}
	curve := curves[name]
	if curve == nil {
		return nil, fmt.Errorf("key is on the curve %q", name)
	}
	size := (curve.Params().BitSize + 7) / 8
	point := []byte{4} // uncompressed
	for _, coordinate := range []string{"x", "y"} {
		b, err := c.bytes(coordinate)
		if err != nil {
			return nil, err
		}
		if len(b) != size { // RFC 7518, 6.2.1.2
			return nil, fmt.Errorf("%s of the key has %d bytes, not %d", coordinate, len(b), size)
		}
		point = append(point, b...)
	}
	public, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil, errors.New("key is not a point of its curve")
	}
	return public, nil
}

func okpKey(c Claims) (any, error) {
	if name, _ := c.Text("crv"); name != "Ed25519" {
		return nil, fmt.Errorf("key is on the curve %q", name)
	}
	x, err := c.bytes("x")
	if err != nil || len(x) != ed25519.PublicKeySize {
		return nil, errors.New("key is not one of Ed25519")
	}
	return ed25519.PublicKey(x), nil
}
