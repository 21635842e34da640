package web

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/dragoman-mcp/dragoman/internal/builtin/web/page"
	"github.com/dragoman-mcp/dragoman/server"
)

// rendering is a page as text, one view of it.
type rendering struct {
	head fetched // without content
	text string
}

// render visits a page and writes a view of it. What goes on with a cursor takes the text that was written before, if it is
// still there.
func (w *web) render(ctx context.Context, principal string, at place, fresh bool) (*rendering, error) {
	u, err := parseURL(at.URL)
	if err != nil {
		return nil, err
	}
	key := principal + "\x00" + at.View + "\x00" + u.String()
	if r := w.kept.get(key); r != nil && at.Sum != "" && checksum(r.text) == at.Sum {
		return r, nil
	}
	v, err := w.visits.get(ctx, ask{url: u, principal: principal, fresh: fresh, obey: w.obey})
	if err != nil {
		return nil, err
	}
	r, err := w.write(ctx, v, at.View)
	if err != nil {
		return nil, err
	}
	w.kept.put(key, r)
	return r, nil
}

// write writes a view of what was found.
func (w *web) write(ctx context.Context, v *visit, view string) (*rendering, error) {
	kind := v.contentType()
	r := &rendering{head: fetched{URL: v.url.String(), Status: v.Status, Type: kind}}
	if len(v.Body) == 0 {
		if v.Status != http.StatusOK {
			return nil, server.Errorf("check the URL", "%s answered with status %d and nothing else", v.url.Host, v.Status)
		}
		return r, nil
	}
	switch {
	case view == "source" && isText(kind, v.Body):
		r.text = string(page.Decode(v.Body, v.Header.Get("Content-Type")))
	case kind == "text/html" || kind == "application/xhtml+xml":
		return r, w.writeHTML(ctx, v, view, r)
	case view == "links" || view == "data":
		return nil, server.Errorf("ask for the view content", "the document is %s and not HTML", kind)
	case isText(kind, v.Body):
		r.text, r.head.Hidden = page.Visible(page.Decode(v.Body, v.Header.Get("Content-Type")))
		r.head.Sections = headings(r.text)
	case kind == "application/pdf":
		return nil, server.Errorf("look for an HTML version of the document", "PDF documents are not supported")
	default:
		return nil, server.Errorf("ask for HTML or text", "the document is %.100s, which cannot be read as text", kind)
	}
	return r, nil
}

// isText says whether a document can be shown as text.
func isText(kind string, body []byte) bool {
	switch {
	case strings.HasPrefix(kind, "text/"), strings.HasSuffix(kind, "json"), strings.HasSuffix(kind, "+xml"), kind == "application/xml",
		kind == "application/javascript", kind == "application/yaml", kind == "application/toml", kind == "application/x-ndjson":
		return true
	case kind == "application/octet-stream", kind == "":
		return utf8.Valid(body) && bytes.IndexByte(body, 0) < 0
	}
	return false
}

func (w *web) writeHTML(ctx context.Context, v *visit, view string, r *rendering) error {
	p, err := w.reader.Read(ctx, page.Input{Body: v.Body, Type: v.Header.Get("Content-Type"), URL: v.url})
	if err != nil {
		return tooSlow(ctx, err)
	}
	m := &p.Meta
	r.head.Title, r.head.Summary, r.head.Author, r.head.Published, r.head.Language = m.Title, m.Description, m.Author, m.Published, m.Language
	r.head.Hidden = p.Hidden.String()
	if p.Cut {
		r.head.Hidden = strings.TrimPrefix(r.head.Hidden+"; the page has too many elements, and is not whole", "; ")
	}
	switch view {
	case "links":
		r.text = linkList(p.Links())
	case "data":
		r.text = strings.Join(m.Data, "\n\n")
	default:
		r.text, err = p.Markdown(ctx, view == "page")
		if err == nil && r.text == "" && view == "content" {
			r.text, err = p.Markdown(ctx, true)
		}
		r.head.Sections = headings(r.text)
	}
	if err != nil {
		return tooSlow(ctx, err)
	}
	return nil
}

func tooSlow(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return server.Errorf("ask for the view source, or another page", "reading the page took too long")
	}
	return err
}

func linkList(links []page.Link) string {
	var inside, around strings.Builder
	for _, l := range links {
		to := &around
		if l.Content {
			to = &inside
		}
		fmt.Fprintf(to, "- [%s](%s)\n", strings.NewReplacer("[", "(", "]", ")").Replace(l.Text), l.URL)
	}
	return "# Content\n\n" + inside.String() + "\n# Around it\n\n" + around.String()
}

const (
	// maxRenderings and maxRenderingBytes bound what is kept for cursors, renderingLife how long.
	maxRenderings     = 64
	maxRenderingBytes = 8 << 20
	renderingLife     = 10 * time.Minute
)

// renderings keeps texts for the calls that go on reading them. Their keys name the principal.
type renderings struct {
	now func() time.Time

	mu    sync.Mutex // guards what follows
	texts map[string]*keptRendering
	bytes int
}

type keptRendering struct {
	*rendering
	used time.Time
}

func newRenderings(now func() time.Time) *renderings {
	return &renderings{now: now, texts: map[string]*keptRendering{}}
}

func (k *renderings) get(key string) *rendering {
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.texts[key]
	if r == nil || k.now().Sub(r.used) > renderingLife {
		return nil
	}
	r.used = k.now()
	return r.rendering
}

func (k *renderings) put(key string, r *rendering) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop(key)
	if len(r.text) > maxRenderingBytes/4 {
		return
	}
	k.texts[key] = &keptRendering{r, k.now()}
	k.bytes += len(r.text) + len(key)
	for len(k.texts) > maxRenderings || k.bytes > maxRenderingBytes {
		oldest, when := "", time.Time{}
		for key, r := range k.texts {
			if oldest == "" || r.used.Before(when) {
				oldest, when = key, r.used
			}
		}
		k.drop(oldest)
	}
}

// drop forgets a text. The caller holds mu.
func (k *renderings) drop(key string) {
	if r := k.texts[key]; r != nil {
		k.bytes -= len(r.text) + len(key)
		delete(k.texts, key)
	}
}
