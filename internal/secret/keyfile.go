package secret

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
)

const (
	// workFactor is the cost of a guess at the passphrase: 2^17 rounds of scrypt
	// with 128 MiB of memory, about half a second, once at each start.
	workFactor    = 17
	maxWorkFactor = 20
	// maxKeyFile and maxKeys bound a key file.
	maxKeyFile = 64 << 10
	maxKeys    = 200
	keySize    = 32
	// keyForm begins each line of a key file, before the id of the key and the
	// key in hex. The newest key comes first.
	keyForm = "dragoman-kek-1"
)

// KeyFile is a Wrapper whose master keys are in a file, encrypted with a
// passphrase (age, with scrypt).
type KeyFile struct {
	keys []masterKey // newest first
}

type masterKey struct {
	id   string
	text []byte
	aead *subtle.XChaCha20Poly1305
}

var _ Wrapper = (*KeyFile)(nil)

// CreateKeyFile makes a key file with one new key. A file that is there already
// is an error: its keys may be in use.
func CreateKeyFile(path string, passphrase Value) error {
	if _, err := os.Stat(path); err == nil {
		return fmt.Errorf("create key file: %s: %w", path, fs.ErrExist)
	}
	k := &KeyFile{}
	if err := k.grow(); err != nil {
		return err
	}
	return k.write(path, passphrase, workFactor)
}

// RotateKeyFile puts a new key before those that a key file has. Data keys are
// wrapped with it from the next start on; see [Box.Rewrap] for those that were
// wrapped before.
func RotateKeyFile(path string, passphrase Value) error {
	k, err := OpenKeyFile(path, passphrase)
	if err != nil {
		return err
	}
	if len(k.keys) >= maxKeys {
		return fmt.Errorf("rotate key file: %s has %d keys already", path, len(k.keys))
	}
	if err := k.grow(); err != nil {
		return err
	}
	return k.write(path, passphrase, workFactor)
}

// OpenKeyFile reads a key file. One that others than its owner can read, or
// change, is refused.
func OpenKeyFile(path string, passphrase Value) (*KeyFile, error) {
	text, err := readPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("open key file: %w", err)
	}
	identity, err := age.NewScryptIdentity(string(passphrase.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("open key file %s: %w", path, err)
	}
	identity.SetMaxWorkFactor(maxWorkFactor)
	plain, err := age.Decrypt(bytes.NewReader(text), identity)
	if err != nil {
		return nil, fmt.Errorf("open key file %s: wrong passphrase, or not a key file: %w", path, err)
	}
	lines, err := io.ReadAll(io.LimitReader(plain, maxKeyFile))
	if err != nil {
		return nil, fmt.Errorf("open key file %s: %w", path, err)
	}
	defer clear(lines)
	k := &KeyFile{}
	for line := range strings.Lines(string(lines)) {
		if err := k.read(strings.Fields(line)); err != nil {
			return nil, fmt.Errorf("open key file %s: %w", path, err)
		}
	}
	if len(k.keys) == 0 {
		return nil, fmt.Errorf("open key file %s: it has no key", path)
	}
	return k, nil
}

// readPrivate reads a file that is its owner's alone.
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read or changed by others (mode %#o): chmod 600 it", path, info.Mode().Perm())
	}
	return io.ReadAll(io.LimitReader(f, 2*maxKeyFile))
}

func (k *KeyFile) read(words []string) error {
	if len(words) == 0 {
		return nil
	}
	if len(words) != 3 || words[0] != keyForm || len(k.keys) >= maxKeys {
		return fmt.Errorf("a line is not %q, an id and a key, or there are more than %d", keyForm, maxKeys)
	}
	text, err := hex.DecodeString(words[2])
	if err != nil || len(text) != keySize {
		return fmt.Errorf("key %s is not %d bytes in hex", words[1], keySize)
	}
	return k.add(words[1], text, len(k.keys))
}

func (k *KeyFile) add(id string, text []byte, at int) error {
	aead, err := subtle.NewXChaCha20Poly1305(text)
	if err != nil {
		return err
	}
	k.keys = append(k.keys[:at], append([]masterKey{{id, text, aead}}, k.keys[at:]...)...)
	return nil
}

// grow adds a new key before the others.
func (k *KeyFile) grow() error {
	text := make([]byte, keySize)
	_, _ = rand.Read(text) // never fails
	return k.add("file-"+strings.ToLower(rand.Text()[:12]), text, 0)
}

// write replaces the file as a whole.
func (k *KeyFile) write(path string, passphrase Value, factor int) error {
	recipient, err := age.NewScryptRecipient(string(passphrase.Reveal()))
	if err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	recipient.SetWorkFactor(factor)
	var out bytes.Buffer
	w, err := age.Encrypt(&out, recipient)
	if err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	for _, key := range k.keys {
		if _, err := fmt.Fprintln(w, keyForm, key.id, hex.EncodeToString(key.text)); err != nil {
			return fmt.Errorf("write key file: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	if err := replace(path, out.Bytes()); err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	return nil
}

// replace writes a file beside another and puts it in its place, on disk.
func replace(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Current implements Wrapper.
func (k *KeyFile) Current(context.Context) (string, error) { return k.keys[0].id, nil }

// Wrap implements Wrapper.
func (k *KeyFile) Wrap(_ context.Context, key, about []byte) ([]byte, string, error) {
	wrapped, err := k.keys[0].aead.Encrypt(key, about)
	return wrapped, k.keys[0].id, err
}

// Unwrap implements Wrapper.
func (k *KeyFile) Unwrap(_ context.Context, id string, wrapped, about []byte) ([]byte, error) {
	for _, key := range k.keys {
		if key.id != id {
			continue
		}
		plain, err := key.aead.Decrypt(wrapped, about)
		if err != nil {
			return nil, ErrTampered
		}
		return plain, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrUnknownKey, id)
}
