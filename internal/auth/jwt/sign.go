package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
)

// Signer makes tokens with one private key, of Ed25519 or P-256.
type Signer struct {
	key     crypto.Signer
	alg, id string
	public  publicKey
}

// publicKey is the JWK of a key, in the order of its thumbprint (RFC 7638, 3.2).
type publicKey struct {
	Curve string `json:"crv"`
	Kind  string `json:"kty"`
	X     string `json:"x"`
	Y     string `json:"y,omitempty"`
}

// NewPrivateKey makes a private key for an algorithm, EdDSA or ES256, in the
// form that NewSigner takes (PKCS #8).
func NewPrivateKey(alg string) ([]byte, error) {
	var key any
	var err error
	switch alg {
	case "EdDSA":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case "ES256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		return nil, fmt.Errorf("no keys are made for the algorithm %q: choose EdDSA or ES256", alg)
	}
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return x509.MarshalPKCS8PrivateKey(key)
}

// NewSigner takes a private key of NewPrivateKey. Its id is the thumbprint of
// its public part, which no other key has.
func NewSigner(pkcs8 []byte) (*Signer, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return nil, errors.New("read signing key: it is not in the form PKCS #8")
	}
	s := &Signer{}
	switch key := parsed.(type) {
	case ed25519.PrivateKey:
		s.key, s.alg = key, "EdDSA"
		s.public = publicKey{Curve: "Ed25519", Kind: "OKP", X: encode(key.Public().(ed25519.PublicKey))}
	case *ecdsa.PrivateKey:
		point, err := key.PublicKey.Bytes()
		if err != nil || key.Curve != elliptic.P256() {
			return nil, errors.New("read signing key: it is not on the curve P-256")
		}
		s.key, s.alg = key, "ES256"
		s.public = publicKey{Curve: "P-256", Kind: "EC", X: encode(point[1:33]), Y: encode(point[33:])}
	default:
		return nil, fmt.Errorf("read signing key: %T makes no tokens here", parsed)
	}
	thumb, err := json.Marshal(s.public)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(thumb)
	s.id = encode(digest[:])
	return s, nil
}

// ID is the kid of the key.
func (s *Signer) ID() string { return s.id }

// Algorithm is the alg of the key.
func (s *Signer) Algorithm() string { return s.alg }

// JWK is the public part, for a published key set.
func (s *Signer) JWK() json.RawMessage {
	out, err := json.Marshal(struct {
		publicKey
		ID        string `json:"kid"`
		Algorithm string `json:"alg"`
		Use       string `json:"use"`
	}{s.public, s.id, s.alg, "sig"})
	if err != nil {
		panic("jwt: a key of texts does not marshal: " + err.Error())
	}
	return out
}

// Key is the public part, to check tokens with.
func (s *Signer) Key() Key {
	return Key{ID: s.id, Algorithm: s.alg, public: s.publicPart()}
}

func (s *Signer) publicPart() any {
	if p, ok := s.key.Public().(ed25519.PublicKey); ok {
		return p
	}
	return s.key.Public()
}

// Sign makes a token of type typ from claims, which must marshal to an object.
func (s *Signer) Sign(typ string, claims any) (string, error) {
	header, err := json.Marshal(map[string]string{"alg": s.alg, "kid": s.id, "typ": typ})
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("write claims: %w", err)
	}
	signed := encode(header) + "." + encode(payload)
	signature, err := s.sign([]byte(signed))
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return signed + "." + encode(signature), nil
}

func (s *Signer) sign(data []byte) ([]byte, error) {
	key, ok := s.key.(*ecdsa.PrivateKey)
	if !ok {
		return s.key.Sign(rand.Reader, data, crypto.Hash(0))
	}
	digest := sha256.Sum256(data)
	r, sum, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return nil, err
	}
	out := make([]byte, 64)
	r.FillBytes(out[:32])
	sum.FillBytes(out[32:])
	return out, nil
}
