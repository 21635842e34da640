package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/url"
	"strings"
)

const (
	// maxSitemaps bounds the sitemaps that one crawl reads, and maxSitemapBytes one of them when it is unpacked.
	maxSitemaps     = 20
	maxSitemapBytes = 10 << 20
)

// addSitemaps queues what the sitemaps name that robots.txt names, or that is at the usual place.
func (k *crawl) addSitemaps(ctx context.Context) error {
	h, err := k.web.visits.hosts.enter(ctx, k.start)
	if err != nil {
		return err
	}
	rules, err := h.rules(ctx)
	if err != nil {
		return explain(err, k.start)
	}
	names := rules.Sitemaps
	if len(names) == 0 {
		names = []string{"/sitemap.xml"}
	}
	read := map[string]bool{}
	for len(names) > 0 && len(read) < maxSitemaps {
		u, err := k.start.Parse(names[0])
		names = names[1:]
		if err != nil || read[u.String()] || !strings.EqualFold(u.Host, k.start.Host) {
			continue
		}
		read[u.String()] = true
		v, err := k.web.visits.get(ctx, ask{url: u, principal: k.call.Principal, obey: true})
		if ctx.Err() != nil {
			return explain(ctx.Err(), u)
		}
		if err != nil || v.Status != 200 {
			continue // a crawl does without
		}
		pages, more := readSitemap(v.Body)
		names = append(names, more[:min(len(more), maxSitemaps)]...)
		for _, loc := range pages {
			if u, err := parseURL(loc); err == nil {
				k.add(u, 1, false)
			}
		}
	}
	return nil
}

// readSitemap reads a sitemap or an index of sitemaps (sitemaps.org), as far as it can be read. A list of URLs as plain text is
// one, too.
func readSitemap(body []byte) (pages, sitemaps []string) {
	if bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, nil
		}
		if body, err = io.ReadAll(io.LimitReader(z, maxSitemapBytes)); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, nil
		}
	}
	if !bytes.Contains(body[:min(len(body), 1000)], []byte("<")) {
		for line := range strings.Lines(string(body)) {
			if u, err := url.Parse(strings.TrimSpace(line)); err == nil && u.Host != "" && len(pages) < maxFrontier {
				pages = append(pages, u.String())
			}
		}
		return pages, nil
	}
	d := xml.NewDecoder(bytes.NewReader(body))
	d.Strict = false
	var parent, name string
	for len(pages) < maxFrontier {
		token, err := d.Token()
		if err != nil {
			return pages, sitemaps
		}
		switch t := token.(type) {
		case xml.StartElement:
			if name = t.Name.Local; name == "url" || name == "sitemap" {
				parent = name
			}
		case xml.EndElement:
			name = ""
		case xml.CharData:
			switch loc := strings.TrimSpace(string(t)); {
			case name != "loc" || loc == "":
			case parent == "url":
				pages = append(pages, loc)
			case parent == "sitemap":
				sitemaps = append(sitemaps, loc)
			}
		}
	}
	return pages, sitemaps
}
