package matrix

import (
	"sync"
	"testing"
)

// findings is what works, for every pair and feature.
type findings struct {
	mu    sync.Mutex
	marks map[[2]kind]map[string]string
}

func newFindings() *findings { return &findings{marks: map[[2]kind]map[string]string{}} }

func (f *findings) note(client, server kind, head string, works, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	pair := [2]kind{client, server}
	if f.marks[pair] == nil {
		f.marks[pair] = map[string]string{}
	}
	mark := "–"
	switch {
	case !ok:
		mark = "✗"
	case works:
		mark = "✓"
	}
	f.marks[pair][head] = mark
}

func (f *findings) complete() bool       { return false }
func (f *findings) compare(t *testing.T) {}
