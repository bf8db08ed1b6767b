package defender

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// connections is who is connected as whom, for the audit.
type connections struct {
	mu       sync.Mutex
	clients  map[string]map[string]int // by principal: connections of each client ID
	shared   map[string]*sharing       // principals seen at once under several client IDs
	takeover map[string]time.Time      // client IDs that were taken over, and when last
}

// A sharing is which client IDs were connected at once, and when last.
type sharing struct {
	clients map[string]bool
	last    time.Time
}

// remembered is how long an audit finds what was wrong with connections, as at
// AWS: after that it has been mended, or it has happened again.
const remembered = 31 * 24 * time.Hour

// maxFound bounds each of the lists that connections keeps of what is wrong.
const maxFound = 1 << 16

func (l *connections) record(o *Observation, now time.Time) {
	if o.Kind < Connected {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.clients == nil {
		l.clients, l.shared, l.takeover = map[string]map[string]int{}, map[string]*sharing{}, map[string]time.Time{}
	}
	mine := l.clients[o.Principal]
	if o.Kind == Connected {
		if mine == nil {
			mine = map[string]int{}
			l.clients[o.Principal] = mine
		}
		if mine[o.ClientID]++; len(mine) > 1 && o.Principal != "" {
			l.share(o.Principal, mine, now)
		}
		return
	}
	if mine != nil {
		if mine[o.ClientID]--; mine[o.ClientID] <= 0 {
			delete(mine, o.ClientID)
		}
	}
	if len(mine) == 0 {
		delete(l.clients, o.Principal)
	}
	if o.Kind == TakenOver && len(l.takeover) < maxFound {
		l.takeover[o.ClientID] = now
	}
}

// share notes that a principal is connected under several client IDs.
func (l *connections) share(principal string, clients map[string]int, now time.Time) {
	found := l.shared[principal]
	if found == nil {
		if len(l.shared) >= maxFound {
			return
		}
		found = &sharing{clients: map[string]bool{}}
		l.shared[principal] = found
	}
	found.last = now
	for id := range clients {
		if len(found.clients) < 100 {
			found.clients[id] = true
		}
	}
}

// found returns the principals that were shared of late, with their client IDs,
// and the client IDs that were in conflict.
func (l *connections) found(now time.Time) (shared map[string][]string, conflicts []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := now.Add(-remembered)
	maps.DeleteFunc(l.shared, func(_ string, s *sharing) bool { return s.last.Before(before) })
	maps.DeleteFunc(l.takeover, func(_ string, last time.Time) bool { return last.Before(before) })
	shared = map[string][]string{}
	for principal, s := range l.shared {
		shared[principal] = slices.Sorted(maps.Keys(s.clients))
	}
	return shared, slices.Sorted(maps.Keys(l.takeover))
}
