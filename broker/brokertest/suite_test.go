package brokertest

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"testing"

	"github.com/thingloom/thingloom/broker"
)

func TestMemStore(t *testing.T) {
	TestStore(t, func(*testing.T) broker.Store { return broker.NewMemStore() }, &Options{
		// Nothing is lost when the same store is used again.
		Reopen: func(_ *testing.T, s broker.Store) broker.Store { return s },
	})
}

// broken is a store whose methods can be replaced.
type broken struct {
	broker.Store
	sessions      func(ctx context.Context) iter.Seq2[broker.Session, error]
	saveSession   func(ctx context.Context, s broker.Session) error
	deleteSession func(ctx context.Context, clientID string) error
	enqueue       func(ctx context.Context, batch []broker.Entry) (uint64, error)
	mark          func(ctx context.Context, batch []broker.Entry, marks []broker.Mark) (uint64, error)
	dequeue       func(ctx context.Context, clientID string, upTo uint64) error
	queue         func(ctx context.Context, clientID string, after uint64) iter.Seq2[broker.Queued, error]
	setRetained   func(ctx context.Context, m broker.Message) error
	retained      func(ctx context.Context, filter string) iter.Seq2[broker.Message, error]
}

func (b *broken) Sessions(ctx context.Context) iter.Seq2[broker.Session, error] {
	if b.sessions != nil {
		return b.sessions(ctx)
	}
	return b.Store.Sessions(ctx)
}

func (b *broken) SaveSession(ctx context.Context, s broker.Session) error {
	if b.saveSession != nil {
		return b.saveSession(ctx, s)
	}
	return b.Store.SaveSession(ctx, s)
}

func (b *broken) DeleteSession(ctx context.Context, clientID string) error {
	if b.deleteSession != nil {
		return b.deleteSession(ctx, clientID)
	}
	return b.Store.DeleteSession(ctx, clientID)
}

func (b *broken) Enqueue(ctx context.Context, batch []broker.Entry, marks ...broker.Mark) (uint64, error) {
	if b.enqueue != nil {
		return b.enqueue(ctx, batch)
	}
	if b.mark != nil {
		return b.mark(ctx, batch, marks)
	}
	return b.Store.Enqueue(ctx, batch, marks...)
}

func (b *broken) Dequeue(ctx context.Context, clientID string, upTo uint64) error {
	if b.dequeue != nil {
		return b.dequeue(ctx, clientID, upTo)
	}
	return b.Store.Dequeue(ctx, clientID, upTo)
}

func (b *broken) Queue(ctx context.Context, clientID string, after uint64) iter.Seq2[broker.Queued, error] {
	if b.queue != nil {
		return b.queue(ctx, clientID, after)
	}
	return b.Store.Queue(ctx, clientID, after)
}

func (b *broken) SetRetained(ctx context.Context, m broker.Message) error {
	if b.setRetained != nil {
		return b.setRetained(ctx, m)
	}
	return b.Store.SetRetained(ctx, m)
}

func (b *broken) Retained(ctx context.Context, filter string) iter.Seq2[broker.Message, error] {
	if b.retained != nil {
		return b.retained(ctx, filter)
	}
	return b.Store.Retained(ctx, filter)
}

