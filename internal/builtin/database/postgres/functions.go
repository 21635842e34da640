package postgres

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

// harmless are functions of pg_catalog that the catalog calls volatile, and that
// yet change nothing and reach nothing outside.
const harmless = `random random_normal clock_timestamp timeofday gen_random_uuid uuidv4 uuidv7 statement_timestamp
 pg_relation_size pg_table_size pg_total_relation_size pg_indexes_size pg_database_size pg_tablespace_size pg_column_size
 pg_is_in_recovery pg_is_wal_replay_paused pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_last_xact_replay_timestamp
 pg_current_wal_lsn pg_current_wal_insert_lsn pg_current_wal_flush_lsn pg_last_committed_xact pg_lock_status
 pg_blocking_pids pg_safe_snapshot_blocking_pids pg_isolation_test_session_is_blocked pg_sequence_last_value
 pg_relation_filenode pg_relation_filepath currval lastval pg_xact_status txid_status
 pg_stat_get_activity pg_stat_get_progress_info pg_stat_get_wal pg_stat_get_io pg_stat_get_slru pg_stat_get_wal_senders
 pg_get_replication_slots pg_show_all_settings pg_timezone_names pg_prepared_statement pg_cursor pg_prepared_xact
 pg_available_extensions pg_available_extension_versions pg_extension_update_paths pg_get_shmem_allocations
 has_largeobject_privilege pg_mcv_list_items pg_options_to_table pg_notification_queue_usage pg_trigger_depth
 uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4 gen_random_bytes gen_salt
 bernoulli system`

// harmful are functions that the catalog does not call volatile, and that yet
// run SQL that they get as text, take a transaction id, or tell what is in files.
const harmful = `table_to_xml table_to_xml_and_xmlschema table_to_xmlschema schema_to_xml schema_to_xml_and_xmlschema
 schema_to_xmlschema database_to_xml database_to_xml_and_xmlschema database_to_xmlschema query_to_xml query_to_xmlschema
 query_to_xml_and_xmlschema cursor_to_xml cursor_to_xmlschema xpath_table crosstab crosstab2 crosstab3 crosstab4 crosstabn
 connectby ts_stat ts_rewrite txid_current pg_current_xact_id pg_sleep pg_sleep_for pg_sleep_until set_config
 plainto_tsquery_exec dblink dblink_fetch dblink_exec postgres_fdw_get_connections lo_get pg_stat_file pg_read_file
 pg_read_binary_file pg_file_settings pg_hba_file_rules pg_ident_file_mappings pg_show_all_file_settings
 pg_conversion_is_visible_exec pg_control_system`

// functionsSQL finds, of the names in $1, those of which any function may do more
// than read: volatile, running with the rights of its owner, or in a language that
// can do anything. An aggregate is as volatile as the functions that make it.
const functionsSQL = `SELECT DISTINCT p.proname FROM pg_catalog.pg_proc p
 JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace JOIN pg_catalog.pg_language l ON l.oid = p.prolang
 LEFT JOIN pg_catalog.pg_aggregate a ON a.aggfnoid = p.oid
 WHERE p.proname = ANY ($1::text[]) AND (
  p.proname = ANY ($2::text[])
  OR NOT (p.proname = ANY ($3::text[]) AND (l.lanname IN ('internal', 'c') OR n.nspname = 'pg_catalog')) AND (
   p.prokind = 'p' OR p.provolatile = 'v' AND a.aggfnoid IS NULL
   OR n.nspname <> 'pg_catalog' AND (p.prosecdef OR l.lanname NOT IN ('internal', 'c', 'sql', 'plpgsql')
    OR EXISTS (SELECT FROM pg_catalog.pg_proc f WHERE f.provolatile = 'v'
     AND f.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)))))`

const (
	knownFor = time.Minute // for how long it is believed what a name means
	maxKnown = 4096
)

// functions knows which names may be called.
type functions struct {
	allowed map[string]bool // by the operator

	mu    sync.Mutex      // guards the rest
	known map[string]bool // whether a name is good
	until time.Time       // when everything is looked up anew
}

func newFunctions(allowed []string) *functions {
	f := &functions{allowed: map[string]bool{}}
	for _, name := range allowed {
		f.allowed[name] = true
	}
	return f
}

// unknown gives the names of which it is not known what they mean, or the Error
// for the first that is known to be bad.
func (f *functions) unknown(names []string) (ask []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.After(f.until) || len(f.known) > maxKnown {
		f.known, f.until = map[string]bool{}, now.Add(knownFor)
	}
	for _, name := range names {
		good, known := f.known[name]
		switch {
		case f.allowed[name]:
		case !known:
			ask = append(ask, name)
		case !good:
			return nil, refusedFunction(name)
		}
	}
	return ask, nil
}

func refusedFunction(name string) error {
	return engine.Refuse(advice, "the function %s may do more than read", name)
}

// look asks the server for names that are not known.
func (f *functions) look(ctx context.Context, c *pgconn.PgConn, names []string) error {
	bad := map[string]bool{}
	r := c.ExecParams(ctx, functionsSQL, [][]byte{list(names), list(strings.Fields(harmful)), list(strings.Fields(harmless))}, nil, nil, nil)
	for r.NextRow() {
		bad[string(r.Values()[0])] = true
	}
	if _, err := r.Close(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range names {
		f.known[name] = !bad[name]
	}
	for _, name := range names {
		if bad[name] {
			return refusedFunction(name)
		}
	}
	return nil
}

// list writes a text[] (documentation, 8.15.2).
func list(names []string) []byte {
	b := []byte{'{'}
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name)...)
		b = append(b, '"')
	}
	return append(b, '}')
}
