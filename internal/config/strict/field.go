package strict

import (
	"reflect"
	"strings"
)

// Field is what the tags of one struct field say about its key.
type Field struct {
	// Key is the name in the document (tag yaml). Index leads to the Go field, through inline structs.
	Key   string
	Index []int
	Type  reflect.Type
	// Go is the name of the Go field, and Owner the struct that declares it.
	Go    string
	Owner reflect.Type

	// Default, Min and Max are written as in the document; empty means none (tags default, min, max).
	Default, Min, Max string
	// Enum is all allowed values (tag enum, separated by |).
	Enum []string
	// Aka is what people write instead (tag aka, separated by commas); only used for "did you mean".
	Aka []string
	// Env is an environment variable that takes the place of Default (tag env). A duration in it may be a bare number
	// of seconds.
	Env string
	// Example is a value for the manual, in YAML (tag example).
	Example string
	// Unit is a suffix that a number may carry, like % (tag unit).
	Unit string
	// Path marks a file name: relative to the document's directory, ~ is the home directory (tag path).
	Path bool
	// Required fields must be there (tag required).
	Required bool
	// Short marks the field that a bare text in place of the whole struct sets (tag short).
	Short bool
	// OrText lets a bare text stand for a list of one (tag list:"or-text").
	OrText bool
	// Inherited fields get no default here, since they take it from elsewhere: they come from an inline struct.
	Inherited bool
}

// Fields lists the keys of a struct type in the order of its declaration, those of inline structs among them.
func Fields(t reflect.Type) []Field {
	var fields []Field
	for i := range t.NumField() {
		sf := t.Field(i)
		key, options, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			for _, f := range Fields(sf.Type) {
				f.Index = append([]int{i}, f.Index...)
				f.Inherited = true
				fields = append(fields, f)
			}
		case key != "" && key != "-":
			fields = append(fields, newField(t, sf, key))
		}
	}
	return fields
}

func newField(owner reflect.Type, sf reflect.StructField, key string) Field {
	tag := sf.Tag.Get
	return Field{
		Key: key, Index: sf.Index, Type: sf.Type, Go: sf.Name, Owner: owner,
		Default: tag("default"), Min: tag("min"), Max: tag("max"),
		Enum: split(tag("enum"), "|"), Aka: split(tag("aka"), ","),
		Env: tag("env"), Example: tag("example"), Unit: tag("unit"),
		Path: tag("path") == "true", Required: tag("required") == "true",
		Short: tag("short") == "true", OrText: tag("list") == "or-text",
	}
}

func split(s, sep string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, sep)
}
