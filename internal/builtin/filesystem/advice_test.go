package filesystem_test

import (
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem"
	"github.com/dragoman-mcp/dragoman/server/servertest"
)

// TestWrongInputIsToldWhatToDo has what callers get wrong, and finds in the answer what is wrong and what they do next.
func TestWrongInputIsToldWhatToDo(t *testing.T) {
	dir := tree(t, map[string]string{"a.txt": "one one\n", "d/b.txt": "two\n", "d/e/c.txt": "three\n"})
	c := servertest.Open(t, filesystem.New, env(t, dir, nil))
	for name, test := range map[string]struct {
		tool string
		in   args
		want []string
	}{
		"a path of the machine":            {"read", args{"path": "/etc/passwd"}, []string{`"/etc/passwd" is not there`, "paths begin in the mount"}},
		"head and tail":                    {"read", args{"path": "a.txt", "head": 1, "tail": 1}, []string{"give tail alone"}},
		"an offset after the end":          {"read", args{"path": "a.txt", "offset": 9}, []string{"has 8 bytes", "give a smaller offset"}},
		"no edits":                         {"edit", args{"path": "a.txt", "edits": []args{}}, []string{"nothing to edit", `[{"old"`}},
		"an edit of what is there twice":   {"edit", args{"path": "a.txt", "edits": []args{{"old": "one", "new": "1"}}}, []string{"2 times", "lines 1 and 1", "; give more of the text around it, or set all"}},
		"an edit of what is not there":     {"edit", args{"path": "a.txt", "edits": []args{{"old": "two", "new": "2"}}}, []string{"not in the file", "; read the file"}},
		"what is to be made is there":      {"write", args{"path": "a.txt", "text": "x", "create": true}, []string{`"a.txt" is there already; leave out create`}},
		"a copy without a target":          {"change", args{"op": "copy", "path": "a.txt"}, []string{"to is missing; give to"}},
		"a copy of a directory":            {"change", args{"op": "copy", "path": "d", "to": "x"}, []string{`"d" is a directory; copy the files`}},
		"a copy to a directory":            {"change", args{"op": "copy", "path": "d/b.txt", "to": "d/e/"}, []string{`"d/e/" is a directory; `, "d/e/b.txt"}},
		"a move to a directory":            {"change", args{"op": "move", "path": "a.txt", "to": "d", "overwrite": true}, []string{`"d" is a directory; `, "d/a.txt"}},
		"a directory into itself":          {"change", args{"op": "move", "path": "d", "to": "d/e/f"}, []string{`"d/e/f" cannot be used for that`, "lies within"}},
		"a target that is there, no force": {"change", args{"op": "copy", "path": "a.txt", "to": "d/b.txt"}, []string{`"d/b.txt" is there already; set overwrite`}},
	} {
		t.Run(name, func(t *testing.T) {
			r := ask(t, c, test.tool, test.in)
			for _, want := range test.want {
				if !r.IsError || !strings.Contains(r.Text(), want) {
					t.Errorf("%s %v: got %q, want an error with %q", test.tool, test.in, r.Text(), want)
				}
			}
		})
	}
}

// TestACursorOfAReadStandsForTheArguments goes on with the arguments of the first call beside the cursor, as many clients do, and
// with none but the path; and not in another file.
func TestACursorOfAReadStandsForTheArguments(t *testing.T) {
	text := strings.Repeat("a line of text, and another\n", 1000)
	dir := tree(t, map[string]string{"a.txt": text, "b.txt": text})
	for name, first := range map[string]args{
		"all": {"path": "a.txt"}, "tail": {"path": "a.txt", "tail": 900}, "head": {"path": "a.txt", "head": 900}, "a part": {"path": "a.txt", "offset": 28, "length": 20_000},
	} {
		t.Run(name, func(t *testing.T) {
			var whole []string
			for _, again := range []args{first, {"path": "a.txt"}} {
				c := limited(t, dir)
				got, in := "", clone(first)
				for range 50 {
					var page struct {
						Text string
						Next string `json:"next_cursor"`
					}
					c.Must(t, "read", in, &page)
					if got += page.Text; page.Next == "" {
						break
					}
					in = clone(again)
					in["cursor"] = page.Next
				}
				whole = append(whole, got)
				if in["cursor"] == nil {
					t.Fatal("the answer has one page")
				}
				in["path"] = "b.txt"
				if r := ask(t, c, "read", in); !r.IsError || !strings.Contains(r.Text(), "of another file") {
					t.Errorf("the cursor in another file: got %.100q", r.Text())
				}
			}
			if whole[0] != whole[1] || len(whole[0]) < 20_000 || len(whole[0]) > len(text) {
				t.Errorf("got %d bytes with the first arguments, and %d with none", len(whole[0]), len(whole[1]))
			}
		})
	}
}

// TestATailThatIsTooLongSaysSo asks for more lines than one answer has room for.
func TestATailThatIsTooLongSaysSo(t *testing.T) {
	dir := tree(t, map[string]string{"a.txt": strings.Repeat("a line of text, and another\n", 1000), "short.txt": "one\ntwo\n"})
	c := opened(t, args{"url": dir}, nil, args{"max_bytes": "8KB"})
	for _, test := range []struct {
		path      string
		tail      int
		truncated bool
	}{{"a.txt", 900, true}, {"a.txt", 100, false}, {"short.txt", 900, false}, {"short.txt", 1, false}} {
		var out struct {
			Text      string
			Offset    int
			Size      int
			Truncated bool
		}
		c.Must(t, "read", args{"path": test.path, "tail": test.tail}, &out)
		if out.Truncated != test.truncated || out.Offset+len(out.Text) != out.Size {
			t.Errorf("the last %d lines of %s: got truncated %v, %d bytes from %d of %d, want truncated %v and the end", test.tail, test.path, out.Truncated, len(out.Text), out.Offset, out.Size, test.truncated)
		}
	}
}

// limited has answers of a third of the text.
func limited(t *testing.T, dir string) *servertest.Client {
	t.Helper()
	return opened(t, args{"url": dir}, nil, args{"max_tokens": 2500})
}
