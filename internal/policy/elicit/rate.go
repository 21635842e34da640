package elicit

import (
	"context"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
)

// maxCallers is how many callers are counted apart; those beyond share one count.
const maxCallers = 10_000

// rates counts the questions that callers get, by server.
type rates struct {
	now func() time.Time

	mu    sync.Mutex // guards spent
	spent map[caller]*spending
}

// caller is who is asked by which server.
type caller struct{ server, who string }

// spending is how much of a minute's questions was asked, as of a time; it is paid
// back evenly.
type spending struct {
	used float64
	at   time.Time
}

// take counts n questions, if a caller may be asked as many; most is how many a
// minute.
func (r *rates) take(c caller, n, most int) bool {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.of(c, now, most)
	s.pay(now, most)
	if s.used+float64(n) > float64(most) {
		return false
	}
	s.used += float64(n)
	return true
}

func (s *spending) pay(now time.Time, most int) {
	s.used = max(0, s.used-now.Sub(s.at).Minutes()*float64(most))
	s.at = now
}

// of returns what c has spent. Those who have paid everything back are forgotten
// when there are too many. r.mu is held.
func (r *rates) of(c caller, now time.Time, most int) *spending {
	if r.spent == nil {
		r.spent = make(map[caller]*spending)
	}
	if s := r.spent[c]; s != nil {
		return s
	}
	if len(r.spent) >= maxCallers {
		for other, s := range r.spent {
			if now.Sub(s.at) >= time.Minute {
				delete(r.spent, other)
			}
		}
	}
	if len(r.spent) >= maxCallers {
		c = caller{server: c.server}
		if s := r.spent[c]; s != nil {
			return s
		}
	}
	s := &spending{at: now}
	r.spent[c] = s
	return s
}

// take counts questions of the server to the caller of req.
func (g *guard) take(ctx context.Context, req *mcp.Request, n int) bool {
	if n == 0 || g.asks.PerMinute == 0 {
		return true
	}
	who := mcp.PrincipalOf(ctx).ID
	switch {
	case who != "":
		who = "principal " + who
	case req.Client != nil && req.Client.Session != "":
		who = "session " + req.Client.Session
	default:
		who = "address " + g.judge.o.Address(ctx)
	}
	return g.judge.rates.take(caller{g.server, who}, n, g.asks.PerMinute)
}
