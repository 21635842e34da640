package web

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/web/page"
	"github.com/dragoman-mcp/dragoman/server"
)

type crawlInput struct {
	URL     string `json:"url" jsonschema:"where to begin; only pages of the same host are visited"`
	Depth   *int   `json:"depth,omitempty" jsonschema:"most links from there; 2 when left out" min:"0"`
	Pages   int    `json:"pages,omitempty" jsonschema:"most pages to visit" min:"1" default:"20"`
	Within  string `json:"within,omitempty" jsonschema:"path that pages must begin with, such as /docs/"`
	Sitemap bool   `json:"sitemap,omitempty" jsonschema:"also take the URLs of the site's sitemaps"`
}

type crawled struct {
	URL   string `json:"url"`
	Title string `json:"title,omitempty"`
	About string `json:"about,omitempty" jsonschema:"beginning of the page, or why it was not read"`
	Depth int    `json:"depth"`
	Words int    `json:"words" jsonschema:"of the main content"`
}

type crawlResult struct {
	Pages []crawled `json:"pages"`
	// Left is how many known URLs were not visited.
	Left    int    `json:"left" jsonschema:"known pages not visited"`
	Stopped string `json:"stopped,omitempty" jsonschema:"why it ended early"`
	server.Page
}

const (
	// maxFrontier bounds the URLs that a crawl remembers.
	maxFrontier = 20_000
	maxAbout    = 200 // bytes
)

// crawl is one crawl under way.
type crawl struct {
	web    *web
	call   *server.Call
	start  *url.URL
	within string
	depth  int
	seen   map[string]bool
	queue  []step
	out    crawlResult
	texts  map[string]string // content by checksum: the same page under two URLs is told once
}

type step struct {
	url   *url.URL
	depth int
}

func (w *web) crawl(ctx context.Context, c *server.Call, in crawlInput) (crawlResult, error) {
	u, err := parseURL(in.URL)
	if err != nil {
		return crawlResult{}, err
	}
	depth, pages := 2, 20
	if in.Depth != nil {
		depth = *in.Depth
	}
	if in.Pages > 0 {
		pages = in.Pages
	}
	if in.Within != "" && !strings.HasPrefix(in.Within, "/") {
		return crawlResult{}, server.Errorf("give a path that begins with /", "within is %.100q", in.Within)
	}
	k := &crawl{
		web: w, call: c, start: u, within: in.Within, depth: min(depth, w.crawls.Depth),
		seen: map[string]bool{}, texts: map[string]string{}, out: crawlResult{Pages: []crawled{}},
	}
	k.add(u, 0, true)
	if in.Sitemap {
		if err := k.addSitemaps(ctx); err != nil {
			return crawlResult{}, err
		}
	}
	if err := k.run(ctx, min(pages, w.crawls.Pages)); err != nil {
		return crawlResult{}, err
	}
	c.Untrusted(u.Host)
	c.Text(k.out.readable())
	return k.out, nil
}

// run visits what is queued, the nearest first, until a bound is reached.
func (k *crawl) run(ctx context.Context, most int) error {
	visited := 0
	for len(k.queue) > 0 && visited < most {
		next := k.queue[0]
		k.queue = k.queue[1:]
		visited++
		row, err := k.visit(ctx, next)
		if err != nil && (visited == 1 || !isTold(err)) && ctx.Err() == nil {
			return err
		}
		if ctx.Err() != nil {
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			k.queue = append([]step{next}, k.queue...)
			k.out.Stopped = "out of time"
			break
		}
		if row == nil {
			continue
		}
		if !k.call.Budget.Row([]byte(row.URL + row.Title + row.About + "0000000000")) {
			k.out.Stopped = "the answer has no room for more"
			break
		}
		k.out.Pages = append(k.out.Pages, *row)
		k.call.Progress(ctx, float64(visited), float64(most), next.url.String())
	}
	k.out.Left = len(k.queue)
	k.out.Truncated = k.out.Left > 0
	if k.out.Stopped == "" && k.out.Truncated {
		k.out.Stopped = "as many pages as asked for or allowed"
	}
	return nil
}

