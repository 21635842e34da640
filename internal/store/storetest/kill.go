package storetest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/internal/store"
)

// Promise P01: what was acknowledged survives the death of the process. Write is
// what the process does that is killed, and Survives what watches over it.

const (
	killWriters = 8
	// killAfter is how long a process may write at most before it is killed.
	killAfter = 120 * time.Millisecond
)

// Write adds, changes and removes records for ever, several at once, and writes a
// line about each when the store has acknowledged it. It returns when a write
// fails, or when acknowledgements cannot be written.
func Write(ctx context.Context, s *store.Store, round string, acknowledge io.Writer) error {
	results := make(chan error, killWriters)
	var mu sync.Mutex // one line at a time
	for i := range killWriters {
		go func() {
			results <- writer(ctx, s, fmt.Sprintf("%s.%d", round, i), func(format string, args ...any) error {
				mu.Lock()
				defer mu.Unlock()
				_, err := fmt.Fprintf(acknowledge, format+"\n", args...)
				return err
			})
		}()
	}
	return <-results
}

func writer(ctx context.Context, s *store.Store, name string, acknowledge func(format string, args ...any) error) error {
	counter := store.Client{ID: name, Data: content(name, 0)}
	for n := 1; ; n++ {
		id := fmt.Sprintf("%s.%d", name, n)
		if err := s.Clients.Put(ctx, store.Client{ID: id, Data: content(id, n)}); err != nil {
			return err
		}
		err := acknowledge("added %s %d", name, n)
		if err == nil {
			err = s.Clients.Put(ctx, counter)
		}
		if err == nil {
			counter.Version++
			err = acknowledge("counted %s %d", name, counter.Version)
			counter.Data = content(name, int(counter.Version))
		}
		if err == nil && n%3 == 0 {
			if err = s.Clients.Remove(ctx, id); err == nil {
				err = acknowledge("removed %s %d", name, n)
			}
		}
		if err != nil {
			return err
		}
	}
}

// content is long enough to be torn.
func content(id string, n int) []byte { return bytes.Repeat(fmt.Appendf(nil, "%s %d,", id, n), 100) }

// acknowledged is what one writer was told.
type acknowledged struct{ added, counted, removed int }

// Survives starts processes that Write, one after the other, and kills each at a
// moment of chance; then everything that was acknowledged has to be there. intact
// looks at the database itself after each; it may be nil.
func Survives(t *testing.T, kills int, start func(t *testing.T, round string) (acks io.Reader, kill func()), open func(t *testing.T) *store.Store,
	intact func(t *testing.T)) {
	t.Helper()
	total, all := 0, map[string]acknowledged{}
	for round := range kills {
		acks, kill := start(t, fmt.Sprint("round", round))
		told, n := listen(t, acks, kill)
		total += n
		s := open(t)
		for name, a := range told {
			verify(t, s, name, a)
			all[name] = a
		}
		must(t, s.Close())
		if intact != nil {
			intact(t)
		}
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	s := open(t)
	for name, a := range all {
		verify(t, s, name, a)
	}
	must(t, s.Close())
	t.Logf("%d kills, %d acknowledged writes, 0 lost", kills, total)
}

// listen reads what a process has acknowledged, until it is dead.
func listen(t *testing.T, acks io.Reader, kill func()) (map[string]acknowledged, int) {
	t.Helper()
	told, n := map[string]acknowledged{}, 0
	lines := bufio.NewScanner(acks)
	for lines.Scan() {
		var what, name string
		var number int
		if _, err := fmt.Sscanf(lines.Text(), "%s %s %d", &what, &name, &number); err != nil {
			t.Logf("the process says: %s", lines.Text())
			continue
		}
		if n++; n == 1 {
			time.AfterFunc(rand.N(killAfter), kill)
		}
		a := told[name]
		switch what {
		case "added":
			a.added = number
		case "counted":
			a.counted = number
		case "removed":
			a.removed = number
		}
		told[name] = a
	}
	kill()
	if n == 0 {
		t.Error("the process has acknowledged nothing")
	}
	return told, n
}

// verify looks for what a writer was told, and for what has no right to be there.
// The one write that the writer had begun when it was killed may have happened.
func verify(t *testing.T, s *store.Store, name string, a acknowledged) {
	t.Helper()
	for n := 1; n <= a.added; n++ {
		id := fmt.Sprintf("%s.%d", name, n)
		got, err := s.Clients.Get(t.Context(), id)
		switch begun := n%3 == 0 && n > a.removed; {
		case n%3 == 0 && n <= a.removed:
			is(t, "get "+id+", whose removal was acknowledged", err, store.ErrNotFound)
		case begun && errors.Is(err, store.ErrNotFound):
		default:
			same(t, "acknowledged record", got, err, store.Client{ID: id, Data: content(id, n), Version: 1})
		}
	}
	got, err := s.Clients.Get(t.Context(), name)
	if a.counted == 0 && errors.Is(err, store.ErrNotFound) {
		return
	}
	must(t, err)
	if v := int(got.Version); v < a.counted || v > a.counted+1 {
		t.Errorf("counter %s is at %d, acknowledged was %d", name, v, a.counted)
	}
	if diff := cmp.Diff(content(name, int(got.Version)-1), got.Data); diff != "" {
		t.Errorf("counter %s at %d is torn (-want +got):\n%s", name, got.Version, diff)
	}
}
