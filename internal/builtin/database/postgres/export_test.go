package postgres

import "github.com/jackc/pgx/v5/pgconn"

// Configure is what a connection would be made with.
func Configure(o Options) (*pgconn.Config, error) { return configure(o) }
