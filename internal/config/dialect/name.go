package dialect

import (
	"strings"

	"golang.org/x/text/unicode/norm"
)

// MaxName is the most characters of the name of a server or view.
const MaxName = 32

// Name makes any name fit our grammar: small letters, digits, single _ and - between them, at most MaxName characters,
// and nowhere the separator. What fits already stays as it is.
func Name(original, separator string) string {
	var out strings.Builder
	for _, r := range strings.ToLower(norm.NFKC.String(original)) {
		s := out.String()
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			out.WriteRune(r)
		case s == "" || strings.HasSuffix(s, "-") || strings.HasSuffix(s, "_"):
		case r == '_':
			out.WriteByte('_')
		default:
			out.WriteByte('-')
		}
	}
	name := out.String()
	if separator != "" {
		name = strings.ReplaceAll(name, separator, "")
	}
	if len(name) > MaxName {
		name = name[:MaxName]
	}
	if name = strings.Trim(name, "-_"); name == "" {
		return "server"
	}
	return name
}

// Fold gives the form in which two names must differ: case, width, and which of _ - . stands between words do not count.
func Fold(name string) string {
	return strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(norm.NFKC.String(name)))
}
