package upstream

import (
	"encoding/json"
	"sync"
	"sync/atomic"
)

// Stats is what a server has counted since it started.
type Stats struct {
	Initialize int64 `json:"initialize"`
	Deleted    int64 `json:"deleted"`
	Discover   int64 `json:"discover"`
	Lists      int64 `json:"lists"`
	Calls      int64 `json:"calls"`
	Streams    int64 `json:"streams"`  // GET streams open now
	Sessions   int64 `json:"sessions"` // open now
	Refused    int64 `json:"refused"`  // requests that broke a rule of their revision
	Distinct   int64 `json:"distinct"` // different texts that the late echo executed
	Doubled    int64 `json:"doubled"`  // executions of a text beyond its first
}

// ledger counts. Texts are kept only by the late echo: 16 bytes or so each, one per call, for as long as the process lives.
type ledger struct {
	initialize, deleted, discover, lists, calls, streams, refused atomic.Int64

	mu      sync.Mutex // guards seen and doubled
	seen    map[string]struct{}
	doubled int64
}

func newLedger() *ledger { return &ledger{seen: map[string]struct{}{}} }

// note records that the late echo executed text.
func (l *ledger) note(text []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, again := l.seen[string(text)]; again {
		l.doubled++
		return
	}
	l.seen[string(text)] = struct{}{}
}

func (l *ledger) snapshot(sessions int) Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Stats{
		Initialize: l.initialize.Load(), Deleted: l.deleted.Load(), Discover: l.discover.Load(), Lists: l.lists.Load(),
		Calls: l.calls.Load(), Streams: l.streams.Load(), Sessions: int64(sessions), Refused: l.refused.Load(),
		Distinct: int64(len(l.seen)), Doubled: l.doubled,
	}
}

func (s Stats) json() []byte {
	text, _ := json.Marshal(s) // eleven integers cannot fail
	return text
}
