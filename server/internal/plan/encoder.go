package plan

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// MinKept is how many bytes a string must have for Text to remember what it has
// become.
const MinKept = 1 << 10

// maxDepth bounds how deep values may be nested; one that holds itself ends there.
const maxDepth = 200

// Plans are the encoders that were made, by type; types are as many as a program
// has. The zero value is ready, and may be used concurrently.
type Plans struct{ known sync.Map }

// Text is JSON in the making. Encoders append to Bytes. Plans must be there.
type Text struct {
	Bytes []byte
	Plans *Plans
	kept  []string // long ones
	spans [][2]int // where each of them stands, with its quotes
	depth int
}

// String appends s as a string. What has been escaped once is copied, as when a
// text stands in structured content and in content for people.
func (t *Text) String(s string) {
	if len(s) < MinKept {
		t.Bytes = jsonrpc.AppendString(t.Bytes, s)
		return
	}
	for i, known := range t.kept {
		if known == s {
			t.Bytes = append(t.Bytes, t.Bytes[t.spans[i][0]:t.spans[i][1]]...)
			return
		}
	}
	begin := len(t.Bytes)
	t.Bytes = jsonrpc.AppendString(t.Bytes, s)
	if len(t.kept) < 4 {
		t.kept = append(t.kept, s)
		t.spans = append(t.spans, [2]int{begin, len(t.Bytes)})
	}
}

// An encoder appends values of one type to a Text. It may be used concurrently.
type encoder func(t *Text, v reflect.Value) error

// Append appends v as encoding/json would write it, except that <, > and & stay
// as they are, as do the line separators of Unicode.
func (t *Text) Append(v any) error {
	if v == nil {
		t.Bytes = append(t.Bytes, "null"...)
		return nil
	}
	value := reflect.ValueOf(v)
	return t.Plans.of(value.Type())(t, value)
}

// of returns the encoder of a type.
func (p *Plans) of(t reflect.Type) encoder {
	if known, ok := p.known.Load(t); ok {
		return known.(encoder)
	}
	// A type that holds itself meets this one while it is being made.
	var once sync.WaitGroup
	var made encoder
	once.Add(1)
	first, loaded := p.known.LoadOrStore(t, encoder(func(t *Text, v reflect.Value) error {
		once.Wait()
		return made(t, v)
	}))
	if loaded {
		return first.(encoder)
	}
	made = p.make(t)
	once.Done()
	p.known.Store(t, made)
	return made
}

var (
	marshaler     = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	rawType       = reflect.TypeFor[json.RawMessage]()
	checkedType   = reflect.TypeFor[Checked]()
	timeType      = reflect.TypeFor[time.Time]()
	numberType    = reflect.TypeFor[json.Number]()
)

func (p *Plans) make(t reflect.Type) encoder {
	switch {
	case t == rawType:
		return encodeRaw
	case t == checkedType:
		return encodeChecked
	case t == timeType:
		return encodeTime
	case t == numberType, t.Implements(marshaler), t.Implements(textMarshaler),
		reflect.PointerTo(t).Implements(marshaler), reflect.PointerTo(t).Implements(textMarshaler):
		return encodeOther
	}
	switch t.Kind() {
	case reflect.Bool:
		return encodeBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return encodeInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return encodeUint
	case reflect.Float64:
		return encodeFloat
	case reflect.String:
		return encodeString
	case reflect.Interface:
		return encodeInterface
	case reflect.Pointer:
		return pointers(p.of(t.Elem()))
	case reflect.Slice, reflect.Array:
		return p.list(t)
	case reflect.Map:
		return p.object(t)
	case reflect.Struct:
		return p.structure(t)
	}
	return encodeOther
}

func encodeBool(t *Text, v reflect.Value) error {
	t.Bytes = strconv.AppendBool(t.Bytes, v.Bool())
	return nil
}

func encodeInt(t *Text, v reflect.Value) error {
	t.Bytes = strconv.AppendInt(t.Bytes, v.Int(), 10)
	return nil
}

func encodeUint(t *Text, v reflect.Value) error {
	t.Bytes = strconv.AppendUint(t.Bytes, v.Uint(), 10)
	return nil
}

// encodeFloat writes numbers as ECMAScript does, which is what encoding/json does.
func encodeFloat(t *Text, v reflect.Value) error {
	f := v.Float()
	size := math.Abs(f)
	if !(size < 1e21 && size >= 1e-6 || f == 0) {
		return encodeOther(t, v)
	}
	t.Bytes = strconv.AppendFloat(t.Bytes, f, 'f', -1, 64)
	return nil
}

func encodeString(t *Text, v reflect.Value) error {
	t.String(v.String())
	return nil
}

func encodeTime(t *Text, v reflect.Value) error {
	at, ok := v.Interface().(time.Time)
	if _, offset := at.Zone(); !ok || at.Year() < 0 || at.Year() > 9999 || offset%60 != 0 || max(offset, -offset) >= 24*60*60 {
		return encodeOther(t, v) // which says what is wrong
	}
	t.Bytes = append(at.AppendFormat(append(t.Bytes, '"'), time.RFC3339Nano), '"')
	return nil
}

func encodeRaw(t *Text, v reflect.Value) error {
	raw := v.Bytes()
	if raw == nil {
		t.Bytes = append(t.Bytes, "null"...)
		return nil
	}
	var err error
	t.Bytes, err = AppendRaw(t.Bytes, raw)
	return err
}

// encodeOther leaves a value to encoding/json.
func encodeOther(t *Text, v reflect.Value) error {
	var value any
	if v.IsValid() {
		value = v.Interface()
		if v.CanAddr() && v.Kind() != reflect.Pointer {
			value = v.Addr().Interface()
		}
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return err
	}
	t.Bytes = append(t.Bytes, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...)
	return nil
}

func encodeInterface(t *Text, v reflect.Value) error {
	if v.IsNil() {
		t.Bytes = append(t.Bytes, "null"...)
		return nil
	}
	v = v.Elem()
	return t.deeper(t.Plans.of(v.Type()), v)
}

func (t *Text) deeper(e encoder, v reflect.Value) error {
	if t.depth++; t.depth > maxDepth {
		return fmt.Errorf("encode %s: it is nested more than %d deep", v.Type(), maxDepth)
	}
	err := e(t, v)
	t.depth--
	return err
}

func pointers(elem encoder) encoder {
	return func(t *Text, v reflect.Value) error {
		if v.IsNil() {
			t.Bytes = append(t.Bytes, "null"...)
			return nil
		}
		return t.deeper(elem, v.Elem())
	}
}

func encodeBytes(t *Text, v reflect.Value) error {
	if v.IsNil() {
		t.Bytes = append(t.Bytes, "null"...)
		return nil
	}
	t.Bytes = append(base64.StdEncoding.AppendEncode(append(t.Bytes, '"'), v.Bytes()), '"')
	return nil
}
