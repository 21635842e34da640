package main

import (
	"testing"
	"time"
)

func TestExpiryIsReadAsPeopleWriteIt(t *testing.T) {
	now := time.Date(2026, 11, 21, 6, 30, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"never": {}, "12h": now.Add(12 * time.Hour), "90m": now.Add(90 * time.Minute), "30d": now.AddDate(0, 0, 30), "2w": now.AddDate(0, 0, 14),
		"2026-12-31": time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		if got, err := expiry(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0d", "-1d", "d", "30", "1e3d", "99999999d", "-5h", "0s", "31.12.2026", "2026-13-01"} {
		if got, err := expiry(text, now); err == nil {
			t.Errorf("%q is read as %v, want a refusal", text, got)
		}
	}
}
