package servers

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// MariaDB starts MariaDB and returns the DSN of an empty database called test, in
// the form of go-sql-driver/mysql; the user is root and has no password. It is
// stopped when the test ends. Starting takes about five seconds.
func MariaDB(tb testing.TB) string {
	tb.Helper()
	return newPlace(tb, "mysql").mariadb()
}

// MariaDBTLS is MariaDB that takes nobody without TLS.
func MariaDBTLS(tb testing.TB) (string, Papers) {
	tb.Helper()
	p := newPlace(tb, "mysql")
	papers := p.papers()
	return p.mariadb("--ssl-ca="+papers.CA, "--ssl-cert="+papers.Cert, "--ssl-key="+papers.Key, "--require-secure-transport=ON"), papers
}

// mariadb starts it with more arguments.
func (p *place) mariadb(more ...string) string {
	p.Helper()
	install, mariadbd := find(p, "mariadb-install-db"), find(p, "mariadbd", "/usr/sbin", "/usr/libexec")
	start := p.path("start.sql")
	if err := os.WriteFile(start, []byte("CREATE DATABASE IF NOT EXISTS test;\n"), 0o644); err != nil {
		p.Fatal(err)
	}
	p.prepare(install, "--no-defaults", "--datadir="+p.path("data"), "--tmpdir="+p.dir,
		"--auth-root-authentication-method=normal", "--skip-test-db")
	p.run(server{
		program: mariadbd,
		args: func(port int) []string {
			return append([]string{"--no-defaults", "--datadir=" + p.path("data"), "--tmpdir=" + p.dir, "--port=" + strconv.Itoa(port),
				"--bind-address=127.0.0.1", "--socket=" + p.path("s.sock"), "--pid-file=" + p.path("pid"), "--init-file=" + start,
				"--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M", "--skip-name-resolve"}, more...)
		},
		probe: greets,
		stop:  syscall.SIGKILL,
	})
	return fmt.Sprintf("root@tcp(127.0.0.1:%d)/test", p.port)
}

// greets tells whether a server of MySQL's protocol speaks first, as it does when
// it takes connections: a packet whose fourth byte, the sequence, is 0 and whose
// fifth is the version of the protocol.
func greets(port int) error {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	var hello [5]byte
	if _, err := io.ReadFull(conn, hello[:]); err != nil {
		return err
	}
	if hello[3] != 0 || hello[4] != 10 {
		return fmt.Errorf("greets with % x, want protocol 10", hello)
	}
	return nil
}
