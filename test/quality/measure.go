package main

import (
	"regexp"
	"strings"
)

// word is what both benchmarks count.
var word = regexp.MustCompile(`[\p{L}\p{N}_]+`)

// wordF1 is the F1 of evaluate.py of WCXB: words as a multiset, without case.
func wordF1(got, want string) float64 {
	g, w := word.FindAllString(strings.ToLower(got), -1), word.FindAllString(strings.ToLower(want), -1)
	if len(g) == 0 || len(w) == 0 {
		if len(g) == len(w) {
			return 1
		}
		return 0
	}
	left := map[string]int{}
	for _, x := range w {
		left[x]++
	}
	common := 0
	for _, x := range g {
		if left[x] > 0 {
			left[x]--
			common++
		}
	}
	if common == 0 {
		return 0
	}
	precision, recall := float64(common)/float64(len(g)), float64(common)/float64(len(w))
	return 2 * precision * recall / (precision + recall)
}

// shingles are the runs of four words of evaluate.py of article-extraction-benchmark, which keeps case.
func shingles(text string) map[string]int {
	words := word.FindAllString(text, -1)
	found := map[string]int{}
	for i := range max(1, len(words)-3) {
		if s := strings.Join(words[i:min(len(words), i+4)], " "); s != "" {
			found[s]++
		}
	}
	return found
}

// articles sums up what evaluate.py of article-extraction-benchmark does: the mean precision and recall of pages, and
// the F1 of these means.
type articles struct{ precision, recall, withText, withTruth float64 }

func (a *articles) add(got, want string) {
	g, w := shingles(got), shingles(want)
	var tp, fp, fn float64
	for s, n := range g {
		tp += float64(min(n, w[s]))
		fp += float64(max(0, n-w[s]))
	}
	for s, n := range w {
		fn += float64(max(0, n-g[s]))
	}
	score := func(wrong float64) float64 {
		switch {
		case fp == 0 && fn == 0:
			return 1
		case tp == 0 && wrong == 0:
			return 0
		}
		return tp / (tp + wrong)
	}
	if tp+fp > 0 {
		a.withText++
		a.precision += score(fp)
	}
	if tp+fn > 0 {
		a.withTruth++
		a.recall += score(fn)
	}
}

func (a *articles) f1() (f1, precision, recall float64) {
	precision, recall = a.precision/a.withText, a.recall/a.withTruth
	return 2 * precision * recall / (precision + recall), precision, recall
}
