package postgres

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

// Types whose OIDs are fixed (pg_type.dat); elements are by the OID of an array.
var types = map[uint32]string{
	pgtype.BoolOID: "bool", pgtype.ByteaOID: "bytea", pgtype.QCharOID: "char", pgtype.NameOID: "name", pgtype.Int8OID: "int8",
	pgtype.Int2OID: "int2", pgtype.Int4OID: "int4", pgtype.TextOID: "text", pgtype.OIDOID: "oid", pgtype.JSONOID: "json", pgtype.XMLOID: "xml",
	pgtype.Float4OID: "float4", pgtype.Float8OID: "float8", pgtype.InetOID: "inet", pgtype.BPCharOID: "bpchar",
	pgtype.VarcharOID: "varchar", pgtype.DateOID: "date", pgtype.TimeOID: "time", pgtype.TimestampOID: "timestamp",
	pgtype.TimestamptzOID: "timestamptz", pgtype.IntervalOID: "interval", pgtype.TimetzOID: "timetz", pgtype.NumericOID: "numeric",
	pgtype.UUIDOID: "uuid", pgtype.JSONBOID: "jsonb", pgtype.CIDROID: "cidr", 790: "money", 2205: "regclass", 3614: "tsvector",
}

var elements = map[uint32]uint32{
	pgtype.BoolArrayOID: pgtype.BoolOID, pgtype.ByteaArrayOID: pgtype.ByteaOID, pgtype.Int2ArrayOID: pgtype.Int2OID,
	pgtype.Int4ArrayOID: pgtype.Int4OID, pgtype.Int8ArrayOID: pgtype.Int8OID, pgtype.TextArrayOID: pgtype.TextOID,
	pgtype.VarcharArrayOID: pgtype.VarcharOID, pgtype.BPCharArrayOID: pgtype.BPCharOID, pgtype.NameArrayOID: pgtype.NameOID,
	pgtype.Float4ArrayOID: pgtype.Float4OID, pgtype.Float8ArrayOID: pgtype.Float8OID, pgtype.NumericArrayOID: pgtype.NumericOID,
	pgtype.DateArrayOID: pgtype.DateOID, pgtype.TimestampArrayOID: pgtype.TimestampOID, pgtype.TimestamptzArrayOID: pgtype.TimestamptzOID,
	pgtype.UUIDArrayOID: pgtype.UUIDOID, pgtype.JSONArrayOID: pgtype.JSONOID, pgtype.JSONBArrayOID: pgtype.JSONBOID,
	pgtype.OIDArrayOID: pgtype.OIDOID, pgtype.InetArrayOID: pgtype.InetOID, pgtype.IntervalArrayOID: pgtype.IntervalOID,
}

func typeName(oid uint32) string {
	if of, is := elements[oid]; is {
		return types[of] + "[]"
	}
	return types[oid]
}

// appendCell appends a value that the server has written as text.
func appendCell(b []byte, oid uint32, value []byte) []byte {
	if value == nil {
		return append(b, "null"...)
	}
	if of, is := elements[oid]; is {
		a := &array{rest: string(value), of: of}
		if out, ok := a.value(b); ok && a.rest == "" {
			return out
		}
		return engine.AppendText(b, value) // with bounds of its own
	}
	switch oid {
	case pgtype.BoolOID:
		if string(value) == "t" {
			return append(b, "true"...)
		}
		return append(b, "false"...)
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.OIDOID:
		return engine.AppendIntText(b, string(value))
	case pgtype.Float4OID, pgtype.Float8OID:
		return engine.AppendFloatText(b, string(value))
	case pgtype.ByteaOID:
		if data, err := hex.DecodeString(strings.TrimPrefix(string(value), `\x`)); err == nil {
			return engine.AppendBytes(b, data)
		}
	case pgtype.JSONOID, pgtype.JSONBOID:
		compact := bytes.NewBuffer(b)
		if json.Compact(compact, value) == nil {
			return compact.Bytes()
		}
	}
	return engine.AppendText(b, value)
}

// array reads the text of an array (documentation, 8.15.6).
type array struct {
	rest string
	of   uint32
}

func (a *array) value(b []byte) ([]byte, bool) {
	rest, open := strings.CutPrefix(a.rest, "{")
	if !open {
		return b, false
	}
	a.rest = rest
	b = append(b, '[')
	if rest, empty := strings.CutPrefix(a.rest, "}"); empty {
		a.rest = rest
		return append(b, ']'), true
	}
	for {
		var ok bool
		if strings.HasPrefix(a.rest, "{") {
			b, ok = a.value(b)
		} else {
			b, ok = a.element(b)
		}
		if !ok || a.rest == "" {
			return b, false
		}
		next := a.rest[0]
		a.rest = a.rest[1:]
		switch next {
		case ',':
			b = append(b, ',')
		case '}':
			return append(b, ']'), true
		default:
			return b, false
		}
	}
}

func (a *array) element(b []byte) ([]byte, bool) {
	if !strings.HasPrefix(a.rest, `"`) {
		end := strings.IndexAny(a.rest, ",}")
		if end < 0 {
			return b, false
		}
		text := a.rest[:end]
		a.rest = a.rest[end:]
		if text == "NULL" {
			return append(b, "null"...), true
		}
		return appendCell(b, a.of, []byte(text)), true
	}
	var text []byte
	for i := 1; i < len(a.rest); i++ {
		switch a.rest[i] {
		case '\\':
			i++
			if i < len(a.rest) {
				text = append(text, a.rest[i])
			}
		case '"':
			a.rest = a.rest[i+1:]
			return appendCell(b, a.of, append([]byte{}, text...)), true
		default:
			text = append(text, a.rest[i])
		}
	}
	return b, false
}
