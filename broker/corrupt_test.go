package broker

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"
)

// A rotten store cannot read some of what it has.
type rotten struct {
	*MemStore
	payload string // of those
}

func (r *rotten) Queue(ctx context.Context, id string, after uint64) iter.Seq2[Queued, error] {
	return func(yield func(Queued, error) bool) {
		for q, err := range r.MemStore.Queue(ctx, id, after) {
			if string(q.Message.Payload) == r.payload {
				q, err = Queued{Seq: q.Seq}, fmt.Errorf("disk: %w", ErrCorrupt)
			}
			if !yield(q, err) {
				return
			}
		}
	}
}

func (r *rotten) Retained(ctx context.Context, filter string) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for m, err := range r.MemStore.Retained(ctx, filter) {
			if string(m.Payload) == r.payload {
				m, err = Message{}, fmt.Errorf("disk: %w", ErrCorrupt)
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

// TestCorruptRecordStopsNothing: of what waits for a client one message cannot be read, of what is retained another one. The
// rest comes, and the queue moves on, also behind a restart, and on the connection after one on which the message was sent.
func TestCorruptRecordStopsNothing(t *testing.T) {
	for _, sent := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			disk := NewMemStore()
			b := open(t, disk, nil)
			o := connectOpts{id: "dev", expiry: 3600}
			p := join(t, b, o)
			p.subscribe(1, "q")
			if !sent {
				p.leave()
			}
			for i := range 5 {
				if err := b.Publish(t.Context(), "q", []byte(fmt.Sprint(i))); err != nil {
					t.Fatal(err)
				}
				if err := b.PublishMessage(t.Context(), Message{Topic: fmt.Sprint("r/", i), QoS: 1, Retain: true, Payload: []byte(fmt.Sprint(i))}); err != nil {
					t.Fatal(err)
				}
			}
			if sent {
				for i := range 5 {
					p.gets(1, "q", fmt.Sprint(i)) // and acknowledges none
				}
				p.cut()
			}
			synctest.Wait()
			if !sent {
				b = open(t, &rotten{disk, "2"}, nil)
			} else {
				b.store = &rotten{disk, "2"}
			}
			p = dial(t, b)
			p.resumes(o)
			for _, i := range []int{0, 1, 3, 4} {
				p.puback(p.gets(1, "q", fmt.Sprint(i)).id)
			}
			p.subscribe(0, "r/+")
			for _, i := range []int{0, 1, 3, 4} {
				p.gets(0, fmt.Sprint("r/", i), fmt.Sprint(i))
			}
			p.none()
			p.leave()
			if st := b.Stats(); st.Dropped[DropCorrupt] != 1 || st.StoreErrors < 2 {
				t.Errorf("dropped %v, %d errors", st.Dropped, st.StoreErrors)
			}
			if c, err := b.Client("dev"); err != nil || c.Queued != 0 {
				t.Errorf("%d are queued, %v", c.Queued, err)
			}
			b = open(t, disk, nil)
			p = dial(t, b)
			p.resumes(o)
			p.none() // nothing of it comes again
			p.leave()
		})
	}
}
