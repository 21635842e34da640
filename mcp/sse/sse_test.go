package sse_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/mcp/sse"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func readAll(r io.Reader, bound int) ([]sse.Event, string, error) {
	reader := sse.NewReader(r, bound)
	var events []sse.Event
	for {
		e, err := reader.Next()
		if err != nil {
			return events, reader.LastID(), err
		}
		events = append(events, e)
	}
}

func TestReader(t *testing.T) {
	long := strings.Repeat("x", 20<<10)
	tests := []struct {
		name, in string
		want     []sse.Event
		lastID   string
	}{
		{name: "an empty stream has no events"},
		{name: "one data line is one event", in: "data: a\n\n", want: []sse.Event{{Data: []byte("a")}}},
		{name: "only one space after the colon is dropped", in: "data:a\n\ndata:  b\n\n",
			want: []sse.Event{{Data: []byte("a")}, {Data: []byte(" b")}}},
		{name: "several data lines are joined", in: "data: {\ndata: \"a\":1\ndata: }\n\n",
			want: []sse.Event{{Data: []byte("{\n\"a\":1\n}")}}},
		{name: "CR LF ends a line", in: "event: e\r\ndata: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n",
			want: []sse.Event{{Name: "e", Data: []byte("a\nb")}, {Data: []byte("c")}}},
		{name: "CR ends a line", in: "event: e\rdata: a\rdata: b\r\rdata: c\r\r",
			want: []sse.Event{{Name: "e", Data: []byte("a\nb")}, {Data: []byte("c")}}},
		{name: "breaks of all kinds may be mixed", in: "data: a\rdata: b\ndata: c\r\n\n\r\n\rdata: d\n\r\n",
			want: []sse.Event{{Data: []byte("a\nb\nc")}, {Data: []byte("d")}}},
		{name: "a byte order mark is skipped at the start only", in: "\xEF\xBB\xBFdata: a\n\n\xEF\xBB\xBFdata: b\n\n",
			want: []sse.Event{{Data: []byte("a")}}},
		{name: "comments are skipped", in: ": hi\n\n:\n\ndata: a\n: in between\ndata: b\n\n: bye\n\n",
			want: []sse.Event{{Data: []byte("a\nb")}}},
		{name: "unknown fields are skipped", in: "dada: x\nfoo\nData: y\n\ndata: a\n\n",
			want: []sse.Event{{Data: []byte("a")}}},
		{name: "a field without colon has an empty value", in: "data\n\nevent\ndata\ndata\n\n",
			want: []sse.Event{{Data: []byte{}}, {Data: []byte("\n")}}},
		{name: "a priming event has an id and empty data", in: "id: 1\nretry: 500\ndata:\n\n",
			want: []sse.Event{{ID: "1", Retry: 500 * time.Millisecond, Data: []byte{}}}, lastID: "1"},
		{name: "an id alone is an event without data", in: "id: 7\n\n", want: []sse.Event{{ID: "7"}}, lastID: "7"},
		{name: "the last id stays", in: "id: 1\ndata: a\n\ndata: b\n\n",
			want: []sse.Event{{ID: "1", Data: []byte("a")}, {Data: []byte("b")}}, lastID: "1"},
		{name: "an empty id forgets the last one", in: "id: 1\ndata: a\n\nid\ndata: b\n\n",
			want: []sse.Event{{ID: "1", Data: []byte("a")}, {Data: []byte("b")}}},
		{name: "an id with NUL is ignored", in: "id: 1\ndata: a\n\nid: 2\x003\ndata: b\n\n",
			want: []sse.Event{{ID: "1", Data: []byte("a")}, {Data: []byte("b")}}, lastID: "1"},
		{name: "the last of several ids and names counts", in: "id: 1\nid: 2\nevent: a\nevent: b\ndata: x\n\n",
			want: []sse.Event{{ID: "2", Name: "b", Data: []byte("x")}}, lastID: "2"},
		{name: "a retry that is no number is ignored", in: "retry: 1s\nretry: -1\nretry:\ndata: a\n\n",
			want: []sse.Event{{Data: []byte("a")}}},
		{name: "a retry beyond all measure is cut", in: "retry: 99999999999999999999\n\n",
			want: []sse.Event{{Retry: (1<<31 - 1) * time.Millisecond}}},
		{name: "an event that is cut off is dropped", in: "data: a\n\nid: 9\ndata: b\n",
			want: []sse.Event{{Data: []byte("a")}}},
		{name: "big data is not mixed up with what follows",
			in: "data: " + long + "\n\ndata: b\n\ndata: " + long + "\ndata: c\n\nid: 3\ndata: " + long + "\n\n",
			want: []sse.Event{{Data: []byte(long)}, {Data: []byte("b")}, {Data: []byte(long + "\nc")},
				{ID: "3", Data: []byte(long)}}, lastID: "3"},
	}
	sources := map[string]func(io.Reader) io.Reader{
		"at once":           func(r io.Reader) io.Reader { return r },
		"byte by byte":      iotest.OneByteReader,
		"with the last err": iotest.DataErrReader,
	}
	for _, tt := range tests {
		for how, source := range sources {
			t.Run(tt.name+", read "+how, func(t *testing.T) {
				got, lastID, err := readAll(source(strings.NewReader(tt.in)), 1<<20)
				if err != io.EOF {
					t.Errorf("error = %v, want EOF; input %q", err, tt.in)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("events (-want +got):\n%s\ninput %q", diff, tt.in)
				}
				if lastID != tt.lastID {
					t.Errorf("last id = %q, want %q; input %q", lastID, tt.lastID, tt.in)
				}
			})
		}
	}
}

