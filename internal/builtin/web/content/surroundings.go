package content

import (
	"math"
	"strings"

	"golang.org/x/net/html/atom"
)

func (d *Document) placeFeatures(f []float32, b *Block) []float32 {
	p := &d.page
	f = append(f, float32(b.in.depth), float32(b.at)/float32(p.words+1), float32(b.index)/float32(len(d.Blocks)),
		logn(b.at), logn(int(p.words)-b.at), logn(b.index), logn(len(d.Blocks)-b.index))
	if p.headline < 0 {
		return append(f, 0, -2)
	}
	after := b.at - p.headline
	if after < 0 {
		return append(f, -logn(-after), -1)
	}
	return append(f, logn(after), 1)
}

// boxFeatures describe the elements around a block.
func (d *Document) boxFeatures(f []float32, b *Block) []float32 {
	e := b.in
	total := d.page.words + 1
	for range 5 {
		f = append(f, logn(e.words), float32(ratio(e.linked, e.words)), logn(e.blocks), float32(ratio(e.prose, e.words)), float32(float64(e.words)/total))
		if e.parent != nil {
			e = e.parent
		}
	}
	// the nearest element that has several like it beside it
	up, twins := 0, (*elem)(nil)
	for e := b.in; e != nil; e = e.parent {
		if e.twins >= 3 && e.blocks >= 2 {
			twins = e
			break
		}
		up++
	}
	if twins == nil {
		f = append(f, far, 0, 0, 0, 0, 0)
	} else {
		f = append(f, float32(up), logn(twins.twins), logn(twins.words), float32(ratio(twins.linked, twins.words)),
			float32(float64(twins.parent.words)/total), float32(ratio(twins.prose, twins.words)))
	}
	return d.candidateFeatures(f, b)
}

// candidateFeatures relate a block to the element that its paragraphs speak for most.
func (d *Document) candidateFeatures(f []float32, b *Block) []float32 {
	best, half, share, up := 0.0, float32(far), float32(far), float32(0)
	for e := b.in; e != nil; e = e.parent {
		best = math.Max(best, e.score*(1-ratio(e.linked, e.words)))
		if e.parent != nil && float64(e.parent.words) > d.page.words/2 && half == far {
			half = up
		}
		if float64(e.words) > d.page.words/4 && share == far {
			share = up
		}
		up++
	}
	f = append(f, float32(best/(d.page.best+1)), half, share)
	if d.top == nil {
		return append(f, far, far, 0)
	}
	down := float32(0)
	for e := b.in; e != nil; e = e.parent {
		if rise, ok := above(d.top, e); ok {
			return append(f, down, rise, flag(rise == 0))
		}
		down++
	}
	return append(f, far, far, 0)
}

// above says how many steps e is above low, if it is.
func above(low, e *elem) (float32, bool) {
	for steps := float32(0); low != nil; low = low.parent {
		if low == e {
			return steps, true
		}
		steps++
	}
	return 0, false
}

func (d *Document) neighbourFeatures(f []float32, i int) []float32 {
	for _, step := range []int{-1, 1, -2, 2, -3, 3} {
		if i+step < 0 || i+step >= len(d.Blocks) {
			f = append(f, -1, -1, -1, far)
			continue
		}
		b := d.Blocks[i+step]
		tag := float32(0)
		switch b.in.node.DataAtom {
		case atom.P:
			tag = 1
		case atom.H1, atom.H2, atom.H3, atom.H4:
			tag = 2
		}
		f = append(f, logn(len(b.Words)), float32(ratio(b.linked, len(b.Words))), tag, float32(hops(d.Blocks[i].in, b.in)))
	}
	var plain, words int
	for _, b := range d.Blocks[max(0, i-5):min(len(d.Blocks), i+6)] {
		plain += len(b.Words) - b.linked
		words += len(b.Words)
	}
	return append(f, logn(plain), float32(ratio(plain, words)))
}

// hops is how many steps it is from one element up to what it shares with another, and down to that.
func hops(a, b *elem) int {
	n := 0
	for a != b && n < far {
		if a.depth >= b.depth {
			a = a.parent
		} else {
			b = b.parent
		}
		n++
	}
	return n
}

