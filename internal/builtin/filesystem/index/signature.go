package index

import (
	"container/list"
	"strings"
	"sync"
	"unsafe"
)

// A signature tells which trigrams a text has: a Bloom filter of its lower-case bytes, three at a time, with two bits
// for each of them among ten or more. Of texts without the wanted trigrams it lets one in twenty through for each.
type signature []uint64

const (
	bitsPerTrigram = 10
	maxSignature   = 32 << 10 / 8 // words; a text with more trigrams than fit is let through more often
)

func spots(trigram uint32, bits uint32) (uint32, uint32) {
	h := uint64(trigram) * 0x9e3779b97f4a7c15
	return uint32((h >> 32) * uint64(bits) >> 32), uint32(h & 0xffffffff * uint64(bits) >> 32)
}

func (s signature) has(trigram uint32) bool {
	a, b := spots(trigram, uint32(len(s)*64))
	return s[a/64]&(1<<(a%64)) != 0 && s[b/64]&(1<<(b%64)) != 0
}

// mayHave says whether the text may have all of the trigrams.
func (s signature) mayHave(trigrams []uint32) bool {
	for _, t := range trigrams {
		if len(s) > 0 && !s.has(t) {
			return false
		}
	}
	return len(s) > 0 || len(trigrams) == 0
}

// A collector gathers the trigrams of one text. It is used again for the next: it is 2 MiB large.
type collector struct {
	seen  []uint64 // a bit for each of 2^24 trigrams
	found []uint32
}

func newCollector() *collector { return &collector{seen: make([]uint64, 1<<24/64)} }

func (c *collector) add(line string) {
	for i := 0; i+3 <= len(line); i++ {
		t := trigram(line[i:])
		if bit := uint64(1) << (t % 64); c.seen[t/64]&bit == 0 {
			c.seen[t/64] |= bit
			c.found = append(c.found, t)
		}
	}
}

func (c *collector) reset() {
	for _, t := range c.found {
		c.seen[t/64] = 0
	}
	c.found = c.found[:0]
}

func (c *collector) signature() signature {
	words := min(len(c.found)*bitsPerTrigram/64+1, maxSignature)
	s := make(signature, words)
	for _, t := range c.found {
		a, b := spots(t, uint32(words*64))
		s[a/64] |= 1 << (a % 64)
		s[b/64] |= 1 << (b % 64)
	}
	return s
}

func trigram(s string) uint32 {
	return uint32(fold(s[0]))<<16 | uint32(fold(s[1]))<<8 | uint32(fold(s[2]))
}

// fold makes ASCII letters lower case. What lies beyond ASCII is gathered as it is, and not looked for when case does
// not matter.
func fold(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// wanted gives the trigrams that a text with all of the words has. With folded, the text may have a letter of another
// case wherever the words have one: trigrams of other than ASCII are left out then, and so are those with k and s, of
// which Unicode has more cases (the Kelvin sign, the long s).
func wanted(words []string, folded bool) []uint32 {
	other := func(r rune) bool { return r >= 0x80 || strings.ContainsRune("kKsS", r) }
	var all []uint32
	for _, w := range words {
		for i := 0; i+3 <= len(w); i++ {
			if !folded || !strings.ContainsFunc(w[i:i+3], other) {
				all = append(all, trigram(w[i:]))
			}
		}
	}
	return all
}

// signatures keeps the signatures of files, those that were asked for lately, within a bound of bytes.
type signatures struct {
	mu    sync.Mutex // guards all below
	max   int
	bytes int
	round int // goes up with each search
	byKey map[string]*list.Element
	order *list.List // of *known, the latest first
}

type known struct {
	key, version string
	sig          signature
	binary       bool
	round        int // of signatures, when it was last used
}

// overhead is roughly what an entry takes in the map and the list, in bytes.
const overhead = int(unsafe.Sizeof(known{})) + 160

func (k *known) bytes() int { return overhead + len(k.key) + len(k.version) + 8*len(k.sig) }

func newSignatures(max int) *signatures {
	return &signatures{max: max, byKey: map[string]*list.Element{}, order: list.New()}
}

// get returns what is known of a file of this version.
func (s *signatures) get(key, version string) (known, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byKey[key]
	if e == nil {
		return known{}, false
	}
	k := e.Value.(*known)
	if k.version != version {
		s.drop(e)
		return known{}, false
	}
	k.round = s.round
	s.order.MoveToFront(e)
	return *k, true
}

func (s *signatures) put(k known) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byKey[k.key]; e != nil {
		s.drop(e)
	}
	// A walk in order over more than fits would throw out each entry right before it is used again: only what two
	// searches have not come across makes room.
	for last := s.order.Back(); last != nil && s.bytes+k.bytes() > s.max && last.Value.(*known).round+2 <= s.round; last = s.order.Back() {
		s.drop(last)
	}
	if s.bytes+k.bytes() > s.max {
		return
	}
	k.round = s.round
	s.byKey[k.key] = s.order.PushFront(&k)
	s.bytes += k.bytes()
}

// begin begins a search.
func (s *signatures) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.round++
}

func (s *signatures) drop(e *list.Element) {
	k := e.Value.(*known)
	s.order.Remove(e)
	delete(s.byKey, k.key)
	s.bytes -= k.bytes()
}
