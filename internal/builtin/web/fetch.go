package web

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/web/page"
	"github.com/dragoman-mcp/dragoman/server"
)

type fetchInput struct {
	URL       string `json:"url" jsonschema:"http or https URL"`
	View      string `json:"view,omitempty" jsonschema:"content is the main content, page all text, data the JSON-LD, source the text as it came" enum:"content|page|links|data|source" default:"content"`
	Section   string `json:"section,omitempty" jsonschema:"heading, or anchor after #: only that section"`
	MaxTokens int    `json:"max_tokens,omitempty" min:"100" jsonschema:"most tokens of content"`
	Fresh     bool   `json:"fresh,omitempty" jsonschema:"do not take it from the cache"`
	Cursor    string `json:"cursor,omitempty"`
}

// fetched is a page as it is told.
type fetched struct {
	URL       string   `json:"url" jsonschema:"after redirects"`
	Status    int      `json:"status" jsonschema:"of HTTP"`
	Type      string   `json:"type,omitempty"`
	Title     string   `json:"title,omitempty"`
	Summary   string   `json:"description,omitempty"`
	Author    string   `json:"author,omitempty"`
	Published string   `json:"published,omitempty"`
	Language  string   `json:"language,omitempty"`
	Sections  []string `json:"sections,omitempty" jsonschema:"headings of the whole page"`
	Hidden    string   `json:"hidden,omitempty" jsonschema:"what was left out because readers do not see it"`
	Content   string   `json:"content"`
	server.Page
}

// place is where a cursor goes on.
type place struct {
	URL, View, Section string
	At                 int
	Sum                string // of the text, which may have changed since
}

// maxSections bounds the headings that are listed.
const maxSections = 60

func (w *web) fetch(ctx context.Context, c *server.Call, in fetchInput) (fetched, error) {
	at := place{URL: in.URL, View: in.View, Section: in.Section}
	if in.Cursor != "" {
		if err := c.Resume(in.Cursor, &at); err != nil {
			return fetched{}, err
		}
		if at.URL != in.URL {
			return fetched{}, server.Errorf("pass the URL that it was given for, or no cursor", "the cursor is for another URL")
		}
	}
	if at.View == "" {
		at.View = "content"
	}
	if in.MaxTokens > 0 {
		c.Budget.Lower(server.Limits{Tokens: in.MaxTokens})
	}
	r, err := w.render(ctx, c.Principal, at, in.Fresh)
	if err != nil {
		return fetched{}, err
	}
	if at.Sum != "" && at.Sum != checksum(r.text) {
		return fetched{}, server.Errorf("start again without the cursor", "the page has changed")
	}
	text, err := r.section(at.Section)
	if err != nil {
		return fetched{}, err
	}
	at.At = min(at.At, len(text))
	out := r.head
	part, whole := c.Budget.Text(text[at.At:])
	if !whole {
		part = wholeParagraphs(part)
		if part == "" {
			return fetched{}, server.Errorf("ask for more tokens", "nothing of the page fits into the budget")
		}
		out.Page = c.More(place{URL: in.URL, View: at.View, Section: at.Section, At: at.At + len(part), Sum: checksum(r.text)})
	}
	if at.At > 0 || at.Section != "" {
		out.Sections = nil
	}
	out.Content = part
	c.Untrusted(out.URL)
	c.Text(out.about())
	c.Text(out.Content)
	if out.Truncated {
		c.Text("[There is more: call again with cursor " + out.NextCursor + "]")
	}
	return out, nil
}

// about is what people and models read before the content.
func (f *fetched) about() string {
	var out strings.Builder
	for _, line := range []struct{ name, value string }{{"URL", f.URL}, {"Title", f.Title}, {"Author", f.Author}, {"Published", f.Published}, {"Hidden text left out", f.Hidden}} {
		if line.value != "" {
			fmt.Fprintf(&out, "%s: %s\n", line.name, line.value)
		}
	}
	if f.Status != 200 {
		fmt.Fprintf(&out, "HTTP status: %d\n", f.Status)
	}
	return out.String()
}

// wholeParagraphs cuts a text back to the end of a paragraph or line, if there is one in its last third.
func wholeParagraphs(text string) string {
	for _, end := range []string{"\n\n", "\n", ". ", " "} {
		if at := strings.LastIndex(text, end); at > len(text)*2/3 {
			return text[:at+len(end)]
		}
	}
	return text
}

func checksum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// section is the part of a rendering that a caller wants.
func (r *rendering) section(title string) (string, error) {
	if title == "" {
		return r.text, nil
	}
	sections := page.Sections(r.text)
	s, ok := page.FindSection(sections, title)
	if !ok {
		return "", server.Errorf("take one of the headings that fetch lists as sections, or call find", "the page has no section %.100q", title)
	}
	return r.text[s.Start:s.Below], nil
}

func headings(text string) []string {
	var titles []string
	for _, s := range page.Sections(text) {
		if s.Level > 0 && len(titles) < maxSections {
			titles = append(titles, strings.Repeat("#", s.Level)+" "+s.Title)
		}
	}
	return titles
}
