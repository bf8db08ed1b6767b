package registry

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/thingloom/thingloom/internal/policy"
)

// An invalidation says whose cached access is out of date.
type invalidation struct {
	all        bool
	principals []string
}

// An authCache keeps what decides about access, per principal. It is bounded
// by two generations of entries: when the young one is full it becomes the
// old one, and what is still asked for moves over.
type authCache struct {
	seed  maphash.Seed
	limit int           // of each generation
	gen   atomic.Uint64 // grows with every invalidation

	mu         sync.RWMutex
	young, old map[string]*principalState
	// changes count invalidations, so that what was loaded while one went on
	// is not kept: one count for all, and one for each stripe of principals.
	changesAll uint64
	changes    [256]uint64

	// documents are compiled policies by their text, so that the principals
	// that have one policy share it.
	documents sync.Map
	compiled  atomic.Int64
}

// maxDocuments is how many compiled policies are kept.
const maxDocuments = 4096

// compile is parsePolicy, once for each text.
func (c *authCache) compile(text string) (*policy.Document, error) {
	if doc, ok := c.documents.Load(text); ok {
		return doc.(*policy.Document), nil
	}
	doc, err := parsePolicy(text)
	if err != nil {
		return nil, err
	}
	if c.compiled.Add(1) > maxDocuments {
		c.compiled.Store(0)
		c.documents.Clear()
	}
	c.documents.Store(text, doc)
	return doc, nil
}

func (c *authCache) init(limit int) {
	c.seed = maphash.MakeSeed()
	c.limit = max(limit/2, 1)
	c.young, c.old = map[string]*principalState{}, map[string]*principalState{}
}

func (c *authCache) stripe(principal string) *uint64 {
	return &c.changes[maphash.String(c.seed, principal)%uint64(len(c.changes))]
}

func (c *authCache) invalidate(in invalidation) {
	if !in.all && len(in.principals) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if in.all {
		c.changesAll++
		clear(c.young)
		clear(c.old)
	}
	for _, p := range in.principals {
		*c.stripe(p)++
		delete(c.young, p)
		delete(c.old, p)
	}
	c.gen.Add(1)
}

// A stamp is what must not have changed while something was loaded.
type stamp struct{ all, principal uint64 }

func (c *authCache) stamp(principal string) stamp {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return stamp{c.changesAll, *c.stripe(principal)}
}

// get returns the state of the principal, or nil.
func (c *authCache) get(principal string) *principalState {
	c.mu.RLock()
	s, young := c.young[principal]
	if !young {
		s = c.old[principal]
	}
	c.mu.RUnlock()
	if s != nil && !young {
		c.mu.Lock()
		if c.old[principal] == s { // not invalidated meanwhile
			c.insert(principal, s)
		}
		c.mu.Unlock()
	}
	return s
}

// insert adds to the young generation; the caller holds the lock.
func (c *authCache) insert(principal string, s *principalState) {
	if _, there := c.young[principal]; !there && len(c.young) >= c.limit {
		c.old, c.young = c.young, map[string]*principalState{}
	}
	c.young[principal] = s
	delete(c.old, principal)
}

// put keeps s unless something changed since the stamp.
func (c *authCache) put(principal string, s *principalState, at stamp) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if (stamp{c.changesAll, *c.stripe(principal)}) == at {
		c.insert(principal, s)
	}
}
