package database_test

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/servertest"
	"github.com/dragoman-mcp/dragoman/test/servers"
)

// encrypted takes connections with TLS for a server that has none, and returns where.
func encrypted(t *testing.T, papers servers.Papers, plain string) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{papers.Pair}})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	t.Cleanup(func() { _ = l.Close() })
	pass := func(front net.Conn) {
		defer front.Close()
		back, err := net.Dial("tcp", plain)
		if err != nil {
			return
		}
		defer back.Close()
		all.Go(func() {
			_, _ = io.Copy(back, front)
			_ = back.Close()
		})
		_, _ = io.Copy(front, back)
	}
	all.Go(func() {
		for {
			front, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { pass(front) })
		}
	})
	return l.Addr().String()
}

// TestServersAreVerifiedByAFileOfAuthorities has real servers that take nobody without TLS, with certificates of an
// authority that the machine does not trust.
func TestServersAreVerifiedByAFileOfAuthorities(t *testing.T) {
	dir := t.TempDir()
	other := servers.NewPapers(t, t.TempDir())
	for _, kind := range []struct {
		name  string
		start func(t *testing.T) (dsn string, papers servers.Papers)
		in    args
		tool  string
	}{
		{"PostgreSQL", func(t *testing.T) (string, servers.Papers) { return servers.PostgresTLS(t) }, args{"sql": "select 1"}, "query"},
		{"MariaDB", func(t *testing.T) (string, servers.Papers) {
			dsn, papers := servers.MariaDBTLS(t)
			return "mysql://root@" + strings.NewReplacer("root@tcp(", "", ")", "").Replace(dsn), papers
		}, args{"sql": "select 1"}, "query"},
		{"FerretDB", func(t *testing.T) (string, servers.Papers) {
			papers := servers.NewPapers(t, t.TempDir())
			rest := strings.TrimPrefix(servers.MongoDB(t), "mongodb://")
			plain, name, _ := strings.Cut(rest, "/")
			return "mongodb://" + encrypted(t, papers, plain) + "/" + name, papers
		}, args{}, "schema"},
	} {
		t.Run(kind.name, func(t *testing.T) {
			dsn, papers := kind.start(t)
			copied, err := os.ReadFile(papers.CA)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, "ca.pem"), copied, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			for name, test := range map[string]struct {
				tls   args
				fails bool
			}{
				"its authority, beside the configuration":     {args{"ca": "ca.pem"}, false},
				"another name in its certificate":             {args{"ca": papers.CA, "name": "db.test"}, false},
				"a certificate of our own":                    {args{"ca": papers.CA, "cert": papers.Cert, "key": papers.Key}, false},
				"another authority":                           {args{"ca": other.CA}, true},
				"a name that is not in its certificate":       {args{"ca": papers.CA, "name": "example.test"}, true},
				"the authorities of the machine, by its name": {args{"name": "db.test"}, true},
			} {
				t.Run(name, func(t *testing.T) {
					text, err := json.Marshal(args{"sources": args{"s": args{"dsn": dsn, "tls": test.tls, "posture": "warn"}}})
					if err != nil {
						t.Fatal(err)
					}
					r, err := servertest.Open(t, database.New, &server.Env{Dir: dir, Settings: text}).Call(t.Context(), kind.tool, kind.in)
					if err != nil || r.IsError != test.fails || test.fails && !strings.Contains(r.Text(), "cannot be reached") {
						t.Errorf("got %v, %s, %s, want an error: %v", err, r.Text(), r.Structured, test.fails)
					}
				})
			}
		})
	}
}

// TestTLSThatCannotBeIsRefusedAtTheStart says what is wrong, where and what to do.
func TestTLSThatCannotBeIsRefusedAtTheStart(t *testing.T) {
	dir := t.TempDir()
	papers, other := servers.NewPapers(t, dir), servers.NewPapers(t, t.TempDir())
	if err := os.WriteFile(filepath.Join(dir, "no.pem"), []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		dsn  string
		tls  args
		want string
	}{
		"a file that is not there":        {"postgres://u@h/d", args{"ca": "none.pem"}, "tls.ca: open "},
		"a file without certificates":     {"mysql://u@h/d", args{"ca": "no.pem"}, "has no certificate in PEM"},
		"a certificate without a key":     {"mongodb://u@h/d", args{"cert": papers.Cert}, "give cert and key, or neither"},
		"a certificate with another key":  {"mongodb://u@h/d", args{"cert": papers.Cert, "key": other.Key}, "do not go together"},
		"a file of SQLite":                {"sqlite:x.db", args{"ca": papers.CA}, "is on no network: take it out"},
		"PostgreSQL without encryption":   {"postgres://u@h/d?sslmode=disable", args{"ca": papers.CA}, "take sslmode"},
		"PostgreSQL that is not verified": {"postgres://u@h/d?sslmode=require", args{"ca": papers.CA}, "take sslmode"},
		"PostgreSQL by two ways":          {"postgres://u@h/d?sslmode=verify-full&sslmode=disable", args{"ca": papers.CA}, "take sslmode"},
		"PostgreSQL with another CA":      {"postgres://u@h/d?sslrootcert=/none.pem", args{"ca": papers.CA}, "take sslmode"},
		"PostgreSQL at a socket":          {"postgres:///d?host=/run/postgresql", args{"ca": papers.CA}, "has no TLS"},
		"MySQL that is not verified":      {"mysql://u@h/d?tls=skip-verify", args{"ca": papers.CA}, "take tls=skip-verify out"},
		"MongoDB without encryption":      {"mongodb://u@h/d?tls=false", args{"ca": papers.CA}, "take tls out"},
		"MongoDB that is not verified":    {"mongodb://u@h/d?tls=true&tlsInsecure=true", args{"ca": papers.CA}, "take tlsInsecure out"},
		"MongoDB by a name for its hosts": {"mongodb+srv://u@h.example/d", args{"ca": papers.CA}, "nslookup -type=SRV _mongodb._tcp."},
		"a setting that is none":          {"postgres://u@h/d", args{"cafile": papers.CA}, "cafile"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := json.Marshal(args{"sources": args{"s": args{"dsn": test.dsn, "tls": test.tls}}})
			if err != nil {
				t.Fatal(err)
			}
			s, err := server.Open(&server.Env{Dir: dir, Settings: text}, database.New)
			if err == nil {
				_ = s.Close()
				t.Fatalf("%s with %v is taken", test.dsn, test.tls)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, want %q in it", err, test.want)
			}
		})
	}
}
