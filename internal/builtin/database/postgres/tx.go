package postgres

import (
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

// tx is a transaction whose statements are sent together and answered together,
// so that begin, declare and fetch cost one round trip.
type tx struct {
	pipeline *pgconn.Pipeline
	discard  bool
	pending  int  // statements whose results were not read
	ending   bool // the end of the transaction was sent with the last of them
}

// send adds one statement, by the extended protocol, with all values as text.
func (t *tx) send(sql string, args [][]byte) {
	t.pipeline.SendQueryParams(sql, args, nil, nil, nil)
	t.pending++
}

// results reads the results of all statements; those of the last go to rows. It
// says how many rows the last had.
func (t *tx) results(rows engine.Rows, most int) (int, error) {
	if t.ending {
		sendEnd(t.pipeline, t.discard)
	}
	if err := t.pipeline.Sync(); err != nil {
		return 0, err
	}
	got := 0
	for ; ; t.pending-- {
		result, err := t.pipeline.GetResults()
		if err != nil {
			return got, err
		}
		reader, is := result.(*pgconn.ResultReader)
		if !is { // the sync, or nothing when all was read
			return got, nil
		}
		if t.pending == 1 {
			got = pour(reader, rows, most)
		}
		if _, err := reader.Close(); err != nil {
			return got, err
		}
	}
}

// fetch takes rows of the cursor until there are none or no more are wanted.
func (t *tx) fetch(most int, rows engine.Rows) error {
	once := &header{Rows: rows}
	if most <= fetchAll {
		t.send("FETCH FORWARD "+strconv.Itoa(most)+" FROM dragoman", nil)
		t.ending = true
		_, err := t.results(once, most)
		return err
	}
	for most > 0 {
		n := min(most, fetchRows)
		t.send("FETCH FORWARD "+strconv.Itoa(n)+" FROM dragoman", nil)
		got, err := t.results(once, n)
		if err != nil || got < n || once.enough {
			return err
		}
		most -= got
	}
	return nil
}

// header tells columns once, and remembers that no more rows are wanted.
type header struct {
	engine.Rows
	told, enough bool
}

func (h *header) Columns(columns []engine.Column) {
	if !h.told {
		h.Rows.Columns(columns)
	}
	h.told = true
}

func (h *header) Row(array []byte) bool {
	h.enough = h.enough || !h.Rows.Row(array)
	return !h.enough
}

// pour hands over rows as JSON, and says how many there were.
func pour(reader *pgconn.ResultReader, rows engine.Rows, most int) int {
	fields := reader.FieldDescriptions()
	columns := make([]engine.Column, len(fields))
	for i, f := range fields {
		columns[i] = engine.Column{Name: f.Name, Type: typeName(f.DataTypeOID)}
	}
	rows.Columns(columns)
	var row []byte
	n, wanted := 0, true
	for reader.NextRow() {
		if n++; !wanted || n > most {
			continue // what was fetched has to be read
		}
		row = append(row[:0], '[')
		for i, value := range reader.Values() {
			if i > 0 {
				row = append(row, ',')
			}
			row = appendCell(row, fields[i].DataTypeOID, value)
		}
		wanted = rows.Row(append(row, ']'))
	}
	return n
}

// plain collects rows of one text.
type plain struct{ text strings.Builder }

func (p *plain) Columns([]engine.Column) {}

func (p *plain) Row(array []byte) bool {
	text, err := strconv.Unquote(string(array[1 : len(array)-1]))
	if err == nil {
		p.text.WriteString(text + "\n")
	}
	return true
}
