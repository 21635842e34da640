// Package program builds the command dragoman for tests that run it as users do.
// It does not know what they run it for.
package program

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// limit bounds a build: on a busy machine with an empty cache it takes minutes.
const limit = 15 * time.Minute

// Build writes the program to dir, built with flags of go build, and returns where.
func Build(ctx context.Context, dir string, flags ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	path := filepath.Join(dir, "dragoman")
	argv := append([]string{"build", "-buildvcs=false", "-o", path}, flags...)
	out, err := exec.CommandContext(ctx, "go", append(argv, "github.com/dragoman-mcp/dragoman/cmd/dragoman")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the gateway: %w\n%s", err, out)
	}
	return path, nil
}

// Once is the program of all tests of a package, built when the first of them
// wants it. The zero value is ready; Remove ends it.
type Once struct {
	once sync.Once
	dir  string
	path string
	err  error
}

// Path returns where the program is, and fails the test when it cannot be built.
// The environment variable named given may name one that is there already.
func (o *Once) Path(t testing.TB, given string, flags ...string) string {
	t.Helper()
	o.once.Do(func() {
		if path := os.Getenv(given); path != "" {
			o.path, o.err = filepath.Abs(path)
			return
		}
		if o.dir, o.err = os.MkdirTemp("", "dragoman-test-"); o.err == nil {
			o.path, o.err = Build(context.Background(), o.dir, flags...)
		}
	})
	if o.err != nil {
		t.Fatal(o.err)
	}
	return o.path
}

// Remove deletes what was built. TestMain calls it at the end.
func (o *Once) Remove() {
	if o.dir != "" {
		_ = os.RemoveAll(o.dir)
	}
}
