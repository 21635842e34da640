package jsonrpc_test

import (
	"bytes"
	"testing"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

func TestPiecesAreWhatAppendWrites(t *testing.T) {
	for _, text := range []string{`{}`, ` { } `, `{"a":1}`, `{ "a" : 1 , "b":"two", "c":[3] }`, `{"b":{"x":1},"a":null}`, ``} {
		for _, edits := range editLists() {
			checkPieces(t, text, edits)
		}
	}
}

// editLists are all lists of up to three edits that remove, replace or add.
func editLists() [][]jsonrpc.Edit {
	var single []jsonrpc.Edit
	for _, name := range []string{"a", "b", "c", "new"} {
		single = append(single, jsonrpc.Edit{Name: name}, jsonrpc.Edit{Name: name, Value: []byte(`"` + name + `!"`)})
	}
	lists := [][]jsonrpc.Edit{nil}
	for _, x := range single {
		lists = append(lists, []jsonrpc.Edit{x})
		for _, y := range single {
			lists = append(lists, []jsonrpc.Edit{x, y})
			for _, z := range single {
				lists = append(lists, []jsonrpc.Edit{x, y, z})
			}
		}
	}
	return lists
}

func checkPieces(t *testing.T, text string, edits []jsonrpc.Edit) {
	t.Helper()
	var o jsonrpc.Object
	if text != "" {
		var err error
		if o, err = jsonrpc.ParseObject([]byte(text), jsonrpc.Limits{}); err != nil {
			t.Fatal(err)
		}
	}
	want := o.Append(nil, edits...)
	got := bytes.Join(o.Pieces(edits...), nil)
	if !bytes.Equal(got, want) {
		t.Errorf("%s with edits %q: pieces make %s, Append writes %s", text, edits, got, want)
	}
}

func FuzzPieces(f *testing.F) {
	f.Add([]byte(`{ "a" : 1 , "b":"two" }`), "a", []byte(`2`), "b", []byte(``))
	f.Add([]byte(`{"resultType":"complete","content":[]}`), "resultType", []byte(``), "ttlMs", []byte(`0`))
	f.Fuzz(func(t *testing.T, text []byte, n1 string, v1 []byte, n2 string, v2 []byte) {
		o, err := jsonrpc.ParseObject(text, jsonrpc.Limits{})
		if err != nil {
			return
		}
		edits := []jsonrpc.Edit{{Name: n1, Value: v1}, {Name: n2, Value: v2}}
		want, got := o.Append(nil, edits...), bytes.Join(o.Pieces(edits...), nil)
		if !bytes.Equal(got, want) {
			t.Errorf("%s with edits %q: pieces make %s, Append writes %s", text, edits, got, want)
		}
	})
}
