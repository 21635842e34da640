package postgres_test

import (
	"crypto/tls"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/postgres"
)

// TestOnlyTheSettingsOfAURLSayHowItIsEncrypted has their names in passwords, too.
func TestOnlyTheSettingsOfAURLSayHowItIsEncrypted(t *testing.T) {
	for dsn, open := range map[string]bool{
		"postgres://u@db.internal/d":                                     false,
		"postgres://u@db.internal/d?sslmode=prefer":                      true,
		"postgres://u@db.internal?sslmode=prefer":                        true,
		"postgres://u@db.internal,db2.internal/d?sslmode=allow":          true,
		"postgres://u@db.internal/d?application_name=a&ssl%6Dode=prefer": true,
		"postgres://u@127.0.0.1/d":                                       true,
		"postgres://u:sslmode@db.internal/d":                             false,
		"postgres://u:a?sslmode=prefer@db.internal/d":                    false,
		"postgres://u@db.internal/sslmode":                               false,
		"postgres://u@db.internal/d?application_name=sslmode":            false,
	} {
		config, err := postgres.Configure(postgres.Options{DSN: dsn})
		if err != nil {
			t.Errorf("%s: %v", dsn, err)
			continue
		}
		plain := config.TLSConfig == nil
		for _, way := range config.Fallbacks {
			plain = plain || way.TLSConfig == nil
		}
		if plain != open {
			t.Errorf("%s: may go without encryption: %v, want %v", dsn, plain, open)
		}
	}
	for _, dsn := range []string{
		"postgres://u:sslmode=disable@db.internal/d", "postgres://u:sslcert@db.internal/sslrootcert", "postgres://u@db.internal/d?sslmode=verify-full",
		"postgres://u@db.internal/d?application_name=sslcert",
	} {
		if _, err := postgres.Configure(postgres.Options{DSN: dsn, TLS: &tls.Config{}}); err != nil {
			t.Errorf("with tls %s is refused: %v", dsn, err)
		}
	}
}