func TestReaderBoundsEvents(t *testing.T) {
	tests := []struct {
		name, in string
		events   int
		err      error
	}{
		{"an event of the bound passes", "data: " + strings.Repeat("x", 92) + "\n\n", 1, io.EOF},
		{"one line above the bound", "data: " + strings.Repeat("x", 95) + "\n\n", 0, sse.ErrTooLarge},
		{"many lines above the bound", strings.Repeat("data: x\n", 20) + "\n", 0, sse.ErrTooLarge},
		{"a comment above the bound", ": " + strings.Repeat("x", 200) + "\n\n", 0, sse.ErrTooLarge},
		{"many events below the bound pass", strings.Repeat("data: x\n\n", 50), 50, io.EOF},
		{"many comments below the bound pass", strings.Repeat(": x\n\n", 50) + "data: a\n\n", 1, io.EOF},
		{"a name above the bound", "data: a\n\nevent: " + strings.Repeat("x", 200), 1, sse.ErrTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := readAll(strings.NewReader(tt.in), 100)
			if len(got) != tt.events || !errors.Is(err, tt.err) {
				t.Errorf("got %d events and %v, want %d and %v; input %q", len(got), err, tt.events, tt.err, tt.in)
			}
		})
	}
}

// A reader that waited for the byte after CR would deliver each event of such a
// stream with the next one only.
func TestReaderDoesNotWaitForTheByteAfterTheBlankLine(t *testing.T) {
	for _, in := range []string{"data: a\n\n", "data: a\r\r", "data: a\r\n\r"} {
		pr, pw := io.Pipe()
		got := make(chan sse.Event, 1)
		done := make(chan struct{})
		go func() {
			defer close(done)
			r := sse.NewReader(pr, 0)
			e, _ := r.Next()
			got <- e
			_, _ = r.Next()
		}()
		_, _ = io.WriteString(pw, in)
		select {
		case e := <-got:
			if string(e.Data) != "a" {
				t.Errorf("data = %q, want a; input %q", e.Data, in)
			}
		case <-time.After(4 * time.Minute):
			t.Errorf("no event; input %q", in)
		}
		_ = pw.Close()
		<-done
	}
}

func TestReaderKeepsTheDataOfEarlierEvents(t *testing.T) {
	var in []byte
	for i := range 200 {
		in = sse.Append(in, sse.Event{Data: bytes.Repeat([]byte{byte('a' + i%26)}, 1+i*100)})
	}
	got, _, _ := readAll(bytes.NewReader(in), 0)
	for i, e := range got {
		if want := bytes.Repeat([]byte{byte('a' + i%26)}, 1+i*100); !bytes.Equal(e.Data, want) {
			t.Fatalf("event %d has changed", i)
		}
	}
	if len(got) != 200 {
		t.Errorf("got %d events, want 200", len(got))
	}
}

func TestReaderReturnsTheErrorOfItsSource(t *testing.T) {
	broken := errors.New("broken")
	r := sse.NewReader(io.MultiReader(strings.NewReader("data: a\n\nda"), iotest.ErrReader(broken)), 0)
	if e, err := r.Next(); err != nil || string(e.Data) != "a" {
		t.Errorf("first = %q, %v, want a", e.Data, err)
	}
	for range 2 {
		if _, err := r.Next(); !errors.Is(err, broken) {
			t.Errorf("error = %v, want %v", err, broken)
		}
	}
}

func TestAppend(t *testing.T) {
	tests := []struct {
		name string
		in   sse.Event
		want string
	}{
		{"all fields", sse.Event{ID: "7", Name: "message", Data: []byte("x"), Retry: 1500 * time.Millisecond},
			"event: message\nid: 7\nretry: 1500\ndata: x\n\n"},
		{"lines of any kind become fields", sse.Event{Data: []byte("a\nb\rc\r\nd\n")},
			"data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"},
		{"no data", sse.Event{ID: "1"}, "id: 1\n\n"},
		{"empty data", sse.Event{ID: "1", Data: []byte{}}, "id: 1\ndata: \n\n"},
		{"breaks cannot be smuggled in", sse.Event{ID: "1\ndata: x", Name: "a\r\n\rb\x00", Data: []byte("y")},
			"event: ab\nid: 1data: x\ndata: y\n\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(sse.Append([]byte("#"), tt.in)); got != "#"+tt.want {
				t.Errorf("Append(%+v) = %q, want %q", tt.in, got, "#"+tt.want)
			}
		})
	}
	if got, want := string(sse.AppendComment(nil, "keep\nalive")), ": keepalive\n\n"; got != want {
		t.Errorf("AppendComment = %q, want %q", got, want)
	}
}
