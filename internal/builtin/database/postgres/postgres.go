// Package postgres reads databases of PostgreSQL. What only reads is held five
// times: the role (Posture), a verdict on the words of a statement and on all
// functions it can call by what the catalog says of them, DECLARE CURSOR, which
// takes one SELECT and which the server's own parser reads, a read-only
// transaction that is always rolled back, and the extended protocol, which
// carries one statement.
//
// It does not know MCP, nor who asks, nor how to reach a network.
package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/server/backend"
)

// Options say which database, and bound it.
type Options struct {
	DSN       string
	Dial      func(ctx context.Context, network, address string) (net.Conn, error)
	TLS       *tls.Config // verifies the server, whatever the URL leaves open; nil for what the URL says
	MaxConns  int         // 4 when 0
	MaxCell   int         // bytes of one message of the server, and so of one row; 16 MiB when 0
	Functions []string    // that may be called, whatever the catalog says of them
}

const (
	connectLimit = 10 * time.Second
	// killLimit is how long the server has to end a statement after it was told to.
	killLimit = 700 * time.Millisecond
	// endLimit bounds the end of a transaction, which goes on when the caller has gone.
	endLimit  = 5 * time.Second
	fetchRows = 200 // of one FETCH
	// fetchAll is how many rows are fetched at once, with the end of the
	// transaction, which saves a round trip. Those that do not fit are read and let go.
	fetchAll = 1001
)

// session is what each connection starts with, and what DISCARD ALL goes back to.
func session() map[string]string {
	return map[string]string{
		"application_name": "dragoman", "client_encoding": "UTF8", "standard_conforming_strings": "on",
		"default_transaction_read_only": "on", "DateStyle": "ISO, YMD", "IntervalStyle": "iso_8601", "extra_float_digits": "1",
		"bytea_output": "hex", "statement_timeout": "10min", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "1min",
		"xmloption": "content", "debug_print_parse": "off",
	}
}

// Source is one database, read through a pool.
type Source struct {
	pool      *backend.Pool[*pgconn.PgConn]
	functions *functions
}

var _ engine.Source = (*Source)(nil)

// Open returns a source. Nothing is connected before it is used.
func Open(o Options) (*Source, error) {
	config, err := configure(o)
	if err != nil {
		return nil, err
	}
	for name, value := range session() {
		config.RuntimeParams[name] = value
	}
	return &Source{functions: newFunctions(o.Functions), pool: newPool(config, o.MaxConns)}, nil
}

func configure(o Options) (*pgconn.Config, error) {
	settings := settingsOf(o.DSN)
	if o.TLS != nil && opposes(settings) {
		return nil, errors.New("take sslmode, sslrootcert, sslcert and sslkey out of the URL: tls of the source says how the server is verified, and it always is")
	}
	config, err := pgconn.ParseConfig(o.DSN)
	if err != nil {
		return nil, errors.New("it is no URL like postgres://user@host/database")
	}
	config.DialFunc = o.Dial
	config.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	config.ConnectTimeout = connectLimit
	config.MaxProtocolMessageBodyLen = o.MaxCell
	if o.MaxCell == 0 {
		config.MaxProtocolMessageBodyLen = 16 << 20
	}
	config.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: killLimit}
	}
	if o.TLS != nil {
		return config, secured(config, o)
	}
	if !settings.Has("sslmode") {
		config.Fallbacks = slices.DeleteFunc(config.Fallbacks, inTheOpen)
	}
	return config, nil
}

// settingsOf are the settings of a URL, behind its "?". User and password, in which
// their names may stand too, end at the first "@" unless a "/" is before it, as
// the driver has it; there may be several hosts, which no other parser takes.
func settingsOf(dsn string) url.Values {
	_, rest, _ := strings.Cut(dsn, "://")
	if at := strings.IndexAny(rest, "@/"); at >= 0 && rest[at] == '@' {
		rest = rest[at+1:]
	}
	_, query, _ := strings.Cut(rest, "?")
	settings, _ := url.ParseQuery(query) // without what is no setting
	return settings
}

