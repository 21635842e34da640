package sse_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/mcp/sse"
)

// plain reads a stream the way the specification tells it, all at once.
func plain(in string) []sse.Event {
	in = strings.TrimPrefix(in, "\xEF\xBB\xBF")
	in = strings.ReplaceAll(strings.ReplaceAll(in, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(in, "\n")
	var events []sse.Event
	var e sse.Event
	fields := false
	for _, line := range lines[:len(lines)-1] {
		if line == "" {
			if fields {
				events = append(events, e)
			}
			e, fields = sse.Event{}, false
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "data":
			if e.Data != nil {
				value = string(e.Data) + "\n" + value
			}
			e.Data, fields = []byte(value), true
		case "event":
			e.Name, fields = value, true
		case "id":
			if !strings.Contains(value, "\x00") {
				e.ID, fields = value, true
			}
		case "retry":
			if value != "" && strings.Trim(value, "0123456789") == "" {
				fields = true
			}
		}
	}
	return events
}

func withoutRetry(events []sse.Event) []sse.Event {
	for i := range events {
		events[i].Retry = 0
	}
	return events
}

func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		"", "data: a\n\n", "\xEF\xBB\xBFdata: a\r\n\r\n", "id: 1\nretry: 5\ndata:\n\n", "data: a\rdata: b\r\r\n",
		": c\n\nevent: x\ndata: {\"jsonrpc\":\"2.0\"}\n\n", "data\ndata\n\nid\x00\n\n", "\xEF\xBBdata: a\n\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, _, err := readAll(strings.NewReader(in), 1<<20)
		if err != io.EOF {
			t.Fatalf("error = %v, want EOF; input %q", err, in)
		}
		if diff := cmp.Diff(plain(in), withoutRetry(got)); diff != "" {
			t.Fatalf("differs from the plain reading (-want +got):\n%s\ninput %q", diff, in)
		}
		slow, _, _ := readAll(iotest.OneByteReader(strings.NewReader(in)), 1<<20)
		if diff := cmp.Diff(got, withoutRetry(slow)); diff != "" {
			t.Fatalf("differs when read byte by byte (-at once +slowly):\n%s\ninput %q", diff, in)
		}
	})
}

func FuzzAppend(f *testing.F) {
	f.Add("1", "message", []byte("a\nb"))
	f.Add("", "", []byte("{}\r"))
	f.Fuzz(func(t *testing.T, id, name string, data []byte) {
		text := sse.Append(nil, sse.Event{ID: id, Name: name, Data: data})
		if data == nil {
			return
		}
		got, _, _ := readAll(bytes.NewReader(text), 1<<20)
		want := strings.ReplaceAll(strings.ReplaceAll(string(data), "\r\n", "\n"), "\r", "\n")
		if len(got) != 1 || string(got[0].Data) != want {
			t.Fatalf("wrote %q, read %+v, want one event with data %q", text, got, want)
		}
	})
}

func BenchmarkReader(b *testing.B) {
	for _, size := range []int{300, 1 << 20} {
		name := "300 bytes"
		if size > 300 {
			name = "1 MiB"
		}
		one := sse.Append(nil, sse.Event{ID: "1", Data: bytes.Repeat([]byte("x"), size)})
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(one)))
			for b.Loop() {
				r := sse.NewReader(bytes.NewReader(one), 0)
				if _, err := r.Next(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
