package mongo

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math"
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

// maxNested bounds documents in documents of an answer, in whose place a server that
// is none could send so many that the program ends. MongoDB has at most 180.
const maxNested = 250

var errBSON = errors.New("the server has sent what is no BSON")

// appendDocument appends a document as relaxed Extended JSON
// (https://www.mongodb.com/docs/manual/reference/mongodb-extended-json/), except
// that an integer beyond what a JSON number keeps is {"$numberLong": "..."}.
func appendDocument(b []byte, doc bson.Raw) ([]byte, error) { return appendFields(b, doc, 0) }

func appendFields(b []byte, doc bson.Raw, depth int) ([]byte, error) {
	elements, err := doc.Elements()
	if err != nil || depth > maxNested {
		return b, errBSON
	}
	b = append(b, '{')
	for i, e := range elements {
		if i > 0 {
			b = append(b, ',')
		}
		b = engine.AppendText(b, name(e))
		b = append(b, ':')
		if b, err = appendNested(b, e.Value(), depth+1); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}

// name is the key of an element, without a copy.
func name(e bson.RawElement) []byte {
	end := bytes.IndexByte(e[1:], 0)
	return e[1 : 1+max(end, 0)]
}

func appendList(b []byte, list bson.RawArray, depth int) ([]byte, error) {
	values, err := list.Values()
	if err != nil || depth > maxNested {
		return b, errBSON
	}
	b = append(b, '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendNested(b, v, depth+1); err != nil {
			return b, err
		}
	}
	return append(b, ']'), nil
}

func appendValue(b []byte, v bson.RawValue) ([]byte, error) { return appendNested(b, v, 0) }

func appendNested(b []byte, v bson.RawValue, depth int) ([]byte, error) {
	switch v.Type {
	case bson.TypeString:
		return engine.AppendText(b, text(v)), nil
	case bson.TypeInt32:
		return strconv.AppendInt(b, int64(v.Int32()), 10), nil
	case bson.TypeInt64:
		return appendLong(b, v.Int64()), nil
	case bson.TypeDouble:
		return appendDouble(b, v.Double()), nil
	case bson.TypeBoolean:
		return strconv.AppendBool(b, v.Boolean()), nil
	case bson.TypeNull:
		return append(b, "null"...), nil
	case bson.TypeObjectID:
		id := v.ObjectID()
		b = append(b, `{"$oid":"`...)
		return append(appendHex(b, id[:]), `"}`...), nil
	case bson.TypeDateTime:
		return appendDate(b, v.DateTime()), nil
	case bson.TypeEmbeddedDocument:
		return appendFields(b, v.Document(), depth)
	case bson.TypeArray:
		return appendList(b, v.Array(), depth)
	}
	return appendRare(b, v, depth)
}

// text is a string without a copy: its length in four bytes, itself, a zero.
func text(v bson.RawValue) []byte {
	if len(v.Value) < 5 {
		return nil
	}
	return v.Value[4 : len(v.Value)-1]
}

// appendRare asks for each value whether it is one: the accessors that do not say
// so end the program when bytes are missing.
func appendRare(b []byte, v bson.RawValue, depth int) ([]byte, error) {
	if n, is := v.Decimal128OK(); is {
		b = append(append(b, `{"$numberDecimal":"`...), n.String()...)
		return append(b, `"}`...), nil
	}
	if subtype, data, is := v.BinaryOK(); is {
		b = append(b, `{"$binary":{"base64":"`...)
		b = base64.StdEncoding.AppendEncode(b, data)
		b = append(b, `","subType":"`...)
		return append(appendHex(b, []byte{subtype}), `"}}`...), nil
	}
	if pattern, options, is := v.RegexOK(); is {
		b = engine.AppendText(append(b, `{"$regularExpression":{"pattern":`...), pattern)
		b = engine.AppendText(append(b, `,"options":`...), options)
		return append(b, "}}"...), nil
	}
	if t, i, is := v.TimestampOK(); is {
		b = strconv.AppendUint(append(b, `{"$timestamp":{"t":`...), uint64(t), 10)
		b = strconv.AppendUint(append(b, `,"i":`...), uint64(i), 10)
		return append(b, "}}"...), nil
	}
	switch v.Type {
	case bson.TypeMinKey:
		return append(b, `{"$minKey":1}`...), nil
	case bson.TypeMaxKey:
		return append(b, `{"$maxKey":1}`...), nil
	case bson.TypeUndefined:
		return append(b, `{"$undefined":true}`...), nil
	}
	return appendCode(b, v, depth)
}

// appendCode appends what nothing makes any more.
func appendCode(b []byte, v bson.RawValue, depth int) ([]byte, error) {
	if code, is := v.JavaScriptOK(); is {
		return append(engine.AppendText(append(b, `{"$code":`...), code), '}'), nil
	}
	if symbol, is := v.SymbolOK(); is {
		return append(engine.AppendText(append(b, `{"$symbol":`...), symbol), '}'), nil
	}
	if code, scope, is := v.CodeWithScopeOK(); is {
		b = append(engine.AppendText(append(b, `{"$code":`...), code), `,"$scope":`...)
		b, err := appendFields(b, scope, depth+1)
		return append(b, '}'), err
	}
	if ref, id, is := v.DBPointerOK(); is {
		b = engine.AppendText(append(b, `{"$dbPointer":{"$ref":`...), ref)
		b = appendHex(append(b, `,"$id":{"$oid":"`...), id[:])
		return append(b, `"}}}`...), nil
	}
	return b, errBSON
}

func appendLong(b []byte, n int64) []byte {
	if n > 1<<53-1 || n < -(1<<53-1) {
		b = strconv.AppendInt(append(b, `{"$numberLong":"`...), n, 10)
		return append(b, `"}`...)
	}
	return strconv.AppendInt(b, n, 10)
}

// appendDouble writes 1.0 and not 1, so that what reads it makes a double of it.
func appendDouble(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		b = engine.AppendFloat(append(b, `{"$numberDouble":`...), f, 64)
		return append(b, '}')
	}
	start := len(b)
	b = engine.AppendFloat(b, f, 64)
	if bytes.IndexByte(b[start:], '.') < 0 && bytes.IndexByte(b[start:], 'e') < 0 {
		b = append(b, ".0"...)
	}
	return b
}

func appendDate(b []byte, ms int64) []byte {
	t := time.UnixMilli(ms).UTC()
	if y := t.Year(); y < 1970 || y > 9999 {
		b = strconv.AppendInt(append(b, `{"$date":{"$numberLong":"`...), ms, 10)
		return append(b, `"}}`...)
	}
	b = t.AppendFormat(append(b, `{"$date":"`...), "2006-01-02T15:04:05.999Z")
	return append(b, `"}`...)
}

func appendHex(b, data []byte) []byte {
	const digits = "0123456789abcdef"
	for _, c := range data {
		b = append(b, digits[c>>4], digits[c&15])
	}
	return b
}
