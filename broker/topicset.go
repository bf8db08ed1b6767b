package broker

import (
	"slices"
	"sort"
)

// A topicSet is topics in order, in blocks: to add or remove one costs a look-up and the move of a block's part,
// however many there are.
type topicSet struct {
	blocks [][]string // none of them empty
	n      int
}

const topicBlock = 512 // the most topics of a block

// block is the index of the block in which name stands, or would: that of the last one that does not begin behind it.
func (s *topicSet) block(name string) int {
	return max(0, sort.Search(len(s.blocks), func(i int) bool { return s.blocks[i][0] > name })-1)
}

func (s *topicSet) add(name string) {
	if len(s.blocks) == 0 {
		s.blocks = [][]string{{name}}
		s.n = 1
		return
	}
	i := s.block(name)
	at, found := slices.BinarySearch(s.blocks[i], name)
	if found {
		return
	}
	s.n++
	b := slices.Insert(s.blocks[i], at, name)
	s.blocks[i] = b
	if len(b) < topicBlock {
		return
	}
	half := len(b) / 2
	if i == len(s.blocks)-1 && at == len(b)-1 {
		half = len(b) - 1 // names that come in order fill their blocks
	}
	s.blocks = slices.Insert(s.blocks, i+1, slices.Clone(b[half:]))
	s.blocks[i] = slices.Clip(slices.Delete(b, half, len(b)))
}

func (s *topicSet) remove(name string) {
	if len(s.blocks) == 0 {
		return
	}
	i := s.block(name)
	b := s.blocks[i]
	at, found := slices.BinarySearch(b, name)
	if !found {
		return
	}
	s.n--
	b = slices.Delete(b, at, at+1)
	switch {
	case len(b) == 0:
		s.blocks = slices.Delete(s.blocks, i, i+1)
		return
	case cap(b) > 4*len(b)+16:
		b = slices.Clone(b)
	}
	s.blocks[i] = b
}

// appendFrom appends to dst the first topics that are not before name, at most most.
func (s *topicSet) appendFrom(dst []string, name string, most int) []string {
	if len(s.blocks) == 0 {
		return dst
	}
	i := s.block(name)
	at, _ := slices.BinarySearch(s.blocks[i], name)
	for ; i < len(s.blocks) && most > 0; i++ {
		b := s.blocks[i][at:]
		b = b[:min(most, len(b))]
		dst, most, at = append(dst, b...), most-len(b), 0
	}
	return dst
}
