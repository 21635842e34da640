package plaintext

import (
	"strconv"
	"strings"
)

// Sort is a sort of characters that nobody sees.
type Sort int

const (
	plain     Sort = iota // stays
	steering              // sequences that steer a terminal
	controls              // control characters
	direction             // what turns the direction of text
	tag                   // U+E0000 to U+E007F
	zeroWidth             // spaces, joiners and fillers without width
	selector              // what chooses the form of a character
	noMeaning             // what is no character, or one of nobody's
	broken                // bytes that are not UTF-8
	mark                  // of direction, which turn nothing
	lineEnd               // line ends of other times and systems; they become \n
	hyphen                // the soft one
	sorts
)

// words are what a sort is called, for one and for many.
func (s Sort) words() (one, many string) {
	w := [sorts][2]string{
		steering: {"terminal sequence", "terminal sequences"}, controls: {"control character", "control characters"},
		direction: {"direction control", "direction controls"}, tag: {"tag character", "tag characters"},
		zeroWidth: {"zero-width character", "zero-width characters"}, selector: {"variation selector", "variation selectors"},
		noMeaning: {"character without meaning", "characters without meaning"}, broken: {"byte that is not UTF-8", "bytes that are not UTF-8"},
		mark: {"direction mark", "direction marks"}, lineEnd: {"foreign line end", "foreign line ends"}, hyphen: {"soft hyphen", "soft hyphens"},
	}[s]
	return w[0], w[1]
}

// Found is what a text had that nobody sees, and what was cut from it for its
// length. The zero Found is nothing.
type Found struct {
	count [sorts]int
	// Names counts members of objects whose names hid something.
	Names int
	// Cut counts texts that were too long.
	Cut int
}

// Any says whether anything was found.
func (f Found) Any() bool { return f != Found{} }

// Signs counts what was found, in characters, or sequences of them, leaving out
// soft hyphens, line ends and marks of direction, which honest pages have many
// of, and which hide nothing.
func (f Found) Signs() int {
	n := 0
	for s, count := range f.count {
		if Sort(s) < mark {
			n += count
		}
	}
	return n
}

// Add returns f and more together.
func (f Found) Add(more Found) Found {
	for s := range f.count {
		f.count[s] += more.count[s]
	}
	f.Names += more.Names
	f.Cut += more.Cut
	return f
}

// String says it in words, the worst first; empty when nothing was found.
func (f Found) String() string {
	var parts []string
	add := func(n int, one, many string) {
		switch {
		case n == 1:
			parts = append(parts, "1 "+one)
		case n > 1:
			parts = append(parts, strconv.Itoa(n)+" "+many)
		}
	}
	for s := steering; s < sorts; s++ {
		one, many := s.words()
		add(f.count[s], one, many)
	}
	add(f.Names, "member whose name hides something", "members whose names hide something")
	add(f.Cut, "text that was too long", "texts that were too long")
	return strings.Join(parts, ", ")
}
