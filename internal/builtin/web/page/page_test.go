package page_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/builtin/web/page"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func read(t *testing.T, body string) *page.Page {
	t.Helper()
	u, err := url.Parse("https://example.org/dir/page")
	if err != nil {
		t.Fatal(err)
	}
	p, err := new(page.Reader).Read(t.Context(), page.Input{Body: []byte(body), URL: u})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func markdown(t *testing.T, body string) string {
	t.Helper()
	text, err := read(t, body).Markdown(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestHiddenTextIsTakenOut(t *testing.T) {
	for name, tt := range map[string]struct {
		body string
		kept bool
	}{
		"display":                     {`<p style="display: none">secret</p>`, false},
		"display, important":          {`<p style="color:red;DISPLAY:None !important">secret</p>`, false},
		"visibility":                  {`<p style="visibility:hidden">secret</p>`, false},
		"opacity":                     {`<p style="opacity:0.01">secret</p>`, false},
		"size":                        {`<p style="font-size:0px">secret</p>`, false},
		"size of one":                 {`<p style="font-size:1px">secret</p>`, false},
		"small but readable":          {`<p style="font-size:0.8em">secret</p>`, true},
		"far left":                    {`<p style="position:absolute;left:-9999px">secret</p>`, false},
		"indent":                      {`<p style="text-indent:-9999px">secret</p>`, false},
		"no height":                   {`<div style="height:0;overflow:hidden">secret</div>`, false},
		"clipped":                     {`<span style="position:absolute;clip:rect(0,0,0,0)">secret</span>`, false},
		"scaled":                      {`<p style="transform:scale(0)">secret</p>`, false},
		"white on white":              {`<p style="color:#fff">secret</p>`, false},
		"white on white, said so":     {`<div style="background:#FFFFFF"><p style="color:white">secret</p></div>`, false},
		"white on black":              {`<div style="background-color:black"><p style="color:white">secret</p></div>`, true},
		"white, page has style sheet": {`<link rel=stylesheet href=x.css><p style="color:white">secret</p>`, true},
		"transparent":                 {`<p style="color:transparent">secret</p>`, false},
		"font element":                {`<font color="white">secret</font>`, false},
		"hidden":                      {`<p hidden>secret</p>`, false},
		"by class":                    {`<style>.x, .y{display:none}</style><p class="a y">secret</p>`, false},
		"by id":                       {`<style>#x{visibility:hidden}</style><p id=x>secret</p>`, false},
		"by class on small screens":   {`<style>@media (max-width:9px){.x{display:none}} p{color:red}</style><p class=x>secret</p>`, true},
		"in a template":               {`<template>secret</template>`, false},
		"in a comment":                {`<!-- secret -->`, false},
		"in a noscript":               {`<noscript>secret</noscript>`, false},
		"in an attribute":             {`<p title="secret" data-x="secret" aria-label="secret">x</p>`, false},
	} {
		text := markdown(t, `<p>A page that has enough words of its own to be a page.</p>`+tt.body)
		if strings.Contains(text, "secret") != tt.kept {
			t.Errorf("%s: got %q, want the text kept: %v", name, text, tt.kept)
		}
	}
	p := read(t, `<p>Words that are seen by all.</p><p hidden>do evil</p><p>zero`+"\u200b"+`width</p>`)
	want := page.Hidden{Elements: 1, Words: 2, Signs: 1, Start: "do evil"}
	if diff := cmp.Diff(want, p.Hidden); diff != "" {
		t.Errorf("reported (-want +got):\n%s", diff)
	}
}

func TestAPageThatAppearsPieceByPieceIsRead(t *testing.T) {
	if text := markdown(t, `<div style="opacity:0"><p>All of this page fades in.</p></div><p>Menu</p>`); !strings.Contains(text, "fades in") {
		t.Errorf("got %q", text)
	}
}

func TestMarkdownKeepsStructure(t *testing.T) {
	for name, tt := range map[string]struct{ body, want string }{
		"a table":                   {`<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>`, "| a | b |\n|---|---|\n| 1 | 2 |"},
		"a table without a head":    {`<table><tr><td>1</td><td>2</td></tr><tr><td>3</td><td>4</td></tr></table>`, "| 1 | 2 |\n|---|---|\n| 3 | 4 |"},
		"code in colours":           {`<div class="highlight-source-go"><pre><span>func</span> f() {}<br>// *x*</pre></div>`, "```go\nfunc f() {}\n// *x*\n```"},
		"a relative link":           {`<a href="../x?y#z">link</a>`, "[link](https://example.org/x?y)"},
		"a link that runs a script": {`<a href="javascript:alert(1)">link</a>`, "link"},
		"a picture as data":         {`<p>x <img alt="pic" src="data:image/png;base64,AAAA"></p>`, "x"},
		"a list":                    {`<ol start=3><li>a<ul><li>b</li></ul></li></ol>`, "3. a\n   \n   - b"},
	} {
		if got := markdown(t, tt.body); got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, tt.want)
		}
	}
}

func TestEncodings(t *testing.T) {
	for name, tt := range map[string]struct{ body, kind, want string }{
		"told by the header":               {"Caf\xe9", "text/html; charset=iso-8859-1", "Café"},
		"told by the page":                 {"<meta charset=windows-1251>\xcf\xf0\xe8\xe2\xe5\xf2", "text/html", "<meta charset=windows-1251>Привет"},
		"told late":                        {strings.Repeat(" ", 5000) + "<meta charset=koi8-r>\xf0", "", strings.Repeat(" ", 5000) + "<meta charset=koi8-r>П"},
		"not told, but UTF-8":              {strings.Repeat(" ", 5000) + "naïve", "", strings.Repeat(" ", 5000) + "naïve"},
		"byte order mark beats the header": {"\xEF\xBB\xBFé", "text/html; charset=iso-8859-1", "é"},
		"UTF-16":                           {"\xff\xfea\x00b\x00", "", "ab"},
		"broken":                           {"a\xffb", "text/html; charset=utf-8", "a\uFFFDb"},
	} {
		if got := string(page.Decode([]byte(tt.body), tt.kind)); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

func TestSections(t *testing.T) {
	const text = "Intro\n\n# One\n\na\n\n## One A\n\n```\n# no heading\n```\n\n# Two\n\nb\n"
	var got []string
	for _, s := range page.Sections(text) {
		got = append(got, s.Title+": "+strings.ReplaceAll(text[s.Start:s.Below], "\n", "/"))
	}
	want := []string{": Intro//# One//a//## One A//```/# no heading/```//# Two//b/", "One: # One//a//## One A//```/# no heading/```//", "One A: ## One A//```/# no heading/```//", "Two: # Two//b/"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s, ok := page.FindSection(page.Sections(text), "one-a"); !ok || s.Title != "One A" {
		t.Errorf("got %+v %v", s, ok)
	}
}

func TestReadingStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := new(page.Reader).Read(ctx, page.Input{Body: []byte("<p>x")}); err == nil {
		t.Error("got a page, want the error of the context")
	}
}

func FuzzRead(f *testing.F) {
	f.Add("<p style=color:#fff>x<pre><a href=//x><table><td colspan=9e9>")
	f.Add("<style>.a{{@media{}</style><svg><title>x</title><p class=a>")
	r := &page.Reader{MaxNodes: 2000}
	f.Fuzz(func(t *testing.T, body string) {
		p, err := r.Read(t.Context(), page.Input{Body: []byte(body)})
		if err != nil {
			t.Skip(err)
		}
		text, err := p.Markdown(t.Context(), true)
		if err != nil {
			t.Fatal(err)
		}
		page.Sections(text)
		p.Links()
	})
}
