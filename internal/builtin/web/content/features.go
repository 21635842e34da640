package content

import (
	"math"
	"strings"
	"unicode"

	"golang.org/x/net/html/atom"
)

// far stands for the distance of something that is not there.
const far = 30

// pageFacts are the numbers that all blocks of a page share.
type pageFacts struct {
	words, linked, prose float64
	kinds                []float32
	title, about         map[string]bool
	data                 string
	runs                 map[string]bool // of Facts.Article
	article              bool            // the page says that it is one
	headline             int             // words before the first h1, or -1
	best                 float64
}

// finish computes what needs the whole document.
func (d *Document) finish(facts Facts) {
	texts := map[string]int{}
	p := &d.page
	p.headline = -1
	for _, b := range d.Blocks {
		texts[b.Text]++
		p.words += float64(len(b.Words))
		p.linked += float64(b.linked)
		prose := 0
		if b.isProse() {
			prose = len(b.Words)
			p.prose += float64(prose)
			d.vote(b)
		}
		if b.in.node.DataAtom == atom.H1 && p.headline < 0 {
			p.headline = b.at
		}
		for e := b.in; e != nil; e = e.parent {
			e.words += len(b.Words)
			e.linked += b.linked
			e.prose += prose
			e.blocks++
		}
	}
	for _, b := range d.Blocks {
		b.same = texts[b.Text]
	}
	for _, e := range d.elems {
		if e.parent != nil {
			e.twins = e.parent.seenKid[e.sign]
		}
		if s := e.score * (1 - ratio(e.linked, e.words)); s > p.best {
			p.best, d.top = s, e
		}
	}
	p.title, p.about = wordSet(facts.Title), wordSet(facts.Description)
	p.data = strings.ToLower(facts.Data)
	p.runs = runsOf(Words(facts.Article))
	p.kinds = kinds(facts, d)
	p.article = p.kinds[0] > 0 || p.kinds[3] > 0
}

func (b *Block) isProse() bool {
	return len(b.Text) >= 25 && b.linked*3 < len(b.Words) && (len(b.Words) >= 10 || strings.ContainsAny(b.Text, ",.。，"))
}

// vote is how a paragraph speaks for the elements around it: for the nearest most, for those further up less.
func (d *Document) vote(b *Block) {
	score := 1 + float64(strings.Count(b.Text, ",")) + math.Min(float64(len(b.Text))/100, 3)
	e := b.in
	if e.parent != nil && e.node.DataAtom != atom.Div && e.node.DataAtom != atom.Td {
		e = e.parent
	}
	for share := 1.0; e != nil && share > 0.1; share /= 2 {
		e.score += score * share
		e = e.parent
	}
}

func kinds(facts Facts, d *Document) []float32 {
	kind, data := strings.ToLower(facts.Kind), strings.ToLower(facts.Data)
	out := []float32{
		flag(strings.Contains(kind, "article")), flag(strings.Contains(kind, "product")), flag(strings.Contains(kind, "website")),
		flag(strings.Contains(data, `article"`) || strings.Contains(data, `posting"`)),
		flag(strings.Contains(data, `"product"`)), flag(strings.Contains(data, `"itemlist"`) || strings.Contains(data, `"collectionpage"`)),
		flag(strings.Contains(data, `"faqpage"`) || strings.Contains(data, `"question"`)), flag(strings.Contains(data, `"discussionforumposting"`)),
	}
	depth, words, digits, root := 0, 0, 0, true
	if facts.URL != nil {
		path := strings.Trim(facts.URL.Path, "/")
		root = path == ""
		depth = strings.Count(path, "/")
		words = strings.Count(path, "-") + strings.Count(path, "_")
		for _, r := range path {
			if unicode.IsDigit(r) {
				digits++
			}
		}
	}
	var tags [4]int
	for _, e := range d.elems {
		switch e.node.DataAtom {
		case atom.Article:
			tags[0]++
		case atom.Main:
			tags[1]++
		case atom.H1:
			tags[2]++
		case atom.Td:
			tags[3]++
		}
	}
	out = append(out, flag(root), float32(depth), float32(words), float32(digits))
	for _, n := range tags {
		out = append(out, logn(n))
	}
	p := &d.page
	return append(out, logn(int(p.words)), logn(len(d.Blocks)), float32(p.linked/(p.words+1)), float32(p.prose/(p.words+1)))
}

