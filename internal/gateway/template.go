package gateway

import "strings"

// matchTemplate reports whether uri can come of an RFC 6570 template, and how
// many of its characters are the template's own: the more, the more specific.
// An expression stands for any characters without a slash, a reserved or path
// expression ({+x}, {/x}, {#x}) and one that explodes for any at all.
func matchTemplate(template, uri string) (literal int, ok bool) {
	var parts []segment
	for template != "" {
		open := strings.IndexByte(template, '{')
		if open < 0 {
			parts = append(parts, segment{text: template})
			literal += len(template)
			break
		}
		end := strings.IndexByte(template[open:], '}')
		if end < 0 {
			return 0, false
		}
		literal += open
		expression := template[open+1 : open+end]
		parts = append(parts, segment{text: template[:open]}, segment{any: true, slashes: crossesSlashes(expression)})
		template = template[open+end+1:]
	}
	return literal, matchSegments(parts, uri)
}

// segment is literal text, or any text.
type segment struct {
	text    string
	any     bool
	slashes bool
}

func crossesSlashes(expression string) bool {
	return strings.HasSuffix(expression, "*") || expression != "" && strings.ContainsRune("+/#?&;", rune(expression[0]))
}

// matchSegments finds for each segment where it may end, all at once, so that
// no template takes longer than its length times that of the URI.
func matchSegments(parts []segment, uri string) bool {
	at := make([]bool, len(uri)+1) // where what was matched may end
	at[0] = true
	for _, p := range parts {
		next := make([]bool, len(uri)+1)
		for i, reached := range at {
			switch {
			case !p.any && reached && strings.HasPrefix(uri[i:], p.text):
				next[i+len(p.text)] = true
			case p.any && reached:
				next[i] = true
			}
			if p.any && i > 0 && next[i-1] && (p.slashes || uri[i-1] != '/') {
				next[i] = true
			}
		}
		at = next
	}
	return at[len(uri)]
}
