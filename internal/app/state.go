package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/secret"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/backend"
)

// memory is what the gateway has to remember, opened when something first needs
// it: who configures nothing that does has no database.
type memory struct {
	mu    sync.Mutex // guards what follows
	store *store.Store
	box   *secret.Box // nil until something has to be encrypted
}

// openTimeout bounds the opening of the store, its migrations included.
const openTimeout = time.Minute

// state gives the store. It lasts until the App is closed; a changed section
// state takes a restart.
func (a *App) state(cfg *config.Config) (*store.Store, error) {
	a.memory.mu.Lock()
	defer a.memory.mu.Unlock()
	if a.memory.store != nil {
		return a.memory.store, nil
	}
	ctx, cancel := context.WithTimeout(a.ctx, openTimeout)
	defer cancel()
	opened, err := backend.Open(ctx, cfg.State)
	if err != nil {
		return nil, err
	}
	a.memory.store = opened
	return opened, nil
}

func (m *memory) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.store == nil {
		return nil
	}
	return m.store.Close()
}

// sealingSecret is what signing keys are encrypted with: session.secret, which
// replicas share, or else a file beside the database of this machine.
func sealingSecret(cfg *config.Config) ([]byte, error) {
	if text := cfg.Session.Secret.Reveal(); text != "" {
		return []byte(text), nil
	}
	if cfg.State.Driver != "sqlite" || cfg.State.Path == "" {
		return nil, errors.New("signing keys are encrypted with session.secret: set it to at least 32 random characters, the same on every replica")
	}
	return secretFile(cfg.State.Path + ".key")
}

// secretBytes is how long the secret in a file is.
const secretBytes = 32

// secretFile reads a file with a secret, which it makes if there is none.
func secretFile(path string) ([]byte, error) {
	secret, err := readSecret(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	secret = make([]byte, secretBytes)
	_, _ = rand.Read(secret) // never fails
	made, err := os.CreateTemp(filepath.Dir(path), ".key-*")
	if err != nil {
		return nil, fmt.Errorf("make the key of the state: %w", err)
	}
	defer os.Remove(made.Name())
	_, err = made.Write(secret)
	if err = errors.Join(err, made.Sync(), made.Close()); err != nil {
		return nil, fmt.Errorf("make the key of the state: %w", err)
	}
	// A link that exists already is another process's, which was faster.
	if err := os.Link(made.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make the key of the state: %w", err)
	}
	return readSecret(path)
}

func readSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the key of the state: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 && filepath.Separator == '/' {
		return nil, fmt.Errorf("read the key of the state: others may read %s; make it yours alone with chmod 600, or remove it if they have", path)
	}
	secret, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the key of the state: %w", err)
	}
	if len(secret) != secretBytes {
		return nil, fmt.Errorf("read the key of the state: %s has %d bytes, not %d", path, len(secret), secretBytes)
	}
	return secret, nil
}
