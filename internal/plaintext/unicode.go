package plaintext

import (
	"unicode"
	"unicode/utf8"
)

// sortOf judges a character by itself: what is a joiner or a selector is judged
// by what is around it.
func sortOf(c rune) Sort {
	switch {
	case c == 0xad:
		return hyphen
	case c == 0x200e, c == 0x200f, c == 0x61c:
		return mark
	case unicode.Is(unicode.Bidi_Control, c), c >= 0x206a && c <= 0x206f: // the latter were for shapes, and are deprecated
		return direction
	case isWidthless(c):
		return zeroWidth
	case c >= 0xe0000 && c <= 0xe007f:
		return tag
	case c >= 0xe0080 && c <= 0xe0fff, c >= 0xfff0 && c <= 0xfffb: // ignored where unknown, and interlinear annotations
		return noMeaning
	case c >= 0xf0000, c&0xfffe == 0xfffe, c >= 0xfdd0 && c <= 0xfdef: // private planes and noncharacters
		return noMeaning
	}
	return plain
}

// isWidthless says whether c takes no room and is no mark on what is before it
// (Unicode's Default_Ignorable_Code_Point, less what is judged elsewhere).
func isWidthless(c rune) bool {
	switch c {
	case 0x34f, 0x115f, 0x1160, 0x17b4, 0x17b5, 0x180e, 0x200b, 0x3164, 0xfeff, 0xffa0:
		return true
	}
	return c >= 0x2060 && c <= 0x2065 || c >= 0x1bca0 && c <= 0x1bca3 || c >= 0x1d173 && c <= 0x1d17a
}

const (
	zwnj   = 0x200c
	zwj    = 0x200d
	keycap = 0x20e3

	textForm  = 0xfe0e
	emojiForm = 0xfe0f
)

func isJoiner(c rune) bool { return c == zwnj || c == zwj }

// joiner judges one: it stays between parts of an emoji, and after a letter or
// mark of a script where it changes the form of letters (Unicode 23.2, RFC 5892
// A.1 and A.2), but not a second one.
func (r *reader) joiner(c rune, rest string) Sort {
	if c == zwj && (pictographic(r.before) || r.before == textForm || r.before == emojiForm) {
		if after, _ := utf8.DecodeRuneInString(rest); pictographic(after) {
			return plain
		}
	}
	if joins(r.before) {
		return plain
	}
	return zeroWidth
}

// joins says whether c is a letter or mark of a script whose letters change
// their form beside others.
func joins(c rune) bool {
	if c < 0x600 || isJoiner(c) || !unicode.IsLetter(c) && !unicode.IsMark(c) {
		return false
	}
	return unicode.In(c, unicode.Arabic, unicode.Syriac, unicode.Mandaic, unicode.Nko, unicode.Adlam, unicode.Mongolian,
		unicode.Hanifi_Rohingya, unicode.Phags_Pa, unicode.Devanagari, unicode.Bengali, unicode.Gurmukhi, unicode.Gujarati,
		unicode.Oriya, unicode.Tamil, unicode.Telugu, unicode.Kannada, unicode.Malayalam, unicode.Sinhala, unicode.Khmer,
		unicode.Myanmar, unicode.Tibetan, unicode.Balinese, unicode.Javanese, unicode.Sundanese, unicode.Tirhuta,
		unicode.Newa, unicode.Grantha, unicode.Sharada, unicode.Brahmi, unicode.Chakma, unicode.Meetei_Mayek)
}

func isSelector(c rune) bool {
	return c >= 0xfe00 && c <= 0xfe0f || c >= 0xe0100 && c <= 0xe01ef || c >= 0x180b && c <= 0x180d || c == 0x180f
}

// selector judges one: it stays where Unicode gives it a meaning, once for each
// character. Those of plane 14 choose among forms of one ideograph, which mean
// the same, and have room for a byte each: they go.
func (r *reader) selector(c rune, rest string) Sort {
	ok := false
	switch {
	case c == textForm || c == emojiForm:
		after, _ := utf8.DecodeRuneInString(rest)
		ok = pictographic(r.before) || inKeycap(r.before) && after == keycap
	case c <= 0x180f: // Mongolian letters
		ok = unicode.Is(unicode.Mongolian, r.before) && !isSelector(r.before)
	case c <= 0xfe02: // StandardizedVariants.txt
		ok = hasVariants(r.before)
	}
	if ok {
		return plain
	}
	return selector
}

// hasVariants says whether c is among the characters for which Unicode lists
// forms that the first selectors choose: it is in a block of such.
func hasVariants(c rune) bool {
	return unicode.In(c, unicode.Han, unicode.Myanmar, unicode.Phags_Pa, unicode.Manichaean) ||
		c >= 0x2200 && c <= 0x22ff || c >= 0x2a00 && c <= 0x2aff || c >= 0x1d49c && c <= 0x1d4cf ||
		c == 0x3001 || c == 0x3002 || c >= 0xff01 && c <= 0xff1f
}

func inKeycap(c rune) bool { return c >= '0' && c <= '9' || c == '#' || c == '*' }

// pictographic says whether c may be an emoji, alone or in a sequence: it is in
// a block of pictures, or one of the few elsewhere (Extended_Pictographic).
func pictographic(c rune) bool {
	switch c {
	case 0xa9, 0xae, 0x203c, 0x2049, 0x2122, 0x2139, 0x24c2, 0x3030, 0x303d, 0x3297, 0x3299:
		return true
	}
	return c >= 0x2190 && c <= 0x21ff || c >= 0x2300 && c <= 0x23ff || c >= 0x25a0 && c <= 0x27bf ||
		c >= 0x2900 && c <= 0x297f || c >= 0x2b00 && c <= 0x2bff || c >= 0x1f000 && c <= 0x1faff
}

// waving is the black flag that tags make one of a place.
const waving = 0x1f3f4

// tagged returns how long the tags are that make a flag of the one before; 0
// when they do not. It is the flags that Unicode recommends for use, and no
// other: a run of tags that merely has the form of a place is a text.
func tagged(rest string) int {
	for _, place := range [...]string{
		"\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", // England
		"\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", // Scotland
		"\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f", // Wales
	} {
		if len(rest) >= len(place) && rest[:len(place)] == place {
			return len(place)
		}
	}
	return 0
}
