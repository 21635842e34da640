package mysql

import (
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

const advice = "send one SELECT that only reads; an administrator can allow a function with the setting functions"

// token is a word (folded), or anything else as it stands. Texts are one token '.
type token struct {
	text   string
	word   bool
	quoted bool
}

const maxSQL = 256 << 10 // bytes of a statement

// lex cuts a statement as MySQL and MariaDB do with the sql_mode that connections
// have here: quotes make texts, backslashes escape (manual, "Lexical Structure").
// Comments that are run as code, and hints, are refused.
func lex(sql string) ([]token, error) {
	if len(sql) > maxSQL || strings.IndexByte(sql, 0) >= 0 {
		return nil, engine.Refuse("send less", "the statement is longer than %d bytes, or has a zero byte", maxSQL)
	}
	var tokens []token
	for rest := strings.TrimLeft(sql, spaces); rest != ""; rest = strings.TrimLeft(rest, spaces) {
		n, skip, err := measure(rest)
		if err != nil {
			return nil, err
		}
		if !skip {
			tokens = append(tokens, tokenOf(rest[:n]))
		}
		rest = rest[n:]
	}
	return tokens, nil
}

const spaces = " \t\r\n\f\v"

func tokenOf(text string) token {
	switch {
	case text[0] == '\'' || text[0] == '"':
		return token{text: "'"}
	case text[0] == '`':
		return token{text: strings.ToLower(strings.ReplaceAll(text[1:len(text)-1], "``", "`")), word: true, quoted: true}
	case letter(text[0]):
		return token{text: strings.ToLower(text), word: true}
	}
	return token{text: text}
}

// measure says how long the first token is, and whether it is a comment.
func measure(rest string) (n int, skip bool, err error) {
	c := rest[0]
	switch {
	case c == '#', strings.HasPrefix(rest, "--") && (len(rest) == 2 || rest[2] <= ' '):
		if n = strings.IndexByte(rest, '\n'); n < 0 {
			n = len(rest)
		}
		return n, true, nil
	case strings.HasPrefix(rest, "/*"):
		n, err = comment(rest)
		return n, true, err
	case c == '\'' || c == '"' || c == '`':
		n, err = quote(rest)
		return n, false, err
	case strings.HasPrefix(rest, ":="):
		return 2, false, nil
	case letter(c) || c >= '0' && c <= '9' || c == '$':
		for n = 1; n < len(rest) && (letter(rest[n]) || rest[n] >= '0' && rest[n] <= '9' || rest[n] == '$'); n++ {
		}
		return n, false, nil
	}
	return 1, false, nil
}

func comment(rest string) (int, error) {
	if len(rest) > 2 && strings.IndexByte("!+M", rest[2]) >= 0 {
		return 0, engine.Refuse("leave it out", "comments that the server reads as code are not let through")
	}
	end := strings.Index(rest[2:], "*/")
	if end < 0 || strings.Contains(rest[2:2+end], "/*") {
		return 0, engine.Refuse("close it, or leave it out", "a comment does not end, or has another within")
	}
	return end + 4, nil
}

func quote(rest string) (int, error) {
	for i := 1; i < len(rest); i++ {
		switch {
		case rest[i] == '\\' && rest[0] != '`':
			i++
		case rest[i] == rest[0] && i+1 < len(rest) && rest[i+1] == rest[0]:
			i++
		case rest[i] == rest[0]:
			return i + 1, nil
		}
	}
	return 0, engine.Refuse("close it", "a text or a name in quotes does not end")
}

func letter(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// reads refuses what may do more than read, and returns the statement without
// semicolons at its end.
func reads(sql string, allowed map[string]bool) (string, error) {
	tokens, err := lex(sql)
	if err != nil {
		return "", err
	}
	for len(tokens) > 0 && tokens[len(tokens)-1].text == ";" {
		tokens = tokens[:len(tokens)-1]
	}
	first := 0
	for first < len(tokens) && tokens[first].text == "(" {
		first++
	}
	if first == len(tokens) {
		return "", engine.Refuse("send one SELECT", "there is no statement")
	}
	switch t := tokens[first]; {
	case t.quoted || t.text != "select" && t.text != "with" && t.text != "values" && t.text != "table":
		return "", engine.Refuse("send one SELECT", "a statement that only reads begins with SELECT, WITH, VALUES or TABLE, and this one with %q", t.text)
	}
	for i := range tokens {
		if err := judge(tokens, i, allowed); err != nil {
			return "", err
		}
	}
	return strings.TrimRight(sql, spaces+";"), nil
}

// judge looks at one token among the others.
func judge(tokens []token, i int, allowed map[string]bool) error {
	t, next, before := tokens[i], at(tokens, i+1), at(tokens, i-1)
	called := next.text == "("
	switch {
	case t.text == ";":
		return engine.Refuse("send them one by one", "there is more than one statement")
	case t.text == ":=":
		return engine.Refuse(advice, "variables are not set here")
	case !t.word || before.text == "." && !called || before.text == "@":
		return nil
	case !t.quoted && engine.Listed(writing, t.text) && !(called && (t.text == "insert" || t.text == "replace")):
		return engine.Refuse(advice, "%s does more than read", strings.ToUpper(t.text))
	case !t.quoted && (t.text == "next" || t.text == "previous") && next.text == "value":
		return engine.Refuse(advice, "a sequence is changed by its next value")
	case !called || allowed[t.text]:
		return nil
	case before.text == "." || t.quoted && !defines(tokens, i):
		return engine.Refuse(advice, "the function %s is not one of the server's own", t.text)
	case engine.Listed(functions, t.text) || engine.Listed(syntax, t.text) || defines(tokens, i):
		return nil
	}
	return engine.Refuse(advice, "the function %s is not among those that only read", t.text)
}

func at(tokens []token, i int) token {
	if i < 0 || i >= len(tokens) {
		return token{}
	}
	return tokens[i]
}

// defines says whether the word at i names a table of WITH: name (columns) AS (.
func defines(tokens []token, i int) bool {
	switch at(tokens, i-1).text {
	case "with", "recursive", ",":
	default:
		return false
	}
	for j := i + 2; j < len(tokens); j++ {
		switch tokens[j].text {
		case ")":
			return at(tokens, j+1).text == "as" && at(tokens, j+2).text == "("
		case "(":
			return false
		}
	}
	return false
}

// writing are reserved words of which no statement that only reads has any.
const writing = `into outfile dumpfile procedure delete update insert replace lock share call load handler truncate drop alter create grant revoke
 rename returning skip execute prepare deallocate analyse`

// syntax are words that a parenthesis may follow, and that call nothing.
const syntax = `select from where and or not xor in exists any some all as on using join with values value table union except intersect distinct
 over partition filter group order by having limit offset when then else case interval between like rlike regexp is div mod binary
 index key force use ignore for row rows of at time timestamp date char varchar decimal numeric float double signed unsigned integer
 rollup window lateral straight_join inner cross left right outer natural end set against character nchar real datetime year`

// functions of the servers that have no effect and reach nothing outside the
// database (MySQL 8.4 manual, 14; MariaDB, "Built-in Functions"). LOAD_FILE, SLEEP,
// BENCHMARK, GET_LOCK and its family, MASTER_POS_WAIT, sequences and stored
// functions are not among them.
const functions = `abs acos asin atan atan2 ceil ceiling conv cos cot crc32 crc32c degrees exp floor ln log log10 log2 mod pi pow power radians rand round
 sign sin sqrt tan truncate ascii bin bit_length char_length character_length concat concat_ws elt export_set field find_in_set format from_base64
 hex insert instr lcase left length locate lower lpad ltrim make_set mid oct octet_length ord position quote repeat replace reverse right rpad rtrim
 soundex space strcmp substr substring substring_index to_base64 trim ucase unhex upper weight_string regexp_instr regexp_like regexp_replace
 regexp_substr adddate addtime convert_tz curdate current_date current_time current_timestamp curtime date date_add date_format date_sub datediff day
 dayname dayofmonth dayofweek dayofyear extract from_days from_unixtime get_format hour last_day localtime localtimestamp makedate maketime microsecond
 minute month monthname now period_add period_diff quarter sec_to_time second str_to_date subdate subtime sysdate time time_format time_to_sec timediff
 timestamp timestampadd timestampdiff to_days to_seconds unix_timestamp utc_date utc_time utc_timestamp week weekday weekofyear year yearweek
 if ifnull nullif coalesce greatest least interval isnull nvl nvl2 decode cast convert avg bit_and bit_or bit_xor count group_concat json_arrayagg
 json_objectagg max min std stddev stddev_pop stddev_samp sum var_pop var_samp variance median percentile_cont percentile_disc cume_dist dense_rank
 first_value lag last_value lead nth_value ntile percent_rank rank row_number grouping any_value md5 sha sha1 sha2 compress uncompress uncompressed_length
 random_bytes aes_encrypt aes_decrypt statement_digest database schema user current_user session_user system_user version connection_id charset collation
 coercibility found_rows row_count bit_count uuid uuid_short uuid_to_bin bin_to_uuid is_uuid inet_aton inet_ntoa inet6_aton inet6_ntoa is_ipv4 is_ipv6
 is_ipv4_compat is_ipv4_mapped json_array json_array_append json_array_insert json_compact json_contains json_contains_path json_depth json_detailed
 json_exists json_extract json_insert json_keys json_length json_loose json_merge json_merge_patch json_merge_preserve json_object json_overlaps
 json_pretty json_query json_quote json_remove json_replace json_search json_set json_storage_size json_table json_type json_unquote json_valid
 json_value json_normalize json_equals member extractvalue updatexml default match natural_sort_key sformat to_char chr add_months trunc months_between
 st_area st_asgeojson st_astext st_aswkt st_asbinary st_buffer st_centroid st_contains st_crosses st_difference st_dimension st_disjoint st_distance
 st_distance_sphere st_endpoint st_envelope st_equals st_geometryn st_geometrytype st_geomfromgeojson st_geomfromtext st_intersection st_intersects
 st_isempty st_isvalid st_length st_numgeometries st_numpoints st_overlaps st_pointn st_simplify st_srid st_startpoint st_touches st_union st_within st_x
 st_y point linestring polygon multipoint multilinestring multipolygon geometrycollection`
