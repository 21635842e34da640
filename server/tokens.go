package server

import (
	"unicode"
	"unicode/utf8"
)

// Tokens estimates how many tokens of a language model text is: for prose, code
// and JSON rather too many than too few, from 6 to 19 % more than the two
// tokenizers that docs/builtin/README.md names; of random text, such as keys, up
// to a sixth too few.
//
// A word is a token for each six letters or part of them, and beyond 14 letters
// for each three; a word begins with each capital letter, and several of those in
// a row are one for each two. Digits are one for each three, signs one for each
// three that follow each other, a space before a word nothing, a character
// beyond Latin one, and one beyond the basic plane three.
func Tokens[T ~string | ~[]byte](text T) int { return tokensOf([]byte(text)) }

// counter counts tokens rune by rune: what runs of one class came to, and the
// run that goes on. It is the definition; lanes.go counts faster.
type counter struct {
	sum, run int
	class    class
}

const longWord = 14 // letters; longer ones are seldom words

type class int

const (
	space class = iota
	signs
	digits
	lowerCase
	upperCase
	other // each rune by itself
)

func classOf(r rune) class {
	switch {
	case r >= 'a' && r <= 'z':
		return lowerCase
	case r >= 'A' && r <= 'Z':
		return upperCase
	case r >= '0' && r <= '9':
		return digits
	case r == ' ':
		return space
	case r < utf8.RuneSelf:
		return signs
	case !unicode.Is(unicode.Latin, r):
		return other
	case unicode.IsUpper(r):
		return upperCase
	}
	return lowerCase
}

func (c *counter) add(r rune) {
	next := classOf(r)
	switch {
	case next == other:
		c.end()
		c.sum++
		if r > 0xffff {
			c.sum += 2
		}
		return
	case next == lowerCase && c.class == upperCase && c.run == 1: // a capitalised word
		c.class = lowerCase
	case next != c.class:
		c.end()
		c.class = next
	}
	c.run++
}

func (c *counter) end() { c.sum, c.run, c.class = c.total(), 0, space }

// total is the sum with the run that goes on.
func (c *counter) total() int {
	switch c.class {
	case signs, digits:
		return c.sum + parts(c.run, 3)
	case upperCase:
		return c.sum + parts(c.run, 2)
	case lowerCase:
		if c.run > longWord {
			return c.sum + parts(c.run, 3)
		}
		return c.sum + parts(c.run, 6)
	}
	return c.sum + c.run/8 // long indentation is not for nothing
}

// parts is in how many parts of a size n falls.
func parts(n, size int) int { return (n + size - 1) / size }
