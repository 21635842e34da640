// Package database is the built-in server that reads databases: SQLite,
// PostgreSQL, MySQL, MariaDB and MongoDB, several of them in one server under
// names. Without settings it has a sample.
//
// It does not know how a database is kept from being written: that is for the
// packages below it, one for each kind. It does not know the gateway either.
package database

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
	"github.com/dragoman-mcp/dragoman/server"
)

type settings struct {
	// Databases by name; with none, the sample.
	Sources map[string]sourceSettings `yaml:"sources"`
	Limits  server.Limits             `yaml:"limits"`
	// Where databases may be. They are what the operator wrote, so private
	// addresses are open.
	Reach reach `yaml:"reach"`
}

// reach is server.Reach for destinations that the operator has written.
type reach struct {
	Only []string `yaml:"only"`
	Deny []string `yaml:"deny"`
}

type sourceSettings struct {
	// sqlite:FILE, or a URL with postgres://, mysql:// or mongodb://, of a role that only reads.
	DSN server.Secret `yaml:"dsn" required:"true"`
	// How the server shows who it is, when that is not by an authority that the machine trusts.
	TLS tlsSettings `yaml:"tls"`
	// What it is, for models: "orders of the web shop, production".
	Description string `yaml:"description"`
	// What to do when the role may write: refuse to use it, or warn in the log.
	Posture string `yaml:"posture" default:"refuse" enum:"refuse|warn"`
	// Most connections at once.
	MaxConnections int `yaml:"max_connections" default:"4" min:"1" max:"100"`
	// Functions beyond those known to only read that may be called.
	Functions []string `yaml:"functions"`
	// Let the tool write change this database.
	Write bool `yaml:"write" default:"false"`
	// URL of the role that writes; another than that of dsn.
	WriteDSN server.Secret `yaml:"write_dsn"`
	// Ask the user before each write.
	Confirm bool `yaml:"confirm" default:"true"`
	// Most rows that one write may change; with more, none is changed.
	MaxWritten int64 `yaml:"max_written" default:"1000" min:"1" max:"1000000"`
}

func (s *settings) Validate() error {
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(s.Sources)) {
		source := s.Sources[name]
		if name == "" || strings.ContainsAny(name, "/?# \t\n") {
			faults = append(faults, fmt.Errorf("sources.%s: a name is one word without / ? #", name))
		}
		if _, err := kindOf(source.DSN.Reveal()); err != nil {
			faults = append(faults, fmt.Errorf("sources.%s.dsn: %w", name, err))
		}
		if source.Write && source.WriteDSN.Reveal() == "" {
			faults = append(faults, fmt.Errorf("sources.%s.write_dsn: give the URL of a role that writes: the role of dsn must not", name))
		}
		if !source.Write && source.WriteDSN.Reveal() != "" {
			faults = append(faults, fmt.Errorf("sources.%s.write: set it to true, or leave write_dsn out", name))
		}
	}
	return errors.Join(faults...)
}

// database is the server's state: its sources, which open when they are used.
type database struct {
	sources map[string]*source
	names   []string
	maxRows int
	now     func() time.Time
}

// New makes the server.
func New(env *server.Env) (*server.Server, error) {
	var cfg settings
	if err := env.Decode(&cfg); err != nil {
		return nil, err
	}
	d := &database{sources: map[string]*source{}, now: env.Now, maxRows: cmp.Or(cfg.Limits.Rows, 1000)}
	if d.now == nil {
		d.now = time.Now
	}
	if len(cfg.Sources) == 0 {
		cfg.Sources = map[string]sourceSettings{"sample": {DSN: "sqlite:", Posture: "refuse", MaxConnections: 2,
			Description: "a small shop to try things with: customers, products, orders, order_items"}}
	}
	d.names = slices.Sorted(maps.Keys(cfg.Sources))
	s := server.New(env, server.About{Name: "database", Title: "Databases", Instructions: d.instructions(cfg), Limits: cfg.Limits})
	net, err := s.Network(server.Reach{Private: true, Only: cfg.Reach.Only, Deny: cfg.Reach.Deny})
	if err != nil {
		return nil, err
	}
	for _, name := range d.names {
		src, err := d.open(s, net, name, cfg.Sources[name], env.Dir)
		if err != nil {
			return nil, fmt.Errorf("sources.%s: %w", name, err)
		}
		d.sources[name] = src
	}
	d.addTools(s)
	d.addWrite(s)
	d.addResources(s)
	return s, nil
}

func (d *database) instructions(cfg settings) string {
	var text strings.Builder
	text.WriteString("Reads databases. Look at schema before you write a query. Sources:")
	for _, name := range d.names {
		kind, _ := kindOf(cfg.Sources[name].DSN.Reveal())
		fmt.Fprintf(&text, " %s (%s)", name, kind)
		if about := cfg.Sources[name].Description; about != "" {
			fmt.Fprintf(&text, ": %s.", strings.TrimSuffix(about, "."))
		}
	}
	return text.String()
}

// pick gives the source that a caller names, which may be left out when there is one.
func (d *database) pick(name string) (*source, error) {
	if name == "" && len(d.names) == 1 {
		name = d.names[0]
	}
	if s := d.sources[name]; s != nil {
		return s, nil
	}
	if name == "" {
		return nil, server.Errorf("say which in source: "+strings.Join(d.names, ", "), "there are several sources")
	}
	return nil, server.Errorf("take one of: "+strings.Join(d.names, ", "), "there is no source %q", name)
}

// told makes of an error of an engine one that the caller is told. What an
// administrator has to mend is in the log.
func (s *source) told(ctx context.Context, err error) error {
	var refused *engine.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return &server.Error{Message: refused.Message, Next: refused.Next}
	case ctx.Err() != nil:
		return server.Errorf("ask for less, or add conditions that an index helps with", "the time for this call is over")
	case errors.Is(err, engine.ErrLogin):
		s.log.Error("a database does not let the role in", "err", err)
		return server.Errorf("an administrator corrects the URL of the source; the log has what the database says", "the database of %s does not let us in", s.name)
	case errors.Is(err, engine.ErrUnreachable):
		s.log.Error("a database cannot be reached", "err", err)
		return server.Errorf("try again later, or tell an administrator; the log has the reason", "the database of %s cannot be reached", s.name)
	}
	return err
}
