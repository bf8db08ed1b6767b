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
	clients  map[string]map[string]int  // by principal: connections of each client ID
	shared   map[string]map[string]bool // principals seen at once under several client IDs, and those
	takeover map[string]time.Time       // client IDs that were taken over, and when last
}

// maxFound bounds each of the lists that connections keeps of what is wrong.
const maxFound = 1 << 16

func (l *connections) record(o *Observation, now time.Time) {
	if o.Kind < Connected {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.clients == nil {
		l.clients, l.shared, l.takeover = map[string]map[string]int{}, map[string]map[string]bool{}, map[string]time.Time{}
	}
	mine := l.clients[o.Principal]
	if o.Kind == Connected {
		if mine == nil {
			mine = map[string]int{}
			l.clients[o.Principal] = mine
		}
		if mine[o.ClientID]++; len(mine) > 1 && o.Principal != "" && len(l.shared) < maxFound {
			if l.shared[o.Principal] == nil {
				l.shared[o.Principal] = map[string]bool{}
			}
			for id := range mine {
				if len(l.shared[o.Principal]) < 100 {
					l.shared[o.Principal][id] = true
				}
			}
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

// found returns the principals that were shared, with their client IDs, and the
// client IDs that were in conflict.
func (l *connections) found() (shared map[string][]string, conflicts []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	shared = map[string][]string{}
	for principal, ids := range l.shared {
		shared[principal] = slices.Sorted(maps.Keys(ids))
	}
	return shared, slices.Sorted(maps.Keys(l.takeover))
}
