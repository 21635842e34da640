package engine

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Table is Rows that keeps what it is given as texts, for statements of the
// server's own. Null is the empty text. Its zero value is ready.
type Table struct {
	Head  []Column
	Texts [][]string
}

var _ Rows = (*Table)(nil)

// Columns implements Rows.
func (t *Table) Columns(columns []Column) { t.Head = columns }

// Row implements Rows. A row that is no JSON array ends the reading.
func (t *Table) Row(array []byte) bool {
	var row []any
	if json.Unmarshal(array, &row) != nil {
		return false
	}
	texts := make([]string, len(row))
	for i, v := range row {
		if v != nil {
			texts[i] = fmt.Sprint(v)
		}
	}
	t.Texts = append(t.Texts, texts)
	return true
}

// Listed says whether name is a word of list, in which white space stands
// between words. It is looked for in the text, so that nothing is made when the
// program starts.
func Listed(list, name string) bool {
	if name == "" || strings.ContainsAny(name, " \t\n") {
		return false
	}
	for from := 0; ; {
		i := strings.Index(list[from:], name)
		if i < 0 {
			return false
		}
		i += from
		from = i + len(name)
		if (i == 0 || list[i-1] <= ' ') && (from == len(list) || list[from] <= ' ') {
			return true
		}
	}
}
