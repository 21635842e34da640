package sqlite

import (
	"fmt"
	"reflect"
	"strings"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

// functions may be called: those of SQLite that have no effect and reach nothing
// outside the database. load_extension, fts3_tokenizer, readfile, writefile, edit
// and whatever comes with an extension are not among them
// (https://sqlite.org/lang_corefunc.html, json1, lang_datefunc, lang_mathfunc,
// windowfunctions, fts5, rtree).
const functions = `
 abs changes char coalesce concat concat_ws format glob hex if ifnull iif instr last_insert_rowid length like likelihood
 likely lower ltrim max min nullif octet_length printf quote random randomblob replace round rtrim sign soundex
 sqlite_source_id sqlite_version substr substring total_changes trim typeof unhex unicode unistr unistr_quote unlikely
 upper zeroblob subtype match
 avg count group_concat string_agg sum total median percentile percentile_cont percentile_disc
 row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
 date time datetime julianday unixepoch strftime timediff current_date current_time current_timestamp
 json jsonb json_array jsonb_array json_array_length json_array_insert json_error_position json_extract jsonb_extract json_insert jsonb_insert
 json_object jsonb_object json_patch jsonb_patch json_pretty json_quote json_remove jsonb_remove json_replace
 jsonb_replace json_set jsonb_set json_type json_valid json_group_array jsonb_group_array json_group_object
 jsonb_group_object -> ->>
 acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp floor ln log log10 log2 mod pi pow power
 radians sin sinh sqrt tan tanh trunc
 bm25 highlight snippet matchinfo offsets regexp rtreedepth rtreenode geopoly_area geopoly_contains_point
 geopoly_overlap geopoly_within geopoly_json
 sqlite_compileoption_get sqlite_compileoption_used vec_distance_l2 vec_distance_cosine vec_length vec_to_json`

// pragmas may be read, most of them through the tables that are named after them.
const pragmas = `table_info table_xinfo table_list index_list index_info index_xinfo foreign_key_list database_list
 collation_list function_list data_version encoding user_version application_id page_count page_size schema_version`

// guard refuses at compilation whatever is not reading
// (https://sqlite.org/c3ref/set_authorizer.html).
func (c *conn) guard() error {
	word := reflect.TypeFor[uintptr]()
	callback := reflect.FuncOf([]reflect.Type{reflect.TypeFor[*libc.TLS](), word, reflect.TypeFor[int32](), word, word, word, word},
		[]reflect.Type{reflect.TypeFor[int32]()}, false)
	allow, deny := []reflect.Value{reflect.ValueOf(int32(lib.SQLITE_OK))}, []reflect.Value{reflect.ValueOf(int32(lib.SQLITE_DENY))}
	c.judge = reflect.MakeFunc(callback, func(args []reflect.Value) []reflect.Value {
		a, b := libc.GoString(uintptr(args[3].Uint())), libc.GoString(uintptr(args[4].Uint()))
		action := int32(args[2].Int())
		if c.own && action == lib.SQLITE_TRANSACTION || c.writes && !strings.HasPrefix(strings.ToLower(a), "sqlite_") &&
			(action == lib.SQLITE_INSERT || action == lib.SQLITE_UPDATE || action == lib.SQLITE_DELETE) {
			return allow
		}
		if why := judge(action, a, b); why != "" {
			if c.refused = why; c.writes {
				c.refused = strings.Replace(why, "does more than read", "does more than change rows", 1)
			}
			if c.writes && strings.HasPrefix(strings.ToLower(a), "sqlite_") {
				c.refused = "a change of the schema does more than change rows"
			}
			return deny
		}
		return allow
	}).Interface()
	// The data of an interface that holds a function is the function's address.
	address := (*[2]uintptr)(unsafe.Pointer(&c.judge))[1]
	if rc := lib.Xsqlite3_set_authorizer(c.tls, c.db, address, 0); rc != lib.SQLITE_OK {
		return c.fault("set the authorizer")
	}
	return nil
}

func judge(action int32, a, b string) (why string) {
	switch action {
	case lib.SQLITE_SELECT, lib.SQLITE_RECURSIVE, lib.SQLITE_READ:
		return ""
	case lib.SQLITE_FUNCTION:
		if engine.Listed(functions, strings.ToLower(b)) {
			return ""
		}
		return fmt.Sprintf("the function %s is not among those that only read", b)
	case lib.SQLITE_PRAGMA:
		if engine.Listed(pragmas, strings.ToLower(a)) && (b == "" || !engine.Listed(settable, strings.ToLower(a))) {
			return ""
		}
		return fmt.Sprintf("PRAGMA %s is not among those that only read", a)
	}
	if name, known := actions[action]; known {
		return name + " does more than read"
	}
	return fmt.Sprintf("this statement does more than read (action %d)", action)
}

// settable are the pragmas whose argument is a value to set, not a name to look up.
const settable = `encoding user_version application_id page_size schema_version page_count data_version database_list collation_list function_list`

var actions = map[int32]string{
	lib.SQLITE_INSERT: "INSERT", lib.SQLITE_UPDATE: "UPDATE", lib.SQLITE_DELETE: "DELETE", lib.SQLITE_ATTACH: "ATTACH",
	lib.SQLITE_DETACH: "DETACH", lib.SQLITE_TRANSACTION: "a transaction", lib.SQLITE_SAVEPOINT: "a savepoint",
	lib.SQLITE_ALTER_TABLE: "ALTER TABLE", lib.SQLITE_REINDEX: "REINDEX", lib.SQLITE_ANALYZE: "ANALYZE",
	lib.SQLITE_CREATE_TABLE: "CREATE TABLE", lib.SQLITE_DROP_TABLE: "DROP TABLE", lib.SQLITE_CREATE_VTABLE: "CREATE VIRTUAL TABLE",
}
