// Package robots reads robots.txt as RFC 9309 defines it, with what Google's
// parser forgives, and tells whether a crawler may fetch a URL.
//
// The package does not know how a robots.txt is fetched, for how long it is good,
// or what no answer means.
package robots

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// MaxBytes is how much of a robots.txt is read; what follows is ignored. RFC 9309 §2.5 wants at least 500 KiB.
const MaxBytes = 500 << 10

// maxLine bounds a line in bytes; what follows within it is ignored.
const maxLine = 2083 * 8

// Rules are those of one robots.txt that concern one crawler. The zero value allows everything.
type Rules struct {
	rules []rule
	// Delay is how long the crawler shall wait between two requests (Crawl-delay, which is not in the RFC); 0 when
	// nothing is said.
	Delay time.Duration
	// Sitemaps are the URLs of sitemaps, which concern everybody.
	Sitemaps []string
}

type rule struct {
	allow   bool
	pattern string
}

// Nothing returns rules that allow nothing.
func Nothing() *Rules { return &Rules{rules: []rule{{pattern: "/"}}} }

// Parse reads the rules for a crawler with this product token, such as "Dragoman".
func Parse(body []byte, agent string) *Rules {
	own, others := &Rules{}, &Rules{}
	var sitemaps []string
	var inOwn, inOthers, hasOwn, ended bool
	scan(body, func(l line) {
		switch l.key {
		case keyAgent:
			if ended {
				inOwn, inOthers, ended = false, false, false
			}
			if isStar(l.value) {
				inOthers = true
			} else if token := productToken(l.value); token != "" && strings.EqualFold(token, agent) {
				inOwn, hasOwn = true, true
			}
		case keyAllow, keyDisallow:
			ended = true
			if inOwn {
				own.add(l)
			}
			if inOthers {
				others.add(l)
			}
		case keyDelay:
			if inOwn {
				own.wait(l.value)
			}
			if inOthers {
				others.wait(l.value)
			}
		case keySitemap:
			sitemaps = append(sitemaps, l.value)
		}
	})
	if !hasOwn {
		own = others
	}
	own.Sitemaps = sitemaps
	return own
}

// isStar tells the name that means every crawler: a star, whatever follows after a space.
func isStar(name string) bool {
	return name == "*" || strings.HasPrefix(name, "*") && (name[1] == ' ' || name[1] == '\t')
}

// ValidAgent says whether a crawler can be called so (RFC 9309 §2.2.1).
func ValidAgent(agent string) bool { return agent != "" && productToken(agent) == agent }

// productToken returns the part of a user agent that is compared (RFC 9309 §2.2.1): letters, - and _.
func productToken(name string) string {
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return name[:i]
		}
	}
	return name
}

func (r *Rules) add(l line) {
	pattern := escape(l.value)
	r.rules = append(r.rules, rule{allow: l.key == keyAllow, pattern: pattern})
	if slash := strings.LastIndexByte(pattern, '/'); l.key == keyAllow && slash >= 0 && strings.HasPrefix(pattern[slash:], "/index.htm") {
		r.rules = append(r.rules, rule{allow: true, pattern: pattern[:slash+1] + "$"})
	}
}

// maxDelay is the longest Crawl-delay that is believed.
const maxDelay = time.Hour

func (r *Rules) wait(value string) {
	seconds, err := strconv.ParseFloat(value, 64)
	if err == nil && seconds > 0 {
		r.Delay = time.Duration(math.Min(seconds*float64(time.Second), float64(maxDelay)))
	}
}

// Allowed says whether a URL may be fetched. Of all patterns that match, the longest decides, and allow among equals
// (RFC 9309 §2.2.2). The URL must be percent-encoded.
func (r *Rules) Allowed(url string) bool {
	path := pathOf(url)
	var allow, disallow int
	for _, rule := range r.rules {
		n := len(rule.pattern)
		if rule.allow && n <= allow || !rule.allow && n <= disallow || !matches(rule.pattern, path) {
			continue
		}
		if rule.allow {
			allow = n
		} else {
			disallow = n
		}
	}
	return disallow <= allow
}

// matches says whether a path begins as a pattern says: * stands for anything, and $ at the end for the end.
func matches(pattern, path string) bool {
	pattern, anchored := strings.CutSuffix(pattern, "$")
	first, rest, stars := strings.Cut(pattern, "*")
	if !strings.HasPrefix(path, first) {
		return false
	}
	path = path[len(first):]
	for stars {
		var piece string
		piece, rest, stars = strings.Cut(rest, "*")
		if !stars && anchored {
			return strings.HasSuffix(path, piece)
		}
		at := strings.Index(path, piece)
		if at < 0 {
			return false
		}
		path = path[at+len(piece):]
	}
	return !anchored || path == ""
}

// pathOf returns path and query of a URL, which may lack its scheme.
func pathOf(url string) string {
	url, _, _ = strings.Cut(url, "#")
	rest := strings.TrimPrefix(url, "//")
	if len(rest) == len(url) {
		if end := strings.Index(url, "://"); end >= 0 && !strings.ContainsAny(url[:end], "/?;") {
			rest = url[end+3:]
		}
	}
	start := strings.IndexAny(rest, "/?;")
	switch {
	case start < 0:
		return "/"
	case rest[start] != '/':
		return "/" + rest[start:]
	}
	return rest[start:]
}

// escape writes a pattern as URLs are: beyond ASCII percent-encoded, and hexadecimal digits in upper case.
func escape(pattern string) string {
	const hex = "0123456789ABCDEF"
	isHex := func(c byte) bool { return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0 }
	var out strings.Builder
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		switch {
		case c == '%' && i+2 < len(pattern) && isHex(pattern[i+1]) && isHex(pattern[i+2]):
			out.WriteString(strings.ToUpper(pattern[i : i+3]))
			i += 2
		case c >= 0x80:
			out.WriteByte('%')
			out.WriteByte(hex[c>>4])
			out.WriteByte(hex[c&15])
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}
