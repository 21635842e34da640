package postgres_test

// attacks are statements that did more than read in other servers of this kind. Facts from: postgres-mcp-hardened (its corpora
// write_smuggling and catalog_functions, and MUST_REJECT), dbhub (#283, #315, #349, #376, its sql-parser tests), AWS's postgres server,
// crystaldba/postgres-mcp (test_safe_sql), servers#1889, pgedge-postgres-mcp#196, eliza#14286, PayloadsAllTheThings (PostgreSQL Injection).
func attacks() []string {
	return []string{
		// what is plainly no SELECT
		"INSERT INTO t2 VALUES ('x')", "UPDATE t2 SET x = 1", "DELETE FROM t2", "DROP TABLE t2", "TRUNCATE t2", "CREATE TABLE t (x int)", "ALTER TABLE t2 ADD COLUMN zz int",
		"GRANT SELECT ON t2 TO PUBLIC", "VACUUM", "ANALYZE t2", "REINDEX TABLE t2", "CLUSTER", "LOCK TABLE t2", "COMMENT ON TABLE t2 IS 'x'", "CALL evil()", "DO $$ BEGIN DELETE FROM t2; END $$",
		"COPY t2 FROM PROGRAM 'id'", "COPY (SELECT 1) TO PROGRAM 'id'", "COPY t2 TO '/tmp/x'", "LISTEN a", "NOTIFY a", "LOAD 'x'", "SET transaction_read_only = off", "RESET ALL", "DISCARD ALL",
		"PREPARE p AS SELECT 1", "EXECUTE p", "DEALLOCATE ALL", "DECLARE c CURSOR WITH HOLD FOR SELECT 1", "FETCH ALL FROM dragoman", "CLOSE dragoman", "CHECKPOINT", "REFRESH MATERIALIZED VIEW v",
		"MERGE INTO t2 USING t2 s ON true WHEN MATCHED THEN DELETE", "CREATE EXTENSION dblink", "SECURITY LABEL ON TABLE t2 IS 'x'", "IMPORT FOREIGN SCHEMA x FROM SERVER y INTO z", "SHOW ALL",
		// transactions
		"COMMIT", "COMMIT WORK", "COMMIT AND CHAIN", "END", "END WORK", "ROLLBACK", "ABORT", "BEGIN", "START TRANSACTION", "SAVEPOINT a", "RELEASE a", "PREPARE TRANSACTION 'x'", "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
		// several
		"SELECT 1; DROP TABLE t2", "SELECT 1; COMMIT; DROP TABLE t2", "COMMIT; DROP SCHEMA public CASCADE;", "/* x */ SELECT 1; DELETE FROM t2", "-- x\nCOMMIT; DELETE FROM t2", "SELECT 1;;SELECT 2",
		"SELECT $$;$$; DELETE FROM t2", "SELECT $a$ $$ $a$; DELETE FROM t2", "SELECT '\\'; DELETE FROM t2 --'", "SELECT E'\\''; DELETE FROM t2 --'", "SELECT /* /* */ ; */ 1; DELETE FROM t2", "SELECT \"a\"\";\" ; DELETE FROM t2",
		// writing within a SELECT
		"WITH d AS (DELETE FROM t2 RETURNING *) SELECT * FROM d", "WITH u AS (UPDATE t2 SET x=1 RETURNING *) SELECT * FROM u", "WITH i AS (INSERT INTO t2 VALUES ('x') RETURNING x) SELECT * FROM i",
		"WITH a AS (WITH b AS (DELETE FROM t2 RETURNING *) SELECT * FROM b) SELECT * FROM a", "SELECT * INTO t9 FROM t2", "SELECT * INTO TEMP t9 FROM t2", "WITH x AS (SELECT 1) INSERT INTO t2 SELECT 'x'",
		"SELECT * FROM t2 FOR UPDATE", "SELECT * FROM t2 FOR SHARE", "SELECT * FROM t2 FOR NO KEY UPDATE", "SELECT * FROM t2 FOR KEY SHARE SKIP LOCKED", "SELECT * FROM (SELECT * FROM t2 FOR UPDATE) x",
		"EXPLAIN ANALYZE INSERT INTO t2 VALUES ('x')", "EXPLAIN (ANALYZE) DELETE FROM t2", "(ANALYZE) DELETE FROM t2", "EXPLAIN ANALYZE SELECT evil()",
		// functions
		"SELECT pg_read_file('postgresql.conf', 0, 60)", "SELECT pg_ls_dir('.')", "SELECT pg_import_system_collations(11)", "SELECT gin_clean_pending_list('idx')", "SELECT pg_advisory_lock(42)",
		"SELECT pg_try_advisory_lock(42)", "SELECT pg_advisory_unlock_all()", "SELECT pg_terminate_backend(1)", "SELECT pg_cancel_backend(1)", "SELECT pg_reload_conf()", "SELECT pg_rotate_logfile()",
		"SELECT setval('seq', 1)", "SELECT nextval('seq')", "SELECT lo_import('/etc/passwd')", "SELECT lo_export(1, '/tmp/x')", "SELECT lo_create(0)", "SELECT lo_from_bytea(0, 'x')", "SELECT lo_unlink(1)", "SELECT lo_put(1, 0, 'x')",
		"SELECT dblink('dbname=x', 'SELECT 1')", "SELECT pg_export_snapshot()", "SELECT query_to_xml('SELECT pg_read_file(''postgresql.conf'')', true, false, '')",
		"SELECT query_to_xml('SELECT 1; SELECT 2', true, false, '')", "SELECT query_to_xmlschema('SELECT 1', true, false, '')", "SELECT query_to_xml_and_xmlschema('SELECT 1', true, false, '')",
		"SELECT table_to_xml('t2'::regclass, true, false, '')", "SELECT cursor_to_xml('c', 1, true, false, '')", "SELECT schema_to_xml('public', true, false, '')", "SELECT database_to_xml(true, false, '')",
		"SELECT cron.schedule('nightly', '0 0 * * *', 'DROP TABLE users')", "SELECT set_config('transaction_read_only', 'off', false)", "SELECT set_config('search_path', 'x', true)", "SELECT pg_sleep(1000)",
		"SELECT pg_sleep_for('1 day')", "SELECT pg_notify('a', 'b')", "SELECT pg_switch_wal()", "SELECT pg_create_restore_point('x')", "SELECT pg_start_backup('x')", "SELECT pg_backup_start('x')", "SELECT pg_promote()",
		"SELECT pg_stat_reset()", "SELECT pg_stat_file('x')", "SELECT pg_logical_emit_message(false, 'a', 'b')", "SELECT pg_create_logical_replication_slot('a', 'b')", "SELECT pg_drop_replication_slot('a')", "SELECT pg_log_backend_memory_contexts(1)",
		"SELECT txid_current()", "SELECT pg_current_xact_id()", "SELECT ts_stat('SELECT 1')", "SELECT brin_summarize_new_values('idx')", "SELECT setseed(0.5)", "SELECT pg_read_binary_file('x')", "SELECT pg_ls_logdir()", "SELECT pg_current_logfile()",
		"SELECT evil()", "SELECT definer()", "SELECT bad_sum(1)", "SELECT u.secret_of FROM users u", "SELECT (u).secret_of FROM users u", "SELECT * FROM evil()", "SELECT * FROM t2, LATERAL evil()", "SELECT * FROM ROWS FROM (evil(), evil())",
		"SELECT 1 ORDER BY evil()", "SELECT count(*) FILTER (WHERE evil() = 1) FROM t2", "SELECT CASE WHEN evil() = 1 THEN 1 END", "VALUES (evil())", "SELECT 1 LIMIT evil()", "SELECT DISTINCT ON (evil()) 1", "SELECT 1 GROUP BY evil()",
		// the same names, written otherwise
		"SELECT \"pg_read_file\"('x')", "SELECT PG_READ_FILE('x')", "SELECT pg_catalog.pg_read_file('x')", "SELECT \"pg_catalog\".\"pg_read_file\"('x')", "SELECT pg_read_file /* x */ ('x')", "SELECT pg_read_file--\n('x')", "SELECT pg_read_file\n\t('x')",
		"SELECT U&\"pg\\005fread_file\"('x')", "SELECT U&\"s\\0065tval\"('seq', 1)", "SELECT u&\"setval\" UESCAPE '!' ('seq', 1)", "SELECT E'\\'' || pg_read_file('x')", "SELECT E'a'\n'\\'' , pg_read_file('x') --'", "SELECT E'a' -- b\n'\\' , ', pg_read_file('x')",
		"SELECT 1e--'\n, pg_read_file('x') --'", "SELECT 1e'\\' , pg_read_file('x')", "SELECT $1$ || pg_read_file('x') || $1$", "SELECT a$$, pg_read_file('x'), b$$ FROM (SELECT 1 AS a$$, 2 AS b$$) x", "SELECT '--', pg_read_file('x')", "SELECT '/*', pg_read_file('x'), '*/'",
		"SELECT 1 /*/* */, */ , pg_read_file('x')", "SELECT 1+--\n pg_read_file('x')::int", "SELECT @-/**/length(pg_read_file('x'))", "SELECT N'x', pg_read_file('x')", "SELECT B'1', pg_read_file('x')", "SELECT E'\\\\', pg_read_file('x') || '\\'",
		"TABLE t2; DELETE FROM t2", "SELECT 'a\\', pg_read_file('x') || 'b'", "SELECT \"x\\\"\", pg_read_file('x')", "SELECT xmlforest(pg_read_file('x') AS a)", "SELECT XMLTABLE('/x' PASSING pg_read_file('x')::xml COLUMNS a int)",
		// memory
		"SELECT repeat(repeat(repeat('x',1000),1000),1000)", "SELECT repeat('x', 1000000000)", "SELECT lpad('x', 900000000)", "SELECT length(rpad(repeat('x', 1000), 100000000))", "SELECT repeat('x', 1e9::int)", "SELECT array_fill(0, ARRAY[100000000])",
		// PayloadsAllTheThings
		"';DROP TABLE t2;--", "1; SELECT pg_sleep(5)", "SELECT 1 UNION SELECT pg_sleep(5)::text::int", "SELECT CASE WHEN (1=1) THEN pg_sleep(5) ELSE pg_sleep(0) END", "SELECT * FROM t2 WHERE x = '' OR pg_sleep(5) IS NULL", "SELECT current_setting('x') FROM pg_ls_waldir()",
		"SELECT database_to_xml(true,true,'')", "SELECT lo_get(1)", "SELECT * FROM pg_stat_file('.')", "CREATE OR REPLACE FUNCTION system(cstring) RETURNS int AS '/lib/libc.so.6', 'system' LANGUAGE C STRICT", "", ";", "-- only a comment", "SELECT '\x00'",
	}
}

