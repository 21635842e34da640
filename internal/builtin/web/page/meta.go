package page

import (
	"encoding/json"
	"net/url"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Meta is what a page says of itself.
type Meta struct {
	Title, Description, Language, Author, Published, Site, Kind string
	Canonical                                                   string
	// Robots is what <meta name=robots> says, in lower case.
	Robots string
	// Data is the JSON-LD of the page: valid JSON texts.
	Data []string
}

// maxData bounds the JSON-LD that is kept of a page, in bytes.
const maxData = 256 << 10

// Link is a link of a page.
type Link struct {
	URL  string
	Text string
	// Content is whether it stands in the content, and not in what surrounds it.
	Content bool
	// NoFollow is whether the page asks crawlers not to follow it.
	NoFollow bool
}

func readMeta(root *html.Node) (m Meta) {
	named := map[string]string{}
	data := 0
	for n := range root.Descendants() {
		switch n.DataAtom {
		case atom.Html:
			m.Language = firstOf(m.Language, attrOf(n, "lang"))
		case atom.Title:
			if named["title"] == "" && n.FirstChild != nil && n.Namespace == "" {
				named["title"] = squeeze(n.FirstChild.Data)
			}
		case atom.Meta:
			key := strings.ToLower(firstOf(attrOf(n, "property"), attrOf(n, "name"), attrOf(n, "itemprop")))
			if named["meta "+key] == "" && len(named) < 500 {
				named["meta "+key] = squeeze(attrOf(n, "content"))
			}
		case atom.Link:
			if strings.EqualFold(attrOf(n, "rel"), "canonical") && m.Canonical == "" {
				m.Canonical = attrOf(n, "href")
			}
		case atom.Script:
			if text := dataOf(n); text != "" && data+len(text) <= maxData {
				data += len(text)
				m.Data = append(m.Data, text)
			}
		}
	}
	meta := func(keys ...string) string {
		for _, key := range keys {
			if named["meta "+key] != "" {
				return named["meta "+key]
			}
		}
		return ""
	}
	m.Title = firstOf(meta("og:title", "twitter:title", "dc.title"), named["title"])
	m.Description = meta("og:description", "description", "twitter:description", "dc.description")
	m.Author = meta("author", "article:author", "dc.creator", "parsely-author", "byl")
	m.Published = meta("article:published_time", "datepublished", "date", "dc.date", "parsely-pub-date", "pubdate")
	m.Site = meta("og:site_name", "application-name")
	m.Kind = meta("og:type")
	m.Robots = strings.ToLower(meta("robots"))
	return m
}

// dataOf returns the JSON-LD of a script, if it is that.
func dataOf(script *html.Node) string {
	if !strings.HasPrefix(strings.ToLower(attrOf(script, "type")), "application/ld+json") || script.FirstChild == nil {
		return ""
	}
	text := strings.TrimSpace(script.FirstChild.Data)
	if len(text) > maxData || !json.Valid([]byte(text)) {
		return ""
	}
	return text
}

// maxField bounds a text of Meta, in bytes.
const maxField = 1000

func squeeze(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	return strings.ToValidUTF8(text[:min(len(text), maxField)], "")
}

// maxLinks bounds the links of a page.
const maxLinks = 5000

// Links returns the links to other documents, each once, in the order of the page.
func (p *Page) Links() []Link {
	base := p.base()
	at := map[string]int{}
	var links []Link
	for n := range p.body.Descendants() {
		if n.DataAtom != atom.A || len(links) >= maxLinks {
			continue
		}
		u, ok := resolve(base, attrOf(n, "href"))
		if !ok {
			continue
		}
		link := Link{
			URL: u, Text: squeeze(textOf(n)), Content: p.kept[n],
			NoFollow: strings.Contains(strings.ToLower(attrOf(n, "rel")), "nofollow") || strings.Contains(p.Meta.Robots, "nofollow"),
		}
		if i, known := at[u]; known {
			links[i].Content = links[i].Content || link.Content
			links[i].NoFollow = links[i].NoFollow && link.NoFollow
			if links[i].Text == "" {
				links[i].Text = link.Text
			}
			continue
		}
		at[u] = len(links)
		links = append(links, link)
	}
	return links
}

// base is what relative links of the page are relative to.
func (p *Page) base() *url.URL {
	for n := range p.body.Descendants() {
		if n.DataAtom == atom.Body || p.URL == nil {
			break
		}
		if n.DataAtom != atom.Base || attrOf(n, "href") == "" {
			continue
		}
		if u, err := p.URL.Parse(attrOf(n, "href")); err == nil {
			return u
		}
	}
	return p.URL
}

// resolve makes a link absolute. Those that are not http or https, and those to a part of the same document, are none.
func resolve(base *url.URL, href string) (string, bool) {
	href = strings.TrimSpace(href)
	if href == "" || href[0] == '#' {
		return "", false
	}
	u, err := url.Parse(href)
	if err != nil {
		return "", false
	}
	if base != nil {
		u = base.ResolveReference(u)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", false
	}
	u.Fragment, u.RawFragment = "", ""
	return u.String(), true
}
