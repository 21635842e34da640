package jsonrpc_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// The string scan looks at words, at blocks of words and at single bytes. Each byte must be judged alike by all of them.
func TestEveryByteIsJudgedAlikeAtEveryOffset(t *testing.T) {
	const long = 120
	text := []byte(`{"a":"` + strings.Repeat("x", long) + `"}`)
	for at := len(`{"a":"`); at < len(text)-2; at++ {
		for c := range 256 {
			text[at] = byte(c)
			want := json.Valid(text) && utf8.Valid(text)
			if _, err := jsonrpc.ParseObject(text, jsonrpc.Limits{}); (err == nil) != want {
				t.Errorf("byte %#02x at offset %d: got error %v, want accepted = %v", c, at, err, want)
			}
		}
		text[at] = 'x'
	}
}

func TestStringsOfAnyLengthWithoutEndAreRefused(t *testing.T) {
	for n := range 300 {
		for _, in := range []string{`{"a":"` + strings.Repeat("x", n), `{"` + strings.Repeat("x", n), `{"a":"é` + strings.Repeat("é", n)} {
			text := []byte(in)
			if _, err := jsonrpc.ParseObject(text[:len(text):len(text)], jsonrpc.Limits{}); err == nil {
				t.Errorf("ParseObject(%s): got accepted, want refused", in)
			}
		}
	}
}

// The bytes are the bounds of all ranges in the table of RFC 3629 §4, and their neighbours.
func TestUTF8IsJudgedAsTheStandardLibraryDoes(t *testing.T) {
	bounds := []byte{'a', '"', 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xff}
	text := []byte(`{"a":"....x"}`)
	at := strings.IndexByte(string(text), '.')
	for lead := 0x80; lead < 0x100; lead++ {
		for _, b := range bounds {
			for _, c := range bounds {
				for _, d := range bounds {
					copy(text[at:], []byte{byte(lead), b, c, d})
					want := json.Valid(text) && utf8.Valid(text)
					if _, err := jsonrpc.ParseObject(text, jsonrpc.Limits{}); (err == nil) != want {
						t.Fatalf("string % x: got error %v, want accepted = %v", text[at:at+4], err, want)
					}
				}
			}
		}
	}
}

func TestUnquote(t *testing.T) {
	tests := []struct {
		name, in, want string
		ok             bool
	}{
		{"a plain string", `"abc"`, "abc", true},
		{"an empty string", `""`, "", true},
		{"all short escapes", `"\"\\\/\b\f\n\r\t"`, "\"\\/\b\f\n\r\t", true},
		{"escapes of the basic plane", `"\u0000\u00e9\uFFFD"`, "\x00é\ufffd", true},
		{"a surrogate pair", `"\ud83d\uDE00!"`, "😀!", true},
		{"text that is not ASCII", `"αβ漢😀"`, "αβ漢😀", true},
		{"a high surrogate alone", `"\ud800"`, "", false},
		{"a high surrogate and a letter", `"\ud800a"`, "", false},
		{"two high surrogates and a low one", `"\ud800\ud83d\ude00"`, "", false},
		{"a low surrogate alone", `"\udc00"`, "", false},
		{"a number", `1`, "", false},
		{"nothing", ``, "", false},
		{"one quote", `"`, "", false},
		{"an object", `{"a":1}`, "", false},
		{"an escape that is cut short", `"\u12"`, "", false},
		{"a backslash that escapes the last quote", `"\"`, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := jsonrpc.Unquote([]byte(tt.in)); got != tt.want || ok != tt.ok {
				t.Errorf("Unquote(%s): got %q, %v, want %q, %v", tt.in, got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestAppendString(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"a plain string", "abc", `"abc"`},
		{"an empty string", "", `""`},
		{"quotes and backslashes", `a"b\c`, `"a\"b\\c"`},
		{"control characters", "\x00\n\r\t\b\x1f\x7f", "\"\\u0000\\n\\r\\t\\u0008\\u001f\x7f\""},
		{"text that is not ASCII", "é漢😀\u2028", "\"é漢😀\u2028\""},
		{"bytes that are not UTF-8", "a\xffb\xed\xa0\x80", "\"a\ufffdb\ufffd\ufffd\ufffd\""},
		{"U+FFFD itself", "\ufffd", "\"\ufffd\""},
		{"a sequence that is cut short", "\xe6\xbc", "\"\ufffd\ufffd\""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(jsonrpc.AppendString([]byte("x"), tt.in)); got != "x"+tt.want {
				t.Errorf("AppendString(x, %q): got %s, want x%s", tt.in, got, tt.want)
			}
		})
	}
}

// Strings are written word by word: wherever in a word something stands, and however much room there is, the text is that
// which is written byte by byte.
func TestAppendStringWhereverSomethingStands(t *testing.T) {
	for _, special := range []string{"\"", "\n", "\x01", "é", "\xff", "\\\\", "\n\n\x1f"} {
		for before := range 40 {
			s := strings.Repeat("a", before) + special + strings.Repeat("b", 40-before) + special
			want := []byte{'"'}
			for i, r := range s {
				one := string(r)
				if special == "\xff" && r == '\ufffd' {
					one = s[i : i+1]
				}
				piece := jsonrpc.AppendString(nil, one)
				want = append(want, piece[1:len(piece)-1]...)
			}
			want = append(want, '"')
			for room := range 24 {
				if got := jsonrpc.AppendString(make([]byte, 0, room), s); string(got) != string(want) {
					t.Fatalf("AppendString(%q) with room for %d: got %s, want %s", s, room, got, want)
				}
			}
		}
	}
}

func TestAppendStringOfItself(t *testing.T) {
	dst := []byte(`{"a":"b"}`)
	for range 3 {
		dst = jsonrpc.AppendString(dst, dst)
	}
	if want := 9 + 15; len(dst) < want || !strings.HasPrefix(string(dst), `{"a":"b"}"{\"a\":\"b\"}"`) {
		t.Errorf("AppendString of what stands before: got %s", dst)
	}
}

func TestIDs(t *testing.T) {
	tests := []struct {
		got  jsonrpc.ID
		want string
	}{
		{jsonrpc.NumberID(0), `0`},
		{jsonrpc.NumberID(-9223372036854775808), `-9223372036854775808`},
		{jsonrpc.StringID(""), `""`},
		{jsonrpc.StringID("a\"b\n"), `"a\"b\n"`},
	}
	for _, tt := range tests {
		if string(tt.got) != tt.want || tt.got.IsZero() {
			t.Errorf("got id %s, zero %v, want %s, not zero", tt.got, tt.got.IsZero(), tt.want)
		}
	}
	if !jsonrpc.ID("").IsZero() {
		t.Error(`ID(""): got not zero, want zero`)
	}
}
