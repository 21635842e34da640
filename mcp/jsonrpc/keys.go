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
// The names of all open objects are one stack, scanner.keys; an object owns the part above its base. A small object compares
// a new name with each of its names by fingerprint, a large one keeps a hash table of positions in the stack.

// linearNames is up to how many names of one object are compared one by one.
const linearNames = 32

// key is a name as it reads after unescaping.
type key struct {
	print uint64
	name  []byte
}

// nameSet is the names of one open object.
type nameSet struct {
	base  int
	slots []uint32 // open-addressed: position in the object's part of keys, plus 1; nil while the object is small
}

// hasher is seeded by chance, so that nobody can choose names that collide.
type hasher struct {
	seed   maphash.Seed
	seeded bool
}

func (h *hasher) sum(name []byte) uint64 {
	if !h.seeded {
		h.seed, h.seeded = maphash.MakeSeed(), true
	}
	return maphash.Bytes(h.seed, name)
}

// fingerprint is equal for equal names and cheap; it is no hash that withstands an opponent.
func fingerprint(name []byte) uint64 {
	n := len(name)
	mix := uint64(n) * 0x9e3779b97f4a7c15
	switch {
	case n >= 8:
		return mix ^ binary.LittleEndian.Uint64(name) ^ bits.RotateLeft64(binary.LittleEndian.Uint64(name[n-8:]), 29)
	case n >= 4:
		return mix ^ uint64(binary.LittleEndian.Uint32(name)) ^ uint64(binary.LittleEndian.Uint32(name[n-4:]))<<32
	case n > 0:
		return mix ^ uint64(name[0]) ^ uint64(name[n/2])<<8 ^ uint64(name[n-1])<<16
	}
	return mix
}

// add records name and reports whether it was new.
func (s *scanner) add(names *nameSet, name []byte) bool {
	own := s.keys[names.base:]
	k := key{fingerprint(name), name}
	if len(own) >= linearNames {
		return s.addHashed(names, k)
	}
	for i := range own {
		if own[i].print == k.print && bytes.Equal(own[i].name, name) {
			return false
		}
	}
	s.keys = append(s.keys, k)
	return true
}

func (s *scanner) addHashed(names *nameSet, k key) bool {
	own := s.keys[names.base:]
	if 2*len(own) >= len(names.slots) {
		names.slots = make([]uint32, max(4*linearNames, 4*len(names.slots)))
		for i := range own {
			slot, _ := s.find(*names, own, own[i].name)
			names.slots[slot] = uint32(i + 1)
		}
	}
	slot, found := s.find(*names, own, k.name)
	if found {
		return false
	}
	s.keys = append(s.keys, k)
	names.slots[slot] = uint32(len(own) + 1)
	return true
}

// find returns the slot that holds name or, when none does, the free one where it belongs.
func (s *scanner) find(names nameSet, own []key, name []byte) (slot int, found bool) {
	mask := len(names.slots) - 1
	slot = int(s.hash.sum(name)) & mask
	for names.slots[slot] != 0 {
		if bytes.Equal(own[names.slots[slot]-1].name, name) {
			return slot, true
		}
		slot = (slot + 1) & mask
	}
	return slot, false
}

// leave forgets the names of an object that has been read.
func (s *scanner) leave(names nameSet) {
	s.keys = s.keys[:names.base]
}
