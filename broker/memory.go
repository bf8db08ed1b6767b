package broker

import "sync/atomic"

// What waits in memory for all connections together: to be written, to be acknowledged, or to become a whole
// packet. It is counted in steps, so that a connection whose queues are short never touches the shared counter.
const memoryStep = 16 << 10

// An account is the part of Broker.memory that one holder has entered.
type account struct{ entered int64 }

// set says how much is held now. Whoever calls it guards what is held.
func (a *account) set(total *atomic.Int64, held int) {
	d := int64(held) - a.entered
	if d > -memoryStep && d < memoryStep && (held > 0 || a.entered == 0) {
		return
	}
	total.Add(d)
	a.entered += d
}

// tight reports whether Options.MaxMemoryBytes is reached.
func (b *Broker) tight() bool {
	most := b.opts.MaxMemoryBytes
	return most > 0 && b.memory.Load() >= most
}

// spill reports whether d, which is in the Store, is left there for lack of memory. It is read when the client
// acknowledges what it has. s.mu is held.
func (b *Broker) spill(s *session, seq uint64) bool { return b.tight() && s.out.Leave(seq) }
