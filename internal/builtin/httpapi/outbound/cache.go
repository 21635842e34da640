package outbound

import (
	"crypto/rand"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Answers are kept by RFC 9111 as a private cache keeps them: for one principal,
// only with an explicit lifetime or something to ask by whether they still hold.

const (
	// maxFresh bounds how long an answer is taken as it is.
	maxFresh = 24 * time.Hour
	// keptStale is how long after that it is kept to be asked about.
	keptStale = 10 * time.Minute
)

// kept is an answer with until when it is fresh.
type kept struct {
	Answer
	asked http.Header // with which headers it was asked for, credentials aside
	fresh time.Time
}

func (k *kept) size() int {
	n := len(k.Body)
	for name, values := range k.Header {
		n += len(name) + len(strings.Join(values, ""))
	}
	return n
}

func (k *kept) answer() *Answer {
	a := k.Answer
	a.Kept = true
	return &a
}

// condition asks whether the answer still holds (RFC 9110 §13.1).
func (k *kept) condition(h http.Header) {
	if tag := k.Header.Get("Etag"); tag != "" {
		h.Set("If-None-Match", tag)
	} else if at := k.Header.Get("Last-Modified"); at != "" {
		h.Set("If-Modified-Since", at)
	}
}

// cacheKey is what an answer is kept by; empty when nothing is kept.
func (s *Sender) cacheKey(m *Message) string {
	if s.cache == nil {
		return ""
	}
	return m.Principal + "\x00" + m.URL.String()
}

// lookup finds what is kept for a request; nil for nothing.
func (s *Sender) lookup(m *Message, key string) (k *kept, fresh bool) {
	if s.cache == nil || m.Method != http.MethodGet || m.Header.Get("Range") != "" || m.Header.Get("If-None-Match") != "" || m.Header.Get("If-Modified-Since") != "" {
		return nil, false
	}
	k, ok := s.cache.Peek(key)
	if !ok || !maps.EqualFunc(k.asked, m.Header, slices.Equal) {
		return nil, false
	}
	return k, s.o.Now().Before(k.fresh)
}

// keep keeps an answer if it may be kept, and gives what the caller sees: what
// was kept, when the API says that it still holds.
func (s *Sender) keep(m *Message, key string, known *kept, a *Answer) *Answer {
	switch {
	case s.cache == nil:
		return a
	case m.Method != http.MethodGet:
		if m.Method != http.MethodHead && m.Method != http.MethodOptions && a.Status < 400 {
			s.cache.Forget(key) // RFC 9111 §4.4
		}
		return a
	case a.Status == http.StatusNotModified && known != nil:
		merged := known.Header.Clone()
		for name, values := range a.Header {
			if name != "Content-Length" && name != "Content-Encoding" && name != "Content-Type" {
				merged[name] = values
			}
		}
		s.store(m, key, &Answer{Status: known.Status, Header: merged, Body: known.Body})
		return known.answer()
	case a.Status == http.StatusOK && m.Header.Get("Range") == "":
		s.store(m, key, a)
	}
	return a
}

func (s *Sender) store(m *Message, key string, a *Answer) {
	h := a.Header
	asked := h.Get("Etag") != "" || h.Get("Last-Modified") != ""
	if !asked && h["Cache-Control"] == nil && h["Expires"] == nil { // most answers say nothing
		s.cache.Forget(key)
		return
	}
	now := s.o.Now()
	lifetime, may := freshFor(h, now)
	// The headers of both requests are compared whatever Vary names: that is more
	// than it asks for, and credentials are the same for each principal.
	may = may && !strings.Contains(strings.Join(h.Values("Vary"), ","), "*")
	if !may || lifetime <= 0 && !asked || h.Get("Set-Cookie") != "" {
		s.cache.Forget(key)
		return
	}
	keepFor := lifetime
	if asked {
		keepFor += keptStale
	}
	s.cache.Set(key, &kept{Answer: *a, asked: m.Header.Clone(), fresh: now.Add(lifetime)}, keepFor)
}

// freshFor is how long an answer is good, and whether it may be kept at all
// (RFC 9111 §4.2.1, §5.2.2).
func freshFor(h http.Header, now time.Time) (lifetime time.Duration, may bool) {
	directives := map[string]string{}
	for _, d := range strings.Split(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(d), "=")
		directives[strings.ToLower(name)] = strings.Trim(value, `"`)
	}
	if _, no := directives["no-store"]; no {
		return 0, false
	}
	if _, no := directives["no-cache"]; no {
		return 0, true
	}
	if age, there := directives["max-age"]; there {
		seconds, err := strconv.ParseUint(age, 10, 31)
		if err != nil {
			return 0, true
		}
		lifetime = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(h.Get("Expires")); err == nil {
		from := now
		if date, err := http.ParseTime(h.Get("Date")); err == nil {
			from = date
		}
		lifetime = at.Sub(from)
	}
	if age, err := strconv.ParseUint(strings.TrimSpace(h.Get("Age")), 10, 31); err == nil {
		lifetime -= time.Duration(age) * time.Second
	}
	return min(max(lifetime, 0), maxFresh), true
}

// idempotencyKey is the key of a request that is repeated only with one; empty
// when there is no header for it or none is needed.
func idempotencyKey(header, method string) string {
	if header == "" || idempotent(method) {
		return ""
	}
	return rand.Text()
}
