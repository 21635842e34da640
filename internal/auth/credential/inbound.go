package credential

import (
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/secret"
)

// maxShown bounds the callers whose tokens are remembered; beyond it the one that
// ends first is forgotten.
const maxShown = 10_000

// shownTTL is how long a token is remembered that does not say when it ends.
const shownTTL = 10 * time.Minute

// inbound is what callers have shown to the gateway, the last of each: lists are
// fetched for them when no request of theirs is there.
type inbound struct {
	now func() time.Time

	mu    sync.Mutex // guards known
	known map[string]shown
}

type shown struct {
	token   secret.Value
	expires time.Time
}

func (i *inbound) note(who string, token secret.Value, expires time.Time) {
	now := i.now()
	if expires.IsZero() {
		expires = now.Add(shownTTL)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, ok := i.known[who]; !ok && len(i.known) >= maxShown {
		i.forget(now)
	}
	i.known[who] = shown{token, expires}
}

// forget makes room. i.mu is held.
func (i *inbound) forget(now time.Time) {
	first := ""
	for who, s := range i.known {
		if !now.Before(s.expires) {
			delete(i.known, who)
			continue
		}
		if first == "" || s.expires.Before(i.known[first].expires) {
			first = who
		}
	}
	if len(i.known) >= maxShown {
		delete(i.known, first)
	}
}

// last gives what somebody has shown last and still holds.
func (i *inbound) last(who string) (secret.Value, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	s, ok := i.known[who]
	if ok && !i.now().Before(s.expires) {
		delete(i.known, who)
		ok = false
	}
	return s.token, ok
}
