package secret

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
)

// minMaterial is the least that a Local is made of, in bytes.
const minMaterial = 32

// Local is a Wrapper whose one master key is made of a secret that is there
// anyway: of whoever has configured neither a key file nor a service. Who reads
// that secret and the database can read everything.
type Local struct {
	id   string
	aead *subtle.XChaCha20Poly1305
}

var _ Wrapper = (*Local)(nil)

// NewLocal returns a Local of a secret of at least 32 bytes.
func NewLocal(material []byte) (*Local, error) {
	if len(material) < minMaterial {
		return nil, fmt.Errorf("key material has %d bytes, want at least %d", len(material), minMaterial)
	}
	key, err := hkdf.Key(sha256.New, material, nil, "dragoman data keys 1", keySize)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	name, err := hkdf.Key(sha256.New, material, nil, "dragoman name of the data keys' key 1", 8)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	aead, err := subtle.NewXChaCha20Poly1305(key)
	if err != nil {
		return nil, err
	}
	return &Local{id: "local-" + hex.EncodeToString(name), aead: aead}, nil
}

// Current implements Wrapper.
func (l *Local) Current(context.Context) (string, error) { return l.id, nil }

// Wrap implements Wrapper.
func (l *Local) Wrap(_ context.Context, key, about []byte) ([]byte, string, error) {
	wrapped, err := l.aead.Encrypt(key, about)
	return wrapped, l.id, err
}

// Unwrap implements Wrapper.
func (l *Local) Unwrap(_ context.Context, id string, wrapped, about []byte) ([]byte, error) {
	if id != l.id {
		return nil, fmt.Errorf("%w: %s", ErrUnknownKey, id)
	}
	plain, err := l.aead.Decrypt(wrapped, about)
	if err != nil {
		return nil, ErrTampered
	}
	return plain, nil
}
