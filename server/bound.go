package server

import (
	"encoding/binary"
	"math/bits"
)

// Whether a text fits can mostly be said without counting its tokens: it is seen
// which bytes are small letters and which are spaces, 64 of them as the bits of a
// word, and from that how many tokens there are at most. The marks of eight bytes
// are their high bits until they are gathered.
const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
	block = 64 // bytes
)

// smallLetters marks a to z.
func smallLetters(w uint64) uint64 {
	low := w &^ highs
	return (low + (0x80-'a')*ones) &^ (low + (0x7f-'z')*ones) &^ w & highs
}

// blanks marks spaces.
func blanks(w uint64) uint64 {
	x := w ^ ' '*ones
	return ^(x&^highs + ^uint64(highs) | x) & highs
}

// gathered is the marks of eight bytes as eight bits, the first byte's the lowest.
func gathered(marks uint64) uint64 { return marks * 0x0002040810204081 >> 56 }

// letters are the small letters of ASCII, which takes fewer steps.
func letters(w uint64) uint64 {
	return gathered((w + (0x80-'a')*ones) &^ (w + (0x7f-'z')*ones) & highs)
}

// gaps are the spaces of ASCII.
func gaps(w uint64) uint64 {
	return gathered(^(w ^ ' '*ones + ^uint64(highs)) & highs)
}

// classes are the small letters and the spaces of a block.
func classes(b *[block]byte) (small, space uint64) {
	w0, w1 := binary.LittleEndian.Uint64(b[0:]), binary.LittleEndian.Uint64(b[8:])
	w2, w3 := binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:])
	w4, w5 := binary.LittleEndian.Uint64(b[32:]), binary.LittleEndian.Uint64(b[40:])
	w6, w7 := binary.LittleEndian.Uint64(b[48:]), binary.LittleEndian.Uint64(b[56:])
	if (w0|w1|w2|w3|w4|w5|w6|w7)&highs != 0 {
		for i := 0; i < block; i += 8 {
			w := binary.LittleEndian.Uint64(b[i : i+8])
			small |= gathered(smallLetters(w)) << i
			space |= gathered(blanks(w)) << i
		}
		return small, space
	}
	small = letters(w0) | letters(w1)<<8 | letters(w2)<<16 | letters(w3)<<24 |
		letters(w4)<<32 | letters(w5)<<40 | letters(w6)<<48 | letters(w7)<<56
	space = gaps(w0) | gaps(w1)<<8 | gaps(w2)<<16 | gaps(w3)<<24 |
		gaps(w4)<<32 | gaps(w5)<<40 | gaps(w6)<<48 | gaps(w7)<<56
	return small, space
}

// tally is what has been counted: small letters behind small letters, spaces,
// spaces behind spaces, and words of eight bytes that have small letters only.
type tally struct {
	joined, spaces, more, full int
	small, space               uint64 // the last byte was one
}

func (t *tally) add(b *[block]byte) {
	small, space := classes(b)
	t.joined += bits.OnesCount64(small & (small<<1 | t.small))
	t.spaces += bits.OnesCount64(space)
	t.more += bits.OnesCount64(space & (space<<1 | t.space))
	full := small & (small >> 4)
	full &= full >> 2
	full &= full >> 1
	t.full += bits.OnesCount64(full & ones)
	t.small, t.space = small>>63, space>>63
}

// atMost is a number of tokens that text has at most: of prose, about a third
// more than it has.
//
// A byte that is neither small letter nor space is at most one token, and so are
// seven spaces behind another. A run of n small letters is at most 1 + (n-1)/6, unless it has
// more than 14; then it fills a word of eight bytes at least, and long more for
// each of these makes up for it.
func atMost(text []byte) int {
	const long = 4
	var t tally
	rest := text
	for ; len(rest) >= block; rest = rest[block:] {
		t.add((*[block]byte)(rest))
	}
	if len(rest) > 0 {
		var last [block]byte // what follows the text is neither letter nor space
		copy(last[:], rest)
		t.add(&last)
	}
	return len(text) - t.joined - t.spaces + t.joined/6 + t.more/7 + long*t.full
}