// Features returns the numbers that describe each block, in the order of Blocks.
func (d *Document) Features() [][]float32 {
	out := make([][]float32, len(d.Blocks))
	for i, b := range d.Blocks {
		f := make([]float32, 0, 160)
		f = b.textFeatures(f)
		f = b.tagFeatures(f)
		f = b.hintFeatures(f)
		f = d.placeFeatures(f, b)
		f = d.boxFeatures(f, b)
		f = d.neighbourFeatures(f, i)
		f = d.relationFeatures(f, b)
		out[i] = append(f, d.page.kinds...)
	}
	d.articleFeatures(out)
	return out
}

// phrases are words that pages say about themselves, kind by kind.
var phrases = [...]string{
	"cookie|privacy policy|terms of|all rights reserved|copyright|©",
	"subscribe|newsletter|sign up|sign in|log in|login|register|your email",
	"share|follow us|facebook|twitter|linkedin|pinterest|whatsapp",
	"read more|learn more|see more|view all|show more|load more|see all|continue reading",
	"related|recommended|you may also|you might|more from|popular|trending|recent posts|latest",
	"comment|leave a reply|replies|reply|quote",
	"add to cart|add to bag|buy now|in stock|shipping|checkout|wishlist",
	"advertisement|sponsored|affiliate|commission",
	"posted|published|updated|min read| ago|written by|by ",
	"previous|next|page ",
	"skip to|menu|search|home|contact",
	"joined|posts:|member|views|likes|views:",
	"$|€|£|¥",
}

func (b *Block) textFeatures(f []float32) []float32 {
	var upper, digit, letters, ends, commas int
	for _, r := range b.Text {
		switch {
		case unicode.IsUpper(r):
			upper++
			letters++
		case unicode.IsLetter(r):
			letters++
		case unicode.IsDigit(r):
			digit++
		case r == '.' || r == '!' || r == '?' || r == '。':
			ends++
		case r == ',' || r == '，':
			commas++
		}
	}
	n := len(b.Words)
	last := b.Text[len(b.Text)-1]
	f = append(f, logn(n), float32(len(b.Text))/float32(n), float32(ratio(b.linked, n)), logn(n-b.linked),
		float32(ratio(upper, letters)), float32(ratio(digit, len(b.Text))), float32(ratio(ends, n)), float32(ratio(commas, n)), logn(ends),
		flag(last == '.' || last == '!' || last == '?' || last == '"'), flag(last == ':'), flag(last == '?'),
		flag(strings.ContainsAny(b.Text, "|•·»›")), logn(b.same), flag(unicode.IsLower(rune(b.Text[0]))), flag(unicode.IsDigit(rune(b.Text[0]))))
	low := strings.ToLower(b.Text[:min(len(b.Text), 300)])
	for _, group := range phrases {
		hits := 0
		for word := range strings.SplitSeq(group, "|") {
			if strings.Contains(low, word) {
				hits++
			}
		}
		f = append(f, float32(hits))
	}
	return f
}

func (b *Block) tagFeatures(f []float32) []float32 {
	var tags [12]float32
	place := -1
	switch b.in.node.DataAtom {
	case atom.P:
		place = 0
	case atom.Li:
		place = 1
	case atom.H1:
		place = 2
	case atom.H2:
		place = 3
	case atom.H3:
		place = 4
	case atom.H4, atom.H5, atom.H6:
		place = 5
	case atom.Td, atom.Th, atom.Tr:
		place = 6
	case atom.Div:
		place = 7
	case atom.A, atom.Button:
		place = 8
	case atom.Pre, atom.Blockquote:
		place = 9
	case atom.Dd, atom.Dt:
		place = 10
	case atom.Figcaption, atom.Span:
		place = 11
	}
	if place >= 0 {
		tags[place] = 1
	}
	bold := false
	if n := b.Nodes[0].Parent; n != nil {
		bold = n.DataAtom == atom.B || n.DataAtom == atom.Strong
	}
	return append(append(f, tags[:]...), flag(bold))
}

// hintFeatures are how far up the nearest element with each hint is.
func (b *Block) hintFeatures(f []float32) []float32 {
	var away [hintCount]float32
	for i := range away {
		away[i] = far
	}
	up := float32(0)
	for e := b.in; e != nil && up < far; e = e.parent {
		for i, has := range e.hints {
			if has && away[i] == far {
				away[i] = up
			}
		}
		up++
	}
	return append(f, away[:]...)
}

func flag(b bool) float32 {
	if b {
		return 1
	}
	return 0
}

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

func logn(n int) float32 { return float32(math.Log1p(float64(max(n, 0)))) }

func wordSet(text string) map[string]bool {
	set := map[string]bool{}
	for _, w := range Words(text) {
		set[w] = true
	}
	return set
}
