package jsonrpc_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

func addSeeds(f *testing.F) {
	for _, v := range append(validValues(), invalidValues()...) {
		f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":` + v.text + `}}`))
	}
	for _, s := range []string{
		`{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"x","Name":"y","_meta":{"progressToken":1}}}`,
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"p","progress":0.5}}`,
		`{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"é\ud83d\ude00"}],"isError":false}}`,
		`{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"no","data":{"a":[1]}}}`,
		`[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"x"}]`,
		`{"jsonrpc":"2.0","id":1,"Method":"a","paramſ":{}}`,
		`{"a":1,"\u0061":2,"\ud800":3}`,
	} {
		f.Add([]byte(s))
	}
	for _, v := range suite(f) {
		if len(v.Data) <= maxSeed {
			f.Add(v.Data)
			f.Add([]byte(request(`"v":` + string(v.Data))))
		}
	}
}

// maxSeed leaves out texts that only nest deeper than others: mutating 100 kB takes long and finds nothing new.
const maxSeed = 4 << 10

const fuzzDepth = 20

// What Parse accepts, the standard library and a strict check of duplicates accept too, and all read the same method and
// name in it.
func FuzzParse(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := jsonrpc.Parse(data, jsonrpc.Limits{MaxDepth: fuzzDepth})
		if err != nil {
			if !utf8.ValidString(err.Error()) {
				t.Errorf("Parse(%q): error %q is not UTF-8", data, err)
			}
			return
		}
		if err := judge(data, fuzzDepth); err != nil {
			t.Fatalf("Parse(%q): got accepted, want refused: %v", data, err)
		}
		// The standard library ignores case, so this also finds a look-alike that was let through.
		var want struct {
			JSONRPC string
			ID      json.RawMessage
			Method  string
			Params  struct {
				Name json.RawMessage
				Meta map[string]json.RawMessage `json:"_meta"`
			}
		}
		// An error here is a value of another type, which Parse does not look at.
		_ = json.Unmarshal(data, &want)
		id := string(want.ID)
		if id == "null" {
			id = ""
		}
		if want.JSONRPC != "2.0" || want.Method != m.Method || id != string(m.ID) {
			t.Errorf("Parse(%q): got id %s, method %q, want %s, %q", data, m.ID, m.Method, id, want.Method)
		}
		if got := m.Params.Get("name"); !bytes.Equal(got, want.Params.Name) {
			t.Errorf("Parse(%q): got name %s, want %s", data, got, want.Params.Name)
		}
		if n := kinds(m); n != 1 {
			t.Errorf("Parse(%q): got a message of %d kinds, want 1", data, n)
		}
	})
}

func kinds(m jsonrpc.Message) int {
	n := 0
	for _, is := range []bool{m.IsRequest(), m.IsNotification(), m.IsResponse()} {
		if is {
			n++
		}
	}
	return n
}

// ParseObject and the oracle agree in both directions, and all ways to look at members agree with the standard library.
func FuzzParseObject(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := jsonrpc.ParseObject(data, jsonrpc.Limits{MaxDepth: fuzzDepth})
		text := bytes.TrimLeft(data, " \t\r\n")
		want := judge(data, fuzzDepth)
		if (err == nil) != (want == nil && text[0] == '{') {
			t.Fatalf("ParseObject(%q): got error %v, oracle says %v", data, err, want)
		}
		split, ok := jsonrpc.Split(data) // must not panic whatever data is
		_ = jsonrpc.Lookup(data, "a")
		for range jsonrpc.Elements(data) {
		}
		if err != nil {
			return
		}
		if diff := cmp.Diff(o.Members(), split.Members(), cmpopts.EquateEmpty()); diff != "" || !ok || !bytes.Equal(o.Raw(), split.Raw()) {
			t.Errorf("Split(%q): ok %v, differs from ParseObject (-want +got):\n%s", data, ok, diff)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(data, &members); err != nil {
			t.Fatalf("json.Unmarshal(%q): %v", data, err)
		}
		if len(members) != len(o.Members()) {
			t.Errorf("ParseObject(%q): got %d members, want %d", data, len(o.Members()), len(members))
		}
		for name, value := range members {
			if got := o.Get(name); !bytes.Equal(got, value) {
				t.Errorf("ParseObject(%q): got member %q = %s, want %s", data, name, got, value)
			}
			if got := jsonrpc.Lookup(data, name); !bytes.Equal(got, value) {
				t.Errorf("Lookup(%q, %q): got %s, want %s", data, name, got, value)
			}
			wanted := [...]jsonrpc.Member{{Name: name}}
			jsonrpc.Written(nil, []jsonrpc.Member{{Name: "o", Value: data}}).Within("o", wanted[:])
			if got := wanted[0].Value; !bytes.Equal(got, value) {
				t.Errorf("Within(%q, %q): got %s, want %s", data, name, got, value)
			}
			compareString(t, value)
			compareElements(t, value)
		}
	})
}

func compareString(t *testing.T, value []byte) {
	var want string
	isString := json.Unmarshal(value, &want) == nil && value[0] == '"'
	got, ok := jsonrpc.Unquote(value)
	if ok != (isString && !hasLoneSurrogate(string(value))) || ok && got != want {
		t.Errorf("Unquote(%s): got %q, %v, want %q, %v", value, got, ok, want, isString)
	}
	if is, not := jsonrpc.IsString(value, got), jsonrpc.IsString(value, got+"x"); is != ok || not {
		t.Errorf("IsString(%s): of %q %v, want %v; of %q %v, want false", value, got, is, ok, got+"x", not)
	}
}

func compareElements(t *testing.T, value []byte) {
	var want []json.RawMessage
	if value[0] == '[' {
		if err := json.Unmarshal(value, &want); err != nil {
			t.Fatal(err)
		}
	}
	var got []json.RawMessage
	for e := range jsonrpc.Elements(value) {
		got = append(got, e)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("Elements(%s) (-want +got):\n%s", value, diff)
	}
}

// What was parsed is written as what parses to the same, alone and in a batch.
func FuzzRoundTrip(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if jsonrpc.IsBatch(data) {
			msgs, err := jsonrpc.ParseBatch(data, jsonrpc.Limits{MaxBatch: 3})
			if (err == nil) != (len(msgs) > 0) || len(msgs) > 3 {
				t.Fatalf("ParseBatch(%q): got %d messages and error %v", data, len(msgs), err)
			}
			for _, m := range msgs {
				roundTrip(t, m)
			}
			return
		}
		if m, err := jsonrpc.Parse(data, jsonrpc.Limits{}); err == nil {
			roundTrip(t, m)
			msgs, err := jsonrpc.ParseBatch([]byte("["+string(data)+"]"), jsonrpc.Limits{})
			if err != nil || len(msgs) != 1 || flatten(msgs[0]) != flatten(m) {
				t.Errorf("ParseBatch of [%q]: got %v and error %v, want the same as Parse", data, msgs, err)
			}
		}
	})
}

func roundTrip(t *testing.T, m jsonrpc.Message) {
	text := m.Append(nil)
	got, err := jsonrpc.Parse(text, jsonrpc.Limits{})
	if err != nil {
		t.Fatalf("Parse of what was written: %v in %q", err, text)
	}
	if diff := cmp.Diff(flatten(m), flatten(got)); diff != "" {
		t.Errorf("message written as %q differs (-want +got):\n%s", text, diff)
	}
	opts := cmpopts.EquateEmpty()
	if diff := cmp.Diff(m.Params.Members(), got.Params.Members(), opts) + cmp.Diff(m.Result.Members(), got.Result.Members(), opts); diff != "" {
		t.Errorf("members of the message written as %q differ (-want +got):\n%s", text, diff)
	}
}

// Edits do what they do to a plain list of members, and leave the rest as it was.
func FuzzEdits(f *testing.F) {
	f.Add([]byte(`{ "a" : 1 , "b":[2], "\u0063":{"x":"y"} }`), "a", "3", "c", "", "d", `"new"`)
	f.Add([]byte(`{}`), "a", "", "a", "1", "b", "{}")
	f.Add([]byte(` {"a":1} `), "a", "", "b\"", "1", "b\"", "")
	f.Fuzz(func(t *testing.T, data []byte, n1, v1, n2, v2, n3, v3 string) {
		o, err := jsonrpc.ParseObject(data, jsonrpc.Limits{})
		if err != nil {
			return
		}
		var edits []jsonrpc.Edit
		for _, e := range [][2]string{{n1, v1}, {n2, v2}, {n3, v3}} {
			if !utf8.ValidString(e[0]) || e[1] != "" && judge([]byte(e[1]), 100) != nil {
				return
			}
			edits = append(edits, set(e[0], strings.Trim(e[1], " \t\r\n")))
		}
		want := edited(o.Members(), edits)
		text := o.Append(nil, edits...)
		got, err := jsonrpc.ParseObject(text, jsonrpc.Limits{})
		if err != nil {
			t.Fatalf("Append of %q with %q: %q: %v", data, edits, text, err)
		}
		if diff := cmp.Diff(want, got.Members(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("Append of %q with %q: %q (-want +got):\n%s", data, edits, text, diff)
		}
		with := o.With(edits...)
		if diff := cmp.Diff(want, with.Members(), cmpopts.EquateEmpty()); diff != "" || !bytes.Equal(with.Raw(), text) {
			t.Errorf("With of %q: got %q, want %q (-want +got):\n%s", data, with.Raw(), text, diff)
		}
	})
}

func edited(members []jsonrpc.Member, edits []jsonrpc.Edit) []jsonrpc.Member {
	final := map[string][]byte{}
	last := map[string]int{}
	for i, e := range edits {
		final[e.Name], last[e.Name] = e.Value, i
	}
	var out []jsonrpc.Member
	there := map[string]bool{}
	for _, m := range members {
		there[m.Name] = true
		value, ok := final[m.Name]
		if !ok {
			out = append(out, m)
		} else if len(value) > 0 {
			out = append(out, jsonrpc.Member{Name: m.Name, Value: value})
		}
	}
	for i, e := range edits {
		if last[e.Name] == i && len(e.Value) > 0 && !there[e.Name] {
			out = append(out, jsonrpc.Member(e))
		}
	}
	return out
}

// Any Go string becomes a JSON string that the standard library and Unquote read as the same.
func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "abc", "a\"\\\x00\n", "é漢😀", "\xff\xed\xa0\x80", "\u2028</script>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		raw := jsonrpc.AppendString(nil, s)
		var want string
		if err := json.Unmarshal(raw, &want); err != nil || !utf8.Valid(raw) {
			t.Fatalf("AppendString(%q): got %q, which is no JSON in UTF-8: %v", s, raw, err)
		}
		got, ok := jsonrpc.Unquote(raw)
		if !ok || got != want || got != strings.ToValidUTF8(s, "\ufffd") && utf8.ValidString(s) {
			t.Errorf("AppendString(%q) = %q: Unquote got %q, %v, want %q", s, raw, got, ok, want)
		}
	})
}
