package limit

import (
	"hash/maphash"
	"slices"
	"sync"
	"time"
)

// maxKeys bounds what is remembered: about 40 MB.
const maxKeys = 1 << 18

const shards = 64

// table is the state of all keys of this replica.
type table struct {
	seed   maphash.Seed
	shards [shards]shard
}

type shard struct {
	mu  sync.Mutex // guards m
	m   map[string]*state
	max int
}

// state is what is known of one key. All zero is a key that was never used.
type state struct {
	// at is when the bucket is full again, in nanoseconds of Unix time: what has
	// been taken out of it is at - now (GCRA's theoretical arrival time).
	at   int64
	day  int64 // that used counts
	used int
	busy int // calls under way
}

func newTable(limit int) *table {
	t := &table{seed: maphash.MakeSeed()}
	for i := range t.shards {
		t.shards[i] = shard{m: make(map[string]*state), max: limit / shards}
	}
	return t
}

func (t *table) shard(key []byte) *shard {
	return &t.shards[maphash.Bytes(t.seed, key)%shards]
}

// state returns the state of a key, made if there is none. sh.mu is held.
func (sh *shard) state(key []byte, now int64) *state {
	if s := sh.m[string(key)]; s != nil {
		return s
	}
	if len(sh.m) >= sh.max {
		sh.forget(now)
	}
	s := &state{}
	sh.m[string(key)] = s
	return s
}

// forget makes room. Keys with full buckets are forgotten without loss; if that
// is not enough, those go of which the least is known against them: a key that
// is held back stays held back, however many others come.
func (sh *shard) forget(now int64) {
	today := now / int64(24*time.Hour)
	for key, s := range sh.m {
		if s.busy == 0 && s.at <= now && (s.used == 0 || s.day != today) {
			delete(sh.m, key)
		}
	}
	if len(sh.m) < sh.max*7/8 {
		return
	}
	type candidate struct {
		key  string
		used int
		at   int64
	}
	var all []candidate
	for key, s := range sh.m {
		if s.busy > 0 {
			continue
		}
		used := s.used
		if s.day != today {
			used = 0
		}
		all = append(all, candidate{key, used, s.at})
	}
	slices.SortFunc(all, func(a, b candidate) int {
		if a.used != b.used {
			return a.used - b.used
		}
		return int(min(max(a.at-b.at, -1), 1))
	})
	for _, c := range all[:min(len(all), sh.max/8+1)] {
		delete(sh.m, c.key)
	}
}

// count charges all or none.
func (t *table) count(charges []charge, now time.Time) (refused int, wait time.Duration) {
	for i := range charges {
		if !charges[i].rule.counts() {
			continue
		}
		if wait := t.charge(&charges[i], now.UnixNano()); wait > 0 {
			for j := range i {
				t.refund(&charges[j], now.UnixNano())
			}
			return i, wait
		}
	}
	return -1, 0
}

// charge counts one call, or says how long it has to wait.
func (t *table) charge(c *charge, now int64) time.Duration {
	sh := t.shard(c.key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s := sh.state(c.key, now)
	day := now / int64(24*time.Hour)
	used := 0
	if s.day == day {
		used = s.used
	}
	if c.rule.perDay > 0 && used >= c.rule.perDay {
		return time.Duration((day+1)*int64(24*time.Hour) - now)
	}
	if c.rule.interval > 0 {
		at := max(s.at, now) + int64(c.rule.interval)
		if over := at - now - int64(c.rule.burst)*int64(c.rule.interval); over > 0 {
			return time.Duration(over)
		}
		s.at = at
	}
	s.day, s.used = day, used+1
	return 0
}

// refund takes a charge back, since the call was refused for another reason.
func (t *table) refund(c *charge, now int64) {
	if !c.rule.counts() {
		return
	}
	sh := t.shard(c.key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s := sh.m[string(c.key)]
	if s == nil {
		return
	}
	if c.rule.interval > 0 {
		s.at -= int64(c.rule.interval)
	}
	if s.day == now/int64(24*time.Hour) && s.used > 0 {
		s.used--
	}
}

// place is one that a call has under a rule that bounds how many there are at once.
// A state with calls under way is never forgotten.
type place struct {
	sh *shard
	of *state
}

// enter takes a place for the call under each of the n rules that bound how many
// there are at once; it returns which refused, -1 for none.
func (t *table) enter(charges []charge, n int, now int64) (places []place, refused int) {
	places = make([]place, 0, n)
	for i := range charges {
		limit := charges[i].rule.atOnce
		if limit == 0 {
			continue
		}
		p, ok := t.occupy(charges[i].key, limit, now)
		if !ok {
			giveBack(places)
			return nil, i
		}
		places = append(places, p)
	}
	return places, -1
}

func (t *table) occupy(key []byte, limit int, now int64) (place, bool) {
	sh := t.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s := sh.state(key, now)
	if s.busy >= limit {
		return place{}, false
	}
	s.busy++
	return place{sh, s}, true
}

// crowded tells which rule has more calls at once than are this replica's part, of
// those that have just taken their places; -1 for none.
func crowded(places []place, charges []charge, parts int) int {
	next := 0
	for i := range charges {
		limit := charges[i].rule.atOnce
		if limit == 0 {
			continue
		}
		p := places[next]
		next++
		p.sh.mu.Lock()
		over := p.of.busy > max(limit/parts, 1)
		p.sh.mu.Unlock()
		if over {
			return i
		}
	}
	return -1
}

// giveBack gives the places back.
func giveBack(places []place) {
	for _, p := range places {
		p.sh.mu.Lock()
		p.of.busy--
		p.sh.mu.Unlock()
	}
}
