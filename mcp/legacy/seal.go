package legacy

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// errSeal is all that is told of a token that does not open.
var errSeal = errors.New("not one of ours, or altered")

// Sealer makes the tokens that peers hold for us, session ids and request
// states: encrypted and authenticated, so that they can neither be read nor
// altered, and bound to what they are for. It is safe for concurrent use.
//
// It seals with AES-256-GCM and random nonces, which is good for 2^32 tokens of
// one key (NIST SP 800-38D, 8.3).
type Sealer struct{ aead cipher.AEAD }

// NewSealer derives the key from secret, of any length. With an empty secret
// the key is random: tokens do not outlive the process and are not known to
// other replicas.
func NewSealer(secret []byte) (*Sealer, error) {
	if len(secret) == 0 {
		secret = make([]byte, 32)
		_, _ = rand.Read(secret) // never fails, as crypto/rand documents
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "dragoman tokens v1", 32)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	return &Sealer{aead: aead}, nil
}

// seal returns text as a token for purpose, in characters that are safe in a header.
func (s *Sealer) seal(purpose string, text []byte) string {
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, text, []byte(purpose)))
}

// open returns what was sealed as token for the same purpose.
func (s *Sealer) open(purpose, token string) ([]byte, error) {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil {
		return nil, errSeal
	}
	text, err := s.aead.Open(nil, nil, sealed, []byte(purpose))
	if err != nil {
		return nil, errSeal
	}
	return text, nil
}
