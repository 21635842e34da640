package content

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
)

// Depth is how many questions each tree asks.
const Depth = 6

// Tree asks the same question of every block at each level, whatever was answered before; the answers are the bits of the
// number of a leaf.
type Tree struct {
	Feature [Depth]uint16
	Above   [Depth]float32 // the answer is yes when the feature is above this
	Leaf    [1 << Depth]float32
}

// Forest is a sum of trees, as the logarithm of the odds.
type Forest struct {
	Bias  float32
	Trees []Tree
}

// Judge returns how likely a block of these features is content.
func (m *Forest) Judge(f []float32) float32 {
	sum := m.Bias
	for i := range m.Trees {
		t := &m.Trees[i]
		leaf := 0
		for level := range Depth {
			if f[t.Feature[level]] > t.Above[level] {
				leaf |= 1 << level
			}
		}
		sum += t.Leaf[leaf]
	}
	return float32(1 / (1 + math.Exp(-float64(sum))))
}

// JudgeAll judges all blocks of a page.
func (m *Forest) JudgeAll(f [][]float32) []float32 {
	p := make([]float32, len(f))
	for i := range f {
		p[i] = m.Judge(f[i])
	}
	return p
}

// Model judges blocks in two rounds.
type Model struct{ First, Second Forest }

// Judge returns how likely each block of a page is content.
func (m *Model) Judge(d *Document) []float32 {
	f := d.Features()
	return m.Second.JudgeAll(d.Context(f, m.First.JudgeAll(f)))
}

// leafScale is what leaves are multiplied with to be kept in 16 bits.
const leafScale = 4096

// Write writes a model in the form that ReadModel reads: for each round the bias and the number of trees, and for each
// tree its features, thresholds and leaves; little endian.
func (m *Model) Write(w io.Writer) error {
	for _, round := range []*Forest{&m.First, &m.Second} {
		if err := binary.Write(w, binary.LittleEndian, struct {
			Bias float32
			N    uint32
		}{round.Bias, uint32(len(round.Trees))}); err != nil {
			return err
		}
		for i := range round.Trees {
			if err := binary.Write(w, binary.LittleEndian, packed(&round.Trees[i])); err != nil {
				return err
			}
		}
	}
	return nil
}

// packedTree is a tree as it is kept in a file.
type packedTree struct {
	Feature [Depth]uint16
	Above   [Depth]float32
	Leaf    [1 << Depth]int16
}

func packed(t *Tree) *packedTree {
	p := &packedTree{Feature: t.Feature, Above: t.Above}
	for i, leaf := range t.Leaf {
		p.Leaf[i] = int16(math.Round(math.Max(-7.9, math.Min(7.9, float64(leaf))) * leafScale))
	}
	return p
}

// maxTrees bounds what ReadModel takes.
const maxTrees = 5000

// ReadModel reads what Write has written.
func ReadModel(r io.Reader) (*Model, error) {
	m := &Model{}
	for _, round := range []*Forest{&m.First, &m.Second} {
		var head struct {
			Bias float32
			N    uint32
		}
		if err := binary.Read(r, binary.LittleEndian, &head); err != nil {
			return nil, err
		}
		if head.N > maxTrees {
			return nil, errors.New("model has too many trees")
		}
		trees := make([]packedTree, head.N)
		if err := binary.Read(r, binary.LittleEndian, trees); err != nil {
			return nil, err
		}
		round.Bias, round.Trees = head.Bias, make([]Tree, head.N)
		for i := range trees {
			t := &round.Trees[i]
			t.Feature, t.Above = trees[i].Feature, trees[i].Above
			for j, leaf := range trees[i].Leaf {
				t.Leaf[j] = float32(leaf) / leafScale
			}
		}
	}
	return m, nil
}
