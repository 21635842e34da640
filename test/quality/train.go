package main

import (
	"math"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/web/content"
)

// lesson is a page as it is learned from.
type lesson struct {
	sample   *sample
	doc      *content.Document
	features [][]float32
	want     []float32 // share of each block that is content
	weight   []float32
	first    []float32 // judgements of the first round by a forest that has not seen the page
}

// prepare cuts pages and marks which of their blocks are content.
func prepare(samples []sample) ([]*lesson, error) {
	lessons := make([]*lesson, len(samples))
	faults := make([]error, len(samples))
	parallel(len(samples), func(i int) {
		doc, err := samples[i].cut()
		if err != nil {
			faults[i] = err
			return
		}
		lessons[i] = &lesson{sample: &samples[i], doc: doc, features: doc.Features()}
		lessons[i].mark()
		samples[i].body = nil
	})
	for _, err := range faults {
		if err != nil {
			return nil, err
		}
	}
	return lessons, nil
}

// mark finds out how much of each block is content: a word is, if it stands in a run of four words that the truth has, too, or
// if the truth has its whole block as a run.
func (l *lesson) mark() {
	truth := content.Words(l.sample.text)
	known := map[string]bool{}
	for i := range truth {
		for n := 1; n <= 4 && i+n <= len(truth); n++ {
			known[strings.Join(truth[i:i+n], " ")] = true
		}
	}
	var words []string
	for _, b := range l.doc.Blocks {
		words = append(words, b.Words...)
	}
	good := make([]bool, len(words))
	for i := 0; i+4 <= len(words); i++ {
		if known[strings.Join(words[i:i+4], " ")] {
			good[i], good[i+1], good[i+2], good[i+3] = true, true, true, true
		}
	}
	at := 0
	scale := 1 / math.Sqrt(float64(len(truth)+100)*float64(len(words)+100))
	for _, b := range l.doc.Blocks {
		n := 0
		for i := range b.Words {
			if good[at+i] {
				n++
			}
		}
		at += len(b.Words)
		if len(b.Words) < 4 && n == 0 && known[strings.Join(b.Words, " ")] && len(b.Words) > 1 {
			n = len(b.Words)
		}
		l.want = append(l.want, float32(n)/float32(len(b.Words)))
		l.weight = append(l.weight, float32(float64(len(b.Words)+1)*scale))
	}
}

func tableOf(lessons []*lesson, rows func(*lesson) [][]float32) *table {
	var all [][]float32
	var want, weight []float32
	for _, l := range lessons {
		all = append(all, rows(l)...)
		want = append(want, l.want...)
		weight = append(weight, l.weight...)
	}
	return newTable(all, want, weight)
}

func plain(l *lesson) [][]float32 { return l.features }

func inContext(l *lesson) [][]float32 { return l.doc.Context(l.features, l.first) }

// split gives the lessons of a fold and the others.
func split(lessons []*lesson, fold, folds int) (in, out []*lesson) {
	for i, l := range lessons {
		if i%folds == fold {
			in = append(in, l)
		} else {
			out = append(out, l)
		}
	}
	return in, out
}

// trees are how many there are in each round.
type trees struct{ first, second int }

// learn trains both rounds. The second learns from what forests of the first say of pages that they have not seen.
func learn(lessons []*lesson, n trees, folds int) *content.Model {
	for fold := range folds {
		in, out := split(lessons, fold, folds)
		forest := tableOf(out, plain).train(n.first)
		for _, l := range in {
			l.first = forest.JudgeAll(l.features)
		}
	}
	return &content.Model{First: *tableOf(lessons, plain).train(n.first), Second: *tableOf(lessons, inContext).train(n.second)}
}
