package engine

import (
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"
)

// safeInteger is the greatest integer that a JSON number keeps in every language
// (RFC 8259, section 6); beyond it integers are texts.
const safeInteger = 1<<53 - 1

// AppendInt appends an integer: as a number where that is safe, else as text.
func AppendInt(b []byte, n int64) []byte {
	if n > safeInteger || n < -safeInteger {
		b = append(b, '"')
		b = strconv.AppendInt(b, n, 10)
		return append(b, '"')
	}
	return strconv.AppendInt(b, n, 10)
}

// AppendIntText appends an integer that is written in decimal digits.
func AppendIntText(b []byte, digits string) []byte {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return AppendText(b, digits)
	}
	return AppendInt(b, n)
}

// AppendFloat appends a number with the fewest digits that give it back; what
// JSON has no number for is the text NaN, Infinity or -Infinity.
func AppendFloat(b []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(b, `"-Infinity"`...)
	}
	return strconv.AppendFloat(b, f, 'g', -1, bits)
}

// AppendFloatText appends a number as a database has written it.
func AppendFloatText(b []byte, text string) []byte {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return AppendText(b, text)
	}
	return AppendFloat(b, f, 64)
}

// AppendBytes appends {"base64": "..."}.
func AppendBytes(b, data []byte) []byte {
	b = append(b, `{"base64":"`...)
	b = base64.StdEncoding.AppendEncode(b, data)
	return append(b, `"}`...)
}

// AppendText appends a JSON string, or, when text is not UTF-8, what AppendBytes does.
func AppendText[T ~string | ~[]byte](b []byte, text T) []byte {
	if !utf8.ValidString(string(text)) {
		return AppendBytes(b, []byte(text))
	}
	b = append(b, '"')
	start := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c >= 0x20 && c != '"' && c != '\\' && c != 0x7f {
			continue
		}
		b = append(b, text[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\t':
			b = append(b, `\t`...)
		case '\r':
			b = append(b, `\r`...)
		default:
			const digits = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
	}
	b = append(b, text[start:]...)
	return append(b, '"')
}
