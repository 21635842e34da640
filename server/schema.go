package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
)

// inferSchema is jsonschema.For with what the tags of this package add.
func inferSchema[T any](output bool) (*jsonschema.Schema, error) {
	t := reflect.TypeFor[T]()
	if t.Kind() == reflect.Interface || t == reflect.TypeFor[json.RawMessage]() {
		return nil, errors.New("its schema cannot be inferred from " + t.String() + ": use a struct, or give Input and Output")
	}
	schema, err := jsonschema.For[T](&jsonschema.ForOptions{TypeSchemas: map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[json.RawMessage](): {},
		reflect.TypeFor[time.Duration]():   {Type: "string"},
	}})
	if err != nil {
		return nil, err
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if err := refine(schema, t, output); err != nil {
		return nil, err
	}
	return schema, nil
}

// refine adds to a schema what the tags of its type say. Of results it loosens
// what nobody checks and every model would have to read: that there is nothing
// else in them.
func refine(s *jsonschema.Schema, t reflect.Type, output bool) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Kind() == reflect.Slice && s.Items != nil:
		return refine(s.Items, t.Elem(), output)
	case t.Kind() == reflect.Map && s.AdditionalProperties != nil:
		return refine(s.AdditionalProperties, t.Elem(), output)
	case t.Kind() != reflect.Struct:
		return nil
	}
	if output {
		s.AdditionalProperties = nil
	}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		property := s.Properties[name]
		if name == "" || name == "-" || property == nil {
			continue
		}
		if err := tagged(property, f); err != nil {
			return fmt.Errorf("field %s: %w", f.Name, err)
		}
		if err := refine(property, f.Type, output); err != nil {
			return err
		}
	}
	return nil
}

func tagged(s *jsonschema.Schema, f reflect.StructField) error {
	target := s
	if s.Items != nil { // of a list, each item is one of the values
		target = s.Items
	}
	if values := f.Tag.Get("enum"); values != "" {
		for _, v := range strings.Split(values, "|") {
			target.Enum = append(target.Enum, v)
		}
	}
	for tag, into := range map[string]**float64{"min": &target.Minimum, "max": &target.Maximum} {
		text := f.Tag.Get(tag)
		if text == "" {
			continue
		}
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("tag %s: %q is no number", tag, text)
		}
		*into = &n
	}
	text, ok := f.Tag.Lookup("default")
	if !ok {
		return nil
	}
	if value := []byte(text); json.Valid(value) && f.Type.Kind() != reflect.String {
		s.Default = value
		return nil
	}
	quoted, err := json.Marshal(text)
	s.Default = quoted
	return err
}
