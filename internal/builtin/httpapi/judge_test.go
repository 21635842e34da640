package httpapi

import (
	"encoding/json"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
)

// TestNothingIsSurelyRightThatTheSchemaRefuses gives the short way and the schema the same arguments.
func TestNothingIsSurelyRightThatTheSchemaRefuses(t *testing.T) {
	values := []string{`"a"`, `""`, `"a\"b"`, `"`, `"a"b"`, `true`, `false`, `tru`, `0`, `7`, `-7`, `07`, `1.0`, `1e3`, `1.5`, `null`, `[]`, `{}`, ``}
	sure := 0
	for _, text := range []string{
		`{"type":"object","properties":{"x":{"type":"string","description":"d","format":"date"}},"required":["x"],"additionalProperties":false}`,
		`{"type":"object","properties":{"x":{"type":"integer"}},"additionalProperties":false}`,
		`{"type":"object","properties":{"x":{"type":"boolean"}}}`,
		`{"type":"object","properties":{"x":{"type":"integer","minimum":8}}}`,
		`{"type":"object","properties":{"x":{"type":"string","enum":["b"]}}}`,
		`{"type":"object","properties":{"x":{"type":"string","pattern":"^b$"}}}`,
		`{"type":"object","properties":{"x":{"type":"string"}},"maxProperties":0}`,
		`{"type":"object","properties":{"x":{"type":"string"}},"not":{"required":["x"]}}`,
		`{"properties":{"x":{"type":"string"}},"dependentRequired":{"x":["y"]}}`,
	} {
		var s jsonschema.Schema
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
		resolved, err := s.Resolve(nil)
		if err != nil {
			t.Fatal(err)
		}
		j := newJudge(&s, resolved)
		for _, name := range []string{"x", "y"} {
			for _, value := range values {
				arguments := map[string]json.RawMessage{name: json.RawMessage(value)}
				if !j.surely(arguments) {
					continue
				}
				sure++
				var v any
				if err := json.Unmarshal([]byte(value), &v); err != nil {
					t.Errorf("%s: %s: got sure, want no JSON: %v", text, value, err)
				} else if err := resolved.Validate(map[string]any{name: v}); err != nil {
					t.Errorf("%s: %s: got sure, want %v", text, value, err)
				}
			}
		}
		if j.surely(nil) != (len(s.Required) == 0 && j.plain) {
			t.Errorf("%s without arguments: got sure %v", text, j.surely(nil))
		}
	}
	if sure < 7 {
		t.Errorf("got %d sure, want some: the short way is never taken", sure)
	}
}