// opposes tells whether a URL says otherwise, or with other files, how the server
// is verified, than to verify it.
func opposes(settings url.Values) bool {
	for _, mode := range settings["sslmode"] {
		if mode != "verify-full" {
			return true
		}
	}
	return settings.Has("sslrootcert") || settings.Has("sslcert") || settings.Has("sslkey")
}

// secured leaves only ways that are encrypted, to a server that is who it should be.
func secured(config *pgconn.Config, o Options) error {
	ways := append([]*pgconn.FallbackConfig{{Host: config.Host, Port: config.Port}}, config.Fallbacks...)
	var kept []*pgconn.FallbackConfig
	for _, way := range ways {
		if strings.HasPrefix(way.Host, "/") {
			return fmt.Errorf("the host %s is a socket of this machine, which has no TLS: take tls out", way.Host)
		}
		if slices.ContainsFunc(kept, func(k *pgconn.FallbackConfig) bool { return k.Host == way.Host && k.Port == way.Port }) {
			continue // the same without encryption
		}
		one := *way
		one.TLSConfig = o.TLS.Clone()
		if one.TLSConfig.ServerName == "" {
			one.TLSConfig.ServerName = way.Host
		}
		kept = append(kept, &one)
	}
	config.TLSConfig, config.Fallbacks = kept[0].TLSConfig, kept[1:]
	return nil
}

// inTheOpen finds ways to another machine without TLS, which the driver would
// take when TLS does not work, and so be talked out of it by whoever is between.
func inTheOpen(way *pgconn.FallbackConfig) bool {
	return way.TLSConfig == nil && !strings.HasPrefix(way.Host, "/") && !config.IsLoopback(way.Host)
}

func newPool(config *pgconn.Config, most int) *backend.Pool[*pgconn.PgConn] {
	if most == 0 {
		most = 4
	}
	return backend.NewPool(backend.PoolOptions[*pgconn.PgConn]{
		Open: func(ctx context.Context) (*pgconn.PgConn, error) { return pgconn.ConnectConfig(ctx, config) },
		Close: func(c *pgconn.PgConn) {
			ctx, cancel := context.WithTimeout(context.Background(), endLimit)
			defer cancel()
			_ = c.Close(ctx)
			<-c.CleanupDone()
		},
		Max: most, OpenTimeout: connectLimit,
	})
}

func (s *Source) Run(ctx context.Context, q engine.Query, rows engine.Rows) error {
	statement, err := reads(q.SQL)
	if err != nil {
		return err
	}
	return s.transaction(ctx, statement, q, func(t *tx) error {
		t.send("DECLARE dragoman NO SCROLL CURSOR FOR "+statement.sql, arguments(q.Args))
		if q.Skip > 0 {
			t.send("MOVE FORWARD "+strconv.Itoa(q.Skip)+" FROM dragoman", nil)
		}
		return t.fetch(q.Max, rows)
	})
}

// Explain shows the plan. EXPLAIN does not run what it explains, and the verdict
// has seen that it explains a SELECT.
func (s *Source) Explain(ctx context.Context, q engine.Query) (string, error) {
	statement, err := reads(q.SQL)
	if err != nil {
		return "", err
	}
	var plan plain
	err = s.transaction(ctx, statement, q, func(t *tx) error {
		t.send("EXPLAIN (FORMAT TEXT) "+statement.sql, arguments(q.Args))
		_, err := t.results(&plan, 10_000)
		return err
	})
	return plan.text.String(), err
}

// transaction runs f in a read-only transaction after the functions of a
// statement were judged, and undoes everything.
func (s *Source) transaction(ctx context.Context, statement outline, q engine.Query, f func(*tx) error) error {
	var ask []string
	if !q.Trusted {
		var err error
		if ask, err = s.functions.unknown(statement.calls); err != nil {
			return err
		}
	}
	err := s.pool.Do(ctx, func(c *pgconn.PgConn) error {
		if len(ask) > 0 {
			if err := s.functions.look(ctx, c, ask); err != nil {
				return broken(c, err)
			}
		}
		t := &tx{pipeline: c.StartPipeline(ctx), discard: len(s.functions.allowed) > 0}
		t.send("BEGIN TRANSACTION READ ONLY", nil)
		err := f(t)
		if closed := t.pipeline.Close(); err == nil && closed != nil {
			err = closed
		}
		if t.ending && err == nil && c.TxStatus() == 'I' {
			return nil
		}
		if ended := end(context.WithoutCancel(ctx), c); ended != nil {
			return backend.Broken(errors.Join(err, ended))
		}
		return err
	})
	return told(ctx, err)
}

