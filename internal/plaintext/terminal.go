package plaintext

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

const esc = 0x1b

// sequence returns how long the sequence is that steers terminals and begins
// with c; 0 when none does (ECMA-48, 5.3 to 5.6). Of one that does not end as it
// should, it is what terminals take for its beginning: what follows is text
// again, and nobody can hide it by leaving out an end.
func sequence(text string, c rune, size int) int {
	kind, n := c, size
	if c == esc {
		if len(text) < 2 || text[1] < 0x20 || text[1] > 0x7e {
			return 0
		}
		kind, n = rune(text[1])+0x40, 2 // the C1 character that it stands for, if it is one
		if text[1] < 0x40 || text[1] > 0x5f {
			return escapeSequence(text)
		}
	}
	switch kind {
	case 0x9b: // CSI
		return n + controlSequence(text[n:])
	case 0x9d, 0x90, 0x98, 0x9e, 0x9f: // OSC, DCS, SOS, PM, APC
		return n + controlString(text[n:])
	}
	if c == esc {
		return n
	}
	return 0
}

// escapeSequence is the length of ESC, intermediate bytes and a final one.
func escapeSequence(text string) int {
	i := 1
	for i < len(text) && text[i] >= 0x20 && text[i] <= 0x2f {
		i++
	}
	if i < len(text) && text[i] >= 0x30 && text[i] <= 0x7e {
		return i + 1
	}
	return 1
}

// controlSequence is the length of parameters, intermediate bytes and the final one.
func controlSequence(text string) int {
	i := 0
	for i < len(text) && text[i] >= 0x30 && text[i] <= 0x3f {
		i++
	}
	for i < len(text) && text[i] >= 0x20 && text[i] <= 0x2f {
		i++
	}
	if i < len(text) && text[i] >= 0x40 && text[i] <= 0x7e {
		return i + 1
	}
	return 0
}

// maxString bounds a control string, in bytes: terminals give up on longer ones too.
const maxString = 4096

// controlString is the length of a string with its end, which is ST, or BEL as
// xterm has it; 0 when it has none, or something that no string has stands before.
func controlString(text string) int {
	for i := 0; i < min(len(text), maxString); i++ {
		switch {
		case text[i] == '\a':
			return i + 1
		case strings.HasPrefix(text[i:], "\x1b\\"), strings.HasPrefix(text[i:], "\u009c"):
			return i + 2
		case text[i] < ' ' && (text[i] < '\b' || text[i] > '\r'),
			text[i] == 0xc2 && i+1 < len(text) && text[i+1] >= 0x80 && text[i+1] < 0xa0: // C1
			return 0
		}
	}
	return 0
}

// escape writes text in ASCII, as Go would between quotes.
func escape(b *strings.Builder, text string) {
	for i := 0; i < len(text); {
		c, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case c == utf8.RuneError && size == 1:
			fmt.Fprintf(b, `\x%02x`, text[i])
		case c >= ' ' && c < 0x7f:
			b.WriteRune(c)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(c), "'"))
		}
		i += size
	}
}
