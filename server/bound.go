package server

import "encoding/binary"

// Whether a text fits can mostly be said without counting its tokens: eight
// bytes at a time it is seen which are small letters and which are spaces, and
// from that how many tokens there are at most. A mark of a byte is its high bit.
const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
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

// classes marks the small letters and the spaces of a word. Of ASCII alone, which
// most words are, that takes fewer steps.
func classes(w uint64) (letters, spaces uint64) {
	if w&highs != 0 {
		return smallLetters(w), blanks(w)
	}
	letters = (w + (0x80-'a')*ones) &^ (w + (0x7f-'z')*ones) & highs
	return letters, ^(w ^ ' '*ones + ^uint64(highs)) & highs
}

// marks are sums of marks, byte by byte, of which each is at most marked: of
// small letters behind small letters, of spaces, and of spaces behind spaces.
// full are the words that have small letters only.
type marks struct{ joined, spaces, more, full uint64 }

// marked is how many words can be added up before a byte overflows.
const marked = 255

// edge is what stands before a word: 0x80 for a small letter, and for a space.
type edge struct{ letter, space uint64 }

// sum adds text up, which is whole words. before stands before it; what stands
// before what follows is returned.
func sum(text []byte, before edge) (marks, edge) {
	var joined, spaces, more, full uint64
	for ; len(text) >= 8; text = text[8:] {
		letter, space := classes(binary.LittleEndian.Uint64(text))
		joined += letter & (letter<<8 | before.letter) >> 7
		spaces += space >> 7
		more += space & (space<<8 | before.space) >> 7
		if letter == highs {
			full++
		}
		before = edge{letter >> 56, space >> 56}
	}
	return marks{joined, spaces, more, full}, before
}

// across is the sum of the bytes of w.
func across(w uint64) int {
	pairs := w&0x00ff00ff00ff00ff + w>>8&0x00ff00ff00ff00ff
	return int(pairs * 0x0001000100010001 >> 48)
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
	var joined, spaces, more, full int
	tail := len(text) % 8
	var before edge
	for rest := text[:len(text)-tail]; len(rest) > 0; {
		n := min(len(rest), 8*marked)
		var m marks
		m, before = sum(rest[:n], before)
		joined, spaces, more = joined+across(m.joined), spaces+across(m.spaces), more+across(m.more)
		full += int(m.full)
		rest = rest[n:]
	}
	return len(text) - joined - spaces + joined/6 + more/7 + long*full
}
