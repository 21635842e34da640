package content

import (
	"cmp"
	"slices"
)

// Choose returns which blocks to take so that the expected F1 of the page is largest, given how likely each is content: those
// that are likelier than some bound, where the bound is the page's own. Of a page with one article, what surrounds the article is left out.
func Choose(d *Document, p []float32) []bool {
	order := make([]int, len(p))
	var all float64
	for i := range p {
		order[i] = i
		all += float64(p[i]) * float64(len(d.Blocks[i].Words))
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[b], p[a]) })
	var mass, words, best float64
	upto := 0
	for n, i := range order {
		w := float64(len(d.Blocks[i].Words))
		mass += float64(p[i]) * w
		words += w
		if f := 2 * mass / (words + all); f > best {
			best, upto = f, n+1
		}
	}
	taken := make([]bool, len(p))
	for _, i := range order[:upto] {
		taken[i] = true
	}
	d.narrow(p, taken, all)
	return taken
}

const (
	// articleShare and otherShare are how much of what is likely content Facts.Article must have for it to be taken as the bound of
	// the content: less where the page itself says that it is an article.
	articleShare, otherShare = 0.3, 0.6
	// sure is how likely a block must be to be taken although it is not in the article.
	sure = 0.93
)

// narrow takes back what is not in the article, on pages where that has most of the content. all is how many words are expected
// to be content.
func (d *Document) narrow(p []float32, taken []bool, all float64) {
	var inside float64
	for i, b := range d.Blocks {
		if b.inArticle > 0.5 {
			inside += float64(p[i]) * float64(len(b.Words))
		}
	}
	bound := otherShare
	if d.page.article {
		bound = articleShare
	}
	if inside <= bound*all {
		return
	}
	for i, b := range d.Blocks {
		taken[i] = taken[i] && (b.inArticle > 0.5 || p[i] > sure) && !d.beside(b)
	}
}

// beside tells what stands among the paragraphs of an article and is none: its title, which is told elsewhere, and lines that
// are nothing but a link to something else.
func (d *Document) beside(b *Block) bool {
	if len(b.Words) >= 3 && len(b.Words) <= len(d.page.title)+2 && b.at < int(d.page.words/2) {
		all := true
		for _, w := range b.Words {
			all = all && d.page.title[w]
		}
		if all {
			return true
		}
	}
	return b.linked == len(b.Words) && len(b.Words) >= 4
}
