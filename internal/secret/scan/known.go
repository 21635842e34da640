package scan

import (
	"encoding/binary"
	"slices"
	"strings"
)

const (
	// maxKnown bounds the secrets that a Scanner learns.
	maxKnown = 10000
	// minKnown is the length from which a text is looked for: shorter ones are
	// found in innocent words.
	minKnown = 8
)

// known are the secrets that the program itself holds: they are found
// wherever they stand. It is replaced whole.
type known struct {
	all     []string            // in the order in which they were learned
	secrets map[uint32][]string // by their first four bytes
	bits    [1 << 10]uint64     // a filter before the map: most places need no more
}

// Learn makes the Scanner find these texts wherever they stand: the program's
// own tokens and passwords. Texts shorter than 8 bytes are left out. It keeps at
// most 10,000; later ones take the place of the oldest.
func (s *Scanner) Learn(secrets ...string) {
	for {
		was := s.known.Load()
		var all []string
		if was != nil {
			all = slices.Clone(was.all)
		}
		for _, secret := range secrets {
			if len(secret) >= minKnown && !was.has(secret) {
				all = append(all, strings.Clone(secret))
			}
		}
		if s.known.CompareAndSwap(was, newKnown(all[max(len(all)-maxKnown, 0):])) {
			return
		}
	}
}

func (k *known) has(secret string) bool {
	return k != nil && slices.Contains(k.secrets[first(secret)], secret)
}

func newKnown(all []string) *known {
	k := &known{all: all, secrets: make(map[uint32][]string, len(all))}
	for _, secret := range all {
		four := first(secret)
		k.secrets[four] = append(k.secrets[four], secret)
		at := slot(four)
		k.bits[at>>6] |= 1 << (at & 63)
	}
	return k
}

func first(text string) uint32 { return binary.LittleEndian.Uint32([]byte(text[:4])) }

func slot(four uint32) uint32 { return four * 2654435761 >> 16 }

// find adds the known secrets in text to those found already.
func (k *known) find(text string, found []span) []span {
	n := len(found)
	for i := 0; i+minKnown <= len(text); i++ {
		four := uint32(text[i]) | uint32(text[i+1])<<8 | uint32(text[i+2])<<16 | uint32(text[i+3])<<24
		at := slot(four)
		if k.bits[at>>6]&(1<<(at&63)) == 0 {
			continue
		}
		for _, secret := range k.secrets[four] {
			if strings.HasPrefix(text[i:], secret) {
				found = append(found, span{i, i + len(secret)})
			}
		}
	}
	if len(found) == n || n == 0 && len(found) == 1 {
		return found
	}
	return apart(found)
}

// apart orders spans and joins those that overlap.
func apart(found []span) []span {
	slices.SortFunc(found, func(a, b span) int { return a.from - b.from })
	out := found[:1]
	for _, f := range found[1:] {
		if last := &out[len(out)-1]; f.from <= last.to {
			last.to = max(last.to, f.to)
			continue
		}
		out = append(out, f)
	}
	return out
}
