package selftest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver that the server database has, too
)

// Furnish makes what an instance of our own needs in an empty directory, and the configuration for it: the servers files,
// web, database and time, a fixed token and an issuer that shares a secret, and a free port of this machine.
func Furnish(ctx context.Context, dir string) (own *Own, token string, settings []byte, err error) {
	own = &Own{
		Root: filepath.Join(dir, "root"), Outside: filepath.Join(dir, "outside.txt"), Canary: "canary-" + rand.Text(), Database: filepath.Join(dir, "database"),
		Issuer: "https://issuer.example", Secret: rand.Text() + rand.Text(), Audience: "https://gateway.example/mcp",
	}
	token = rand.Text() + rand.Text()
	for _, d := range []string{own.Root, own.Database} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return nil, "", nil, err
		}
	}
	if err := os.WriteFile(own.Outside, []byte(own.Canary), 0o600); err != nil {
		return nil, "", nil, err
	}
	file := filepath.Join(own.Database, "data.db")
	if err := fill(ctx, file); err != nil {
		return nil, "", nil, fmt.Errorf("make a database: %w", err)
	}
	settings, err = json.Marshal(object{
		"listen": "127.0.0.1:0",
		"auth": object{
			"tokens":  []object{{"name": "selftest", "token": token}},
			"issuers": []object{{"name": "selftest", "url": own.Issuer, "secret": own.Secret, "audience": own.Audience}},
		},
		"access": object{"pinning": "off"},
		"servers": object{
			"time": object{"builtin": "time"}, "web": object{"builtin": "web"},
			"files":    object{"builtin": "filesystem", "settings": object{"mounts": []object{{"url": own.Root, "write": true}}}},
			"database": object{"builtin": "database", "settings": object{"sources": object{"data": object{"dsn": "sqlite:" + file}}}},
		},
	})
	return own, token, settings, err
}

func fill(ctx context.Context, file string) error {
	db, err := sql.Open("sqlite", file)
	if err != nil {
		return err
	}
	for _, statement := range []string{"CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)", "INSERT INTO t (b) VALUES ('one'), ('two')",
		"CREATE VIRTUAL TABLE f USING fts5 (b)", "INSERT INTO f VALUES ('some words here')", "CREATE VIEW v AS SELECT a FROM t"} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return errors.Join(err, db.Close())
		}
	}
	return db.Close()
}
