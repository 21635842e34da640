package page

import (
	"fmt"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/dragoman-mcp/dragoman/internal/builtin/web/content"
	"github.com/dragoman-mcp/dragoman/internal/plaintext"
)

// Hidden says what a page had that its readers do not see, and what was taken away for that.
type Hidden struct {
	// Elements and Words are those that styles hide.
	Elements, Words int
	// Signs are characters that nobody sees: see plaintext.Found.
	Signs int
	// Start is the beginning of the first hidden text.
	Start string
}

// maxHiddenStart bounds Hidden.Start, in bytes.
const maxHiddenStart = 120

// veil finds what is hidden in one page.
type veil struct {
	sheet sheet
	found Hidden
	gone  []*html.Node
	faint []*html.Node // may become visible by a script
}

// reveal takes hidden text away.
func reveal(root *html.Node) Hidden {
	v := &veil{}
	start := colours{back: "white"}
	if v.sheet, start.styled = readSheets(root); start.styled {
		start.back = "unknown"
	}
	v.walk(root, start)
	faint, all := 0, words(root)
	for _, n := range v.faint {
		faint += words(n)
	}
	if faint*3 < all { // otherwise it is how a page appears, piece by piece
		v.gone = append(v.gone, v.faint...)
	}
	for _, n := range v.gone {
		if n.Parent == nil {
			continue
		}
		v.count(n)
		n.Parent.RemoveChild(n)
	}
	return v.found
}

func (v *veil) count(n *html.Node) {
	text := strings.Join(strings.Fields(textOf(n)), " ")
	if text == "" {
		return
	}
	v.found.Elements++
	v.found.Words += len(strings.Fields(text))
	if v.found.Start == "" {
		v.found.Start = strings.ToValidUTF8(text[:min(len(text), maxHiddenStart)], "")
	}
}

// colours are those of an element, as far as its own and its ancestors' style attributes tell. With style sheets, the
// colour that the page begins with is not known.
type colours struct {
	text, back string
	styled     bool
}

func (v *veil) walk(n *html.Node, c colours) {
	for kid := n.FirstChild; kid != nil; kid = kid.NextSibling {
		switch kid.Type {
		case html.TextNode:
			if kid.Parent.DataAtom != atom.Script && kid.Parent.DataAtom != atom.Style {
				kid.Data = v.clean(kid.Data)
			}
		case html.ElementNode:
			if kid.DataAtom == atom.Head || content.Skipped(kid) {
				continue
			}
			style := parseStyle(attrOf(kid, "style"))
			own := c.with(kid, style)
			switch visibility(kid, style, v.sheet) {
			case gone:
				v.gone = append(v.gone, kid)
				continue
			case faint:
				v.faint = append(v.faint, kid)
				continue
			}
			if own.text == own.back {
				v.gone = append(v.gone, kid)
				continue
			}
			v.walk(kid, own)
		}
	}
}

func (c colours) with(n *html.Node, style map[string]string) colours {
	if text := colour(firstOf(style["color"], attrOf(n, "color"))); text != "" {
		c.text = text
	}
	if back := firstOf(style["background-color"], style["background"], attrOf(n, "bgcolor")); back != "" {
		if named := colour(back); named != "" {
			c.back = named
		} else if !strings.Contains(back, "transparent") && back != "none" && back != "inherit" && back != "initial" {
			c.back = "unknown"
		}
	}
	return c
}

// clean takes characters out of a text that nobody sees.
func (v *veil) clean(text string) string {
	text, found := plaintext.Clean(text)
	v.found.Signs += found.Signs()
	return text
}

func words(n *html.Node) int { return len(strings.Fields(textOf(n))) }

// textOf is the text of a subtree, without that of scripts and styles.
func textOf(n *html.Node) string {
	var out strings.Builder
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.TextNode {
			out.WriteString(n.Data)
			out.WriteByte(' ')
		}
		if n.Type == html.ElementNode && content.Skipped(n) {
			return
		}
		for kid := n.FirstChild; kid != nil; kid = kid.NextSibling {
			walk(kid)
		}
	}
	walk(n)
	return out.String()
}

func attrOf(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func hasAttr(n *html.Node, key string) bool {
	for _, a := range n.Attr {
		if a.Key == key {
			return true
		}
	}
	return false
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// String says in a sentence what was hidden; empty when nothing was.
func (h Hidden) String() string {
	switch {
	case h.Elements == 0 && h.Signs == 0:
		return ""
	case h.Elements == 0:
		return fmt.Sprintf("%d invisible characters", h.Signs)
	case h.Signs == 0:
		return fmt.Sprintf("%d elements with %d words, the first begins %q", h.Elements, h.Words, h.Start)
	}
	return fmt.Sprintf("%d elements with %d words, the first begins %q, and %d invisible characters", h.Elements, h.Words, h.Start, h.Signs)
}

// Visible takes characters that nobody sees out of a text that is not HTML, and says what it took.
func Visible(text []byte) (visible, hidden string) {
	v := &veil{}
	visible = v.clean(string(text))
	return visible, v.found.String()
}
