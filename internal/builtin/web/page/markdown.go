package page

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/JohannesKaufmann/html-to-markdown/v2/converter"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/base"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/commonmark"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/strikethrough"
	"github.com/JohannesKaufmann/html-to-markdown/v2/plugin/table"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/dragoman-mcp/dragoman/internal/builtin/web/content"
)

// Markdown writes the content of the page as Markdown, or with whole all text that the page shows.
func (p *Page) Markdown(ctx context.Context, whole bool) (string, error) {
	c := &copier{base: p.base()}
	if !whole {
		c.kept = p.kept
	}
	root := c.copy(p.body)
	if root == nil {
		return "", nil
	}
	conv := converter.NewConverter(converter.WithPlugins(
		base.NewBasePlugin(), commonmark.NewCommonmarkPlugin(), strikethrough.NewStrikethroughPlugin(),
		table.NewTablePlugin(table.WithCellPaddingBehavior(table.CellPaddingBehaviorMinimal), table.WithSkipEmptyRows(true),
			table.WithHeaderPromotion(true), table.WithNewlineBehavior(table.NewlineBehaviorPreserve)),
	))
	text, err := conv.ConvertNode(root, converter.WithContext(ctx))
	if err != nil {
		return "", fmt.Errorf("write Markdown: %w", err)
	}
	return strings.TrimSpace(string(text)), ctx.Err()
}

// copier copies what of a tree becomes Markdown.
type copier struct {
	base *url.URL
	kept map[*html.Node]bool // nil for everything
}

// maxSpan bounds colspan and rowspan: a table of one cell must not become one of millions.
const maxSpan = 50

func (c *copier) copy(n *html.Node) *html.Node {
	switch n.Type {
	case html.TextNode:
		return &html.Node{Type: html.TextNode, Data: n.Data}
	case html.DocumentNode, html.ElementNode:
	default:
		return nil
	}
	if n.Type == html.ElementNode && content.Skipped(n) {
		return nil
	}
	to := &html.Node{Type: n.Type, Data: n.Data, DataAtom: n.DataAtom, Attr: c.attributes(n)}
	if n.DataAtom == atom.A && len(to.Attr) == 0 { // leads nowhere, or runs a script
		to.Data, to.DataAtom = "span", atom.Span
	}
	if n.DataAtom == atom.Pre {
		c.code(n, to)
		return to
	}
	for kid := n.FirstChild; kid != nil; kid = kid.NextSibling {
		if !c.wanted(kid) {
			continue
		}
		if k := c.copy(kid); k != nil {
			to.AppendChild(k)
		}
	}
	if to.FirstChild == nil && n.Type == html.ElementNode && !void(n.DataAtom) {
		return nil
	}
	return to
}

// wanted says whether a child is copied: what is kept, and what belongs to it.
func (c *copier) wanted(n *html.Node) bool {
	if c.kept == nil || c.kept[n] {
		return true
	}
	switch {
	case n.Type == html.TextNode:
		return strings.TrimSpace(n.Data) == ""
	case n.DataAtom == atom.Br || n.DataAtom == atom.Hr || n.DataAtom == atom.Td || n.DataAtom == atom.Th:
		return true
	case n.DataAtom == atom.Img:
		return attrOf(n, "alt") != ""
	case n.DataAtom == atom.Picture:
		return true
	}
	return false
}

func void(a atom.Atom) bool {
	return a == atom.Br || a == atom.Hr || a == atom.Img || a == atom.Td || a == atom.Th
}

// attributes are those that Markdown has something for.
func (c *copier) attributes(n *html.Node) []html.Attribute {
	var out []html.Attribute
	add := func(key, value string) { out = append(out, html.Attribute{Key: key, Val: value}) }
	for _, a := range n.Attr {
		switch {
		case a.Key == "href" && n.DataAtom == atom.A, a.Key == "src" && n.DataAtom == atom.Img:
			if u, ok := resolve(c.base, a.Val); ok {
				add(a.Key, u)
			}
		case a.Key == "alt" || a.Key == "title" && n.DataAtom == atom.Img || a.Key == "start":
			add(a.Key, a.Val)
		case a.Key == "colspan" || a.Key == "rowspan":
			if span, err := strconv.Atoi(a.Val); err == nil && span > 1 {
				add(a.Key, strconv.Itoa(min(span, maxSpan)))
			}
		}
	}
	return out
}

// code copies preformatted text as one piece of code: markup within it colours it, and means nothing.
func (c *copier) code(from, to *html.Node) {
	inner := &html.Node{Type: html.ElementNode, Data: "code", DataAtom: atom.Code}
	if language := languageOf(from); language != "" {
		inner.Attr = []html.Attribute{{Key: "class", Val: "language-" + language}}
	}
	var text strings.Builder
	for n := range from.Descendants() {
		switch {
		case n.Type == html.TextNode:
			text.WriteString(n.Data)
		case n.DataAtom == atom.Br:
			text.WriteByte('\n')
		}
	}
	inner.AppendChild(&html.Node{Type: html.TextNode, Data: text.String()})
	to.AppendChild(inner)
}

// languageOf finds out what preformatted text is written in, by the classes that highlighters use.
func languageOf(pre *html.Node) string {
	nodes := []*html.Node{pre}
	for kid := pre.FirstChild; kid != nil; kid = kid.NextSibling {
		if kid.DataAtom == atom.Code {
			nodes = append(nodes, kid)
		}
	}
	for n, up := pre.Parent, 0; n != nil && up < 3; n, up = n.Parent, up+1 {
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		for class := range strings.FieldsSeq(attrOf(n, "class")) {
			if language := languageClass(class); language != "" {
				return language
			}
		}
	}
	return ""
}

func languageClass(class string) string {
	for _, prefix := range []string{"language-", "lang-", "highlight-source-", "brush:"} {
		if language, ok := strings.CutPrefix(class, prefix); ok && len(language) < 30 {
			return language
		}
	}
	return ""
}
