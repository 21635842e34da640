package postgres

import "github.com/jackc/pgx/v5"

// Configure reads a DSN as Open does.
func Configure(dsn string, way Way) (*pgx.ConnConfig, error) { return configure(dsn, way) }
