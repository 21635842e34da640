package plan_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/server/internal/plan"
)

type nested struct {
	Field string   `json:"field"`
	Op    kind     `json:"op"`
	Value any      `json:"value,omitempty"`
	List  []string `json:"list,omitempty"`
}

type arguments struct {
	base
	Name    string         `json:"name"`
	Count   int            `json:"count,omitempty"`
	Small   int8           `json:"small,omitempty"`
	Flag    bool           `json:"flag,omitempty"`
	Ratio   float64        `json:"ratio,omitempty"`
	Words   []string       `json:"words,omitempty"`
	Kinds   []kind         `json:"kinds,omitempty"`
	Filters []nested       `json:"filters,omitempty"`
	Free    map[string]any `json:"free,omitempty"`
	Any     any            `json:"any,omitempty"`
	Pointer *int           `json:"pointer,omitempty"`
}

func schemaFor(t testing.TB) *jsonschema.Schema {
	s, err := jsonschema.For[arguments](nil)
	if err != nil {
		t.Fatal(err)
	}
	low, high := 1.0, 100.0
	s.Properties["count"].Minimum, s.Properties["count"].Maximum = &low, &high
	s.Properties["count"].Default = json.RawMessage("20")
	s.Properties["words"].Default = json.RawMessage(`["x"]`)
	s.Properties["kinds"].Items.Enum = []any{"a", "b"}
	s.Required = []string{"name"}
	return s
}

// slowly is what a Reader must agree with.
func slowly(t testing.TB, schema *jsonschema.Schema, raw []byte) (arguments, bool) {
	resolved, err := schema.CloneSchemas().Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true})
	if err != nil {
		t.Fatal(err)
	}
	var value map[string]any
	if err := json.Unmarshal(raw, &value); err != nil || value == nil {
		return arguments{}, false
	}
	if resolved.ApplyDefaults(&value) != nil || resolved.Validate(value) != nil {
		return arguments{}, false
	}
	complete, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var in arguments
	return in, json.Unmarshal(complete, &in) == nil
}

func agree(t testing.TB, raw string) (read bool) {
	schema := schemaFor(t)
	r := plan.NewReader(schema, reflect.TypeFor[arguments]())
	if r == nil {
		t.Fatal("NewReader: got none")
	}
	if _, err := jsonrpc.ParseObject([]byte(raw), jsonrpc.Limits{}); err != nil {
		return false // never reaches a Reader
	}
	var got arguments
	if !r.Read([]byte(raw), reflect.ValueOf(&got).Elem()) {
		return false
	}
	if _, ok := slowly(t, schema, []byte(raw)); !ok {
		t.Errorf("Read(%s): got %+v, want a refusal", raw, got)
		return true
	}
	var want arguments
	if err := json.Unmarshal([]byte(`{"count":20,"words":["x"]}`), &want); err != nil {
		t.Fatal(err)
	}
	var o map[string]json.RawMessage
	_ = json.Unmarshal([]byte(raw), &o)
	if o["words"] != nil {
		want.Words = nil
	}
	if err := json.Unmarshal([]byte(raw), &want); err != nil {
		t.Errorf("Read(%s): got %+v, want error %v", raw, got, err)
		return true
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(arguments{}, nested{}, base{})); diff != "" {
		t.Errorf("Read(%s): -want +got\n%s", raw, diff)
	}
	return true
}

func TestReadAgreesWithTheSchema(t *testing.T) {
	tests := []struct {
		raw  string
		read bool
	}{
		{`{"name":"x"}`, true},
		{`{"name":"x","count":7,"flag":true,"ratio":1.5,"small":-128}`, true},
		{`{"name":"\u00e9","words":["a","b"],"kinds":["a"]}`, true},
		{`{"name":"x","filters":[{"field":"f","op":"=","value":[1,"2"]},{"field":"g","op":"<"}]}`, true},
		{`{"name":"x","free":{"a":{"b":1}},"any":null,"pointer":3,"truncated":true}`, true},
		{`{"name":"x","words":[]}`, true},
		{`{}`, false},
		{`{"name":null}`, false},
		{`{"name":"x","count":0}`, false},
		{`{"name":"x","count":101}`, false},
		{`{"name":"x","count":7.0}`, false},
		{`{"name":"x","small":300}`, false},
		{`{"name":"x","unknown":1}`, false},
		{`{"NAME":"x"}`, false},
		{`{"name":"x","kinds":["c"]}`, false},
		{`{"name":"x","filters":[{"field":"f"}]}`, false},
		{`{"name":"\ud800"}`, false},
		{`[]`, false},
	}
	for _, tt := range tests {
		if got := agree(t, tt.raw); got != tt.read {
			t.Errorf("Read(%s): got %t, want %t", tt.raw, got, tt.read)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`{"name":"x","count":7,"words":["a"],"kinds":["b"],"filters":[{"field":"f","op":"=","value":1}],"free":{},"any":1e3}`)
	f.Add(`{"name":"x","ratio":-1e-7,"pointer":null,"next":"c"}`)
	f.Fuzz(func(t *testing.T, raw string) { agree(t, raw) })
}

func TestWhatHasNoReader(t *testing.T) {
	pattern := schemaFor(t)
	pattern.Properties["name"].Pattern = "^a"
	deep := schemaFor(t)
	deep.Properties["free"].Properties = map[string]*jsonschema.Schema{"op": {Default: json.RawMessage(`"="`)}}
	for name, r := range map[string]*plan.Reader{
		"a keyword that is not common":   plan.NewReader(pattern, reflect.TypeFor[arguments]()),
		"a default inside":               plan.NewReader(deep, reflect.TypeFor[arguments]()),
		"arguments that are no struct":   plan.NewReader(schemaFor(t), reflect.TypeFor[map[string]any]()),
		"a struct that reads itself":     plan.NewReader(&jsonschema.Schema{Type: "object"}, reflect.TypeFor[time.Time]()),
		"a property that no field takes": plan.NewReader(schemaFor(t), reflect.TypeFor[nested]()),
	} {
		if r != nil {
			t.Errorf("%s: got a reader, want none", name)
		}
	}
}
