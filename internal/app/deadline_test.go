package app

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// long past, as net/http sets it to wake a reader.
var longAgo = time.Unix(1, 0)

// watched counts what the connection below is told.
type watched struct {
	net.Conn
	reads int
}

func (w *watched) SetReadDeadline(t time.Time) error {
	w.reads++
	return w.Conn.SetReadDeadline(t)
}

func frugalPipe(t *testing.T) (*frugal, *watched, net.Conn) {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
	below := &watched{Conn: ours}
	return &frugal{Conn: below}, below, theirs
}

func TestReadsWaitAsLongAsTheLastDeadlineSays(t *testing.T) {
	const never = time.Hour // when the peer sends at last
	none := time.Duration(-1)
	for _, test := range []struct {
		name  string
		moves []time.Duration // from the start; negative for none
		want  time.Duration
	}{
		{"one that was set once", []time.Duration{3 * time.Second}, 3 * time.Second},
		{"one that was moved away", []time.Duration{3 * time.Second, 9 * time.Second}, 9 * time.Second},
		{"one that was moved near", []time.Duration{9 * time.Second, 3 * time.Second}, 3 * time.Second},
		{"one that was taken back", []time.Duration{3 * time.Second, none}, never},
		{"one that came after none", []time.Duration{3 * time.Second, none, 9 * time.Second}, 9 * time.Second},
		{"one that came near after none", []time.Duration{9 * time.Second, none, 3 * time.Second}, 3 * time.Second},
		{"one that was moved to and fro", []time.Duration{5 * time.Second, none, 9 * time.Second, 4 * time.Second, 7 * time.Second}, 7 * time.Second},
		{"none at all", nil, never},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _, peer := frugalPipe(t)
				begin := time.Now()
				for _, move := range test.moves {
					var until time.Time
					if move >= 0 {
						until = begin.Add(move)
					}
					if err := c.SetReadDeadline(until); err != nil {
						t.Fatal(err)
					}
				}
				last := time.AfterFunc(never, func() { _, _ = peer.Write([]byte("x")) })
				defer last.Stop()
				n, err := c.Read(make([]byte, 1))
				if late := test.want < never; late != errors.Is(err, os.ErrDeadlineExceeded) || late == (n > 0) {
					t.Errorf("read with %v: got %d bytes and %v", test.moves, n, err)
				}
				if got := time.Since(begin); got != test.want {
					t.Errorf("read with %v: ended after %v, want %v", test.moves, got, test.want)
				}
			})
		})
	}
}

func TestADeadlineThatMovesIsThatOfAReadUnderWay(t *testing.T) {
	for _, test := range []struct {
		name        string
		first, then time.Duration
	}{
		{"nearer", time.Minute, 5 * time.Second},
		{"further away", 5 * time.Second, time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _, _ := frugalPipe(t)
				begin := time.Now()
				_ = c.SetReadDeadline(begin.Add(test.first))
				move := time.AfterFunc(time.Second, func() { _ = c.SetReadDeadline(begin.Add(test.then)) })
				defer move.Stop()
				_, err := c.Read(make([]byte, 1))
				if got := time.Since(begin); got != test.then || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("from %v to %v: ended after %v with %v, want %v", test.first, test.then, got, err, test.then)
				}
			})
		})
	}
}

func TestAReaderThatIsWokenUpCanReadOn(t *testing.T) {
	for _, before := range []time.Duration{0, 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			c, _, peer := frugalPipe(t)
			begin := time.Now()
			if before > 0 {
				_ = c.SetReadDeadline(begin.Add(before))
				_ = c.SetReadDeadline(time.Time{})
			}
			wake := time.AfterFunc(10*time.Second, func() { _ = c.SetReadDeadline(longAgo) })
			defer wake.Stop()
			_, err := c.Read(make([]byte, 1))
			if got := time.Since(begin); got != 10*time.Second || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("woken up: got %v after %v, want a passed deadline after 10s", err, got)
			}
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read again while interrupted: got %v, want a passed deadline", err)
			}
			_ = c.SetReadDeadline(time.Time{})
			late := time.AfterFunc(time.Minute, func() { _, _ = peer.Write([]byte("x")) })
			defer late.Stop()
			if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
				t.Errorf("read after that: got %d bytes and %v, want 1", n, err)
			}
		})
	}
}

func TestAWriteGoesOnWhenItsDeadlineWasMovedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, peer := frugalPipe(t)
		begin := time.Now()
		_ = c.SetWriteDeadline(begin.Add(5 * time.Second))
		_ = c.SetWriteDeadline(begin.Add(30 * time.Second))
		var parts [2][3]byte
		slow := time.AfterFunc(time.Second, func() { // half of it before the first deadline, half after it
			_, _ = peer.Read(parts[0][:])
			time.AfterFunc(9*time.Second, func() { _, _ = peer.Read(parts[1][:]) })
		})
		defer slow.Stop()
		if n, err := c.Write([]byte("abcdef")); n != 6 || err != nil {
			t.Fatalf("write: got %d bytes and %v, want 6", n, err)
		}
		synctest.Wait()
		if got := string(parts[0][:]) + string(parts[1][:]); got != "abcdef" {
			t.Errorf("the peer got %q, want %q", got, "abcdef")
		}
		if n, err := c.Write([]byte("ghi")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != 30*time.Second {
			t.Errorf("write that nobody takes: got %d bytes and %v after %v, want a passed deadline after 30s", n, err, time.Since(begin))
		}
	})
}

// The sequence is that of net/http and the transport for one request after another.
func TestARequestMovesTheDeadlinesBelowTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, below, _ := frugalPipe(t)
		const requests = 100
		for range requests {
			for _, wait := range []time.Duration{2 * time.Minute, 0, 10 * time.Second, 0, 30 * time.Second, 0, 0} {
				var until time.Time
				if wait > 0 {
					until = time.Now().Add(wait)
				}
				_ = c.SetReadDeadline(until)
			}
			_ = c.SetReadDeadline(longAgo)
			_ = c.SetReadDeadline(time.Time{})
		}
		if most := 2*requests + 2; below.reads > most {
			t.Errorf("%d requests moved the deadline below %d times, want at most %d", requests, below.reads, most)
		}
	})
}
