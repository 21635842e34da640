package scan

import "strings"

// maxKeyLines bounds the lines that are taken for those of one private key: a
// key of RSA with 16,384 bits has 200.
const maxKeyLines = 256

// Lines returns a function that takes the lines of one text, one after the
// other, and gives each without what looks like a secret. Unlike [Scanner.Text]
// for each line it knows a private key in PEM form, of which only the first line
// says what it is, and takes out a line that is nothing but a full line of base64. The function is for one goroutine.
func (s *Scanner) Lines() func(line string) string {
	left := 0 // lines that may still belong to a key
	return func(line string) string {
		if left > 0 {
			left--
			if strings.Contains(line, pemEnd) {
				left = 0
				return Redacted
			}
			if ofKey(line) {
				return Redacted
			}
			left = 0
		}
		if begin := strings.LastIndex(line, pemBegin); begin >= 0 && strings.Contains(line[begin:], pemKey) && !strings.Contains(line[begin:], pemEnd) {
			left = maxKeyLines
		}
		if full(line) {
			return Redacted
		}
		return s.Text(line)
	}
}

// full reports whether a line is one of a key or a certificate that is full and has nothing else in it, as it stands alone
// where the first line was lost: base64 in lines of 64 (RFC 7468, section 2), 70 (OpenSSH) or 76 (RFC 2045).
func full(line string) bool {
	if n := len(line); n != 64 && n != 70 && n != 76 {
		return false
	}
	var lower, upper, figure bool
	for i := range len(line) {
		switch c := line[i]; {
		case 'a' <= c && c <= 'z':
			lower = true
		case 'A' <= c && c <= 'Z':
			upper = true
		case '0' <= c && c <= '9':
			figure = true
		case c != '+' && c != '/':
			return false
		}
	}
	return lower && upper && figure
}

// ofKey reports whether a line can stand between the first and the last of a
// private key: base64, perhaps behind what a program puts before each line, or a
// header of the old form (RFC 1421, section 4.4).
func ofKey(line string) bool {
	if strings.Contains(line, "Proc-Type: ") || strings.Contains(line, "DEK-Info: ") || strings.TrimSpace(line) == "" {
		return true
	}
	word := line[strings.LastIndexAny(line, " \t|>")+1:]
	for i := range len(word) {
		if c := word[i]; classes[c]&letter == 0 && c != '+' && c != '/' && c != '=' {
			return false
		}
	}
	const short = 24 // a last line that is no longer may be any word
	return len(word) >= short || len(word) == len(line)
}
