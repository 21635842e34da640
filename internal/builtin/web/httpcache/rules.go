package httpcache

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// directives are those of Cache-Control (RFC 9111 §5.2.2).
type directives map[string]string

func read(h http.Header) directives {
	d := directives{}
	for _, line := range h.Values("Cache-Control") {
		for part := range split(line) {
			name, value, _ := strings.Cut(part, "=")
			name = strings.ToLower(strings.TrimSpace(name))
			if _, twice := d[name]; !twice && name != "" {
				d[name] = strings.Trim(strings.TrimSpace(value), `"`)
			}
		}
	}
	if len(h.Values("Cache-Control")) == 0 && strings.Contains(strings.ToLower(h.Get("Pragma")), "no-cache") {
		d["no-cache"] = ""
	}
	return d
}

// split gives the parts of a list between commas, except those within quotes.
func split(line string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		start, quoted := 0, false
		for i := range len(line) {
			switch {
			case line[i] == '"':
				quoted = !quoted
			case line[i] == ',' && !quoted:
				if !yield(line[start:i]) {
					return
				}
				start = i + 1
			}
		}
		yield(line[start:])
	}
}

func (d directives) has(name string) bool { _, ok := d[name]; return ok }

// seconds reads a directive that is a number of seconds. What cannot be read counts as none (§4.2.1: stale).
func (d directives) seconds(name string) (time.Duration, bool) {
	value, ok := d[name]
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 {
		return 0, true
	}
	return time.Duration(min(n, 1<<31)) * time.Second, true
}

// public says whether an answer may be shown to others than who asked: only when it says so.
func (d directives) public() bool {
	if d.has("private") || d.has("no-store") {
		return false
	}
	return d.has("public") || d.has("s-maxage")
}

// storable says whether an entry may be kept (§3), and fills in what it needs.
func (e *entry) storable(r Request, now time.Time) bool {
	h := e.answer.Header
	if e.policy.has("no-store") || e.policy.public() && len(h.Values("Set-Cookie")) > 0 {
		return false
	}
	e.vary = http.Header{}
	for _, line := range h.Values("Vary") {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if name == "*" {
				return false
			}
			if name != "" {
				e.vary[name] = r.Header.Values(name)
			}
		}
	}
	e.age = ageOf(h, now)
	explicit := false
	e.lifetime, explicit = e.lifetimeOf(now)
	switch e.answer.Status {
	case 200, 203, 300, 301, 308, 404, 405, 410, 414, 501: // RFC 9110 §15.1: cacheable unless told otherwise
	case 204, 206, 304:
		return false
	default:
		if !explicit {
			return false
		}
	}
	return e.lifetime > 0 || h.Get("ETag") != "" || h.Get("Last-Modified") != ""
}

// matches says whether a request has the fields that chose the answer (§4.1).
func (e *entry) matches(h http.Header) bool {
	for name, values := range e.vary {
		if strings.Join(values, ", ") != strings.Join(h.Values(name), ", ") {
			return false
		}
	}
	return true
}

// maxHeuristic bounds how long an answer is good that does not say it.
const maxHeuristic = 24 * time.Hour

// lifetimeOf says how long an answer is fresh (§4.2.1), and whether it said so itself.
func (e *entry) lifetimeOf(now time.Time) (lifetime time.Duration, explicit bool) {
	h := e.answer.Header
	if e.key.principal == shared {
		if d, ok := e.policy.seconds("s-maxage"); ok {
			return d, true
		}
	}
	if d, ok := e.policy.seconds("max-age"); ok {
		return d, true
	}
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		date = now
	}
	if h.Get("Expires") != "" {
		expires, err := http.ParseTime(h.Get("Expires"))
		if err != nil {
			return 0, true
		}
		return max(0, expires.Sub(date)), true
	}
	if changed, err := http.ParseTime(h.Get("Last-Modified")); err == nil && changed.Before(date) {
		return min(date.Sub(changed)/10, maxHeuristic), false
	}
	return 0, false
}

// ageOf says how old an answer was when it came (§4.2.3).
func ageOf(h http.Header, now time.Time) time.Duration {
	var age time.Duration
	if n, err := strconv.ParseInt(h.Get("Age"), 10, 64); err == nil && n > 0 {
		age = time.Duration(min(n, 1<<31)) * time.Second
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		age = max(age, now.Sub(date))
	}
	return age
}

func (e *entry) ageAt(now time.Time) time.Duration { return e.age + now.Sub(e.came) }

func (e *entry) fresh(now time.Time) bool {
	return !e.policy.has("no-cache") && e.ageAt(now) < e.lifetime
}

// staleAllowed says whether an answer that is no longer fresh may stand in for an error (RFC 5861 §4).
func (e *entry) staleAllowed(now time.Time) bool {
	if e.policy.has("no-cache") || e.policy.has("must-revalidate") || e.policy.has("proxy-revalidate") || e.policy.has("s-maxage") {
		return false
	}
	grace, ok := e.policy.seconds("stale-if-error")
	return ok && e.ageAt(now) < e.lifetime+grace
}

// meanwhile says whether an answer that is no longer fresh may be given while the server is asked anew (RFC 5861 §3).
func (e *entry) meanwhile(now time.Time) bool {
	if e.policy.has("no-cache") || e.policy.has("must-revalidate") || e.policy.has("proxy-revalidate") {
		return false
	}
	grace, ok := e.policy.seconds("stale-while-revalidate")
	return ok && e.ageAt(now) < e.lifetime+grace
}

// validators make a request conditional (§4.3.1).
func (e *entry) validators(h http.Header) {
	if tag := e.answer.Header.Get("ETag"); tag != "" {
		h.Set("If-None-Match", tag)
	}
	if changed := e.answer.Header.Get("Last-Modified"); changed != "" {
		h.Set("If-Modified-Since", changed)
	}
}
