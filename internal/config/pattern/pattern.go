// Package pattern tells whether a name fits a pattern of the configuration: * is any run of bytes, slashes among them, ?
// is one byte, and everything else is itself.
//
// It does not know what the names are of.
package pattern

import "slices"

// Match tells whether one of the patterns fits the whole name.
func Match(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}

// matches compares a name with a pattern in which * is any run of bytes and ? is one byte. It goes back to the last star
// only, so its time is at most len(pattern) times len(name).
func matches(pattern, name string) bool {
	p, n, star, from := 0, 0, -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p++
			n++
		case star >= 0:
			from++
			p, n = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
