package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/audit"
)

func TestTheEndOfALogIsShownAndFollowed(t *testing.T) {
	c := settings(t.TempDir())
	c.SegmentSize = 64 << 10
	l := open(t, audit.Options{Config: c})
	long := strings.Repeat("words and more words ", 40)
	event := func(n int) {
		if err := l.Event(context.Background(), audit.Event{Name: fmt.Sprint("e", n), Attrs: [][2]string{{"text", long}}}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 100 {
		event(n)
	}
	name := func(line []byte) string {
		var r struct{ Text string }
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		return r.Text
	}
	var got []string
	err := audit.Tail(context.Background(), c.Dir, 3, false, func(line []byte) error { got = append(got, name(line)); return nil })
	if fmt.Sprint(got) != "[e97 e98 e99]" || err != nil {
		t.Errorf("the last three are %v, %v", got, err)
	}
	enough := errors.New("enough")
	next := 99
	err = audit.Tail(context.Background(), c.Dir, 1, true, func(line []byte) error {
		if got := name(line); got != fmt.Sprint("e", next) {
			t.Errorf("got %q, want e%d", got, next)
		}
		if next++; next == 300 {
			return enough
		}
		event(next) // so that the next one comes while it is followed, across segments
		return nil
	})
	if err != enough {
		t.Errorf("Tail ended with %v", err)
	}
	closeLog(t, l)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := audit.Tail(ctx, c.Dir, 0, true, func([]byte) error { return nil }); err != nil {
		t.Errorf("an interrupted Tail ended with %v", err)
	}
}
