package mint

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

var errBlind = errors.New("whether the token was revoked cannot be told, since the store cannot be reached")

// minMaterial is the least key material of a Sealer, in bytes.
const minMaterial = 32

// localSealer encrypts with a key that is derived from a secret of this machine.
type localSealer struct{ aead cipher.AEAD }

// NewSealer returns a Sealer whose key is derived from a secret of at least 32
// bytes: AES-256-GCM with a random nonce, the name as associated data.
func NewSealer(material []byte) (Sealer, error) {
	if len(material) < minMaterial {
		return nil, fmt.Errorf("key material has %d bytes, want at least %d", len(material), minMaterial)
	}
	key, err := hkdf.Key(sha256.New, material, nil, "dragoman signing keys 1", 32)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return localSealer{aead}, nil
}

// Seal implements Sealer.
func (s localSealer) Seal(_ context.Context, name string, plain []byte) ([]byte, error) {
	return s.aead.Seal(nil, nil, plain, []byte(name)), nil
}

// Open implements Sealer.
func (s localSealer) Open(_ context.Context, name string, sealed []byte) ([]byte, error) {
	plain, err := s.aead.Open(nil, nil, sealed, []byte(name))
	if err != nil {
		return nil, errors.New("it was encrypted with another key, or changed")
	}
	return plain, nil
}
