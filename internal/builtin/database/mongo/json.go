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

var errBSON = errors.New("the server has sent what is no BSON")

// appendDocument appends a document as relaxed Extended JSON
// (https://www.mongodb.com/docs/manual/reference/mongodb-extended-json/), except
// that an integer beyond what a JSON number keeps is {"$numberLong": "..."}.
func appendDocument(b []byte, doc bson.Raw) ([]byte, error) {
	elements, err := doc.Elements()
	if err != nil {
		return b, errBSON
	}
	b = append(b, '{')
	for i, e := range elements {
		if i > 0 {
			b = append(b, ',')
		}
		b = engine.AppendText(b, name(e))
		b = append(b, ':')
		if b, err = appendValue(b, e.Value()); err != nil {
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

func appendList(b []byte, list bson.RawArray) ([]byte, error) {
	values, err := list.Values()
	if err != nil {
		return b, errBSON
	}
	b = append(b, '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendValue(b, v); err != nil {
			return b, err
		}
	}
	return append(b, ']'), nil
}

func appendValue(b []byte, v bson.RawValue) ([]byte, error) {
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
		return appendDocument(b, v.Document())
	case bson.TypeArray:
		return appendList(b, v.Array())
	}
	return appendRare(b, v)
}

// text is a string without a copy: its length in four bytes, itself, a zero.
func text(v bson.RawValue) []byte {
	if len(v.Value) < 5 {
		return nil
	}
	return v.Value[4 : len(v.Value)-1]
}

func appendRare(b []byte, v bson.RawValue) ([]byte, error) {
	switch v.Type {
	case bson.TypeDecimal128:
		b = append(append(b, `{"$numberDecimal":"`...), v.Decimal128().String()...)
		return append(b, `"}`...), nil
	case bson.TypeBinary:
		subtype, data := v.Binary()
		b = append(b, `{"$binary":{"base64":"`...)
		b = base64.StdEncoding.AppendEncode(b, data)
		b = append(b, `","subType":"`...)
		return append(appendHex(b, []byte{subtype}), `"}}`...), nil
	case bson.TypeRegex:
		pattern, options := v.Regex()
		b = engine.AppendText(append(b, `{"$regularExpression":{"pattern":`...), pattern)
		b = engine.AppendText(append(b, `,"options":`...), options)
		return append(b, "}}"...), nil
	case bson.TypeTimestamp:
		t, i := v.Timestamp()
		b = strconv.AppendUint(append(b, `{"$timestamp":{"t":`...), uint64(t), 10)
		b = strconv.AppendUint(append(b, `,"i":`...), uint64(i), 10)
		return append(b, "}}"...), nil
	case bson.TypeMinKey:
		return append(b, `{"$minKey":1}`...), nil
	case bson.TypeMaxKey:
		return append(b, `{"$maxKey":1}`...), nil
	case bson.TypeUndefined:
		return append(b, `{"$undefined":true}`...), nil
	}
	return appendCode(b, v)
}

// appendCode appends what nothing makes any more.
func appendCode(b []byte, v bson.RawValue) ([]byte, error) {
	switch v.Type {
	case bson.TypeJavaScript:
		return append(engine.AppendText(append(b, `{"$code":`...), v.JavaScript()), '}'), nil
	case bson.TypeSymbol:
		return append(engine.AppendText(append(b, `{"$symbol":`...), v.Symbol()), '}'), nil
	case bson.TypeCodeWithScope:
		code, scope := v.CodeWithScope()
		b = append(engine.AppendText(append(b, `{"$code":`...), code), `,"$scope":`...)
		b, err := appendDocument(b, scope)
		return append(b, '}'), err
	case bson.TypeDBPointer:
		ref, id := v.DBPointer()
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
