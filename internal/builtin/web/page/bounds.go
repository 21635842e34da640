package page

import (
	"bytes"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// within returns as much of a text as makes at most so many nodes. Formatting elements that are left open count
// again for each element that follows, since the parser opens them anew there (HTML, "reconstruct the active formatting
// elements"): a page of 100 kB can ask for a tree of millions that way.
func within(text []byte, most int) []byte {
	z := html.NewTokenizer(bytes.NewReader(text))
	z.SetMaxBuf(len(text) + 1)
	open, nodes, at := 0, 0, 0
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			return text
		}
		raw := len(z.Raw())
		switch kind {
		case html.StartTagToken:
			name, _ := z.TagName()
			nodes += 1 + min(open, 512)
			if formatting(atom.Lookup(name)) {
				open++
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if formatting(atom.Lookup(name)) && open > 0 {
				open--
			}
			nodes++ // </p> and </br> make elements
		default:
			nodes += 1 + min(open, 512)
		}
		if nodes > most {
			return text[:at]
		}
		at += raw
	}
}

func formatting(a atom.Atom) bool {
	switch a {
	case atom.A, atom.B, atom.Big, atom.Code, atom.Em, atom.Font, atom.I, atom.Nobr, atom.S, atom.Small, atom.Strike, atom.Strong, atom.Tt, atom.U:
		return true
	}
	return false
}
