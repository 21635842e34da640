package stdio_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/mcp/stdio"
)

// FuzzRead compares what is read with what a plain split into lines gives,
// whatever the pieces in which the bytes arrive.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"", "\n", "\r\n", "{}", "{}\n", "{}\r\n[{}]\n", "banner\n{\"a\":1}\n", " \t{}\n", "[INFO]\n[ ]\n", "\r\r\n{}\r\r\n",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n", "\xef\xbb\xbf{}\n", "{\x00\n", "{}\x85{}\n", "0123456789012345678901234567890\n{}\n",
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	const bound = 24
	f.Fuzz(func(t *testing.T, in []byte, slowly bool) {
		var r io.Reader = bytes.NewReader(in)
		if slowly {
			r = iotest.OneByteReader(r)
		}
		c := stdio.NewConn(r, nopCloser{io.Discard}, stdio.Options{MaxMessageBytes: bound})
		defer c.Close()
		want, orderly := plainly(in, bound)
		got, err := readAll(t, c)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("messages of %q (-want +got):\n%s", in, diff)
		}
		if errors.Is(err, io.EOF) != orderly {
			t.Errorf("error of %q: got %v, want EOF: %t", in, err, orderly)
		}
	})
}

func plainly(in []byte, bound int) (messages []string, orderly bool) {
	noise := 0
	for _, line := range bytes.Split(in, []byte{'\n'}) {
		line = bytes.TrimSuffix(line, []byte{'\r'})
		if len(line) > bound {
			return messages, false
		}
		text := bytes.Trim(line, " \t\r")
		switch {
		case len(text) == 0:
			continue
		case text[0] == '{', text[0] == '[' && startsWith(bytes.TrimLeft(text[1:], " \t\r"), "{]"):
			messages = append(messages, string(line))
			noise = 0
		default:
			noise++
		}
		if noise == 1000 {
			return messages, false
		}
	}
	return messages, true
}

func startsWith(b []byte, any string) bool {
	return len(b) > 0 && bytes.IndexByte([]byte(any), b[0]) >= 0
}
