package content

import (
	"hash/maphash"
	"net/url"
	"strings"
	"unicode"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Document is a parsed page, cut into blocks.
type Document struct {
	Blocks []*Block
	page   pageFacts
	elems  []*elem
	top    *elem
}

// Block is a run of text within one block-level element.
type Block struct {
	// Nodes are the text nodes of the block, in order.
	Nodes []*html.Node
	// Words are the words of the block in lower case.
	Words []string
	// Text is the text of the block with single spaces.
	Text string

	linked    int // words within links
	in        *elem
	at        int // words of the page before this block
	index     int
	same      int     // blocks of the page with this very text
	inArticle float32 // share of the words that Facts.Article has, too
}

// elem is an element that has text, with what is known of its subtree.
type elem struct {
	node    *html.Node
	parent  *elem
	depth   int
	hints   [hintCount]bool
	sign    uint64 // hash of tag and class
	words   int
	linked  int
	prose   int // words in blocks that look like prose
	blocks  int
	score   float64 // of the paragraphs below, see vote
	mass    float64 // words below, each as likely as Context was told
	twins   int     // children of the same parent with the same sign, itself included
	seenKid map[uint64]int
}

// Facts are what is known of a page besides its tree.
type Facts struct {
	URL *url.URL
	// Title, Description and Kind are what the page says of itself (og:type).
	Title, Description, Kind string
	// Data is the JSON-LD of the page, as text.
	Data string
	// Article is what another way of finding the content has found, as text; empty when it found nothing or was not asked.
	Article string
}

// cutter cuts a tree into blocks.
type cutter struct {
	doc   *Document
	text  strings.Builder
	nodes []*html.Node
	links int // depth within links
	inA   []string
	words int
	seed  maphash.Seed
}

// Cut cuts a document into blocks. It keeps the nodes of root.
func Cut(root *html.Node, facts Facts) *Document {
	c := &cutter{doc: &Document{}, seed: maphash.MakeSeed()}
	top := &elem{node: root}
	c.doc.elems = append(c.doc.elems, top)
	c.walk(root, top)
	c.flush(top)
	c.doc.finish(facts)
	return c.doc
}

// Skipped tells elements whose text is never shown as text of the page.
func Skipped(n *html.Node) bool {
	switch n.DataAtom {
	case atom.Script, atom.Style, atom.Noscript, atom.Template, atom.Svg, atom.Iframe, atom.Object, atom.Select, atom.Textarea,
		atom.Head, atom.Canvas, atom.Audio, atom.Video, atom.Math, atom.Datalist, atom.Input, atom.Noframes, atom.Map:
		return true
	}
	return false
}

// inline tells elements that do not begin a new block.
func inline(a atom.Atom) bool {
	switch a {
	case atom.A, atom.Abbr, atom.B, atom.Bdi, atom.Bdo, atom.Big, atom.Br, atom.Cite, atom.Code, atom.Data, atom.Del, atom.Dfn,
		atom.Em, atom.Font, atom.I, atom.Img, atom.Ins, atom.Kbd, atom.Label, atom.Mark, atom.Q, atom.S, atom.Samp, atom.Small,
		atom.Span, atom.Strike, atom.Strong, atom.Sub, atom.Sup, atom.Time, atom.Tt, atom.U, atom.Var, atom.Wbr, atom.Ruby, atom.Rt, atom.Rp, 0:
		return true
	}
	return false
}

func (c *cutter) walk(n *html.Node, in *elem) {
	for kid := n.FirstChild; kid != nil; kid = kid.NextSibling {
		switch {
		case kid.Type == html.TextNode:
			c.text.WriteString(kid.Data)
			c.nodes = append(c.nodes, kid)
			if c.links > 0 {
				c.inA = append(c.inA, kid.Data)
			}
		case kid.Type != html.ElementNode || Skipped(kid):
		case inline(kid.DataAtom) || in.node.DataAtom == atom.Pre:
			c.inline(kid, in)
		default:
			c.flush(in)
			e := c.enter(kid, in)
			c.walk(kid, e)
			c.flush(e)
		}
	}
}

// inline goes on within the block, unless a link holds blocks of its own.
func (c *cutter) inline(kid *html.Node, in *elem) {
	switch kid.DataAtom {
	case atom.Br:
		c.text.WriteByte(' ')
		return
	case atom.A:
		c.links++
		defer func() { c.links-- }()
	}
	if kid.DataAtom == atom.A || kid.DataAtom == atom.Span || kid.DataAtom == 0 {
		if in.node.DataAtom != atom.Pre && hasBlocks(kid, 3) {
			c.flush(in)
			e := c.enter(kid, in)
			c.walk(kid, e)
			c.flush(e)
			return
		}
	}
	c.walk(kid, in)
}

func hasBlocks(n *html.Node, depth int) bool {
	if depth == 0 {
		return false
	}
	for kid := n.FirstChild; kid != nil; kid = kid.NextSibling {
		if kid.Type == html.ElementNode && (!inline(kid.DataAtom) && !Skipped(kid) || hasBlocks(kid, depth-1)) {
			return true
		}
	}
	return false
}

func (c *cutter) enter(n *html.Node, in *elem) *elem {
	e := &elem{node: n, parent: in, depth: in.depth + 1, hints: hintsOf(n)}
	class, _, _ := strings.Cut(attr(n, "class"), " ")
	e.sign = maphash.String(c.seed, n.Data+"."+class)
	if in.seenKid == nil {
		in.seenKid = map[uint64]int{}
	}
	in.seenKid[e.sign]++
	c.doc.elems = append(c.doc.elems, e)
	return e
}

func (c *cutter) flush(in *elem) {
	if len(c.nodes) == 0 {
		c.text.Reset()
		return
	}
	text := strings.Join(strings.Fields(c.text.String()), " ")
	words := Words(text)
	b := &Block{Nodes: c.nodes, Text: text, Words: words, in: in, at: c.words, index: len(c.doc.Blocks)}
	for _, t := range c.inA {
		b.linked += len(Words(t))
	}
	b.linked = min(b.linked, len(words))
	c.text.Reset()
	c.nodes, c.inA = nil, nil
	if len(words) == 0 {
		return
	}
	c.words += len(words)
	c.doc.Blocks = append(c.doc.Blocks, b)
}

// Words returns the words of a text in lower case: runs of letters, digits, marks and underscores.
func Words(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsNumber(r) && r != '_'
	})
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}
