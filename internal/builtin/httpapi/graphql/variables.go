package graphql

import (
	"github.com/vektah/gqlparser/v2/ast"
)

// Variables is the JSON Schema of an operation's variables.
func (s *Schema) Variables(op *Operation) map[string]any {
	properties, required := map[string]any{}, []any{}
	for _, v := range op.definition.VariableDefinitions {
		properties[v.Variable] = s.value(v.Type, 4)
		if v.Type.NonNull && v.DefaultValue == nil {
			required = append(required, v.Variable)
		}
	}
	out := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

// value is the JSON Schema of a type; what is deeper is left open.
func (s *Schema) value(t *ast.Type, depth int) map[string]any {
	if t.Elem != nil {
		return map[string]any{"type": nullable("array", t), "items": s.value(t.Elem, depth)}
	}
	switch t.NamedType {
	case "String":
		return map[string]any{"type": nullable("string", t)}
	case "ID":
		return map[string]any{"type": []any{"string", "integer"}}
	case "Int":
		return map[string]any{"type": nullable("integer", t)}
	case "Float":
		return map[string]any{"type": nullable("number", t)}
	case "Boolean":
		return map[string]any{"type": nullable("boolean", t)}
	}
	d := s.schema.Types[t.NamedType]
	switch {
	case d == nil || depth == 0:
		return map[string]any{}
	case d.Kind == ast.Enum:
		var values []any
		for _, v := range d.EnumValues {
			values = append(values, v.Name)
		}
		if !t.NonNull {
			values = append(values, nil)
		}
		return map[string]any{"enum": values}
	case d.Kind == ast.InputObject:
		properties, required := map[string]any{}, []any{}
		for _, f := range d.Fields {
			properties[f.Name] = s.value(f.Type, depth-1)
			if f.Type.NonNull && f.DefaultValue == nil {
				required = append(required, f.Name)
			}
		}
		out := map[string]any{"type": nullable("object", t), "properties": properties}
		if len(required) > 0 {
			out["required"] = required
		}
		return out
	}
	return map[string]any{"description": t.NamedType}
}

func nullable(kind string, t *ast.Type) any {
	if t.NonNull {
		return kind
	}
	return []any{kind, "null"}
}
