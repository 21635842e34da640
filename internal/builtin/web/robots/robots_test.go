package robots_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/builtin/web/robots"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type allowedCase struct {
	name, file, agent, url string
	want                   bool
}

func TestGoogleCasesOfWhatIsAllowed(t *testing.T) {
	for _, tt := range allowedCases() {
		if got := robots.Parse([]byte(tt.file), tt.agent).Allowed(tt.url); got != tt.want {
			t.Errorf("%s: %s may fetch %q: got %v, want %v, with\n%s", tt.name, tt.agent, tt.url, got, tt.want, tt.file)
		}
	}
}

func TestGoogleCasesOfNames(t *testing.T) {
	for agent, want := range map[string]bool{
		"Foobot": true, "Foobot-Bar": true, "Foo_Bar": true,
		"": false, "ツ": false, "Foobot*": false, " Foobot ": false, "Foobot/2.1": false, "Foobot Bar": false,
	} {
		if got := robots.ValidAgent(agent); got != want {
			t.Errorf("%q: got %v, want %v", agent, got, want)
		}
	}
}

func TestGoogleCasesOfLongLines(t *testing.T) {
	const most = 2083 * 8
	fill := func(c string, name string) string {
		return "/x/" + strings.Repeat(c, most-len("/x/")-len(name)+1-len("/x/")+3)
	}
	a := fill("a", "disallow: ")
	r := robots.Parse([]byte("user-agent: FooBot\ndisallow: "+a+"/qux\n"), "FooBot")
	if !r.Allowed("http://foo.bar/fux") || r.Allowed("http://foo.bar"+a+"/fux") {
		t.Error("a long line of disallow is not cut off where it must be")
	}
	a, b := fill("a", "allow: "), fill("b", "allow: ")
	r = robots.Parse([]byte("user-agent: FooBot\ndisallow: /\nallow: "+a+"/qux\nallow: "+b+"/qux\n"), "FooBot")
	if r.Allowed("http://foo.bar/") || !r.Allowed("http://foo.bar"+a+"/qux") || !r.Allowed("http://foo.bar"+b+"/fux") {
		t.Error("a long line of allow is not cut off where it must be")
	}
}

func TestGoogleCasesOfLines(t *testing.T) {
	const four = "User-Agent: foo\nAllow: /some/path\nUser-Agent: bar\n\n\nDisallow: /\n"
	for _, tt := range []struct {
		name, file           string
		valid, unknown, last int
	}{
		{"lines end with LF", four, 4, 0, 6},
		{"lines end with CR and LF", strings.ReplaceAll(four, "\n", "\r\n"), 4, 0, 6},
		{"lines end with CR", strings.ReplaceAll(four, "\n", "\r"), 4, 0, 6},
		{"the last line does not end", strings.TrimSuffix(four, "\n"), 4, 0, 6},
		{"lines end as they like", "User-Agent: foo\nAllow: /some/path\r\nUser-Agent: bar\n\r\n\nDisallow: /", 4, 0, 6},
		{"a byte order mark", "\xEF\xBB\xBFUser-Agent: foo\nAllow: /AnyValue\n", 2, 0, 2},
		{"two thirds of one", "\xEF\xBBUser-Agent: foo\nAllow: /AnyValue\n", 2, 0, 2},
		{"a third of one", "\xEFUser-Agent: foo\nAllow: /AnyValue\n", 2, 0, 2},
		{"a broken one", "\xEF\x11\xBFUser-Agent: foo\nAllow: /AnyValue\n", 1, 1, 2},
		{"one in the middle", "User-Agent: foo\n\xEF\xBB\xBFAllow: /AnyValue\n", 1, 1, 2},
	} {
		valid, unknown, last := robots.Count(tt.file)
		if valid != tt.valid || unknown != tt.unknown || last != tt.last {
			t.Errorf("%s: got %d valid, %d unknown, last %d; want %d, %d, %d: %q", tt.name, valid, unknown, last, tt.valid, tt.unknown, tt.last, tt.file)
		}
	}
}

