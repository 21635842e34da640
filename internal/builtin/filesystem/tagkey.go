package filesystem

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dragoman-mcp/dragoman/server"
)

// keyBytes is how long the key of tags is in its file.
const keyBytes = 32

// tagKey gives what the tags of local files are made with, which has to be the same whenever and wherever a tag comes back:
// the secret that replicas share, or a file of this server's own. Without either, tags are made without a key.
func tagKey(env *server.Env) ([]byte, error) {
	if len(env.Secret) > 0 {
		return env.Secret, nil
	}
	own := server.Env{Name: cmp.Or(env.Name, "filesystem"), DataDir: env.DataDir}
	if own.DataDir == "" {
		return nil, nil
	}
	dir, err := own.Data()
	if err != nil {
		return nil, err
	}
	return keyFile(filepath.Join(dir, "tags.key"))
}

// keyFile reads a key, and makes it when there is none.
func keyFile(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeKey(path); err != nil {
			return nil, err
		}
		key, err = os.ReadFile(path)
	}
	if err == nil && len(key) != keyBytes {
		err = fmt.Errorf("%s has %d bytes and not %d: remove it", path, len(key), keyBytes)
	}
	if err != nil {
		return nil, fmt.Errorf("read the key of etags: %w", err)
	}
	return key, nil
}

// makeKey puts a key there whole, unless another process was faster.
func makeKey(path string) error {
	made, err := os.CreateTemp(filepath.Dir(path), ".key-*") // which others cannot read
	if err != nil {
		return fmt.Errorf("make the key of etags: %w", err)
	}
	defer func() { _ = os.Remove(made.Name()) }()
	key := make([]byte, keyBytes)
	_, _ = rand.Read(key) // it never fails
	_, err = made.Write(key)
	if err = errors.Join(err, made.Sync(), made.Close()); err == nil {
		err = os.Link(made.Name(), path)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the key of etags: %w", err)
	}
	return nil
}
