package broker

import "iter"

// subscribers are the subscriptions of one session by filter, as the client sent it. Most devices
// have one or two, for which a map would take more memory than all the rest of the session.
type subscribers struct {
	few  []*subscriber
	many map[string]*subscriber // instead of few, once they are more than fewMost
}

const fewMost = 8

func (s *subscribers) len() int { return len(s.few) + len(s.many) }

// get is nil if there is none.
func (s *subscribers) get(filter string) *subscriber {
	if s.many != nil {
		return s.many[filter]
	}
	for _, one := range s.few {
		if one.sub.Filter == filter {
			return one
		}
	}
	return nil
}

// put returns the one that it replaces.
func (s *subscribers) put(one *subscriber) (old *subscriber) {
	if s.many == nil {
		for i, have := range s.few {
			if have.sub.Filter == one.sub.Filter {
				s.few[i] = one
				return have
			}
		}
		if len(s.few) < fewMost {
			s.few = append(s.few, one)
			return nil
		}
		s.many = make(map[string]*subscriber, 2*fewMost)
		for _, have := range s.few {
			s.many[have.sub.Filter] = have
		}
		s.few = nil
	}
	old = s.many[one.sub.Filter]
	s.many[one.sub.Filter] = one
	return old
}

// remove returns what it took out.
func (s *subscribers) remove(filter string) (old *subscriber) {
	if s.many != nil {
		old = s.many[filter]
		delete(s.many, filter)
		return old
	}
	for i, have := range s.few {
		if have.sub.Filter == filter {
			last := len(s.few) - 1
			s.few[i], s.few[last] = s.few[last], nil
			s.few = s.few[:last]
			return have
		}
	}
	return nil
}

// all yields them in no particular order.
func (s *subscribers) all() iter.Seq[*subscriber] {
	return func(yield func(*subscriber) bool) {
		for _, one := range s.few {
			if !yield(one) {
				return
			}
		}
		for _, one := range s.many {
			if !yield(one) {
				return
			}
		}
	}
}
