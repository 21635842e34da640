package servers

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// MongoDB starts a server of MongoDB's protocol, which is FerretDB with SQLite
// behind it, and returns the URL of an empty database called test. Nobody has to
// log in. It is stopped when the test ends. Starting takes less than a second.
// Of what MongoDB has, it lacks $lookup, most accumulators, sessions, transactions
// and privileges.
func MongoDB(tb testing.TB) string {
	tb.Helper()
	program, err := built("ferretdb")
	if err != nil {
		missing(tb, err)
	}
	p := newPlace(tb, "nobody")
	if err := os.Mkdir(p.path("data"), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.Chown(p.path("data"), p.account.uid, p.account.gid); err != nil {
		tb.Fatal(err)
	}
	// The tree may be where the server's user cannot read.
	if err := copied(program, p.path("ferretdb")); err != nil {
		tb.Fatal(err)
	}
	p.run(server{
		program: p.path("ferretdb"),
		args:    func(port int) []string { return []string{"127.0.0.1:" + strconv.Itoa(port), p.path("data")} },
		probe:   listens,
		stop:    syscall.SIGKILL,
	})
	return fmt.Sprintf("mongodb://127.0.0.1:%d/test", p.port)
}

// built is the path of a program that test/servers/setup builds.
func built(name string) (string, error) {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		path := filepath.Join(dir, ".cache", "servers", name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return "", fmt.Errorf("%s is not built", name)
}

func copied(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(target, source); err != nil {
		target.Close()
		return err
	}
	return target.Close()
}

// listens tells whether somebody takes connections.
func listens(port int) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return conn.Close()
}
