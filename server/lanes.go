package server

import "unicode/utf8"

// Tokens are counted by an automaton that is made from counter: a state is the
// class of the run that goes on and how long it is, as far as that matters, and
// a byte of ASCII leads to the next state and to so many tokens more. Each step
// needs the one before, which leaves most of a processor idle; so a long text is
// cut in four where a word begins, which is the same state whatever stands
// before, and the four are counted in turn.

const (
	spaceState = 0
	signState  = 8
	digitState = 11
	upperState = 14
	lowerState = 17
	states     = lowerState + 17

	// An entry of steps is the next state in the bits of stateMask, tokens in
	// those of countMask, and wide for the first byte of a character beyond ASCII,
	// which is looked at by itself. The bytes after that one change nothing.
	stateMask = 0x3f00
	countMask = 0x000f
	wide      = 0x0080
)

// steps is where each state and byte lead to.
var steps = func() (t [1 << 14]uint16) {
	for s := range states {
		for b := range 256 {
			at := uint16(s) << 8
			switch {
			case b < utf8.RuneSelf:
				t[int(at)|b] = step(at, rune(b))
			case b < 0xc0:
				t[int(at)|b] = at
			default:
				t[int(at)|b] = at | wide
			}
		}
	}
	return t
}()

// step is the entry for a character.
func step(state uint16, r rune) uint16 {
	c := counterAt(int(state >> 8))
	before := c.total()
	c.add(r)
	return uint16(stateOf(c))<<8 | uint16(c.total()-before)
}

// counterAt is the shortest run that is in a state.
func counterAt(state int) counter {
	switch {
	case state < signState:
		return counter{class: space, run: state}
	case state < digitState:
		return counter{class: signs, run: state - signState + 1}
	case state < upperState:
		return counter{class: digits, run: state - digitState + 1}
	case state < lowerState:
		return counter{class: upperCase, run: state - upperState + 1}
	}
	return counter{class: lowerCase, run: state - lowerState + 1}
}

// stateOf is the state of a counter: two runs of one class are in the same one
// when they count alike whatever follows.
func stateOf(c counter) int {
	switch c.class {
	case signs:
		return signState + (c.run-1)%3
	case digits:
		return digitState + (c.run-1)%3
	case upperCase:
		if c.run > 3 { // one alone may begin a capitalised word
			return upperState + 1 + (c.run-2)%2
		}
		return upperState + c.run - 1
	case lowerCase:
		if c.run > longWord+3 {
			return lowerState + longWord + (c.run-longWord-1)%3
		}
		return lowerState + c.run - 1
	}
	return spaceState + c.run%8
}

// wideStep is step for the character at the beginning of text.
func wideStep(state uint16, text []byte) uint16 {
	r, _ := utf8.DecodeRune(text)
	return step(state, r)
}

const (
	shortText = 256 // bytes that are counted in one go
	searched  = 512 // bytes within which a word must begin where a text is cut
)

// tokensOf is Tokens for text in UTF-8; a byte that is not is none or one.
func tokensOf(text []byte) (sum int) {
	if quarter := len(text) / 4; len(text) > shortText {
		i, j, k := wordAt(text, quarter), wordAt(text, 2*quarter), wordAt(text, 3*quarter)
		if 0 < i && i < j && j < k {
			return inLanes(text[:i], text[i:j], text[j:k], text[k:])
		}
	}
	return inOne(text, spaceState)
}

// wordAt is the offset of the first word at or after i; 0 when there is none near.
func wordAt(text []byte, i int) int {
	for end := min(i+searched, len(text)); i < end; i++ {
		before, here := text[i-1], text[i]
		if here >= utf8.RuneSelf || before >= utf8.RuneSelf {
			continue
		}
		if c := classOf(rune(before)); (c == space || c == signs) && classOf(rune(here)) > signs {
			return i
		}
	}
	return 0
}

func inOne(text []byte, state uint16) (sum int) {
	for i, b := range text {
		e := steps[state|uint16(b)]
		if e&wide != 0 {
			e = wideStep(state, text[i:])
		}
		state = e & stateMask
		sum += int(e & countMask)
	}
	return sum
}

func inLanes(a, b, c, d []byte) (sum int) {
	var sa, sb, sc, sd uint16
	n := min(len(a), len(b), len(c), len(d))
	a1, b1, c1, d1 := a[:n], b[:n], c[:n], d[:n]
	for i := range a1 {
		ea, eb := steps[(sa|uint16(a1[i]))&0x3fff], steps[(sb|uint16(b1[i]))&0x3fff]
		ec, ed := steps[(sc|uint16(c1[i]))&0x3fff], steps[(sd|uint16(d1[i]))&0x3fff]
		if (ea|eb|ec|ed)&wide != 0 {
			ea, eb = widened(ea, sa, a[i:]), widened(eb, sb, b[i:])
			ec, ed = widened(ec, sc, c[i:]), widened(ed, sd, d[i:])
		}
		sa, sb, sc, sd = ea&stateMask, eb&stateMask, ec&stateMask, ed&stateMask
		sum += int(ea&countMask) + int(eb&countMask) + int(ec&countMask) + int(ed&countMask)
	}
	return sum + inOne(a[n:], sa) + inOne(b[n:], sb) + inOne(c[n:], sc) + inOne(d[n:], sd)
}

// widened is the entry e, or the one for the character at the beginning of text
// when that is beyond ASCII.
func widened(e, state uint16, text []byte) uint16 {
	if e&wide == 0 {
		return e
	}
	return wideStep(state, text)
}

// prefix is the length of the longest beginning of text with at most n tokens,
// and how many of these are left.
func prefix(text []byte, n int) (length, left int) {
	var state uint16
	for i, b := range text {
		e := steps[state|uint16(b)]
		if e&wide != 0 {
			e = wideStep(state, text[i:])
		}
		more := int(e & countMask)
		if more > n {
			return i, n
		}
		n -= more
		state = e & stateMask
	}
	return len(text), n
}