// sendEnd sends the end of a transaction, after what was sent before it. What a
// function has left in the session, outside transactions, is discarded; those
// that are let through by the catalog leave nothing, and discarding costs as much
// as a query (0.2 ms).
func sendEnd(p *pgconn.Pipeline, discard bool) {
	p.SendQueryParams("ROLLBACK", nil, nil, nil, nil)
	if discard {
		p.SendPipelineSync()
		p.SendQueryParams("DISCARD ALL", nil, nil, nil, nil)
	}
}

// end rolls back and clears what the session may have kept.
func end(ctx context.Context, c *pgconn.PgConn) error {
	ctx, cancel := context.WithTimeout(ctx, endLimit)
	defer cancel()
	p := c.StartPipeline(ctx)
	sendEnd(p, true)
	if err := p.Sync(); err != nil {
		return errors.Join(err, p.Close())
	}
	if err := p.Close(); err != nil {
		return fmt.Errorf("end the transaction: %w", err)
	}
	if status := c.TxStatus(); status != 'I' {
		return fmt.Errorf("end the transaction: its state is %q", status)
	}
	return nil
}

func broken(c *pgconn.PgConn, err error) error {
	var refused *engine.Error
	if errors.As(err, &refused) || !c.IsClosed() && c.TxStatus() == 'I' {
		return err
	}
	return backend.Broken(err)
}

// told makes of what the server says something that the caller can act on.
func told(ctx context.Context, err error) error {
	var fault *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, new(*pgconn.ConnectError)):
		return unconnected(err)
	case !errors.As(err, &fault):
		return err
	}
	switch {
	case fault.Code == "42601":
		return engine.Refuse("correct the statement", "%s", fault.Message)
	case fault.Code == "25006" || fault.Code == "0A000" && strings.Contains(fault.Message, "DECLARE"):
		return engine.Refuse(advice, "%s", fault.Message)
	case fault.Code == "57014" || fault.Code == "55P03":
		return engine.Refuse("ask for less, or add conditions that an index helps with", "%s", fault.Message)
	case strings.HasPrefix(fault.Code, "42"), strings.HasPrefix(fault.Code, "2"), strings.HasPrefix(fault.Code, "0"),
		strings.HasPrefix(fault.Code, "54"), fault.Code == "P0001":
		next := "look at the tables and columns with schema"
		if fault.Hint != "" {
			next = strings.ToLower(fault.Hint[:1]) + fault.Hint[1:]
		}
		return engine.Refuse(next, "%s", fault.Message)
	}
	return err
}

// unconnected says why there is no connection: whoever logs in is not let in
// (class 28, or there is no such database), or there is no server.
func unconnected(err error) error {
	var fault *pgconn.PgError
	if errors.As(err, &fault) && (strings.HasPrefix(fault.Code, "28") || fault.Code == "3D000" || fault.Code == "42501") {
		return fmt.Errorf("%w: %w", engine.ErrLogin, err)
	}
	return fmt.Errorf("%w: %w", engine.ErrUnreachable, err)
}

func arguments(args []any) [][]byte {
	values := make([][]byte, len(args))
	for i, arg := range args {
		if arg != nil {
			values[i] = fmt.Append(nil, arg)
		}
	}
	return values
}

func (s *Source) Dialect() engine.Dialect {
	return engine.Dialect{Name: "postgresql", Quote: '"', Numbered: true}
}

func (s *Source) Ping(ctx context.Context) error {
	return s.Run(ctx, engine.Query{SQL: "SELECT 1", Max: 1}, &plain{})
}

func (s *Source) Close() error { return s.pool.Close() }
