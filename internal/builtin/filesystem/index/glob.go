package index

import (
	"errors"
	"path"
	"strings"
)

// Glob is a pattern of keys: * and ? do not match a slash, ** matches any number of elements, [a-z] a character of a
// class, {a,b} one of several. A pattern without a slash is matched against the last element alone.
type Glob struct {
	parts [][]string // alternatives of elements
	name  bool       // matches the last element
}

// maxAlternatives bounds what {a,b}{c,d} may multiply to.
const maxAlternatives = 64

// ParseGlob reads a pattern.
func ParseGlob(pattern string) (Glob, error) {
	g := Glob{name: !strings.Contains(strings.TrimSuffix(pattern, "/"), "/")}
	all, err := expand(pattern)
	if err != nil {
		return g, err
	}
	for _, one := range all {
		parts := strings.Split(strings.Trim(one, "/"), "/")
		for _, part := range parts {
			if _, err := path.Match(part, ""); err != nil {
				return g, err
			}
		}
		g.parts = append(g.parts, parts)
	}
	return g, nil
}

// expand multiplies out the first pair of braces, and so on.
func expand(pattern string) ([]string, error) {
	open := strings.IndexByte(pattern, '{')
	if open < 0 {
		return []string{pattern}, nil
	}
	length := strings.IndexByte(pattern[open:], '}')
	if length < 0 {
		return nil, errors.New("a { is not closed")
	}
	var all []string
	for one := range strings.SplitSeq(pattern[open+1:open+length], ",") {
		more, err := expand(pattern[:open] + one + pattern[open+length+1:])
		if err != nil {
			return nil, err
		}
		if all = append(all, more...); len(all) > maxAlternatives {
			return nil, errors.New("there are too many alternatives")
		}
	}
	return all, nil
}

// Match says whether a key matches.
func (g Glob) Match(key string) bool {
	if g.name {
		key = path.Base(key)
	}
	parts := strings.Split(key, "/")
	for _, pattern := range g.parts {
		if matchParts(pattern, parts) {
			return true
		}
	}
	return false
}

// matchParts matches elements in time proportional to both lengths, whatever the pattern: as with * in a text, only the
// last ** ever has to be tried further on.
func matchParts(pattern, parts []string) bool {
	p, k, star, mark := 0, 0, -1, 0
	for k < len(parts) {
		switch {
		case p < len(pattern) && pattern[p] == "**":
			star, mark = p, k
			p++
		case p < len(pattern) && matchName(pattern[p], parts[k]):
			p, k = p+1, k+1
		case star >= 0:
			mark++
			p, k = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == "**" {
		p++
	}
	return p == len(pattern)
}

func matchName(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}
