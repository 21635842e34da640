// Package mysql reads databases of MySQL and MariaDB. What only reads is held
// four times: the role (Posture), a verdict on the words of a statement and a list
// of the functions it may call, a session of read-only transactions, and
// prepared statements, of which each is one.
//
// It does not know MCP, nor who asks, nor how to reach a network.
package mysql

import (
	"context"
	"crypto/tls"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/server/backend"
)

// Options say which database, and bound it.
type Options struct {
	DSN       string // mysql://user:password@host:port/database?tls=true|skip-verify|false
	Dial      func(ctx context.Context, network, address string) (net.Conn, error)
	TLS       *tls.Config // verifies the server, whatever the URL leaves open; nil for what the URL says
	MaxConns  int         // 4 when 0
	MaxCell   int         // bytes of one packet, and so of one row; 16 MiB when 0
	Functions []string    // that may be called beyond those known
}

const (
	connectLimit = 10 * time.Second
	killLimit    = 700 * time.Millisecond

	// modeSQL is what lex knows, in which quotes make texts and backslashes escape.
	modeSQL = "SET SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'"
)

// Source is one database, read through a pool.
type Source struct {
	connector driver.Connector
	pool      *backend.Pool[*conn]
	allowed   map[string]bool
	session   []string // statements that each connection begins with
}

var _ engine.Source = (*Source)(nil)

// Open returns a source. Nothing is connected before it is used.
func Open(o Options) (*Source, error) {
	config, err := configure(o)
	if err != nil {
		return nil, err
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	if o.MaxConns == 0 {
		o.MaxConns = 4
	}
	s := &Source{connector: connector, allowed: map[string]bool{}, session: []string{modeSQL, "SET SESSION TRANSACTION READ ONLY", "SET SESSION autocommit = 1",
		"SET SESSION group_concat_max_len = 1048576"}}
	for _, name := range o.Functions {
		s.allowed[strings.ToLower(name)] = true
	}
	s.pool = backend.NewPool(backend.PoolOptions[*conn]{
		Open: s.connect, Close: func(c *conn) { _ = c.Close() }, Max: o.MaxConns, OpenTimeout: connectLimit,
	})
	return s, nil
}

// configure fills the driver's configuration by itself, since its own DSN has
// switches for several statements at once, for local files and for passwords in
// the open.
func configure(o Options) (*mysql.Config, error) {
	u, err := url.Parse(o.DSN)
	if err != nil || u.Host == "" {
		return nil, errors.New("it is no URL like mysql://user@host/database")
	}
	c := mysql.NewConfig()
	c.Net, c.Addr, c.DBName, c.User = "tcp", u.Host, strings.TrimPrefix(u.Path, "/"), u.User.Username()
	if u.Port() == "" {
		c.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	c.Passwd, _ = u.User.Password()
	c.DialFunc, c.Timeout, c.MaxAllowedPacket = o.Dial, connectLimit, o.MaxCell
	if o.MaxCell == 0 {
		c.MaxAllowedPacket = 16 << 20
	}
	c.Logger, c.Collation = &mysql.NopLogger{}, "utf8mb4_general_ci"
	for name, values := range u.Query() {
		if name != "tls" {
			return nil, fmt.Errorf("the only parameter is tls, and not %q", name)
		}
		if c.TLSConfig = values[0]; !engine.Listed("true false skip-verify preferred", c.TLSConfig) {
			return nil, errors.New("tls is true, false, preferred or skip-verify")
		}
	}
	if o.TLS != nil {
		if c.TLSConfig != "" && c.TLSConfig != "true" {
			return nil, fmt.Errorf("take tls=%s out of the URL: tls of the source says how the server is verified, and it always is", c.TLSConfig)
		}
		c.TLSConfig, c.TLS = "", o.TLS.Clone() // of which the driver completes the name
	} else if host := u.Hostname(); c.TLSConfig == "" && !config.IsLoopback(host) {
		c.TLSConfig = "true" // to another machine in the open only when told
	}
	return c, nil
}

func (s *Source) Run(ctx context.Context, q engine.Query, rows engine.Rows) error {
	sql, err := reads(q.SQL, s.allowed)
	if err != nil {
		return err
	}
	return s.run(ctx, sql, q, rows)
}

// run runs a judged statement, which is a read-only transaction by itself: the
// session has said so for all of them, and no statement that could say otherwise
// is let through.
func (s *Source) run(ctx context.Context, sql string, q engine.Query, rows engine.Rows) error {
	err := s.pool.Do(ctx, func(c *conn) error {
		p := &pouring{rows: rows, skip: q.Skip, most: q.Max}
		err := c.atMost(ctx, q.Skip+q.Max)
		if err == nil {
			err = c.query(ctx, sql, q.Args, p.take)
		}
		switch {
		case errors.Is(err, errUnread):
			s.kill(context.WithoutCancel(ctx), c.id)
			return backend.Broken(err)
		case ctx.Err() != nil:
			s.kill(context.WithoutCancel(ctx), c.id)
			return backend.Broken(ctx.Err())
		}
		return err
	})
	if errors.Is(err, errUnread) {
		return nil
	}
	return told(ctx, err)
}

// kill ends the statement of another connection, and waits for that at most killLimit.
func (s *Source) kill(ctx context.Context, id int64) {
	ctx, cancel := context.WithTimeout(ctx, killLimit)
	defer cancel()
	raw, err := s.connector.Connect(ctx)
	if err != nil {
		return
	}
	killer := &conn{Conn: raw}
	_ = killer.exec(ctx, fmt.Sprintf("KILL QUERY %d", id))
	_ = raw.Close()
}

// told makes of what the server says something that the caller can act on.
func told(ctx context.Context, err error) error {
	var fault *mysql.MySQLError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, engine.ErrLogin), errors.Is(err, engine.ErrUnreachable), !errors.As(err, &fault):
		return err
	case fault.Number == 1064:
		return engine.Refuse("correct the statement", "%s", fault.Message)
	case fault.Number == 1792 || fault.Number == 1295 || fault.Number == 1290: // read-only transaction; not preparable; --secure-file-priv and the like
		return engine.Refuse(advice, "%s", fault.Message)
	}
	return engine.Refuse("look at the tables and columns with schema", "%s", fault.Message)
}

func (s *Source) Explain(ctx context.Context, q engine.Query) (string, error) {
	sql, err := reads(q.SQL, s.allowed)
	if err != nil {
		return "", err
	}
	var t engine.Table
	if err := s.run(ctx, "EXPLAIN "+sql, engine.Query{Args: q.Args, Max: 10_000}, &t); err != nil {
		return "", err
	}
	return text(&t), nil
}

func (s *Source) Dialect() engine.Dialect { return engine.Dialect{Name: "mysql", Quote: '`'} }

func (s *Source) Ping(ctx context.Context) error {
	return s.Run(ctx, engine.Query{SQL: "SELECT 1", Max: 1}, &engine.Table{})
}

func (s *Source) Close() error { return s.pool.Close() }
