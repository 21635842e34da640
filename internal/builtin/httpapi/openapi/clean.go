package openapi

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean makes text of a document fit for a model and a terminal: nothing that
// cannot be seen (controls, directions, tags), blanks in a row as one, and at
// most a number of bytes.
func Clean(s string, most int) string {
	var out strings.Builder
	blank := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			blank = out.Len() > 0
			continue
		case r == utf8.RuneError, unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Variation_Selector):
			continue
		}
		if blank {
			out.WriteByte(' ')
			blank = false
		}
		out.WriteRune(r)
		if out.Len() > most {
			break
		}
	}
	return short(out.String(), most)
}

// short is s cut to a number of bytes, with an ellipsis if something is missing.
func short(s string, most int) string {
	if len(s) <= most {
		return s
	}
	cut := max(0, most-3)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strings.TrimRight(s[:cut], " ") + "…"
}

// plain is s with everything but ASCII letters, digits, _ and - as _, without
// any at its ends and two in a row, and at most a number of bytes.
func plain(s string, most int) string {
	var out strings.Builder
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-':
			out.WriteRune(r)
		case !strings.HasSuffix(out.String(), "_") && out.Len() > 0:
			out.WriteByte('_')
		}
		if out.Len() >= most {
			break
		}
	}
	return strings.TrimRight(out.String(), "_-")
}
