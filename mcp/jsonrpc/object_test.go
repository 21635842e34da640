package jsonrpc_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

func parseObject(t *testing.T, raw string) jsonrpc.Object {
	t.Helper()
	o, err := jsonrpc.ParseObject([]byte(raw), jsonrpc.Limits{})
	if err != nil {
		t.Fatalf("ParseObject(%s): %v", raw, err)
	}
	return o
}

func set(name, value string) jsonrpc.Edit { return jsonrpc.Edit{Name: name, Value: []byte(value)} }

func remove(name string) jsonrpc.Edit { return jsonrpc.Edit{Name: name} }

func TestEditsOfAnObject(t *testing.T) {
	tests := []struct {
		name, in string
		edits    []jsonrpc.Edit
		want     string
	}{
		{"none leaves every byte", "{ \"a\" :\t1 }", nil, "{ \"a\" :\t1 }"},
		{"a replaced value keeps its place and the white space", `{ "a" : 1 , "b" : 2 }`, []jsonrpc.Edit{set("a", `"x"`)}, `{ "a" : "x" , "b" : 2 }`},
		{"a name that is written with escapes is found", `{"\u0061":1}`, []jsonrpc.Edit{set("a", "2")}, `{"\u0061":2}`},
		{"an added member stands at the end", `{"a":1}`, []jsonrpc.Edit{set("b", "[2]")}, `{"a":1,"b":[2]}`},
		{"a member added to an empty object", `{}`, []jsonrpc.Edit{set("b", "2")}, `{"b":2}`},
		{"a member added to an empty object with white space", `{ }`, []jsonrpc.Edit{set("b", "2")}, `{"b":2 }`},
		{"two added members in the order of the edits", `{"a":1}`, []jsonrpc.Edit{set("c", "3"), set("b", "2")}, `{"a":1,"c":3,"b":2}`},
		{"the first member removed", `{"a":1, "b":2, "c":3}`, []jsonrpc.Edit{remove("a")}, `{"b":2, "c":3}`},
		{"a member in the middle removed", `{"a":1, "b":2, "c":3}`, []jsonrpc.Edit{remove("b")}, `{"a":1, "c":3}`},
		{"the last member removed", `{"a":1, "b":2, "c":3}`, []jsonrpc.Edit{remove("c")}, `{"a":1, "b":2}`},
		{"all members removed", `{"a":1,"b":2}`, []jsonrpc.Edit{remove("b"), remove("a")}, `{}`},
		{"all removed and one added", `{"a":1,"b":2}`, []jsonrpc.Edit{remove("b"), remove("a"), set("c", "3")}, `{"c":3}`},
		{"a member removed that is not there", `{"a":1}`, []jsonrpc.Edit{remove("z")}, `{"a":1}`},
		{"an empty value removes as nil does", `{"a":1}`, []jsonrpc.Edit{set("a", "")}, `{}`},
		{"the later of two edits of one name wins", `{"a":1}`, []jsonrpc.Edit{set("a", "2"), set("a", "3")}, `{"a":3}`},
		{"the later of two additions wins", `{}`, []jsonrpc.Edit{set("a", "2"), set("a", "3")}, `{"a":3}`},
		{"an addition taken back is none", `{}`, []jsonrpc.Edit{set("a", "2"), remove("a")}, `{}`},
		{"a removal taken back is a replacement", `{"a":1,"b":2}`, []jsonrpc.Edit{remove("a"), set("a", "3")}, `{"a":3,"b":2}`},
		{"names are quoted", `{}`, []jsonrpc.Edit{set("a\"\n", "1")}, `{"a\"\n":1}`},
		{"strings with brackets and quotes are skipped over", `{"a":"}\"]{","b":[{"c":"\\"}]}`, []jsonrpc.Edit{set("b", "1")}, `{"a":"}\"]{","b":1}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := parseObject(t, tt.in)
			if got := string(o.Append([]byte("x"), tt.edits...)); got != "x"+tt.want {
				t.Errorf("Append to x of %s with %v: got %s, want x%s", tt.in, tt.edits, got, tt.want)
			}
			with := o.With(tt.edits...)
			if diff := cmp.Diff(parseObject(t, tt.want).Members(), with.Members(), cmpopts.EquateEmpty()); diff != "" || string(with.Raw()) != tt.want {
				t.Errorf("With(%v) of %s: got %s, want %s; members (-want +got):\n%s", tt.edits, tt.in, with.Raw(), tt.want, diff)
			}
			if string(o.Raw()) != tt.in {
				t.Errorf("With changed its receiver: got %s, want %s", o.Raw(), tt.in)
			}
		})
	}
}

func TestAbsentObject(t *testing.T) {
	var o jsonrpc.Object
	if !o.IsZero() || o.Raw() != nil || o.Get("a") != nil || o.Members() != nil {
		t.Errorf("zero Object: got %v, %s, %s, %v, want absent and empty", o.IsZero(), o.Raw(), o.Get("a"), o.Members())
	}
	if got := string(o.Append(nil)); got != "{}" {
		t.Errorf("Append of an absent object: got %s, want {}", got)
	}
	if got := string(o.Append(nil, set("a", "1"), set("b", "2"))); got != `{"a":1,"b":2}` {
		t.Errorf("Append of an absent object with two members: got %s", got)
	}
	if got := o.With(remove("a")); !got.IsZero() {
		t.Errorf("absent object with a member removed: got %s, want absent", got.Raw())
	}
	got := o.With(set("a", `"x"`))
	if s, ok := got.String("a"); string(got.Raw()) != `{"a":"x"}` || s != "x" || !ok {
		t.Errorf("absent object with a member added: got %s and a = %q, %v", got.Raw(), s, ok)
	}
	if empty := parseObject(t, "{}"); empty.IsZero() {
		t.Error("{}: got absent, want present")
	}
}

func TestMembersOfAnObject(t *testing.T) {
	const raw = ` {"a": "x\n" ,"\u0062":[1, 2],"":null,"n":1.50,"s":"\ud800"} `
	want := []jsonrpc.Member{
		{Name: "a", Value: []byte(`"x\n"`)}, {Name: "b", Value: []byte(`[1, 2]`)}, {Name: "", Value: []byte(`null`)},
		{Name: "n", Value: []byte(`1.50`)}, {Name: "s", Value: []byte(`"\ud800"`)},
	}
	o := parseObject(t, raw)
	if diff := cmp.Diff(want, o.Members()); diff != "" {
		t.Errorf("members of %s (-want +got):\n%s", raw, diff)
	}
	split, ok := jsonrpc.Split([]byte(raw))
	if diff := cmp.Diff(want, split.Members()); diff != "" || !ok {
		t.Errorf("Split(%s): ok %v, members (-want +got):\n%s", raw, ok, diff)
	}
	for _, m := range append(want, jsonrpc.Member{Name: "absent"}) {
		if got := jsonrpc.Lookup([]byte(raw), m.Name); !bytes.Equal(got, m.Value) {
			t.Errorf("Lookup(%s, %q): got %s, want %s", raw, m.Name, got, m.Value)
		}
	}
	wanted := []jsonrpc.Member{{Name: "n"}, {Name: "absent"}, {Name: "b"}}
	parseObject(t, `{"x":1,"o":`+raw+`}`).Within("o", wanted)
	if diff := cmp.Diff([]jsonrpc.Member{want[3], {Name: "absent"}, want[1]}, wanted); diff != "" {
		t.Errorf("Within of %s (-want +got):\n%s", raw, diff)
	}
	if s, ok := o.String("a"); s != "x\n" || !ok {
		t.Errorf("String(a): got %q, %v, want %q, true", s, ok, "x\n")
	}
	for _, name := range []string{"b", "n", "s", "absent"} {
		if s, ok := o.String(name); ok {
			t.Errorf("String(%s): got %q, true, want false", name, s)
		}
	}
}

// A caller that appends to a value must not write over what follows it in the message.
func TestAppendingToAValueLeavesTheMessageAlone(t *testing.T) {
	in := []byte(request(`"a":1,"b":2`))
	m, err := jsonrpc.Parse(in, jsonrpc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	_ = append(m.Params.Get("a"), "999"...)
	_ = append(m.Params.Raw(), "999"...)
	with := m.Params.With(set("c", "3"))
	_ = append(with.Get("a"), "999"...)
	if got := string(in); got != request(`"a":1,"b":2`) {
		t.Errorf("message after append to its parts: got %s", got)
	}
	if got := string(with.Raw()); got != `{"a":1,"b":2,"c":3}` {
		t.Errorf("edited object after append to its parts: got %s", got)
	}
}

func TestParseObjectRefusesWhatIsNoObject(t *testing.T) {
	for _, in := range []string{"", " ", "[]", `"a"`, "1", "null", "{", `{"a":1}{}`, `{"a":1,"a":2}`, "\xef\xbb\xbf{}", "{\"a\":\"\xff\"}"} {
		if o, err := jsonrpc.ParseObject([]byte(in), jsonrpc.Limits{}); err == nil || !o.IsZero() {
			t.Errorf("ParseObject(%q): got %s, error %v, want an error", in, o.Raw(), err)
		}
	}
}

func TestSplitRefusesWhatIsNoObject(t *testing.T) {
	for _, in := range []string{"", " ", "[]", `"a"`, "1", "null", "{", `{"`, `{"a`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a" 1}`, `{"a":}`, `{"a":[`, `{"a":"`} {
		if o, ok := jsonrpc.Split([]byte(in)); ok {
			t.Errorf("Split(%q): got %v, want false", in, o.Members())
		}
	}
}

func TestElements(t *testing.T) {
	for in, want := range map[string][]string{
		`[]`:                        nil,
		` [ ] `:                     nil,
		`[1]`:                       {`1`},
		` [ 1 , "a,]" , [2,[3]] ] `: {`1`, `"a,]"`, `[2,[3]]`},
		`[{"a":[1,2]},null,true]`:   {`{"a":[1,2]}`, `null`, `true`},
		`{"a":1}`:                   nil,
		``:                          nil,
		`"[1]"`:                     nil,
	} {
		var got []string
		for e := range jsonrpc.Elements([]byte(in)) {
			got = append(got, string(e))
		}
		if !slices.Equal(got, want) {
			t.Errorf("Elements(%s): got %q, want %q", in, got, want)
		}
	}
	for e := range jsonrpc.Elements([]byte(`[1,2]`)) {
		if string(e) != "1" {
			t.Errorf("Elements after break: got %s, want to have stopped", e)
		}
		break
	}
}

func TestMessagesAreWritten(t *testing.T) {
	params := parseObject(t, `{ "a":1 }`)
	tests := []struct {
		name string
		in   jsonrpc.Message
		want string
	}{
		{"a request", jsonrpc.Message{ID: "1", Method: "m", Params: params}, `{"jsonrpc":"2.0","id":1,"method":"m","params":{ "a":1 }}`},
		{"a request without params", jsonrpc.Message{ID: `"x"`, Method: "a\"b"}, `{"jsonrpc":"2.0","id":"x","method":"a\"b"}`},
		{"a notification", jsonrpc.Message{Method: "n"}, `{"jsonrpc":"2.0","method":"n"}`},
		{"a result", jsonrpc.Message{ID: "1", Result: params}, `{"jsonrpc":"2.0","id":1,"result":{ "a":1 }}`},
		{"a response without result, which is empty", jsonrpc.Message{ID: "1"}, `{"jsonrpc":"2.0","id":1,"result":{}}`},
		{"an error", jsonrpc.Message{ID: "1", Error: &jsonrpc.Error{Code: -1, Message: "no \"x\"", Data: []byte(`[1]`)}},
			`{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"no \"x\"","data":[1]}}`},
		{"an error without id", jsonrpc.Message{Error: &jsonrpc.Error{Code: -32700}},
			`{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":""}}`},
		{"an error that wins over a result", jsonrpc.Message{ID: "1", Result: params, Error: &jsonrpc.Error{Code: 1}},
			`{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.in.Append([]byte("x"))
			if string(got) != "x"+tt.want {
				t.Errorf("Append to x: got %s, want x%s", got, tt.want)
			}
			if _, err := jsonrpc.Parse(got[1:], jsonrpc.Limits{}); err != nil {
				t.Errorf("Parse of what was written: got %v for %s", err, got[1:])
			}
		})
	}
}

func TestAnObjectThatWasWrittenIsTheOneThatIsRead(t *testing.T) {
	raw := []byte(`{"a":1,"b":{"c":"d"}}`)
	written := jsonrpc.Written(raw, []jsonrpc.Member{{Name: "a", Value: raw[5:6]}, {Name: "b", Value: raw[11:20]}})
	edit := jsonrpc.Edit{Name: "b", Value: []byte("2")}
	read, ok := jsonrpc.Split(raw)
	if !ok || string(written.Get("b")) != string(read.Get("b")) || string(written.With(edit).Raw()) != string(read.With(edit).Raw()) {
		t.Errorf("Written(%s): got %s and, with b replaced, %s", raw, written.Get("b"), written.With(edit).Raw())
	}
}
