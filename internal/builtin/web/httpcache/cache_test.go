package httpcache_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/builtin/web/httpcache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// origin is a server that a test answers for.
type origin struct {
	t      *testing.T
	now    time.Time
	cache  *httpcache.Cache
	header string // lines of the next answer
	status int
	err    error
	asked  int
	last   http.Header
}

func newOrigin(t *testing.T) *origin {
	o := &origin{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), status: 200}
	o.cache = httpcache.New(1<<20, func() time.Time { return o.now })
	return o
}

func (o *origin) send(_ context.Context, _ string, h http.Header) (*httpcache.Answer, error) {
	o.asked++
	o.last = h
	if o.err != nil {
		return nil, o.err
	}
	header := http.Header{}
	header.Set("Date", o.now.Format(http.TimeFormat))
	for line := range strings.SplitSeq(o.header, "\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			header.Add(name, value)
		}
	}
	return &httpcache.Answer{Status: o.status, Header: header, Body: fmt.Append(nil, "answer ", o.asked)}, nil
}

func (o *origin) get(r httpcache.Request) (string, httpcache.Source) {
	o.t.Helper()
	r.URL = "http://example.org/"
	a, source, err := o.cache.Get(o.t.Context(), r, o.send)
	if err != nil {
		return err.Error(), source
	}
	return string(a.Body), source
}

func TestHowLongAnAnswerIsGood(t *testing.T) {
	ago := func(d time.Duration) string {
		return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(-d).Format(http.TimeFormat)
	}
	for _, tt := range []struct {
		name, header string
		status       int
		after        time.Duration
		want         httpcache.Source
	}{
		{"max-age not over", "Cache-Control: max-age=60", 200, 59 * time.Second, httpcache.Kept},
		{"max-age over", "Cache-Control: max-age=60", 200, 60 * time.Second, httpcache.Network},
		{"age when it came counts", "Cache-Control: max-age=60\nAge: 50", 200, 10 * time.Second, httpcache.Network},
		{"s-maxage goes before max-age", "Cache-Control: public, max-age=5, s-maxage=60", 200, 30 * time.Second, httpcache.Kept},
		{"no-store", "Cache-Control: max-age=60, no-store", 200, 0, httpcache.Network},
		{"no-cache without anything to confirm", "Cache-Control: no-cache, max-age=60", 200, 0, httpcache.Network},
		{"pragma without cache-control", "Pragma: no-cache\nExpires: " + ago(-time.Hour), 200, 0, httpcache.Network},
		{"expires", "Expires: " + ago(-time.Hour), 200, 59 * time.Minute, httpcache.Kept},
		{"expires that cannot be read", "Expires: 0\nLast-Modified: " + ago(100*time.Hour), 200, 0, httpcache.Network},
		{"max-age goes before expires", "Cache-Control: max-age=1\nExpires: " + ago(-time.Hour), 200, 2 * time.Second, httpcache.Network},
		{"a tenth of the time since it changed", "Last-Modified: " + ago(100*time.Hour), 200, 9 * time.Hour, httpcache.Kept},
		{"more than a tenth", "Last-Modified: " + ago(100*time.Hour), 200, 11 * time.Hour, httpcache.Network},
		{"never more than a day of that", "Last-Modified: " + ago(10000*time.Hour), 200, 25 * time.Hour, httpcache.Network},
		{"nothing said", "", 200, 0, httpcache.Network},
		{"a page that is not there", "Cache-Control: max-age=60", 404, 0, httpcache.Kept},
		{"a temporary redirect that says how long", "Cache-Control: max-age=60", 302, 0, httpcache.Kept},
		{"a temporary redirect that does not", "Last-Modified: " + ago(time.Hour), 302, 0, httpcache.Network},
		{"an error", "", 500, 0, httpcache.Network},
		{"varies by anything", "Cache-Control: max-age=60\nVary: *", 200, 0, httpcache.Network},
		{"max-age that cannot be read", "Cache-Control: max-age=soon", 200, 0, httpcache.Network},
		{"a quoted list is one value", `Cache-Control: private="a, max-age=1", max-age=60`, 200, 30 * time.Second, httpcache.Kept},
		{"cookies are not shared", "Cache-Control: public, max-age=60\nSet-Cookie: a=b", 200, 0, httpcache.Network},
	} {
		o := newOrigin(t)
		o.header, o.status = tt.header, tt.status
		o.get(httpcache.Request{Principal: "alice"})
		o.now = o.now.Add(tt.after)
		if _, got := o.get(httpcache.Request{Principal: "alice"}); got != tt.want {
			t.Errorf("%s: got from %s, want from %s: %s", tt.name, got, tt.want, tt.header)
		}
	}
}

func TestOnlyWhatIsPublicCrossesPrincipals(t *testing.T) {
	for header, want := range map[string]string{
		"Cache-Control: max-age=60":                    "answer 2",
		"Cache-Control: private, max-age=60":           "answer 2",
		"Cache-Control: public, private, max-age=60":   "answer 2",
		"Cache-Control: public, no-store":              "answer 2",
		"Cache-Control: public, max-age=60":            "answer 1",
		"Cache-Control: s-maxage=60":                   "answer 1",
		"Cache-Control: max-age=60\nVary: X":           "answer 2",
		"ETag: \"a\"\nCache-Control: no-cache":         "answer 2",
		"Cache-Control: public, max-age=60\nAge: 1000": "answer 2",
	} {
		o := newOrigin(t)
		o.header = header
		o.get(httpcache.Request{Principal: "alice"})
		if got, _ := o.get(httpcache.Request{Principal: "bob"}); got != want {
			t.Errorf("%q: bob got %q, want %q", header, got, want)
		}
		if o.asked == 2 && o.last.Get("If-None-Match") != "" {
			t.Errorf("%q: what alice was given is confirmed for bob", header)
		}
	}
}

