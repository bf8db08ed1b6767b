package rules

import (
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/thingloom/thingloom/internal/sql"
)

// A shape is the compiled statement that rules share which differ in nothing
// but topic filter and the literals their WHERE begins with. Fleets of such
// rules are made from one template; they need the memory, and the cache of the
// processor, of one.
type shape struct {
	st   *sql.Statement // of one of them
	refs int            // guarded by shapes.mu
	all  *shapes

	// plan is that of the rule that was routed last, and slots what it was made
	// for. Guarded by Engine.editing.
	plan  *plan
	slots []int32
}

// A plan is how a message that many rules compete for is answered by those of
// one shape that have the same slots, as they have but for edits that come in
// between. It never changes.
type plan struct {
	num  uint32
	copy sql.Copy
}

// shapes are those of all entries that are not closed.
type shapes struct {
	mu sync.Mutex
	by map[string]*shape
}

// of is the shape of st, which release gives back.
func (s *shapes) of(st *sql.Statement) *shape {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.by[st.Body()]
	if sh == nil {
		if s.by == nil {
			s.by = make(map[string]*shape)
		}
		sh = &shape{st: st, all: s}
		s.by[st.Body()] = sh
	}
	sh.refs++
	return sh
}

// route gives e the slots of its statement, and the plan for them.
func (e *entry) route(slots []int32) {
	sh := e.shape
	if sh.plan == nil || !slices.Equal(sh.slots, slots) {
		sh.plan, sh.slots = new(plan), slots
		sh.plan.num = rand.Uint32()
		e.st.Copy(&sh.plan.copy, slots)
	}
	e.plan, e.slots = sh.plan, sh.slots
}

// release may be called with nil, the shape of a broken rule.
func (sh *shape) release() {
	if sh == nil {
		return
	}
	sh.all.mu.Lock()
	defer sh.all.mu.Unlock()
	if sh.refs--; sh.refs == 0 {
		delete(sh.all.by, sh.st.Body())
	}
}
