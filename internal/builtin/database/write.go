package database

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
	"github.com/dragoman-mcp/dragoman/internal/builtin/database/mongo"
	"github.com/dragoman-mcp/dragoman/internal/builtin/database/mysql"
	"github.com/dragoman-mcp/dragoman/internal/builtin/database/postgres"
	"github.com/dragoman-mcp/dragoman/internal/builtin/database/sqlite"
	"github.com/dragoman-mcp/dragoman/server"
)

type writeInput struct {
	Source string `json:"source,omitempty"`
	SQL    string `json:"sql" jsonschema:"one INSERT, UPDATE or DELETE"`
}

// writeEither is writeInput where documents may be written, too; writeIn is its schema.
type writeEither struct {
	Source     string            `json:"source,omitempty"`
	SQL        string            `json:"sql,omitempty"`
	Collection string            `json:"collection,omitempty"`
	Insert     []json.RawMessage `json:"insert,omitempty"`
	Filter     json.RawMessage   `json:"filter,omitempty"`
	Update     json.RawMessage   `json:"update,omitempty"`
	Delete     bool              `json:"delete,omitempty"`
}

const writeIn = `{"type":"object","properties":{"source":{"type":"string"},"sql":{"type":"string","description":"one INSERT, UPDATE or DELETE"},
"collection":{"type":"string","description":"with insert, or filter and update or delete"},"insert":{"type":"array"},"filter":{"type":"object"},
"update":{"type":"object"},"delete":{"type":"boolean"}},"additionalProperties":false}`

type written struct {
	Rows int64 `json:"rows" jsonschema:"how many were changed"`
}

// addWrite adds the tool write when a source may be written.
func (d *database) addWrite(s *server.Server) {
	tables, collections := false, false
	for _, src := range d.sources {
		if src.writer != nil {
			tables, collections = tables || src.kind != documents, collections || src.kind == documents
		}
	}
	tool := server.Tool{
		Name: "write", Title: "Change rows", Description: "Runs one INSERT, UPDATE or DELETE.",
		Hints: server.Hints{ReadOnly: server.No, Destructive: server.Yes, Idempotent: server.No, OpenWorld: server.No},
	}
	switch {
	case collections:
		tool.Description, tool.Input = "Makes one change.", json.RawMessage(writeIn)
		server.AddTool(s, tool, d.write)
	case tables:
		server.AddTool(s, tool, func(ctx context.Context, c *server.Call, in writeInput) (written, error) {
			return d.write(ctx, c, writeEither{Source: in.Source, SQL: in.SQL})
		})
	}
}

func (d *database) write(ctx context.Context, c *server.Call, in writeEither) (written, error) {
	src, err := d.pick(in.Source)
	if err != nil {
		return written{}, err
	}
	if src.writer == nil {
		return written{}, server.Errorf("an administrator can let it with the setting write", "%s is only read", src.name)
	}
	if (in.SQL == "") != (src.kind == documents) {
		return written{}, server.Errorf("give sql where there are tables, and collection where there are documents", "%s is a database of %s", src.name, src.kind)
	}
	if src.settings.Confirm {
		if err := c.Confirm(fmt.Sprintf("Change the database %s with this statement?\n\n%s", src.name, in.shown())); err != nil {
			return written{}, err
		}
	}
	if err := src.writable(ctx); err != nil {
		return written{}, src.told(ctx, err)
	}
	change := engine.Change{SQL: in.SQL, Collection: in.Collection, Insert: in.Insert, Filter: in.Filter, Update: in.Update, Delete: in.Delete}
	n, err := src.writer.Write(ctx, change, src.settings.MaxWritten)
	if err != nil {
		return written{}, src.told(ctx, err)
	}
	src.log.Info("a database was written", "principal", c.Principal, "rows", n)
	return written{n}, nil
}

// shown is a change as the user is asked about it.
func (in writeEither) shown() string {
	if in.SQL != "" {
		return in.SQL
	}
	in.Source = ""
	return string(text(in))
}

// openWriter opens the pool of the role that writes.
func openWriter(net *server.Network, cfg sourceSettings, secure *tls.Config, dir string) (engine.Writer, error) {
	dsn := cfg.WriteDSN.Reveal()
	kind, err := kindOf(dsn)
	if err != nil {
		return nil, fmt.Errorf("write_dsn: %w", err)
	}
	switch kind {
	case "SQLite":
		path := filePath(dsn, dir)
		if path == "" {
			return nil, fmt.Errorf("write_dsn: name a file: the sample cannot be written")
		}
		return sqlite.OpenWriter(path)
	case "PostgreSQL":
		return postgres.OpenWriter(postgres.Options{DSN: dsn, Dial: net.Dial, TLS: secure, MaxConns: 2})
	case documents:
		return mongo.OpenWriter(mongo.Options{DSN: dsn, Dial: net.Dial, TLS: secure, MaxConns: 2})
	}
	return mysql.OpenWriter(mysql.Options{DSN: dsn, Dial: net.Dial, TLS: secure, MaxConns: 2})
}