func TestAnAnswerIsConfirmed(t *testing.T) {
	o := newOrigin(t)
	o.header = "ETag: \"v1\"\nCache-Control: max-age=10\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT"
	o.get(httpcache.Request{})
	o.now, o.status = o.now.Add(time.Minute), http.StatusNotModified
	got, source := o.get(httpcache.Request{})
	if got != "answer 1" || source != httpcache.Confirmed || o.last.Get("If-None-Match") != `"v1"` || o.last.Get("If-Modified-Since") == "" {
		t.Fatalf("got %q from %s after %v, want the first answer, confirmed", got, source, o.last)
	}
	if _, source = o.get(httpcache.Request{}); source != httpcache.Kept {
		t.Errorf("got from %s, want it fresh again", source)
	}
	if _, source = o.get(httpcache.Request{Fresh: true}); source != httpcache.Confirmed {
		t.Errorf("a request for a fresh answer got one from %s", source)
	}
	o.now, o.status = o.now.Add(time.Minute), 200
	if got, source = o.get(httpcache.Request{}); got != "answer 4" || source != httpcache.Network {
		t.Errorf("got %q from %s, want the changed answer", got, source)
	}
}

func TestAnAnswerDependsOnTheFieldsThatItVariesBy(t *testing.T) {
	o := newOrigin(t)
	o.header = "Cache-Control: max-age=60\nVary: Accept-Language"
	german, dutch := http.Header{"Accept-Language": {"de"}}, http.Header{"Accept-Language": {"nl"}}
	o.get(httpcache.Request{Header: german})
	if _, source := o.get(httpcache.Request{Header: german}); source != httpcache.Kept {
		t.Errorf("the same fields: got from %s", source)
	}
	if _, source := o.get(httpcache.Request{Header: dutch}); source != httpcache.Network {
		t.Errorf("other fields: got from %s", source)
	}
}

func TestAnOldAnswerStandsInForAnError(t *testing.T) {
	for header, want := range map[string]httpcache.Source{
		"Cache-Control: max-age=1, stale-if-error=60":                  httpcache.Stale,
		"Cache-Control: max-age=1, stale-if-error=5":                   httpcache.Network,
		"Cache-Control: max-age=1":                                     httpcache.Network,
		"Cache-Control: max-age=1, stale-if-error=60, must-revalidate": httpcache.Network,
	} {
		o := newOrigin(t)
		o.header = header
		o.get(httpcache.Request{})
		o.now, o.err = o.now.Add(30*time.Second), errors.New("no answer")
		if _, got := o.get(httpcache.Request{}); got != want {
			t.Errorf("%s: got from %s, want %s", header, got, want)
		}
	}
}

func TestTheCacheKeepsToItsBound(t *testing.T) {
	o := newOrigin(t)
	o.header = "Cache-Control: max-age=60"
	for i := range 3000 {
		o.get(httpcache.Request{Principal: fmt.Sprint(i)})
		if o.cache.Bytes() > 1<<20 {
			t.Fatalf("got %d bytes after %d answers, want at most %d", o.cache.Bytes(), i, 1<<20)
		}
	}
	if _, source := o.get(httpcache.Request{Principal: "2999"}); source != httpcache.Kept {
		t.Errorf("the latest answer comes from %s", source)
	}
	if _, source := o.get(httpcache.Request{Principal: "0"}); source != httpcache.Network {
		t.Errorf("the oldest answer comes from %s", source)
	}
}

func TestAnAnswerMayBeGivenWhileTheServerIsAsked(t *testing.T) {
	o := newOrigin(t)
	o.header = "Cache-Control: max-age=10, stale-while-revalidate=60"
	var later []func(context.Context)
	r := httpcache.Request{Later: func(f func(context.Context)) { later = append(later, f) }}
	steps := []struct {
		after  time.Duration
		r      httpcache.Request
		answer string
		source httpcache.Source
		later  int // what waits to be asked
		run    bool
	}{
		{0, r, "answer 1", httpcache.Network, 0, false},
		{5 * time.Second, r, "answer 1", httpcache.Kept, 0, false},
		{10 * time.Second, r, "answer 1", httpcache.Stale, 1, false},
		{time.Second, r, "answer 1", httpcache.Stale, 1, true}, // asked once
		{time.Second, r, "answer 2", httpcache.Kept, 0, false},
		{20 * time.Second, httpcache.Request{}, "answer 3", httpcache.Network, 0, false}, // nobody runs what comes later
		{20 * time.Second, httpcache.Request{Later: r.Later, Fresh: true}, "answer 4", httpcache.Network, 0, false},
		{71 * time.Second, r, "answer 5", httpcache.Network, 0, false}, // for too long
	}
	for i, step := range steps {
		o.now = o.now.Add(step.after)
		answer, source := o.get(step.r)
		if answer != step.answer || source != step.source || len(later) != step.later {
			t.Errorf("step %d: got %q from %s and %d to ask, want %q from %s and %d", i, answer, source, len(later), step.answer, step.source, step.later)
		}
		if step.run {
			for _, f := range later {
				f(t.Context())
			}
			later = nil
		}
	}
	o.header = "Cache-Control: max-age=10, stale-while-revalidate=60, must-revalidate"
	o.get(httpcache.Request{Fresh: true})
	o.now = o.now.Add(20 * time.Second)
	if _, source := o.get(r); source != httpcache.Network {
		t.Errorf("must-revalidate: got an answer from %s, want network", source)
	}
}
