package engine

import (
	"math/bits"
	"sync"
)

// Rings come from pools, and those of more than restSlots go back there when they are empty: one that fills and empties
// over and over allocates nothing, and a session at rest holds little.
const (
	fewSlots  = 4
	restSlots = 32
	ringSizes = 15 // fewSlots to 65536
)

var rings [ringSizes]sync.Pool // of *[]slot, by size

// grow makes room for one more slot.
func (o *Outbound) grow() {
	if len(o.slots) < cap(o.slots) {
		return
	}
	size := 0
	if o.ring != nil {
		size = ringSize(*o.ring) + 1
	}
	larger, _ := rings[size].Get().(*[]slot)
	if larger == nil {
		s := make([]slot, 0, fewSlots<<size)
		larger = &s
	}
	slots := append(*larger, o.slots...)
	o.giveRing()
	o.slots, o.ring = slots, larger
}

// giveRing gives the ring back. Nothing in it is needed any more.
func (o *Outbound) giveRing() {
	if o.ring != nil {
		clear(o.slots)
		rings[ringSize(*o.ring)].Put(o.ring)
	}
	o.slots, o.ring = nil, nil
}

func ringSize(s []slot) int { return bits.Len(uint(cap(s))) - bits.Len(fewSlots) }