// relationFeatures compare a block with what the page says of itself.
func (d *Document) relationFeatures(f []float32, b *Block) []float32 {
	overlap := func(set map[string]bool) float32 {
		if len(set) == 0 {
			return -1
		}
		n := 0
		for _, w := range b.Words {
			if set[w] {
				n++
			}
		}
		return float32(ratio(n, len(b.Words)))
	}
	stated := float32(-1)
	if d.page.data != "" {
		low := strings.ToLower(b.Text)
		if len(low) > 60 {
			low = cutRunes(low[10:60])
		}
		stated = flag(len(b.Words) >= 4 && strings.Contains(d.page.data, low))
	}
	return append(f, overlap(d.page.title), overlap(d.page.about), stated)
}

// run is how many words in a row two texts must share for these words to count as the same.
const run = 4

// runsOf returns all runs of a text, and those of less words at its beginning.
func runsOf(words []string) map[string]bool {
	runs := make(map[string]bool, len(words))
	for i := 0; i+run <= len(words); i++ {
		runs[strings.Join(words[i:i+run], " ")] = true
	}
	return runs
}

// articleFeatures append to the features of each block how much of it is in Facts.Article, how much of its neighbours, and how much of the page
// that is.
func (d *Document) articleFeatures(f [][]float32) {
	var words []string
	for _, b := range d.Blocks {
		words = append(words, b.Words...)
	}
	in := make([]bool, len(words))
	for i := 0; i+run <= len(words) && len(d.page.runs) > 0; i++ {
		if d.page.runs[strings.Join(words[i:i+run], " ")] {
			in[i], in[i+1], in[i+2], in[i+3] = true, true, true, true
		}
	}
	shares, all := make([]float32, len(d.Blocks)), 0
	for i, b := range d.Blocks {
		n := 0
		for _, yes := range in[b.at : b.at+len(b.Words)] {
			if yes {
				n++
			}
		}
		all += n
		shares[i] = float32(ratio(n, len(b.Words)))
		b.inArticle = shares[i]
	}
	before := 0
	for i, b := range d.Blocks {
		f[i] = append(f[i], shares[i], at(shares, i-1), at(shares, i+1), at(shares, i-2), at(shares, i+2),
			float32(ratio(all, len(words))), float32(ratio(before, all)), logn(all), d.window(shares, i, 5))
		before += int(shares[i] * float32(len(b.Words)))
	}
}

func at(p []float32, i int) float32 {
	if i < 0 || i >= len(p) {
		return -1
	}
	return p[i]
}

// cutRunes takes off the halves of characters at both ends.
func cutRunes(s string) string { return strings.ToValidUTF8(s, "") }

// Context returns f with what the first round thought of the surroundings of each block: p are its judgements, in the
// order of Blocks.
func (d *Document) Context(f [][]float32, p []float32) [][]float32 {
	for _, e := range d.elems {
		e.mass = 0
	}
	var mass, words float64
	for i, b := range d.Blocks {
		w := float64(len(b.Words))
		mass += float64(p[i]) * w
		words += w
		for e := b.in; e != nil; e = e.parent {
			e.mass += float64(p[i]) * w
		}
	}
	out := make([][]float32, len(f))
	before := 0.0
	for i, b := range d.Blocks {
		row := append(make([]float32, 0, len(f[i])+24), f[i]...)
		row = append(row, p[i])
		for _, step := range []int{-1, 1, -2, 2, -3, 3, -4, 4} {
			row = append(row, at(p, i+step))
		}
		e := b.in
		for range 7 {
			row = append(row, float32(e.mass/float64(e.words+1)))
			if e.parent != nil {
				e = e.parent
			}
		}
		row = append(row, d.window(p, i, 6), d.window(p, i, 15), float32(mass/(words+1)), float32(before/(mass+1)), logn(int(mass)))
		before += float64(p[i]) * float64(len(b.Words))
		out[i] = row
	}
	return out
}

// window is the mean judgement of the words around a block.
func (d *Document) window(p []float32, i, reach int) float32 {
	var mass, words float64
	for j := max(0, i-reach); j < min(len(p), i+reach+1); j++ {
		w := float64(len(d.Blocks[j].Words))
		mass += float64(p[j]) * w
		words += w
	}
	return float32(mass / (words + 1))
}
