// Package postgres is the store in a PostgreSQL database, for replicas of one
// gateway that share what they know.
//
// It does not know the tables; see store/migrations and store/relational. Removed
// rows stay in PostgreSQL's files until VACUUM has been there, in its log until
// that is recycled, and in backups: what has to be erasable needs a key, and that
// in turn a database whose backups are thrown away.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/migrations"
	"github.com/dragoman-mcp/dragoman/internal/store/relational"
)

const (
	connections = 16
	// idle is how long a connection is kept that nobody uses, and lifetime how
	// long one is at most, so that a load balancer's choice is made again.
	idle, lifetime = 5 * time.Minute, time.Hour
	connectLimit   = 5 * time.Second
	// openLimit bounds opening, with migrations and waiting for those of others.
	openLimit = 2 * time.Minute
	closeWait = time.Second
	channel   = "dragoman_changes"
	// changesLock is the advisory lock under which changes are numbered; any number
	// will do that others in the same database do not use.
	changesLock = 0x6472_6167_6f6d_616e
)

// Way is how connections are made; *egress.Network is one.
type Way interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
	LookupHost(ctx context.Context, host string) ([]string, error)
}

// Open opens the store in the database of a DSN (a URL, or key=value pairs), over
// connections made by way. To other machines they are encrypted, unless sslmode in
// the DSN says otherwise. Who opened it closes it; then way may be closed. No
// error has the DSN in it, which may have a password.
func Open(ctx context.Context, dsn string, way Way) (*store.Store, error) {
	ctx, cancel := context.WithTimeout(ctx, openLimit)
	defer cancel()
	config, err := configure(dsn, way)
	if err != nil {
		return nil, err
	}
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	db.SetConnMaxIdleTime(idle)
	db.SetConnMaxLifetime(lifetime)
	if err := ready(ctx, db); err != nil {
		return nil, errors.Join(fmt.Errorf("open the store in PostgreSQL: %w", err), db.Close())
	}
	return relational.New(relational.Database{
		Reader: db,
		Writer: db,
		Lock:   fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", int64(changesLock)),
		Notify: "SELECT pg_notify('" + channel + "', '')",
		Listen: func(ctx context.Context) (relational.Bell, error) { return listen(ctx, config) },
	}), nil
}

func configure(dsn string, way Way) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("read the DSN of the store: it is neither a URL as in postgres://user@host/database nor key=value pairs")
	}
	config.DialFunc, config.LookupFunc = way.DialContext, way.LookupHost
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectLimit
	}
	config.RuntimeParams["application_name"] = "dragoman"
	if !names(dsn, "sslmode") {
		config.Fallbacks = slices.DeleteFunc(config.Fallbacks, inTheOpen)
	}
	return config, nil
}

// pairs are the settings of a DSN that is no URL: name, "=", and a value, in which
// a backslash, and all between quotes, is not what it would be elsewhere
// (libpq, "Keyword/Value Connection Strings").
const pairs = `([^=\s]+)\s*=\s*(?:'(?:[^'\\]|\\.)*'|(?:\\.|[^\\\s])*)`

// names tells whether a DSN that the driver has read has a setting, which may stand
// in a password too.
func names(dsn, setting string) bool {
	scheme, rest, _ := strings.Cut(dsn, "://")
	if scheme != "postgres" && scheme != "postgresql" {
		return slices.ContainsFunc(regexp.MustCompile(pairs).FindAllStringSubmatch(dsn, -1), func(pair []string) bool {
			return pair[1] == setting
		})
	}
	if at := strings.IndexAny(rest, "@/"); at >= 0 && rest[at] == '@' {
		rest = rest[at+1:] // without user and password
	}
	_, query, _ := strings.Cut(rest, "?")
	settings, _ := url.ParseQuery(query) // without what is no setting
	return settings.Has(setting)
}

// inTheOpen finds ways to another machine without TLS. The driver would go them if
// TLS does not work, and so be talked out of it by whoever is in between.
func inTheOpen(way *pgconn.FallbackConfig) bool {
	return way.TLSConfig == nil && !strings.HasPrefix(way.Host, "/") && !config.IsLoopback(way.Host)
}

// ready refuses a server that acknowledges what it has not written, and brings
// the tables up to date.
func ready(ctx context.Context, db *sql.DB) error {
	var synchronous, recovery string
	err := db.QueryRowContext(ctx, "SELECT current_setting('synchronous_commit'), pg_is_in_recovery()::text").Scan(&synchronous, &recovery)
	switch {
	case err != nil:
		return err
	case synchronous == "off":
		return errors.New("synchronous_commit is off, so that what was acknowledged can be lost: set it to on for this database")
	case recovery == "true":
		return errors.New("the server is a standby and cannot be written to: name the primary")
	}
	return migrations.Postgres(ctx, db)
}

// bell waits for notifications on a connection of its own. Where they do not come
// through, behind a pooler for example, the hub looks every relational.Poll.
type bell struct{ conn *pgx.Conn }

func listen(ctx context.Context, config *pgx.ConnConfig) (relational.Bell, error) {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	b := bell{conn}
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b bell) Wait(ctx context.Context) error {
	short, cancel := context.WithTimeout(ctx, relational.Poll)
	defer cancel()
	_, err := b.conn.WaitForNotification(short)
	if err != nil && ctx.Err() == nil && pgconn.Timeout(err) {
		return nil
	}
	return err
}

func (b bell) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	return b.conn.Close(ctx)
}