func TestGoogleCasesOfSitemaps(t *testing.T) {
	const rest = "User-Agent: foo\nAllow: /some/path\nUser-Agent: bar\n\n\n"
	for _, file := range []string{rest + "Sitemap: http://foo.bar/sitemap.xml\n", "Sitemap: http://foo.bar/sitemap.xml\n" + rest} {
		if got := robots.Parse([]byte(file), "baz").Sitemaps; !slices.Equal(got, []string{"http://foo.bar/sitemap.xml"}) {
			t.Errorf("got %q, want the sitemap of\n%s", got, file)
		}
	}
}

func TestGoogleCasesOfPathsAndPatterns(t *testing.T) {
	for in, want := range map[string]string{
		"": "/", "http://www.example.com": "/", "http://www.example.com/": "/", "http://www.example.com/a": "/a",
		"http://www.example.com/a/": "/a/", "http://www.example.com/a/b?c=http://d.e/": "/a/b?c=http://d.e/",
		"http://www.example.com/a/b?c=d&e=f#fragment": "/a/b?c=d&e=f", "example.com": "/", "example.com/": "/", "example.com/a": "/a",
		"example.com/a/": "/a/", "example.com/a/b?c=d&e=f#fragment": "/a/b?c=d&e=f", "a": "/", "a/": "/", "/a": "/a", "a/b": "/b",
		"example.com?a": "/?a", "example.com/a;b#c": "/a;b", "//a/b/c": "/b/c",
	} {
		if got := robots.PathOf(in); got != want {
			t.Errorf("path of %q: got %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"http://www.example.com": "http://www.example.com", "/a/b/c": "/a/b/c", "á": "%C3%A1", "%aa": "%AA"} {
		if got := robots.Escape(in); got != want {
			t.Errorf("pattern %q: got %q, want %q", in, got, want)
		}
	}
}

func TestCrawlDelayIsThatOfTheOwnGroup(t *testing.T) {
	const file = "User-agent: *\nCrawl-delay: 5\nDisallow: /x\n\nUser-agent: Dragoman\nCrawl-delay: 0.5\nAllow: /\n"
	for agent, want := range map[string]time.Duration{"Dragoman": time.Second / 2, "Other": 5 * time.Second} {
		if got := robots.Parse([]byte(file), agent).Delay; got != want {
			t.Errorf("%s: got %v, want %v", agent, got, want)
		}
	}
	for _, value := range []string{"-1", "NaN", "soon", ""} {
		if got := robots.Parse([]byte("User-agent: *\nCrawl-delay: "+value), "a").Delay; got != 0 {
			t.Errorf("delay %q: got %v, want none", value, got)
		}
	}
	if got := robots.Parse([]byte("User-agent: *\nCrawl-delay: 1e300"), "a").Delay; got != time.Hour {
		t.Errorf("got %v, want the longest that is believed", got)
	}
}

func TestOnlyTheBeginningOfALargeFileIsRead(t *testing.T) {
	file := "User-agent: *\nDisallow: /a\n" + strings.Repeat("# nothing\n", robots.MaxBytes/10) + "Disallow: /b\n"
	r := robots.Parse([]byte(file), "x")
	if r.Allowed("http://h/a") || !r.Allowed("http://h/b") {
		t.Error("rules beyond 500 KiB count, or those before do not")
	}
	if robots.Nothing().Allowed("http://h/") {
		t.Error("Nothing allows something")
	}
}

// BenchmarkAllowed is the worst that a file can do: as many patterns as fit, each of which has to be looked for.
func BenchmarkAllowed(b *testing.B) {
	var file strings.Builder
	file.WriteString("User-agent: *\n")
	for i := 0; file.Len() < robots.MaxBytes; i++ {
		fmt.Fprintf(&file, "Disallow: /*a*b*%d\n", i)
	}
	r := robots.Parse([]byte(file.String()), "x")
	url := "http://h/" + strings.Repeat("ab", 1000)
	for b.Loop() {
		r.Allowed(url)
	}
}
