package broker

import (
	"slices"
	"strings"
)

// subscribers are the subscriptions of one session, ordered by filter as the client sent it. Most devices
// have one or two, for which a map would take more memory than all the rest of the session; for thousands, which are
// stored in order, it would have to be sorted each time.
type subscribers struct {
	list       []*subscriber
	identified int // how many have a subscription identifier
}

func (s *subscribers) len() int { return len(s.list) }

func (s *subscribers) find(filter string) (i int, found bool) {
	return slices.BinarySearchFunc(s.list, filter, func(one *subscriber, filter string) int {
		return strings.Compare(one.sub.Filter, filter)
	})
}

// get is nil if there is none.
func (s *subscribers) get(filter string) *subscriber {
	if i, found := s.find(filter); found {
		return s.list[i]
	}
	return nil
}

// put returns the one that it replaces.
func (s *subscribers) put(one *subscriber) (old *subscriber) {
	i, found := s.find(one.sub.Filter)
	if found {
		old, s.list[i] = s.list[i], one
	} else {
		s.list = slices.Insert(s.list, i, one)
	}
	s.identified += one.identified() - old.identified()
	return old
}

// remove returns what it took out.
func (s *subscribers) remove(filter string) (old *subscriber) {
	i, found := s.find(filter)
	if !found {
		return nil
	}
	old = s.list[i]
	s.list = slices.Delete(s.list, i, i+1)
	if cap(s.list) > 4*len(s.list)+16 {
		s.list = slices.Clone(s.list)
	}
	s.identified -= old.identified()
	return old
}

// identified is 1 if the subscription has an identifier. s may be nil.
func (s *subscriber) identified() int {
	if s == nil || s.sub.Identifier == 0 {
		return 0
	}
	return 1
}
