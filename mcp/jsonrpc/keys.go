package jsonrpc

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
)

// An object with the same name twice means one thing to a reader that takes the first and another to one that takes the
// last; a gateway whose policy and whose upstream differ in this can be walked around. So no object may, at any depth.
//
// The names of all open objects are one stack; an object owns the part above its base. A small object compares a new name
// with each of its names by fingerprint, a large one keeps a hash table of positions in the stack.

// linearNames is up to how many names of one object are compared one by one.
const linearNames = 32

// key is where a name stands as it reads after unescaping: in the message, or at ^start in nameStack.unescaped.
type key struct {
	print    uint64
	start, n int
}

// nameStack is the names of all objects that are open. It begins in an array so that it lives on the stack of Parse for most
// messages; a scanner points to it, and it may not point to itself, or the compiler would move it to the heap.
type nameStack struct {
	few  [linearNames]key
	n    int   // how much of few is in use
	many []key // takes the place of few when that is full
	// unescaped holds the names that were written with escapes. It is kept until the message has been read.
	unescaped []byte
	// seed is drawn when the first large object is met, so that nobody can choose names that collide.
	seed   maphash.Seed
	seeded bool
}

func (t *nameStack) all() []key {
	if t.many != nil {
		return t.many
	}
	return t.few[:t.n]
}

func (t *nameStack) push(k key) {
	switch {
	case t.many != nil:
		t.many = append(t.many, k)
	case t.n < len(t.few):
		t.few[t.n] = k
		t.n++
	default:
		t.many = append(make([]key, 0, 4*len(t.few)), t.few[:]...)
		t.many = append(t.many, k)
	}
}

// cut forgets all names from base.
func (t *nameStack) cut(base int) {
	if t.many != nil {
		t.many = t.many[:base]
		return
	}
	t.n = base
}

func (t *nameStack) sum(name []byte) uint64 {
	if !t.seeded {
		t.seed, t.seeded = maphash.MakeSeed(), true
	}
	return maphash.Bytes(t.seed, name)
}

// fingerprint is equal for equal names and cheap; it is no hash that withstands an opponent. A name of less than eight bytes
// is its own fingerprint, with its length on top.
func fingerprint(name []byte) uint64 {
	n := len(name)
	if n >= 8 {
		first, last := binary.LittleEndian.Uint64(name), binary.LittleEndian.Uint64(name[n-8:])
		return uint64(n)*0x9e3779b97f4a7c15 ^ first ^ bits.RotateLeft64(last, 29)
	}
	print := uint64(n) << 56
	for i, c := range name {
		print |= uint64(c) << (8 * i)
	}
	return print
}

// shortName is text and fingerprint at once for a name of less than eight plain bytes, which most are. It returns the
// offset after the closing quote; 0 when the name at i is not of this kind.
func shortName(d []byte, i int) (end int, print uint64) {
	if i+8 > len(d) {
		return 0, 0
	}
	w := binary.LittleEndian.Uint64(d[i:])
	n := bits.TrailingZeros64(special(w)) >> 3
	if n == 8 || d[i+n] != '"' {
		return 0, 0
	}
	return i + n + 1, w&(1<<(8*n)-1) | uint64(n)<<56
}

// nameSet is the names of one open object.
type nameSet struct {
	base  int
	slots []uint32 // open-addressed: position in the object's part of the stack, plus 1; nil while the object is small
}

// add records name, which stands at k, and reports whether it was new.
func (s *scanner) add(names *nameSet, k key, name []byte) bool {
	own := s.names.all()[names.base:]
	if len(own) >= linearNames {
		return s.addHashed(names, k, name)
	}
	for i := range own {
		if own[i].print == k.print && bytes.Equal(s.nameAt(own[i]), name) {
			return false
		}
	}
	s.names.push(k)
	return true
}

func (s *scanner) addHashed(names *nameSet, k key, name []byte) bool {
	own := s.names.all()[names.base:]
	if 2*len(own) >= len(names.slots) {
		names.slots = make([]uint32, max(4*linearNames, 4*len(names.slots)))
		for i := range own {
			slot, _ := s.find(*names, own, s.nameAt(own[i]))
			names.slots[slot] = uint32(i + 1)
		}
	}
	slot, found := s.find(*names, own, name)
	if found {
		return false
	}
	s.names.push(k)
	names.slots[slot] = uint32(len(own) + 1)
	return true
}

// find returns the slot that holds name or, when none does, the free one where it belongs.
func (s *scanner) find(names nameSet, own []key, name []byte) (slot int, found bool) {
	mask := len(names.slots) - 1
	slot = int(s.names.sum(name)) & mask
	for names.slots[slot] != 0 {
		if bytes.Equal(s.nameAt(own[names.slots[slot]-1]), name) {
			return slot, true
		}
		slot = (slot + 1) & mask
	}
	return slot, false
}

func (s *scanner) nameAt(k key) []byte {
	if k.start < 0 {
		return s.names.unescaped[^k.start:][:k.n]
	}
	return s.data[k.start:][:k.n]
}
