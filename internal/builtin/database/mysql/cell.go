package mysql

import (
	"bytes"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

// pouring hands over rows as JSON.
type pouring struct {
	rows  engine.Rows
	skip  int
	most  int
	types []string
	row   []byte
}

func (p *pouring) take(from driver.Rows, row []driver.Value) bool {
	if row == nil {
		names := from.Columns()
		columns := make([]engine.Column, len(names))
		p.types = make([]string, len(names))
		for i, name := range names {
			p.types[i] = from.(driver.RowsColumnTypeDatabaseTypeName).ColumnTypeDatabaseTypeName(i)
			columns[i] = engine.Column{Name: name, Type: strings.ToLower(p.types[i])}
		}
		p.rows.Columns(columns)
		return true
	}
	if p.skip > 0 {
		p.skip--
		return true
	}
	if p.most == 0 {
		return false
	}
	p.most--
	p.row = append(p.row[:0], '[')
	for i, value := range row {
		if i > 0 {
			p.row = append(p.row, ',')
		}
		p.row = appendCell(p.row, p.types[i], value)
	}
	p.row = append(p.row, ']')
	return p.rows.Row(p.row)
}

func appendCell(b []byte, kind string, value driver.Value) []byte {
	switch v := value.(type) {
	case nil:
		return append(b, "null"...)
	case int64:
		return engine.AppendInt(b, v)
	case uint64:
		return engine.AppendIntText(b, strconv.FormatUint(v, 10))
	case float32:
		return engine.AppendFloat(b, float64(v), 32)
	case float64:
		return engine.AppendFloat(b, v, 64)
	case string:
		return engine.AppendText(b, v)
	case []byte:
		return appendData(b, kind, v)
	}
	return engine.AppendText(b, fmt.Sprint(value))
}

func appendData(b []byte, kind string, data []byte) []byte {
	switch {
	case strings.Contains(kind, "BLOB"), strings.Contains(kind, "BINARY"), kind == "BIT", kind == "GEOMETRY":
		return engine.AppendBytes(b, data)
	case kind == "JSON":
		compact := bytes.NewBuffer(b)
		if json.Compact(compact, data) == nil {
			return compact.Bytes()
		}
	}
	return engine.AppendText(b, data)
}

// text writes a line for each row: name=value for what has a value.
func text(t *engine.Table) string {
	var text strings.Builder
	for _, row := range t.Texts {
		for i, value := range row {
			if value != "" {
				fmt.Fprintf(&text, "%s=%s ", t.Head[i].Name, value)
			}
		}
		text.WriteString("\n")
	}
	return text.String()
}
