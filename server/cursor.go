package server

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// maxState bounds what a cursor carries, in bytes of JSON.
const maxState = 4 << 10

// sealer makes cursors: encrypted and authenticated, so that they can neither be
// read nor altered, and bound to what they are for (AES-256-GCM with random
// nonces, good for 2^32 cursors of one key; NIST SP 800-38D, 8.3).
type sealer struct{ aead cipher.AEAD }

func newSealer(secret []byte, server string) *sealer {
	if len(secret) == 0 {
		secret = make([]byte, 32)
		_, _ = rand.Read(secret) // it never fails
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "dragoman cursors of "+server, 32)
	if err != nil {
		panic("server: derive the key of cursors: " + err.Error()) // only for keys that are too long
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("server: " + err.Error()) // only for keys of a wrong length
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("server: " + err.Error()) // only for other block sizes
	}
	return &sealer{aead}
}

func (s *sealer) seal(state any, tool, principal string) string {
	text, err := json.Marshal(state)
	if err != nil || len(text) > maxState {
		panic(fmt.Sprintf("server: state of a cursor of %s: %d bytes, %v", tool, len(text), err)) // its author's slip
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, text, purpose(tool, principal)))
}

func (s *sealer) open(cursor string, state any, tool, principal string) error {
	refused := &Error{
		Message: "this cursor is not valid here: it was made by another tool, for another caller, or before the server was started anew",
		Next:    "call again without cursor",
	}
	if len(cursor) > 2*maxState {
		return refused
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return refused
	}
	text, err := s.aead.Open(nil, nil, sealed, purpose(tool, principal))
	if err != nil || json.Unmarshal(text, state) != nil {
		return refused
	}
	return nil
}

func purpose(tool, principal string) []byte { return []byte(tool + "\x00" + principal) }
