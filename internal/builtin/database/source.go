package database

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
	"github.com/dragoman-mcp/dragoman/internal/builtin/database/mongo"
	"github.com/dragoman-mcp/dragoman/internal/builtin/database/mysql"
	"github.com/dragoman-mcp/dragoman/internal/builtin/database/postgres"
	"github.com/dragoman-mcp/dragoman/internal/builtin/database/sqlite"
	"github.com/dragoman-mcp/dragoman/server"
)

const (
	postureFor = time.Hour // for how long it is believed what a role may do
	schemaFor  = 30 * time.Second

	documents = "MongoDB" // the kind that has no tables
)

// source is a database with what is known of it.
type source struct {
	engine.Source
	name, kind string
	settings   sourceSettings
	writer     engine.Writer // nil unless it may be written
	maxRows    int           // of one answer
	log        *slog.Logger
	now        func() time.Time

	// one is held by the caller that looks at what follows; others wait no longer
	// than their calls last.
	one           chan struct{}
	reads, writes time.Time // when the postures were last found fine, or only warned of
	objects       []engine.Object
	objectsT      time.Time
}

// kindOf reads from a DSN which kind of database it is for.
func kindOf(dsn string) (string, error) {
	scheme, _, found := strings.Cut(dsn, ":")
	switch {
	case !found:
	case scheme == "sqlite":
		return "SQLite", nil
	case scheme == "postgres", scheme == "postgresql":
		return "PostgreSQL", nil
	case scheme == "mysql", scheme == "mariadb":
		return "MySQL", nil
	case scheme == "mongodb", scheme == "mongodb+srv":
		return documents, nil
	}
	return "", errors.New("begin it with sqlite:, postgres://, mysql:// or mongodb://")
}

func (d *database) open(s *server.Server, net *server.Network, name string, cfg sourceSettings, dir string) (*source, error) {
	src := &source{name: name, settings: cfg, log: s.Log().With("source", name), now: d.now, maxRows: d.maxRows, one: make(chan struct{}, 1)}
	dsn := cfg.DSN.Reveal()
	kind, err := kindOf(dsn)
	if err != nil {
		return nil, err
	}
	src.kind = kind
	secure, err := cfg.TLS.config(dir)
	if err != nil {
		return nil, err
	}
	switch kind {
	case "SQLite":
		if secure != nil {
			return nil, errors.New("tls: a file of SQLite is on no network: take it out")
		}
		src.Source = sqlite.Open(sqlite.Options{Path: filePath(dsn, dir), MaxConns: cfg.MaxConnections})
	case "PostgreSQL":
		src.Source, err = postgres.Open(postgres.Options{DSN: dsn, Dial: net.Dial, TLS: secure, MaxConns: cfg.MaxConnections, Functions: cfg.Functions})
	case documents:
		src.Source, err = mongo.Open(mongo.Options{DSN: dsn, Dial: net.Dial, TLS: secure, MaxConns: cfg.MaxConnections})
	case "MySQL":
		src.Source, err = mysql.Open(mysql.Options{DSN: dsn, Dial: net.Dial, TLS: secure, MaxConns: cfg.MaxConnections, Functions: cfg.Functions})
	}
	if err != nil {
		return nil, err
	}
	s.OnClose(src.Source.Close)
	if cfg.Write {
		if src.writer, err = openWriter(net, cfg, secure, dir); err != nil {
			return nil, err
		}
		s.OnClose(src.writer.Close)
	}
	s.Check("source "+name, src.health)
	return src, nil
}

// filePath is the file of a DSN of SQLite; empty for the sample.
func filePath(dsn, dir string) string {
	path := strings.TrimPrefix(strings.TrimPrefix(dsn, "sqlite:"), "//")
	if path != "" && !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return path
}

func (s *source) health(ctx context.Context) error {
	err := s.ready(ctx)
	if err == nil {
		err = s.Ping(ctx)
	}
	if err != nil && ctx.Err() != nil {
		return server.Errorf("look whether it runs and can be reached from here", "the database of %s does not answer in time", s.name)
	}
	return s.told(ctx, err)
}

// alone waits until nobody else looks at the source, and returns what ends that.
func (s *source) alone(ctx context.Context) (func(), error) {
	select {
	case s.one <- struct{}{}:
		return func() { <-s.one }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ready looks, once an hour, whether the role may do more than read.
func (s *source) ready(ctx context.Context) error {
	return s.fit(ctx, &s.reads, s.Posture, "read")
}

// writable looks, once an hour, whether the role that writes may do more than
// change rows.
func (s *source) writable(ctx context.Context) error {
	return s.fit(ctx, &s.writes, s.writer.Posture, "change rows")
}

func (s *source) fit(ctx context.Context, checked *time.Time, posture func(context.Context) (engine.Posture, error), may string) error {
	done, err := s.alone(ctx)
	if err != nil {
		return err
	}
	defer done()
	if !checked.IsZero() && s.now().Sub(*checked) < postureFor {
		return nil
	}
	p, err := posture(ctx)
	if err != nil {
		return fmt.Errorf("look at the role of %s: %w", s.name, err)
	}
	if len(p.Excess) > 0 {
		s.log.Warn("the role of a database may do more than it is for", "for", may, "role", p.Role, "excess", strings.Join(p.Excess, "; "), "remedy", p.Remedy)
		if s.settings.Posture != "warn" {
			return engine.Refuse("an administrator finds the GRANTs of a better role in the log, or sets posture: warn",
				"the role of %s may do more than %s (%s), so it is not used", s.name, may, strings.Join(p.Excess, "; "))
		}
	}
	*checked = s.now()
	return nil
}

// list gives the objects of a source, at most schemaFor old.
func (s *source) list(ctx context.Context) ([]engine.Object, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	done, err := s.alone(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	if s.objects != nil && s.now().Sub(s.objectsT) < schemaFor {
		return s.objects, nil
	}
	objects, err := s.Objects(ctx)
	if err != nil {
		return nil, err
	}
	s.objects, s.objectsT = objects, s.now()
	return objects, nil
}
