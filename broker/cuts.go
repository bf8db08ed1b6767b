package broker

import "sync/atomic"

// cuts remembers whom DisconnectPrincipal cut off of late. A client that is
// being let in has been asked who it is before and is among the connections
// after: without this, one whose right ends in between would stay.
type cuts struct {
	n      atomic.Uint64 // written with Broker.mu held, as recent is read and written
	recent [64]string    // principals, by n modulo their number
}

// add notes that a principal is cut off.
func (c *cuts) add(principal string) {
	n := c.n.Load()
	c.recent[n%uint64(len(c.recent))] = principal
	c.n.Store(n + 1)
}

// since reports whether a principal was cut off since there were n cuts, or
// may have been, as so many were that it is not known.
func (c *cuts) since(n uint64, principal string) bool {
	now := c.n.Load()
	if now-n > uint64(len(c.recent)) {
		return true
	}
	for ; n < now; n++ {
		if c.recent[n%uint64(len(c.recent))] == principal {
			return true
		}
	}
	return false
}
