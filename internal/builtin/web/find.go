package web

import (
	"context"
	"slices"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/web/content"
	"github.com/dragoman-mcp/dragoman/internal/builtin/web/page"
	"github.com/dragoman-mcp/dragoman/server"
)

type findInput struct {
	URL       string `json:"url"`
	Query     string `json:"query" jsonschema:"words to look for"`
	MaxTokens int    `json:"max_tokens,omitempty" min:"100"`
	Cursor    string `json:"cursor,omitempty"`
}

type finding struct {
	Section string `json:"section"`
	Text    string `json:"text"`
}

type found struct {
	Matches []finding `json:"matches"`
	server.Page
}

// maxPassage bounds a passage in bytes: a section that is longer is searched in pieces of paragraphs.
const maxPassage = 2000

func (w *web) find(ctx context.Context, c *server.Call, in findInput) (found, error) {
	start := 0
	if in.Cursor != "" {
		if err := c.Resume(in.Cursor, &start); err != nil {
			return found{}, err
		}
	}
	words := content.Words(in.Query)
	if len(words) == 0 {
		return found{}, server.Errorf("give words to look for", "the query has no words")
	}
	if in.MaxTokens > 0 {
		c.Budget.Lower(server.Limits{Tokens: in.MaxTokens})
	}
	r, err := w.render(ctx, c.Principal, place{URL: in.URL, View: "page"}, false)
	if err != nil {
		return found{}, err
	}
	passages := search(r.text, words)
	out, text := found{Matches: []finding{}}, strings.Builder{}
	for i, p := range passages[min(max(start, 0), len(passages)):] {
		if !c.Budget.Row([]byte(p.Section + p.Text)) {
			if i == 0 {
				return found{}, server.Errorf("ask for more tokens", "the first match is larger than the budget")
			}
			out.Page = c.More(start + i)
			break
		}
		out.Matches = append(out.Matches, p)
		text.WriteString("## " + p.Section + "\n\n" + p.Text + "\n\n")
	}
	if len(out.Matches) == 0 {
		text.WriteString("No section has these words.")
	}
	c.Untrusted(r.head.URL)
	c.Text(text.String())
	return out, nil
}

// search returns the passages of a text that have words, those with most different words first, then with most of them in few words.
func search(text string, words []string) []finding {
	type hit struct {
		finding
		different int
		density   float64
	}
	var hits []hit
	for _, s := range page.Sections(text) {
		for _, passage := range pieces(strings.TrimSpace(text[s.Start:s.End])) {
			if different, density := count(content.Words(passage), words); different > 0 {
				hits = append(hits, hit{finding{s.Title, passage}, different, density})
			}
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int {
		switch {
		case a.different != b.different:
			return b.different - a.different
		case a.density > b.density:
			return -1
		case a.density < b.density:
			return 1
		}
		return 0
	})
	out := make([]finding, len(hits))
	for i, h := range hits {
		out[i] = h.finding
	}
	return out
}

// count says how many of the words a passage has, and how much of it they are. A word counts as one that begins with it, too.
func count(passage, words []string) (different int, density float64) {
	all := 0
	for _, w := range words {
		n := 0
		for _, h := range passage {
			if strings.HasPrefix(h, w) {
				n++
			}
		}
		all += n
		different += min(n, 1)
	}
	return different, float64(all) / float64(len(passage)+20)
}

// pieces cuts a long section at its paragraphs.
func pieces(text string) []string {
	var out []string
	for len(text) > maxPassage {
		part := wholeParagraphs(strings.ToValidUTF8(text[:maxPassage], ""))
		out = append(out, strings.TrimSpace(part))
		text = text[len(part):]
	}
	return append(out, text)
}
