package robots

import (
	"bytes"
	"strings"
)

// key is what a line is about.
type key int

const (
	keyUnknown key = iota
	keyAgent
	keyAllow
	keyDisallow
	keySitemap
	keyDelay
)

// line is one that says something.
type line struct {
	number int // from 1
	key    key
	value  string
}

// scan calls f for each line that has a name and a value. Lines end with CR, LF or both.
func scan(body []byte, f func(line)) {
	body = body[:min(len(body), MaxBytes)]
	for i, mark := range []byte{0xEF, 0xBB, 0xBF} { // a byte order mark, or the beginning of one
		if len(body) == 0 || body[0] != mark || i > 2 {
			break
		}
		body = body[1:]
	}
	for number := 1; len(body) > 0; number++ {
		end := bytes.IndexAny(body, "\r\n")
		text := body
		switch {
		case end < 0:
			body = nil
		case body[end] == '\r' && end+1 < len(body) && body[end+1] == '\n':
			text, body = body[:end], body[end+2:]
		default:
			text, body = body[:end], body[end+1:]
		}
		if name, value, ok := pair(string(text[:min(len(text), maxLine)])); ok {
			f(line{number: number, key: keyOf(name), value: value})
		}
	}
}

// pair cuts a line into name and value. A missing colon is forgiven when there are just two words.
func pair(text string) (name, value string, ok bool) {
	text, _, _ = strings.Cut(text, "#")
	text = strings.Trim(text, " \t\v\f\x00")
	name, value, ok = strings.Cut(text, ":")
	if !ok {
		words := strings.Fields(text)
		if len(words) != 2 {
			return "", "", false
		}
		return words[0], words[1], true
	}
	name = strings.TrimSpace(name)
	return name, strings.TrimSpace(value), name != ""
}

// keyOf reads a name, and the slips that Google's parser knows.
func keyOf(name string) key {
	switch strings.ToLower(name) {
	case "user-agent", "useragent", "user agent":
		return keyAgent
	case "allow":
		return keyAllow
	case "disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw":
		return keyDisallow
	case "sitemap", "site-map":
		return keySitemap
	case "crawl-delay", "crawldelay":
		return keyDelay
	}
	return keyUnknown
}
