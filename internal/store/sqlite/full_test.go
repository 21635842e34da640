//go:build unix

package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/sqlite"
)

// childFull makes the test binary a process whose files cannot grow.
const childFull = "DRAGOMAN_STORE_CHILD_FULL"

// fill writes until the disk is full, then makes room and writes again. It prints
// what was acknowledged, one name per line, and where it failed.
func fill(path string) error {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, path)
	if err != nil {
		return err
	}
	defer s.Close()
	signal.Ignore(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	plenty := limit.Cur
	limit.Cur = 512 << 10
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	failed := 0
	for n := 0; failed < 3 && n < 1000; n++ {
		if err := put(ctx, s, n); err != nil {
			failed++
		}
	}
	if failed == 0 {
		return errors.New("the disk did not get full")
	}
	fmt.Println("full")
	limit.Cur = plenty
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	return put(ctx, s, 1001)
}

func put(ctx context.Context, s *store.Store, n int) error {
	id := fmt.Sprint("c", n)
	err := s.Clients.Put(ctx, store.Client{ID: id, Data: bytes.Repeat([]byte(id), 1000)})
	if err == nil {
		fmt.Println(id)
	}
	return err
}

// TestAFullDiskIsNeverAcknowledged is promise P02: a write that did not get to the
// disk is an error, and when there is room again the store goes on.
func TestAFullDiskIsNeverAcknowledged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childFull+"="+path)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	before, after, full := strings.Cut(string(out), "full\n")
	if !full || after != "c1001\n" {
		t.Fatalf("after the disk was full: got %q, want c1001 acknowledged", after)
	}
	s := open(t, path)
	acknowledged := append(strings.Fields(before), "c1001")
	for _, id := range acknowledged {
		got, err := s.Clients.Get(t.Context(), id)
		if err != nil || !bytes.Equal(got.Data, bytes.Repeat([]byte(id), 1000)) {
			t.Errorf("%s was acknowledged: got %d bytes, %v", id, len(got.Data), err)
		}
	}
	all, err := s.Clients.List(t.Context(), "", 2000)
	if err != nil || len(all) != len(acknowledged) {
		t.Errorf("%d records, error %v, want the %d that were acknowledged", len(all), err, len(acknowledged))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	intact(t, path)
}
