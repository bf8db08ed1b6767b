package fleetindex

import "hash/maphash"

// Refresh calls fn, alone for a thing. Who tells the index what somebody else
// keeps, as a registry its things, reads that in fn and puts it there: so what is
// read last is also put last, whoever else tells of the same thing meanwhile, a
// rebuild too. fn must not call Refresh.
func (ix *Index) Refresh(thing string, fn func() error) error {
	lock := &ix.refreshing[maphash.String(ix.seed, thing)%uint64(len(ix.refreshing))]
	lock.Lock()
	defer lock.Unlock()
	return fn()
}