type harmlessCase struct{ sql, want string }

// harmless are statements of kinds that other servers have refused, and that only read.
func harmless() []harmlessCase {
	return []harmlessCase{
		{"SELECT 1 AS x FROM t2 LIMIT 1;", "[1]"}, {"WITH x AS (SELECT 1 AS x) SELECT * FROM x", "[1]"}, {"(SELECT 1) UNION (SELECT 2) ORDER BY 1", "[1] [2]"}, {"VALUES (1, 'a'), (2, 'b')", `[1,"a"] [2,"b"]`}, {"TABLE t2", `["one"] ["two"]`},
		{"SELECT version()", ""}, {"SELECT pg_size_pretty(pg_relation_size('t2'))", ""}, {"SELECT generate_series(1, 3)", "[1] [2] [3]"}, {"SELECT now(), clock_timestamp(), random(), gen_random_uuid(), current_date, localtime", ""},
		{"SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY i) FROM big", "[1000.5]"}, {"SELECT name FROM users WHERE name LIKE 'a' || '%'", `["ann"]`}, {"SELECT 'DROP TABLE t2; DELETE'", `["DROP TABLE t2; DELETE"]`}, {"SELECT 1 -- ; DELETE FROM t2", "[1]"}, {"/* INSERT */ SELECT 1 /* ; */", "[1]"},
		{"SELECT count(*) FROM pg_stat_activity WHERE state = 'nothing'", "[0]"}, {"SELECT count(*) > 0 FROM information_schema.tables", "[true]"}, {"SELECT count(*) >= 0 FROM pg_locks", "[true]"}, {"SELECT \"name\" AS \"update\", id AS \"delete\" FROM users WHERE id = 1", `["ann",1]`},
		{"SELECT i, sum(i) OVER (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM big ORDER BY i LIMIT 2", `[1,1] [2,3]`}, {"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT sum(i) FROM n", "[6]"},
		{"SELECT jsonb_path_query('{\"a\":[1,2]}', '$.a[*]')", "[1] [2]"}, {"SELECT json_agg(u.name) FROM users u", `[["ann","bob"]]`}, {"SELECT twice(21), public.twice(1)", "[42,2]"}, {"SELECT u.name, (u).id FROM users u WHERE u.id = 1", `["ann",1]`},
		{"SELECT tags[1], array_length(tags, 1), 'a' = ANY (tags) FROM users WHERE id = 1", `["a",2,true]`}, {"SELECT extract(year FROM date '2026-02-03'), position('b' IN 'abc'), substring('abc' FROM 2 FOR 1), trim(both 'x' FROM 'xax'), overlay('abc' placing 'x' from 2)", `["2026",2,"b","a","axc"]`},
		{"SELECT $$it's; $$ || $q$ $$ $q$ || E'\\'' || 'a\\'", ""}, {"SELECT CASE WHEN true THEN 1 ELSE 2 END, COALESCE(NULL, 3), NULLIF(1, 2), GREATEST(1, 2)", "[1,3,1,2]"}, {"SELECT * FROM t2 TABLESAMPLE BERNOULLI (100) REPEATABLE (1)", `["one"] ["two"]`}, {"SELECT count(*) FROM v", "[2]"},
		{"SELECT a.i FROM big a JOIN big b USING (i) LEFT JOIN LATERAL (SELECT 1) c ON true WHERE a.i = 5", "[5]"}, {"SELECT grouping(i), count(*) FROM big WHERE i < 3 GROUP BY ROLLUP (i) ORDER BY 1, 2 LIMIT 1", "[0,1]"}, {"SELECT repeat('x', 3), lpad('5', 3, '0')", `["xxx","005"]`},
		{"SELECT EXISTS (SELECT 1 FROM t2), 1 IN (1, 2), (SELECT count(*) FROM t2)", "[true,true,2]"}, {"SELECT x::varchar(2), CAST(1 AS numeric(5,2)), interval '1' day, .5, 1., 1.5e3, 0.1E-2 FROM t2 LIMIT 1", ""},
	}
}