func isTold(err error) bool {
	var told *server.Error
	return errors.As(err, &told)
}

// visit reads a page and queues its links. It returns nothing of a page that was there already or is not text.
func (k *crawl) visit(ctx context.Context, s step) (*crawled, error) {
	row := &crawled{URL: s.url.String(), Depth: s.depth}
	v, err := k.web.visits.get(ctx, ask{url: s.url, principal: k.call.Principal, obey: true})
	if err != nil {
		row.About = shorten(err.Error())
		return row, err
	}
	if to := v.url.String(); to != row.URL {
		if k.seen[to] || !k.inside(v.url) && s.depth > 0 {
			return nil, nil
		}
		k.seen[to], row.URL = true, to
		if s.depth == 0 && s.url.Host == k.start.Host {
			k.start = v.url // example.org is www.example.org
		}
	}
	if kind := v.contentType(); v.Status != 200 || kind != "text/html" && kind != "application/xhtml+xml" {
		row.About = fmt.Sprintf("status %d, %s", v.Status, kind)
		return row, nil
	}
	p, err := k.web.reader.Read(ctx, page.Input{Body: v.Body, Type: v.Header.Get("Content-Type"), URL: v.url})
	if err != nil {
		return row, err
	}
	text := p.Text()
	if len(text) > 100 {
		sum := checksum(text)
		if k.texts[sum] != "" {
			return nil, nil
		}
		k.texts[sum] = row.URL
	}
	row.Title, row.Words, row.About = p.Meta.Title, len(strings.Fields(text)), p.Meta.Description
	if row.About == "" {
		row.About = text
	}
	row.About = shorten(row.About)
	k.follow(p, s.depth+1)
	return row, nil
}

func shorten(text string) string {
	text = strings.Join(strings.Fields(text[:min(len(text), 4*maxAbout)]), " ")
	return strings.ToValidUTF8(text[:min(len(text), maxAbout)], "")
}

func (k *crawl) follow(p *page.Page, depth int) {
	if depth > k.depth || strings.Contains(p.Meta.Robots, "none") {
		return
	}
	for _, l := range p.Links() {
		if l.NoFollow {
			continue
		}
		if u, err := parseURL(l.URL); err == nil {
			k.add(u, depth, false)
		}
	}
}

// add queues a URL, once.
func (k *crawl) add(u *url.URL, depth int, always bool) {
	key := u.String()
	if len(k.seen) >= maxFrontier || k.seen[key] || !always && (!k.inside(u) || isFile(u)) {
		return
	}
	k.seen[key] = true
	k.queue = append(k.queue, step{u, depth})
}

// inside says whether a URL belongs to what is crawled.
func (k *crawl) inside(u *url.URL) bool {
	return strings.EqualFold(u.Host, k.start.Host) && (u.Scheme == k.start.Scheme || u.Scheme == "https") && strings.HasPrefix(u.Path, k.within)
}

// isFile tells what is hardly a page by its name.
func isFile(u *url.URL) bool {
	switch strings.ToLower(path.Ext(u.Path)) {
	case ".jpg", ".jpeg", ".png", ".gif", ".webp", ".svg", ".ico", ".css", ".js", ".mjs", ".json", ".xml", ".pdf", ".zip", ".gz", ".tar", ".tgz", ".exe", ".dmg",
		".mp3", ".mp4", ".webm", ".mov", ".avi", ".woff", ".woff2", ".ttf", ".rss", ".atom", ".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx", ".iso", ".bin":
		return true
	}
	return false
}

func (r *crawlResult) readable() string {
	var out strings.Builder
	for _, p := range r.Pages {
		fmt.Fprintf(&out, "%s- %s", strings.Repeat("  ", min(p.Depth, 5)), p.URL)
		if p.Title != "" {
			fmt.Fprintf(&out, " — %s (%d words)", p.Title, p.Words)
		}
		if p.About != "" {
			out.WriteString(": " + p.About)
		}
		out.WriteByte('\n')
	}
	if r.Truncated {
		fmt.Fprintf(&out, "\n[%d known pages were not visited: %s]\n", r.Left, r.Stopped)
	}
	return out.String()
}
