package plan_test

import (
	"bytes"
	"encoding/json"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/server/internal/plan"
)

type base struct {
	Truncated bool   `json:"truncated"`
	Next      string `json:"next,omitempty"`
}

type Exported struct{ ID int }

type tree struct {
	Name string           `json:"name"`
	Kids []*tree          `json:"kids,omitempty"`
	By   map[string]*tree `json:"by,omitempty"`
}

type kind string

type loud string

func (l loud) MarshalText() ([]byte, error) { return []byte(strings.ToUpper(string(l))), nil }

type byPointer struct{ n int }

func (p *byPointer) MarshalJSON() ([]byte, error) { return json.Marshal(p.n) }

type everything struct {
	base
	Exported
	*tree
	Untagged  string
	Renamed   int             `json:"renamed"`
	Left      int             `json:"-"`
	Empty     []int           `json:",omitempty"`
	Nil       []int           `json:"nil"`
	Zero      time.Time       `json:"zero,omitzero"`
	At        time.Time       `json:"at"`
	Raw       json.RawMessage `json:"raw"`
	NilRaw    json.RawMessage `json:"nil_raw"`
	Any       any             `json:"any"`
	Map       map[string]any  `json:"map"`
	Bytes     []byte          `json:"bytes"`
	Array     [3]uint8        `json:"array"`
	Floats    []float64       `json:"floats"`
	Single    float32         `json:"single"`
	Pointer   *int            `json:"pointer"`
	Kind      kind            `json:"kind"`
	Loud      loud            `json:"loud"`
	ByKind    map[kind]int    `json:"by_kind"`
	ByNumber  map[int]string  `json:"by_number"`
	ByLoud    map[loud]int    `json:"by_loud"`
	Address   netip.Addr      `json:"address"`
	Pointers  []byPointer     `json:"pointers"`
	AsText    int             `json:"as_text,string"`
	Number    json.Number     `json:"number"`
	Odd       int             `json:"né"`
	Interface json.Marshaler  `json:"interface"`
	_         int
}

type flat struct {
	base
	Exported
	Tree    *tree           `json:"tree"`
	At      time.Time       `json:"at"`
	Raw     json.RawMessage `json:"raw"`
	Rows    [][]any         `json:"rows"`
	Map     map[string]any  `json:"map,omitempty"`
	Bytes   []byte          `json:"bytes"`
	Floats  []float64       `json:"floats"`
	Flags   []bool          `json:"flags"`
	Small   uint8           `json:"small"`
	Odd     string          `json:"odd"`
	Pointer **int           `json:"pointer"`
}

func TestValuesAreWrittenAsEncodingJSONWrites(t *testing.T) {
	n := 7
	p := &n
	at := time.Date(2026, 11, 21, 9, 0, 0, 120, time.FixedZone("x", 3600))
	leaf := &tree{Name: "leaf <&>"}
	cyclic := map[string]any{"list": []any{1, 2.5, "x", nil, true, map[string]any{"b": 1, "a": []string{"z"}}}}
	values := []any{
		nil, 1, "a\"b\n\u2028<&>", []string(nil), []string{}, map[string]int(nil), map[string]int{}, struct{}{}, &n, (*int)(nil),
		[]float64{0, 1, -1.5, 1e20, 1e21, 1e-6, 1e-7, 123456.789, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Copysign(0, -1)}, float32(1.1), int8(-3),
		json.RawMessage(` { "a" : [ 1 , 2 ] } `), json.RawMessage(nil), time.Time{}, at, cyclic, leaf,
		tree{Name: "root", Kids: []*tree{leaf, nil}, By: map[string]*tree{"x": leaf, "a": nil}},
		flat{base: base{true, "c"}, Exported: Exported{3}, Tree: leaf, At: at, Raw: json.RawMessage("[1,\n2]"), Rows: [][]any{{1, "a"}, nil}, Bytes: []byte("abc"), Floats: []float64{}, Flags: []bool{true}, Pointer: &p},
		everything{Raw: json.RawMessage("1"), At: at, Any: cyclic, ByKind: map[kind]int{"b": 1, "a": 2}, ByNumber: map[int]string{2: "b", 10: "a"}, ByLoud: map[loud]int{"x": 1}, Pointers: []byPointer{{1}, {2}}, Number: "12", tree: leaf},
		[]byPointer{{1}}, &byPointer{4}, byPointer{5}, []any{loud("x"), kind("y"), json.Number("1.50")}, map[loud]int{"b": 1},
	}
	for _, v := range values {
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
		text := plan.Text{Plans: &plan.Plans{}}
		if err := text.Append(v); err != nil {
			t.Errorf("Append(%#v): %v", v, err)
			continue
		}
		same := strings.ReplaceAll(strings.TrimSpace(want.String()), `\u2028`, "\u2028") // both are JSON
		if got := string(text.Bytes); got != same {
			t.Errorf("Append(%#v):\n got %s\nwant %s", v, got, same)
		}
	}
}

func TestWhatIsNoJSONIsAnError(t *testing.T) {
	type itself struct{ Next any }
	loop := &itself{}
	loop.Next = loop
	for _, v := range []any{
		math.NaN(), math.Inf(1), func() {}, make(chan int), json.RawMessage(`1,"x":2`), json.RawMessage(``), json.RawMessage(`{"a":1}}`), json.RawMessage("\"\n\""),
		loop, []any{json.RawMessage(`[1`)}, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		text := plan.Text{Plans: &plan.Plans{}}
		if err := text.Append(v); err == nil {
			t.Errorf("Append(%T): got %s, want an error", v, text.Bytes)
		}
	}
}

func TestALongStringIsEscapedOnce(t *testing.T) {
	long := strings.Repeat("a\"b\n", plan.MinKept)
	text := plan.Text{Plans: &plan.Plans{}}
	for range 3 {
		text.String(long)
	}
	one, err := json.Marshal(long)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Repeat(string(one), 3), string(text.Bytes)); diff != "" {
		t.Error(diff)
	}
}

// What AppendRaw takes is what encoding/json takes, and it is compacted alike.
func FuzzAppendRaw(f *testing.F) {
	for _, s := range []string{
		"1", " [1 , -2.5e+3,\"a\\u00e9\\n\", {\"a\" : null , \"b\":[ ]} ] ", "{}", "[", "01", "1.", "-", "\"\\x\"", "\"\x01\"", "{\"a\":1,}", "[1,]", "tru", "true x",
		"\"\xff\"", "{\"a\" 1}", "{1:2}", "nul", "1e", "[[[[]]]]", "\t\r\n{}", "\x00", "\"\\u12g4\"", " ",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := plan.AppendRaw([]byte("x"), raw)
		valid := bytes.ToValidUTF8(raw, []byte("\ufffd"))
		if (err == nil) != json.Valid(valid) {
			t.Fatalf("AppendRaw(%q): error %v, json.Valid says %t", raw, err, json.Valid(valid))
		}
		if err != nil {
			return
		}
		var want bytes.Buffer
		if err := json.Compact(&want, valid); err != nil {
			t.Fatal(err)
		}
		if string(got) != "x"+want.String() {
			t.Errorf("AppendRaw(%q): got %s, want x%s", raw, got, want.String())
		}
	})
}
