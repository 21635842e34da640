package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/dragoman-mcp/dragoman/internal/builtin/web/content"
)

const (
	bins      = 48
	rate      = 0.12 // how much of what a tree has learned is taken
	penalty   = 0.02 // weight that a leaf must outweigh, in pages
	share     = 0.6  // rows and features that each tree sees
	featShare = 0.6
)

// table is what a forest is trained on: rows of features, with how much of each is content and what it weighs.
type table struct {
	columns [][]uint8   // by feature, then row
	bounds  [][]float32 // by feature: a row is in bin i when bounds[i-1] < x <= bounds[i]
	want    []float32
	weight  []float32
}

// newTable bins the features.
func newTable(rows [][]float32, want, weight []float32) *table {
	t := &table{want: want, weight: weight}
	features := len(rows[0])
	t.columns, t.bounds = make([][]uint8, features), make([][]float32, features)
	parallel(features, func(f int) {
		var sample []float32
		for i := 0; i < len(rows); i += 1 + len(rows)/20000 {
			sample = append(sample, rows[i][f])
		}
		slices.Sort(sample)
		var bounds []float32
		for b := 1; b < bins; b++ {
			x := sample[b*(len(sample)-1)/bins]
			if len(bounds) == 0 || x > bounds[len(bounds)-1] {
				bounds = append(bounds, x)
			}
		}
		column := make([]uint8, len(rows))
		for i := range rows {
			at, _ := slices.BinarySearch(bounds, rows[i][f])
			column[i] = uint8(at)
		}
		t.columns[f], t.bounds[f] = column, bounds
	})
	return t
}

func parallel(n int, do func(i int)) {
	var wait sync.WaitGroup
	next := make(chan int, n)
	for i := range n {
		next <- i
	}
	close(next)
	for range 2 {
		wait.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	wait.Wait()
}

// train grows a forest of n trees by gradient boosting on the logarithmic loss.
func (t *table) train(n int) *content.Forest {
	random := rand.New(rand.NewPCG(1, 2))
	var up, all float64
	for i := range t.want {
		up += float64(t.want[i] * t.weight[i])
		all += float64(t.weight[i])
	}
	forest := &content.Forest{Bias: float32(math.Log(up / (all - up)))}
	score := make([]float32, len(t.want))
	for i := range score {
		score[i] = forest.Bias
	}
	g, h := make([]float32, len(score)), make([]float32, len(score))
	for range n {
		for i := range score {
			p := float32(1 / (1 + math.Exp(-float64(score[i]))))
			g[i], h[i] = (t.want[i]-p)*t.weight[i], max(p*(1-p), 1e-4)*t.weight[i]
		}
		tree := t.grow(g, h, score, random)
		forest.Trees = append(forest.Trees, tree)
	}
	return forest
}

// grow grows one tree and adds what it says to the scores.
func (t *table) grow(g, h, score []float32, random *rand.Rand) (tree content.Tree) {
	var rows []int32
	for i := range g {
		if random.Float64() < share {
			rows = append(rows, int32(i))
		}
	}
	leaf := make([]uint8, len(g))
	var cuts [content.Depth]int
	for level := range content.Depth {
		var features []int
		for f := range t.columns {
			if random.Float64() < featShare {
				features = append(features, f)
			}
		}
		best := t.split(rows, leaf, g, h, features)
		tree.Feature[level], tree.Above[level], cuts[level] = uint16(best.feature), t.bounds[best.feature][best.cut], best.cut
		column := t.columns[best.feature]
		for i := range leaf {
			if int(column[i]) > best.cut {
				leaf[i] |= 1 << level
			}
		}
	}
	var sumG, sumH [1 << content.Depth]float64
	for _, i := range rows {
		sumG[leaf[i]] += float64(g[i])
		sumH[leaf[i]] += float64(h[i])
	}
	for l := range tree.Leaf {
		tree.Leaf[l] = float32(rate * sumG[l] / (sumH[l] + penalty))
	}
	for i := range score {
		score[i] += tree.Leaf[leaf[i]]
	}
	return tree
}

type cut struct {
	feature, cut int
	gain         float64
}

// split finds the question that tells most in all leaves at once.
func (t *table) split(rows []int32, leaf []uint8, g, h []float32, features []int) cut {
	found := make([]cut, len(features))
	parallel(len(features), func(k int) {
		f := features[k]
		column := t.columns[f]
		var hist [1 << content.Depth][bins][2]float64
		for _, i := range rows {
			cell := &hist[leaf[i]][column[i]]
			cell[0] += float64(g[i])
			cell[1] += float64(h[i])
		}
		var gains [bins]float64
		for l := range hist {
			gainsOf(&hist[l], &gains)
		}
		found[k] = cut{feature: f, gain: -1}
		for c := range t.bounds[f] {
			if gains[c] > found[k].gain {
				found[k].cut, found[k].gain = c, gains[c]
			}
		}
	})
	return slices.MaxFunc(found, func(a, b cut) int {
		switch {
		case a.gain < b.gain:
			return -1
		case a.gain > b.gain:
			return 1
		}
		return b.feature - a.feature
	})
}

func gainsOf(hist *[bins][2]float64, gains *[bins]float64) {
	var allG, allH float64
	for _, cell := range hist {
		allG += cell[0]
		allH += cell[1]
	}
	if allH == 0 {
		return
	}
	var lowG, lowH float64
	for c := range bins - 1 {
		lowG += hist[c][0]
		lowH += hist[c][1]
		highG, highH := allG-lowG, allH-lowH
		gains[c] += lowG*lowG/(lowH+penalty) + highG*highG/(highH+penalty)
	}
}
