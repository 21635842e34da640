package sqlite

import "database/sql"

// Writer is the connection that writes, as Open sets it up.
func Writer(path string) (*sql.DB, error) { return pool(path, 1, "_txlock=immediate") }