// faults break a store in just the way that a case is about.
var faults = map[string]func(b *broken){
	"session/absent": func(b *broken) {
		b.deleteSession = func(context.Context, string) error { return broker.ErrNotFound }
	},
	"session/round trip": func(b *broken) {
		b.saveSession = func(ctx context.Context, s broker.Session) error {
			if s.Will != nil {
				w := *s.Will
				w.Message.Properties.User = nil
				s.Will = &w
			}
			return b.Store.SaveSession(ctx, s)
		}
	},
	"session/tail": func(b *broken) {
		b.sessions = func(ctx context.Context) iter.Seq2[broker.Session, error] {
			return func(yield func(broker.Session, error) bool) {
				for s, err := range b.Store.Sessions(ctx) {
					s.Tail = 0
					if !yield(s, err) {
						return
					}
				}
			}
		}
	},
	"session/replace": func(b *broken) {
		b.saveSession = func(ctx context.Context, s broker.Session) error {
			return errors.Join(b.Store.DeleteSession(ctx, s.ClientID), b.Store.SaveSession(ctx, s))
		}
	},
	"session/odd client IDs": func(b *broken) { // keys that end at NUL
		cut := func(s string) string {
			if i := slices.Index([]byte(s), 0); i >= 0 {
				return s[:i]
			}
			return s
		}
		b.queue = func(ctx context.Context, c string, after uint64) iter.Seq2[broker.Queued, error] {
			return b.Store.Queue(ctx, cut(c), after)
		}
	},
	"session/delete removes the queue": func(b *broken) {
		b.deleteSession = func(ctx context.Context, c string) error {
			var kept []broker.Entry
			for q := range b.Store.Queue(ctx, c, 0) {
				kept = append(kept, broker.Entry{Message: q.Message, ClientIDs: []string{c}})
			}
			err := b.Store.DeleteSession(ctx, c)
			if len(kept) > 0 {
				_, err = b.Store.Enqueue(ctx, kept)
			}
			return err
		}
	},
	"session/shares no memory": func(b *broken) {
		kept := map[string]broker.Session{}
		b.saveSession = func(_ context.Context, s broker.Session) error { kept[s.ClientID] = s; return nil }
		b.sessions = func(context.Context) iter.Seq2[broker.Session, error] {
			return func(yield func(broker.Session, error) bool) {
				for _, s := range kept {
					if !yield(s, nil) {
						return
					}
				}
			}
		}
	},
	"session/cancelled": func(b *broken) {
		b.saveSession = func(ctx context.Context, s broker.Session) error {
			return b.Store.SaveSession(context.WithoutCancel(ctx), s)
		}
	},
	"session/reopen": nil, // here and below, one that forgets
	"queue/absent": func(b *broken) { // positions ahead of the queue
		ahead := map[string]uint64{}
		b.dequeue = func(ctx context.Context, c string, upTo uint64) error {
			ahead[c] = upTo
			return b.Store.Dequeue(ctx, c, upTo)
		}
		b.queue = func(ctx context.Context, c string, after uint64) iter.Seq2[broker.Queued, error] {
			return b.Store.Queue(ctx, c, max(after, ahead[c]))
		}
	},
	"queue/round trip": func(b *broken) {
		b.enqueue = func(ctx context.Context, batch []broker.Entry) (uint64, error) {
			batch = slices.Clone(batch)
			for i := range batch {
				batch[i].Message.Properties.PayloadFormat = nil
			}
			return b.Store.Enqueue(ctx, batch)
		}
	},
	"queue/modes": func(b *broken) { // that of the first session for all
		b.enqueue = func(ctx context.Context, batch []broker.Entry) (uint64, error) {
			batch = slices.Clone(batch)
			for i := range batch {
				if e := &batch[i]; e.Modes != nil {
					e.Message.QoS, e.Message.Retain, e.Modes = e.Modes[0].QoS, e.Modes[0].Retain, nil
				}
			}
			return b.Store.Enqueue(ctx, batch)
		}
	},
	"queue/consecutive numbers": func(b *broken) { // an entry without sessions takes no number
		b.enqueue = func(ctx context.Context, batch []broker.Entry) (uint64, error) {
			return b.Store.Enqueue(ctx, slices.DeleteFunc(slices.Clone(batch), func(e broker.Entry) bool { return len(e.ClientIDs) == 0 }))
		}
	},
	"queue/all or nothing": func(b *broken) {
		b.enqueue = func(ctx context.Context, batch []broker.Entry) (first uint64, err error) {
			for i, e := range batch {
				if _, err := b.Store.Enqueue(context.WithoutCancel(ctx), []broker.Entry{e}); err != nil || i == 0 && ctx.Err() != nil {
					return 0, errors.Join(err, ctx.Err())
				}
			}
			return 1, nil
		}
	},
	"queue/numbers grow over a restart": nil,
	"queue/above a number": func(b *broken) { // from instead of above
		b.queue = func(ctx context.Context, c string, after uint64) iter.Seq2[broker.Queued, error] {
			return b.Store.Queue(ctx, c, max(after, 1)-1)
		}
	},
	"queue/dequeue": func(b *broken) { // before instead of up to
		b.dequeue = func(ctx context.Context, c string, upTo uint64) error {
			return b.Store.Dequeue(ctx, c, max(upTo, 1)-1)
		}
	},
	"queue/many rounds": func(b *broken) { // a trim that is too greedy
		n := 0
		b.enqueue = func(ctx context.Context, batch []broker.Entry) (uint64, error) {
			first, err := b.Store.Enqueue(ctx, batch)
			if n++; n%50 == 0 {
				err = b.Store.Dequeue(ctx, "away", first)
			}
			return first, err
		}
	},
	"queue/messages may be kept": func(b *broken) { // one buffer for all
		b.queue = func(ctx context.Context, c string, after uint64) iter.Seq2[broker.Queued, error] {
			return func(yield func(broker.Queued, error) bool) {
				var buffer [8]byte
				for q, err := range b.Store.Queue(ctx, c, after) {
					q.Message.Payload = buffer[:copy(buffer[:], q.Message.Payload)]
					if !yield(q, err) {
						return
					}
				}
			}
		}
	},
	"queue/change while reading": func(b *broken) { // the queue ends where the loop removed something
		b.queue = func(ctx context.Context, c string, after uint64) iter.Seq2[broker.Queued, error] {
			return func(yield func(broker.Queued, error) bool) {
				for i := 0; ; i++ {
					at := 0
					var found broker.Queued
					for q := range b.Store.Queue(ctx, c, after) {
						if at == i {
							found = q
						}
						at++
					}
					if i >= at || !yield(found, nil) {
						return
					}
				}
			}
		}
	},
	"queue/order of appearance": func(b *broken) { // every other message appears late
		var mu sync.Mutex
		var held [][]broker.Queued
		seq := uint64(0)
		var visible []broker.Queued
		b.enqueue = func(_ context.Context, batch []broker.Entry) (uint64, error) {
			mu.Lock()
			defer mu.Unlock()
			first := seq + 1
			var qs []broker.Queued
			for _, e := range batch {
				seq++
				qs = append(qs, broker.Queued{Seq: seq, Message: e.Message})
			}
			if held = append(held, qs); len(held) == 2 {
				visible = append(append(visible, held[1]...), held[0]...)
				held = nil
			}
			return first, nil
		}
		b.queue = func(_ context.Context, _ string, after uint64) iter.Seq2[broker.Queued, error] {
			return func(yield func(broker.Queued, error) bool) {
				mu.Lock()
				all := slices.Clone(visible)
				mu.Unlock()
				for _, q := range all {
					if q.Seq > after && !yield(q, nil) {
						return
					}
				}
			}
		}
	},
	"queue/cancelled": func(b *broken) {
		b.queue = func(ctx context.Context, c string, after uint64) iter.Seq2[broker.Queued, error] {
			return b.Store.Queue(context.WithoutCancel(ctx), c, after)
		}
	},
	"retained/round trip": func(b *broken) {
		b.setRetained = func(ctx context.Context, m broker.Message) error {
			m.Retain = false
			return b.Store.SetRetained(ctx, m)
		}
	},
	"retained/replace and clear": func(b *broken) {
		b.setRetained = func(ctx context.Context, m broker.Message) error {
			if len(m.Payload) == 0 {
				return nil
			}
			return b.Store.SetRetained(ctx, m)
		}
	},
	"retained/filters": func(b *broken) {
		b.retained = func(ctx context.Context, filter string) iter.Seq2[broker.Message, error] {
			return func(yield func(broker.Message, error) bool) {
				for m, err := range b.Store.Retained(ctx, filter) {
					if filter == "a/#" && m.Topic == "a" {
						continue
					}
					if !yield(m, err) {
						return
					}
				}
			}
		}
	},
	"retained/left early": func(b *broken) { // a lock held over the loop would hang: here the set is refused
		looping := false
		b.retained = func(ctx context.Context, filter string) iter.Seq2[broker.Message, error] {
			return func(yield func(broker.Message, error) bool) {
				looping = true
				defer func() { looping = false }()
				b.Store.Retained(ctx, filter)(yield)
			}
		}
		b.setRetained = func(ctx context.Context, m broker.Message) error {
			if looping {
				return errors.New("busy")
			}
			return b.Store.SetRetained(ctx, m)
		}
	},
	"marks/round trip": func(b *broken) { // of packet ids one byte is kept
		b.mark = func(ctx context.Context, batch []broker.Entry, marks []broker.Mark) (uint64, error) {
			marks = slices.Clone(marks)
			for i := range marks {
				marks[i].PacketID &= 0xff
			}
			return b.Store.Enqueue(ctx, batch, marks...)
		}
	},
	"marks/dequeue": func(b *broken) { // one too many goes
		b.dequeue = func(ctx context.Context, c string, upTo uint64) error {
			return errors.Join(b.Store.Dequeue(ctx, c, upTo), b.Store.Dequeue(ctx, c, upTo+1))
		}
	},
	"marks/all or nothing": func(b *broken) {
		b.mark = func(ctx context.Context, batch []broker.Entry, marks []broker.Mark) (uint64, error) {
			first, err := b.Store.Enqueue(context.WithoutCancel(ctx), batch, marks...)
			return first, errors.Join(err, ctx.Err())
		}
	},
	"marks/reopen":    nil,
	"retained/reopen": nil,
	"retained/cancelled": func(b *broken) {
		b.retained = func(ctx context.Context, filter string) iter.Seq2[broker.Message, error] {
			return b.Store.Retained(context.WithoutCancel(ctx), filter)
		}
	},
}

// TestBrokenStores runs each case on a store that is broken in just that way.
func TestBrokenStores(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			fault, listed := faults[c.name]
			if !listed {
				t.Fatal("the case has no broken store")
			}
			b := &broken{Store: broker.NewMemStore()}
			e := &env{Store: b, reopen: func() {}}
			if c.reopens { // a store that forgets
				e.reopen = func() { b.Store = broker.NewMemStore() }
			} else {
				fault(b)
			}
			if err := c.run(t.Context(), e); err == nil {
				t.Errorf("a broken store passes: %s", c.rule)
			} else {
				t.Log(err)
			}
		})
	}
	if len(faults) != len(cases) {
		t.Errorf("%d broken stores for %d cases", len(faults), len(cases))
	}
}
