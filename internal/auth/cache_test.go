package auth_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth"
)

// counter counts how often it is asked.
type counter struct {
	asked   map[string]int
	answer  func(string) (auth.Identity, error)
	revoked map[string]bool
}

func (c *counter) Identify(_ context.Context, credential string) (auth.Identity, error) {
	c.asked[credential]++
	return c.answer(credential)
}

func (c *counter) Holds(i auth.Identity) bool { return !c.revoked[i.TokenID] }

func TestWhatIsRemembered(t *testing.T) {
	start := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	now := start
	away := errors.New("away")
	source := &counter{asked: map[string]int{}, revoked: map[string]bool{}}
	source.answer = func(s string) (auth.Identity, error) {
		switch s {
		case "good", "short":
			id := auth.Identity{TokenID: s}
			if s == "short" {
				id.Expires = start.Add(time.Second)
			}
			return id, nil
		case "away":
			return auth.Identity{}, away
		case "narrow":
			return auth.Identity{}, &auth.ScopeError{}
		}
		return auth.Identity{}, auth.Invalid("bad")
	}
	c := auth.NewCached(source, auth.CacheOptions{Max: 8, Now: func() time.Time { return now }})
	ask := func(credential string, want int) {
		t.Helper()
		if _, err := c.Identify(t.Context(), credential); credential == "good" && err != nil {
			t.Errorf("good is refused: %v", err)
		}
		if got := source.asked[credential]; got != want {
			t.Errorf("%s at %v: the source was asked %d times, want %d", credential, now.Sub(start), got, want)
		}
	}
	for range 3 {
		ask("good", 1)
		ask("short", 1)
		ask("bad", 1)
		ask("narrow", 1)
	}
	ask("away", 1)
	ask("away", 2) // that it could not be said is not remembered
	now = start.Add(time.Second)
	ask("good", 1)
	ask("short", 2) // it has expired
	now = start.Add(11 * time.Second)
	ask("bad", 2)
	for i := range 100 {
		ask(fmt.Sprint("bad", i), 1)
	}
	ask("good", 1) // who tries many cannot push it out
	source.revoked["good"] = true
	ask("good", 2)
	source.revoked["good"] = false
	now = start.Add(10 * time.Minute)
	ask("good", 3)
	c.Forget()
	ask("good", 4)
	now = start
	for i := range 20 {
		source.answer = func(string) (auth.Identity, error) { return auth.Identity{}, nil }
		ask(fmt.Sprint("new", i), 1)
	}
	ask("new0", 2) // pushed out: at most 8 are kept
	ask("new19", 1)
}

func BenchmarkCached(b *testing.B) {
	source := &counter{asked: map[string]int{}, answer: func(string) (auth.Identity, error) { return auth.Identity{}, nil }}
	c := auth.NewCached(source, auth.CacheOptions{})
	token := string(make([]byte, 800))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Identify(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}
