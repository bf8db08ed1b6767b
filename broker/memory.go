package broker

import (
	"context"
	"sync/atomic"

	"github.com/thingloom/thingloom/internal/topic"
)

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

// kept is what sessions, their subscriptions and retained messages take in memory, about. It changes when clients
// come, go and subscribe, and not with messages.
func (b *Broker) kept() int64 {
	n := b.state.Load()
	if b.retainedBytes != nil {
		n += b.retainedBytes()
	}
	return n
}

// A RetainedMemory is a [Store] that keeps retained messages in memory, and says how much they take, about, in bytes.
// A broker counts that against Options.MaxMemoryBytes and refuses retained messages above it. A Store that keeps them
// elsewhere has no such method.
type RetainedMemory interface{ RetainedBytes() int64 }

var _ RetainedMemory = (*MemStore)(nil)

// What things take in memory, about: structures, their places in maps and trees, and what allocation rounds up to.
const (
	sessionBytes      = 1024
	subscriptionBytes = 256
	levelBytes        = 96 // of a topic filter
	retainedBytes     = 320
	routeBytes        = 256 // and for each receiver:
	receiverBytes     = 48
)

func (s *session) bytes() int64 { return int64(sessionBytes + len(s.id) + len(s.principal)) }

func (s *Subscription) bytes() int64 {
	return int64(subscriptionBytes + 2*len(s.Filter) + levelBytes*topic.Levels(s.Filter))
}

// share is how much of Options.MaxMemoryBytes may be kept: the rest is for messages on their way, which must not
// starve whatever is kept.
func (b *Broker) share() int64 { return b.opts.MaxMemoryBytes - b.opts.MaxMemoryBytes/4 }

// crowded reports whether no more may be kept.
func (b *Broker) crowded() bool { return b.opts.MaxMemoryBytes > 0 && b.kept() >= b.share() }

// mayKeep reports whether a retained message may be stored: not one more if it is crowded, but one that is not larger
// than what it replaces.
func (b *Broker) mayKeep(ctx context.Context, name string, payload int) bool {
	if b.retainedBytes == nil || payload == 0 || !b.crowded() {
		return true
	}
	for m, err := range b.store.Retained(ctx, name) {
		return err == nil && payload <= len(m.Payload)
	}
	return false
}

// tight reports whether so much waits that Options.MaxMemoryBytes is reached.
func (b *Broker) tight() bool {
	most := b.opts.MaxMemoryBytes
	return most > 0 && b.memory.Load()+min(b.kept(), b.share()) >= most
}

// spill reports whether d, which is in the Store, is left there for lack of memory. It is read when the client
// acknowledges what it has. s.mu is held.
func (b *Broker) spill(s *session, seq uint64) bool { return b.tight() && s.out.Leave(seq) }
