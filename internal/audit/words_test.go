package audit

import (
	"fmt"
	"testing"
	"time"
)

func TestTimesAreWrittenInTheirForm(t *testing.T) {
	for _, when := range []time.Time{
		{}, time.Unix(0, 0), time.Unix(1795257600, 999_999_999), time.Date(9999, 12, 31, 23, 59, 59, 1000, time.UTC),
		time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-5, 1, 2, 3, 4, 5, 6000, time.UTC),
		time.Date(2026, 2, 9, 1, 2, 3, 45_678, time.FixedZone("", -7*3600)),
	} {
		if got, want := string(appendTime(nil, when)), when.UTC().Format(timeForm); got != want {
			t.Errorf("%v is written %q, want %q", when, got, want)
		}
	}
}

func TestWordsAreRememberedWithinBounds(t *testing.T) {
	var w words
	made := 0
	of := func(text string) string {
		return w.of([]byte(text), func(text string) string { made++; return "[" + text + "]" })
	}
	long := fmt.Sprintf("%0*d", maxWord+1, 7)
	for range 3 {
		if got := of("echo") + of(long); got != "[echo]["+long+"]" {
			t.Errorf("got %q", got)
		}
	}
	if made != 4 {
		t.Errorf("%d were made, want 4: the long one each time, the other once", made)
	}
	for i := range 3 * maxWords {
		of(fmt.Sprint(i))
	}
	if len(w.m) > maxWords {
		t.Errorf("%d are remembered, want at most %d", len(w.m), maxWords)
	}
}
