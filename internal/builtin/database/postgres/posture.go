package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

// own runs a statement of this package.
func (s *Source) own(ctx context.Context, sql string, most int) ([][]string, error) {
	var t engine.Table
	err := s.Run(ctx, engine.Query{SQL: sql, Max: most, Trusted: true}, &t)
	return t.Texts, err
}

// excessSQL lists what the current role may do beyond reading; what it may do to
// tables is the last part, and is other for a role that writes.
const excessSQL = `SELECT what FROM (
 SELECT current_user::text AS what, 0 AS n
 UNION ALL SELECT r.what, 1 FROM pg_catalog.pg_roles, LATERAL (VALUES (rolsuper, 'is a superuser'), (rolcreaterole, 'creates roles'),
  (rolcreatedb, 'creates databases'), (rolreplication, 'replicates'), (rolbypassrls, 'passes over row security')) r (yes, what)
  WHERE rolname = current_user AND r.yes
 UNION ALL SELECT 'is a member of ' || rolname, 2 FROM pg_catalog.pg_roles WHERE rolname IN ('pg_write_server_files', 'pg_read_server_files',
  'pg_execute_server_program', 'pg_signal_backend', 'pg_write_all_data', 'pg_maintain', 'pg_checkpoint', 'pg_create_subscription')
  AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AND pg_has_role(current_user, oid, 'MEMBER')
 UNION ALL SELECT 'creates schemas in the database', 3 WHERE has_database_privilege(current_database(), 'CREATE')
 UNION ALL (SELECT 'creates in the schema ' || nspname, 4 FROM pg_catalog.pg_namespace
  WHERE nspname !~ '^pg_(temp|toast)' AND has_schema_privilege(oid, 'CREATE') ORDER BY nspname LIMIT 5)
 UNION ALL (`
const readerSQL = excessSQL + `SELECT 'writes ' || oid::regclass, 5 FROM pg_catalog.pg_class WHERE relkind IN ('r', 'p', 'f', 'v')
  AND relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')
  AND (has_table_privilege(oid, 'INSERT, UPDATE, DELETE, TRUNCATE') OR has_any_column_privilege(oid, 'INSERT, UPDATE')) ORDER BY relname LIMIT 5)
) x ORDER BY n`

// A superuser may do as much to all tables, which was said.
const writerSQL = excessSQL + `SELECT CASE WHEN pg_has_role(current_user, relowner, 'MEMBER') THEN 'owns ' ELSE 'truncates ' END || oid::regclass, 5
  FROM pg_catalog.pg_class WHERE relkind IN ('r', 'p', 'f', 'v') AND relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')
  AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
  AND (pg_has_role(current_user, relowner, 'MEMBER') OR relkind <> 'v' AND has_table_privilege(oid, 'TRUNCATE')) ORDER BY relname LIMIT 5)
) x ORDER BY n`

const placesSQL = `SELECT current_database(), nspname FROM pg_catalog.pg_namespace
 WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND has_schema_privilege(oid, 'USAGE') ORDER BY nspname LIMIT 100`

func (s *Source) Posture(ctx context.Context) (engine.Posture, error) {
	ask := func(sql string) ([][]string, error) { return s.own(ctx, sql, 100) }
	return posture(ask, readerSQL, "dragoman_reader", "SELECT")
}

// posture asks what a role may do that it should not, and says what makes one
// that has these rights and no others.
func posture(ask func(sql string) ([][]string, error), excess, name, rights string) (engine.Posture, error) {
	rows, err := ask(excess)
	if err != nil {
		return engine.Posture{}, err
	}
	p := engine.Posture{Role: rows[0][0]}
	for _, row := range rows[1:] {
		p.Excess = append(p.Excess, row[0])
	}
	if len(p.Excess) == 0 {
		return p, nil
	}
	places, err := ask(placesSQL)
	if err != nil {
		return engine.Posture{}, err
	}
	p.Remedy = remedy(places, name, rights)
	return p, nil
}

// remedy is what makes a role that has certain rights on tables and no others.
func remedy(places [][]string, name, rights string) string {
	var sql strings.Builder
	fmt.Fprintf(&sql, "CREATE ROLE %s LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '...';\n", name)
	if rights == "SELECT" {
		fmt.Fprintf(&sql, "ALTER ROLE %s SET default_transaction_read_only = on;\n", name)
	}
	for _, setting := range []string{"statement_timeout = '60s'", "temp_file_limit = '1GB'", "idle_in_transaction_session_timeout = '60s'"} {
		fmt.Fprintf(&sql, "ALTER ROLE %s SET %s;\n", name, setting)
	}
	for i, place := range places {
		if i == 0 {
			fmt.Fprintf(&sql, "GRANT CONNECT ON DATABASE %s TO %s;\n", quote(place[0]), name)
		}
		fmt.Fprintf(&sql, "GRANT USAGE ON SCHEMA %[1]s TO %[2]s;\nGRANT %[3]s ON ALL TABLES IN SCHEMA %[1]s TO %[2]s;\n"+
			"ALTER DEFAULT PRIVILEGES IN SCHEMA %[1]s GRANT %[3]s ON TABLES TO %[2]s;\n", quote(place[1]), name, rights)
		if rights != "SELECT" {
			fmt.Fprintf(&sql, "GRANT USAGE ON ALL SEQUENCES IN SCHEMA %s TO %s;\n", quote(place[1]), name)
		}
		fmt.Fprintf(&sql, "REVOKE CREATE ON SCHEMA %s FROM PUBLIC;\n", quote(place[1]))
	}
	return sql.String()
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

const (
	maxObjects = 10_000
	maxFields  = 200_000

	visible    = `c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT c.relispartition AND has_table_privilege(c.oid, 'SELECT')`
	objectsSQL = `SELECT n.nspname, c.relname, CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE 'table' END,
 obj_description(c.oid, 'pg_class'), c.reltuples::bigint::text, c.oid::text,
 (SELECT string_agg(pg_get_indexdef(i.indexrelid), E'\n') FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid),
 (SELECT string_agg(pg_get_constraintdef(k.oid), E'\n' ORDER BY k.contype DESC, k.conname) FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u', 'f'))
 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE ` + visible + ` ORDER BY n.nspname, c.relname`
	fieldsSQL = `SELECT c.oid::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text, col_description(c.oid, a.attnum), pg_get_expr(d.adbin, d.adrelid),
 (SELECT k.confrelid::regclass::text FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.conkey = ARRAY[a.attnum] LIMIT 1)
 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum WHERE ` + visible + ` ORDER BY c.oid, a.attnum`
)

func (s *Source) Objects(ctx context.Context) ([]engine.Object, error) {
	names, err := s.own(ctx, objectsSQL, maxObjects)
	if err != nil {
		return nil, err
	}
	fields, err := s.own(ctx, fieldsSQL, maxFields)
	if err != nil {
		return nil, err
	}
	objects := make([]engine.Object, len(names))
	at := map[string]*engine.Object{}
	for i, row := range names {
		objects[i] = engine.Object{Schema: row[0], Name: row[1], Kind: row[2], Comment: row[3], Rows: -1, Indexes: lines(row[6]), Keys: lines(row[7])}
		if row[2] == "table" {
			_, _ = fmt.Sscan(row[4], &objects[i].Rows)
		}
		at[row[5]] = &objects[i]
	}
	for _, row := range fields {
		if o := at[row[0]]; o != nil {
			o.Columns = append(o.Columns, engine.Field{Name: row[1], Type: row[2], Required: row[3] == "true", Comment: row[4], Default: row[5], References: row[6]})
		}
	}
	return objects, nil
}

func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}
