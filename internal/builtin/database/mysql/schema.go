package mysql

import (
	"context"
	"fmt"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

// readingRights are those that a role may have.
const readingRights = "select usage show_view show_databases process"

// Posture reads the grants of the role.
func (s *Source) Posture(ctx context.Context) (engine.Posture, error) {
	return s.posture(ctx, readingRights, "dragoman_reader", "SELECT, SHOW VIEW")
}

// posture compares the grants of the role with those that are fine, and says what
// makes one that has these rights and no others.
func (s *Source) posture(ctx context.Context, fine, name, rights string) (engine.Posture, error) {
	var who, grants engine.Table
	if err := s.run(ctx, "SELECT CURRENT_USER(), DATABASE()", engine.Query{Max: 1}, &who); err != nil {
		return engine.Posture{}, err
	}
	if err := s.run(ctx, "SHOW GRANTS", engine.Query{Max: 1000}, &grants); err != nil {
		return engine.Posture{}, err
	}
	p := engine.Posture{Role: who.Texts[0][0]}
	for _, grant := range grants.Texts {
		p.Excess = append(p.Excess, excess(grant[0], fine)...)
	}
	if len(p.Excess) > 0 {
		place := "`" + strings.ReplaceAll(who.Texts[0][1], "`", "``") + "`"
		p.Remedy = "CREATE USER '" + name + "'@'%' IDENTIFIED BY '...';\nGRANT " + rights + " ON " + place + ".* TO '" + name + "'@'%';\n"
	}
	return p, nil
}

// excess lists what a line of SHOW GRANTS gives beyond what is fine: the rights, and
// roles, which may give anything.
func excess(grant, fine string) []string {
	what, found := strings.CutPrefix(grant, "GRANT ")
	rights, on, isRight := strings.Cut(what, " ON ")
	if !found || strings.HasPrefix(grant, "GRANT PROXY") {
		return nil
	}
	if !isRight {
		return []string{"has the role " + what}
	}
	var more []string
	for right := range strings.SplitSeq(withoutColumns(rights), ",") {
		right = strings.TrimSpace(right)
		if !engine.Listed(fine, strings.ReplaceAll(strings.ToLower(right), " ", "_")) {
			where, _, _ := strings.Cut(on, " TO ")
			more = append(more, "has "+right+" on "+where)
		}
	}
	if strings.Contains(on, "WITH GRANT OPTION") {
		more = append(more, "may grant to others")
	}
	return more
}

// withoutColumns takes (a, b) out of SELECT (a, b).
func withoutColumns(rights string) string {
	for {
		head, rest, found := strings.Cut(rights, "(")
		if !found {
			return rights
		}
		_, tail, _ := strings.Cut(rest, ")")
		rights = strings.TrimSpace(head) + tail
	}
}

const (
	maxObjects = 10_000
	maxFields  = 200_000

	objectsSQL = `SELECT table_name, table_type, table_comment, table_rows FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name`
	fieldsSQL  = `SELECT c.table_name, c.column_name, c.column_type, c.is_nullable, c.column_comment, c.column_default, c.column_key,
 (SELECT CONCAT(k.referenced_table_name, '.', k.referenced_column_name) FROM information_schema.key_column_usage k WHERE k.table_schema = c.table_schema
  AND k.table_name = c.table_name AND k.column_name = c.column_name AND k.referenced_table_name IS NOT NULL LIMIT 1)
 FROM information_schema.columns c WHERE c.table_schema = DATABASE() ORDER BY c.table_name, c.ordinal_position`
	indexesSQL = `SELECT table_name, index_name, GROUP_CONCAT(column_name ORDER BY seq_in_index), MIN(non_unique) FROM information_schema.statistics WHERE table_schema = DATABASE() GROUP BY table_name, index_name ORDER BY 1, 2`
)

func (s *Source) Objects(ctx context.Context) ([]engine.Object, error) {
	var names, fields, indexes engine.Table
	for sql, into := range map[string]*engine.Table{objectsSQL: &names, fieldsSQL: &fields, indexesSQL: &indexes} {
		if err := s.run(ctx, sql, engine.Query{Max: maxFields}, into); err != nil {
			return nil, err
		}
	}
	objects := make([]engine.Object, min(len(names.Texts), maxObjects))
	at := map[string]*engine.Object{}
	for i := range objects {
		row := names.Texts[i]
		kind := strings.ToLower(strings.TrimPrefix(row[1], "BASE "))
		objects[i] = engine.Object{Name: row[0], Kind: kind, Rows: -1}
		if kind == "table" {
			objects[i].Comment = row[2]
			_, _ = fmt.Sscan(row[3], &objects[i].Rows)
		}
		at[row[0]] = &objects[i]
	}
	for _, row := range fields.Texts {
		o := at[row[0]]
		if o == nil {
			continue
		}
		o.Columns = append(o.Columns, engine.Field{Name: row[1], Type: row[2], Required: row[3] == "NO", Comment: row[4], Default: row[5], References: row[7]})
		if row[6] == "PRI" {
			o.Keys = append(o.Keys, row[1])
		}
	}
	for _, row := range indexes.Texts {
		if o := at[row[0]]; o != nil {
			unique := map[string]string{"0": "unique "}[row[3]]
			o.Indexes = append(o.Indexes, unique+row[1]+" ("+row[2]+")")
		}
	}
	return objects, nil
}
