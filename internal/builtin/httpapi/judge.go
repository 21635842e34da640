package httpapi

import (
	"encoding/json"
	"reflect"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/openapi"
	"github.com/dragoman-mcp/dragoman/server"
)

// judge is the schema of an operation's arguments, with what can be said of most
// calls without it: arguments of which the schema says the type and no more.
type judge struct {
	schema   *jsonschema.Resolved
	simple   map[string]string // type by name: string, boolean or integer
	required []string
	plain    bool // nothing but properties and required says what fits
}

func newJudge(s *jsonschema.Schema, resolved *jsonschema.Resolved) *judge {
	j := &judge{schema: resolved, simple: map[string]string{}, required: s.Required}
	for name, p := range s.Properties {
		if onlyType(p) {
			j.simple[name] = p.Type
		}
	}
	rest := *s
	rest.Type, rest.Properties, rest.Required, rest.AdditionalProperties, rest.PropertyOrder = "", nil, nil, nil, nil
	rest.Title, rest.Description = "", ""
	j.plain = s.Type == "object" && reflect.ValueOf(rest).IsZero()
	return j
}

// onlyType reports whether a schema says a simple type and nothing else that
// judges.
func onlyType(s *jsonschema.Schema) bool {
	switch s.Type {
	case "string", "boolean", "integer":
	default:
		return false
	}
	rest := *s
	rest.Type, rest.Title, rest.Description, rest.Format, rest.Default, rest.Examples = "", "", "", "", nil, nil
	return reflect.ValueOf(rest).IsZero()
}

// surely reports whether arguments fit without asking the schema.
func (j *judge) surely(arguments map[string]json.RawMessage) bool {
	if !j.plain {
		return false
	}
	for name, text := range arguments {
		if !simply(j.simple[name], text) {
			return false
		}
	}
	for _, name := range j.required {
		if arguments[name] == nil {
			return false
		}
	}
	return true
}

// simply reports whether JSON text is surely of a simple type.
func simply(kind string, text json.RawMessage) bool {
	switch kind {
	case "string":
		return len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' && json.Valid(text)
	case "boolean":
		return string(text) == "true" || string(text) == "false"
	case "integer":
		for _, c := range text {
			if c < '0' || c > '9' {
				return false
			}
		}
		return len(text) == 1 || len(text) > 1 && text[0] != '0'
	}
	return false
}

// fits judges arguments by the schema of the operation, as far as it is known.
func fits(op *operation, arguments map[string]json.RawMessage) error {
	j := op.schema()
	if j == nil || j.surely(arguments) {
		return nil
	}
	value := make(map[string]any, len(arguments))
	for name, text := range arguments {
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			return server.Errorf("correct it", "argument %s is no JSON", openapi.Clean(name, 80))
		}
		if v == nil { // as if it were not there
			continue
		}
		value[name] = v
	}
	if err := j.schema.Validate(value); err != nil {
		return server.Errorf("describe shows the arguments of "+op.Name, "the arguments do not fit the operation: %s", openapi.Clean(err.Error(), 500))
	}
	return nil
}
