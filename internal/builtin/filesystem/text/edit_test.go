package text_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/text"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEdit(t *testing.T) {
	for _, tc := range []struct {
		name, data, old, new string
		all                  bool
		want, fails          string
	}{
		{"a word", "one two\n", "two", "2", false, "one 2\n", ""},
		{"lines with CRLF match \\n and keep CRLF", "a\r\nb\r\nc\r\n", "a\nb", "x\ny\nz", false, "x\r\ny\r\nz\r\nc\r\n", ""},
		{"mixed ends elsewhere stay", "a\r\nb\nc\rd\n", "b\nc", "B\nC", false, "a\r\nB\nC\rd\n", ""},
		{"a text that begins with a line end", "a\r\nb\r\n", "\nb", "\nB", false, "a\r\nB\r\n", ""},
		{"a byte order mark stays", "\xef\xbb\xbfa\n", "a", "b", false, "\xef\xbb\xbfb\n", ""},
		{"every place", "a a a", "a", "bb", true, "bb bb bb", ""},
		{"UTF-16 keeps its mark", "\xff\xfea\x00\n\x00b\x00", "a", "é", false, "\xff\xfe\xe9\x00\n\x00b\x00", ""},
		{"UTF-16 halves of two characters are no match", "\xff\xfe\x00\x61\x00\x62\x61\x00\n\x00", "a", "b", false, "\xff\xfe\x00\x61\x00\x62\x62\x00\n\x00", ""},
		{"windows-1252", "caf\xe9 noir\n", "noir", "crème", false, "caf\xe9 cr\xe8me\n", ""},
		{"bytes that are no characters stay", "ok\n\x80\x81 x\n", "ok", "fine", false, "fine\n\x80\x81 x\n", ""},
		{"what is there twice", "a\na\n", "a", "b", false, "", "lines 1 and 2"},
		{"what is not there", "a", "b", "c", false, "", "not in the file"},
		{"characters the encoding lacks", "caf\xe9\n", "caf", "世", false, "", "does not have"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			form, err := text.Detect([]byte(tc.data), true)
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := text.Edit([]byte(tc.data), form, []text.Change{{Old: tc.old, New: tc.new, All: tc.all}})
			if tc.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tc.fails) {
					t.Errorf("%q: got %q, %v, want an error with %q", tc.data, got, err, tc.fails)
				}
				return
			}
			if err != nil || string(got) != tc.want {
				t.Errorf("%q: got %q, %v, want %q", tc.data, got, err, tc.want)
			}
		})
	}
}

// TestBytesOutsideAnEditStay edits a marked place in random texts of every form, with random line ends.
func TestBytesOutsideAnEditStay(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	marks := map[string]string{"utf-8": "\xef\xbb\xbf", "utf-16le": "\xff\xfe", "utf-16be": "\xfe\xff", "utf-32le": "\xff\xfe\x00\x00", "utf-32be": "\x00\x00\xfe\xff"}
	pieces := []string{"word", " ", "\n", "\r\n", "\r", "é", "ß", "\t", "x"}
	for _, name := range []string{"utf-8", "utf-16le", "utf-16be", "utf-32le", "utf-32be", "windows-1252", "iso-8859-2", "shift_jis", "gb18030"} {
		for range 300 {
			form, err := text.Named(name, []byte(marks[name]))
			if err != nil {
				t.Fatal(err)
			}
			some := func() []byte {
				var b strings.Builder
				for range r.IntN(40) {
					b.WriteString(pieces[r.IntN(len(pieces))])
				}
				out, err := form.Encode(b.String())
				if err != nil { // no such letter in this encoding
					out, _ = form.Encode("plain\r\ntext\n")
				}
				return out
			}
			before, after := append([]byte(marks[name]), some()...), some()
			old, _ := form.Encode("<<MARK\r\nEND>>")
			data := bytes.Join([][]byte{before, old, after}, nil)
			got, _, err := text.Edit(data, form, []text.Change{{Old: "<<MARK\nEND>>", New: "n\nm"}})
			fresh, _ := form.Encode("n\r\nm")
			if want := bytes.Join([][]byte{before, fresh, after}, nil); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: %q: got %q, %v, want %q", name, data, got, err, want)
			}
		}
	}
}

func TestDetect(t *testing.T) {
	for data, want := range map[string]string{
		"plain": "utf-8", "": "utf-8", "größe": "utf-8", "gr\xf6\xdfe": "windows-1252", "\xef\xbb\xbfx": "utf-8", "\xff\xfex\x00": "utf-16le",
		"h\x00i\x00\n\x00": "utf-16le", "\x00h\x00i": "utf-16be", "\x00\x01\x02\x00\xff\xfe": "", "\x7fELF\x02\x01\x01\x00\x00": "", "\x89PNG\r\n\x1a\n": "",
	} {
		form, err := text.Detect([]byte(data), true)
		if form.Name != want || (err != nil) != (want == "") {
			t.Errorf("%q: got %q, %v, want %q", data, form.Name, err, want)
		}
	}
}
