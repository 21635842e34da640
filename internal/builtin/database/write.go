package database

import (
	"context"
	"fmt"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
	"github.com/dragoman-mcp/dragoman/internal/builtin/database/postgres"
	"github.com/dragoman-mcp/dragoman/internal/builtin/database/sqlite"
	"github.com/dragoman-mcp/dragoman/server"
)

type writeInput struct {
	Source string `json:"source,omitempty"`
	SQL    string `json:"sql" jsonschema:"one INSERT, UPDATE or DELETE"`
}

type written struct {
	Rows int64 `json:"rows" jsonschema:"how many were changed"`
}

// addWrite adds the tool write when a source may be written.
func (d *database) addWrite(s *server.Server) {
	for _, src := range d.sources {
		if src.writer == nil {
			continue
		}
		server.AddTool(s, server.Tool{
			Name: "write", Title: "Change rows", Description: "Runs one INSERT, UPDATE or DELETE.",
			Hints: server.Hints{ReadOnly: server.No, Destructive: server.Yes, Idempotent: server.No, OpenWorld: server.No},
		}, d.write)
		return
	}
}

func (d *database) write(ctx context.Context, c *server.Call, in writeInput) (written, error) {
	src, err := d.pick(in.Source)
	if err != nil {
		return written{}, err
	}
	if src.writer == nil {
		return written{}, server.Errorf("an administrator can let it with the setting write", "%s is only read", src.name)
	}
	if src.settings.Confirm {
		if err := c.Confirm(fmt.Sprintf("Change the database %s with this statement?\n\n%s", src.name, in.SQL)); err != nil {
			return written{}, err
		}
	}
	n, err := src.writer.Write(ctx, engine.Change{SQL: in.SQL}, src.settings.MaxWritten)
	if err != nil {
		return written{}, told(ctx, err)
	}
	src.log.Info("a database was written", "principal", c.Principal, "rows", n)
	return written{n}, nil
}

// openWriter opens the pool of the role that writes.
func openWriter(net *server.Network, cfg sourceSettings, dir string) (engine.Writer, error) {
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
		return postgres.OpenWriter(postgres.Options{DSN: dsn, Dial: net.Dial, MaxConns: 2})
	}
	return nil, fmt.Errorf("write_dsn: %s cannot be written yet", strings.TrimSpace(kind))
}
