package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	keyForm    = "dragoman-audit-key-1 " // then the seed in hex
	publicForm = "dragoman-audit-pub-1 " // then the public key in hex
	publicName = "audit.pub"
	digestUse  = "dragoman audit digest of arguments"
)

// loadKey reads the key that signs, or makes one when there is no file.
func loadKey(path string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read audit key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("read audit key: %s can be read by others (mode %#o): chmod 600 it, and make a new one if others may have", path, info.Mode().Perm())
	}
	seed, err := readHex(path, keyForm, ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("read audit key: %w", err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

func makeKey(path string) (ed25519.PrivateKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // never fails
	if err := writeNew(path, []byte(keyForm+hex.EncodeToString(seed)+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("make audit key: %w", err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// writeNew writes a file that is not there yet, and has it on disk.
func writeNew(path string, text []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close(), syncDir(openFile, filepath.Dir(path)))
}

func readHex(path, form string, size int) ([]byte, error) {
	const most = 4096
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text := make([]byte, most)
	n, _ := f.Read(text)
	rest, ok := strings.CutPrefix(string(bytes.TrimSpace(text[:n])), form)
	raw, err := hex.DecodeString(rest)
	if !ok || err != nil || len(raw) != size {
		return nil, fmt.Errorf("%s is not %q and %d bytes in hex", path, strings.TrimSpace(form), size)
	}
	return raw, nil
}

// digestKey derives the key of the digests of arguments.
func digestKey(key ed25519.PrivateKey) []byte {
	secret, err := hkdf.Key(sha256.New, key.Seed(), nil, digestUse, sha256.Size)
	if err != nil {
		panic("audit: derive a key: " + err.Error()) // only for lengths that SHA-256 does not have
	}
	return secret
}

// keyID names a public key in records.
func keyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

// publish leaves the public key with the checkpoints, for those who verify. One
// that is there and another is not replaced.
func publish(dir string, key ed25519.PublicKey) error {
	path := filepath.Join(dir, publicName)
	is, err := readHex(path, publicForm, ed25519.PublicKeySize)
	if errors.Is(err, fs.ErrNotExist) {
		return writeNew(path, []byte(publicForm+hex.EncodeToString(key)+"\n"), 0o644)
	}
	if err == nil && !bytes.Equal(is, key) {
		err = fmt.Errorf("%s belongs to another key, %s: begin a new log in another directory, or restore that key", path, keyID(is))
	}
	return err
}

// PublicKey reads the public key with which the checkpoints in a file or a
// directory of checkpoints were signed.
func PublicKey(path string) (ed25519.PublicKey, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, publicName)
	}
	key, err := readHex(path, publicForm, ed25519.PublicKeySize)
	if err != nil {
		return nil, fmt.Errorf("read public key: %w", err)
	}
	return key, nil
}
