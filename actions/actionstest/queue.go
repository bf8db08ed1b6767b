package actionstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/thingloom/thingloom/actions"
)

// A Backend is what TestQueues needs to know of some actions.Queues.
type Backend struct {
	Queues actions.Queues

	// Reopen, for durable queues alone, ends the process, so to speak: queues
	// are opened anew over the same storage. Queues of before are not used any more.
	Reopen func() (actions.Queues, error)
}

// A QueueCase is one rule for queues.
type QueueCase struct {
	Name    string
	Rule    string // printed when the case fails
	Durable bool   // for durable queues alone
	Run     func(ctx context.Context, b Backend) error
}

// TestQueues runs every case on queues of its own.
func TestQueues(t *testing.T, setup func(t *testing.T) Backend) {
	for _, c := range QueueCases() {
		t.Run(c.Name, func(t *testing.T) {
			b := setup(t)
			if c.Durable && b.Reopen == nil {
				t.Skip("not durable")
			}
			if err := c.Run(t.Context(), b); err != nil {
				t.Errorf("%v\nrule: %s", err, c.Rule)
			}
		})
	}
}

// QueueCases returns the rules.
func QueueCases() []QueueCase {
	return []QueueCase{
		{"round trip", "Pop gives back every field of what Push was given, its Done among them or Lost.", false, roundTrip},
		{"order", "Pop gives the oldest first, one request once, with growing numbers.", false, order},
		{"copy", "Push keeps a copy of the request.", false, copied},
		{"waits", "Pop waits until there is a request.", false, waits},
		{"pop cancelled", "Pop ends with its context.", false, popCancelled},
		{"push cancelled", "Push with a context that is done takes nothing.", false, pushCancelled},
		{"count", "At MaxCount Push is ErrQueueFull until something is acknowledged; popping makes no room.", false, count},
		{"bytes", "At MaxBytes Push is ErrQueueFull, and what is acknowledged makes room.", false, maxBytes},
		{"unlimited", "Negative limits are none.", false, unlimited},
		{"age", "What is older than MaxAge comes with ErrExpired.", false, age},
		{"any order", "Ack takes entries in any order, Size counts down to nothing.", false, anyOrder},
		{"separate", "Queues of two identities share nothing.", false, separate},
		{"close", "Close ends waiting Pops with ErrClosed, refuses Push, and may be called twice.", false, closes},
		{"once", "Among many pushers and poppers every request is given once.", false, once},
		{"durable", "Durable tells whether there is a Reopen.", false, durable},
		{"reopen", "What was not acknowledged is given again, in order, with all its fields but Done, as Lost.", true, reopen},
		{"settled stays", "What was acknowledged before an orderly end does not come back, in whatever order it was.", true, settledStays},
		{"stored", "Stored yields the identities with requests and no others.", true, stored},
		{"goes on", "After a reopen numbers go on growing.", true, goesOn},
	}
}

var someone = actions.Identity{Owner: "rule", Action: "probe", Params: json.RawMessage(`{"a":1}`)}

// use opens the queue of someone for the time of f.
func use(ctx context.Context, q actions.Queues, l actions.Limits, f func(o actions.Queue) error) error {
	o, err := q.OpenQueue(ctx, someone, l)
	if err != nil {
		return err
	}
	return errors.Join(f(o), o.Close())
}

func push(ctx context.Context, o actions.Queue, from, to int) error {
	for n := from; n < to; n++ {
		if err := o.Push(ctx, full(n)); err != nil {
			return fmt.Errorf("push %d: %w", n, err)
		}
	}
	return nil
}

// full is a request with every stored field set.
func full(n int) *actions.Request {
	return &actions.Request{
		ID: fmt.Sprint(n), Rule: "rule", Topic: "a/é/" + fmt.Sprint(n), ClientID: "c", Principal: "p", SourceIP: "::1", TraceID: "t",
		Time: time.Unix(1_700_000_000, int64(n)).UTC(), Payload: []byte(fmt.Sprintf(`{"n":%d}`, n)), Source: []byte{0, 0xff, byte(n)},
		Vars:       []actions.Var{{Name: "v", Value: json.RawMessage(`[1]`)}, {Name: "undefined"}},
		Properties: &actions.Properties{UTF8: true, ContentType: "x", CorrelationData: []byte{1}, User: []actions.UserProperty{{Name: "k", Value: "v"}}},
	}
}

// pop takes n entries, in as many calls as it takes.
func pop(ctx context.Context, o actions.Queue, n int) ([]actions.Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var all []actions.Entry
	for len(all) < n {
		buf := make([]actions.Entry, n-len(all))
		got, err := o.Pop(ctx, buf)
		if err != nil {
			return all, fmt.Errorf("pop after %d of %d: %w", len(all), n, err)
		}
		if got < 1 || got > len(buf) {
			return all, fmt.Errorf("Pop returned %d of %d and no error", got, len(buf))
		}
		all = append(all, buf[:got]...)
	}
	return all, nil
}

func expect(all []actions.Entry, want ...int) error {
	if len(all) != len(want) {
		return fmt.Errorf("%d entries, want %d", len(all), len(want))
	}
	for i, n := range want {
		if all[i].Err != nil || all[i].Request.ID != fmt.Sprint(n) {
			return fmt.Errorf("entry %d is %q with error %v, want %d", i, all[i].Request.ID, all[i].Err, n)
		}
		if i > 0 && all[i].Seq <= all[i-1].Seq {
			return fmt.Errorf("number %d after %d", all[i].Seq, all[i-1].Seq)
		}
	}
	return nil
}

// differs compares what is stored of two requests.
func differs(got, want *actions.Request) error {
	a, b := *got, *want
	if !a.Time.Equal(b.Time) {
		return fmt.Errorf("time %v, want %v", a.Time, b.Time)
	}
	a.Time, a.Done, a.Attempt, b.Time, b.Done, b.Attempt = time.Time{}, nil, 0, time.Time{}, nil, 0
	if !reflect.DeepEqual(a, b) {
		return fmt.Errorf("got %+v, want %+v", a, b)
	}
	return nil
}

func roundTrip(ctx context.Context, b Backend) error {
	return use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		called := 0
		r := full(7)
		r.Done = func(error) { called++ }
		if err := o.Push(ctx, r); err != nil {
			return err
		}
		all, err := pop(ctx, o, 1)
		if err != nil {
			return err
		}
		if err := differs(&all[0].Request, r); err != nil {
			return err
		}
		if all[0].Request.Done != nil {
			all[0].Request.Done(nil)
		}
		if (called == 1) == all[0].Lost {
			return fmt.Errorf("Done called %d times, Lost %v", called, all[0].Lost)
		}
		return nil
	})
}

func order(ctx context.Context, b Backend) error {
	return use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		if err := push(ctx, o, 0, 5); err != nil {
			return err
		}
		all, err := pop(ctx, o, 2)
		if err != nil {
			return err
		}
		if err := push(ctx, o, 5, 200); err != nil {
			return err
		}
		rest, err := pop(ctx, o, 198)
		if err != nil {
			return err
		}
		want := make([]int, 200)
		for i := range want {
			want[i] = i
		}
		return expect(append(all, rest...), want...)
	})
}

func copied(ctx context.Context, b Backend) error {
	return use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		r := full(1)
		if err := o.Push(ctx, r); err != nil {
			return err
		}
		*r = *full(2)
		all, err := pop(ctx, o, 1)
		if err != nil {
			return err
		}
		return expect(all, 1)
	})
}

func waits(ctx context.Context, b Backend) error {
	return use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		var buf [1]actions.Entry
		if n, err := o.Pop(short, buf[:]); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("Pop of an empty queue: %d, %v", n, err)
		}
		type result struct {
			all []actions.Entry
			err error
		}
		got := make(chan result, 1)
		go func() {
			all, err := pop(ctx, o, 1)
			got <- result{all, err}
		}()
		if err := push(ctx, o, 0, 1); err != nil {
			return err
		}
		r := <-got
		if r.err != nil {
			return r.err
		}
		return expect(r.all, 0)
	})
}

func popCancelled(ctx context.Context, b Backend) error {
	return use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		gone, cancel := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() {
			var buf [1]actions.Entry
			_, err := o.Pop(gone, buf[:])
			done <- err
		}()
		cancel()
		late := time.NewTimer(5 * time.Second)
		defer late.Stop()
		select {
		case err := <-done:
			if !errors.Is(err, context.Canceled) {
				return fmt.Errorf("got %v", err)
			}
			return nil
		case <-late.C:
			return errors.New("still waiting after 5 s")
		}
	})
}

func pushCancelled(ctx context.Context, b Backend) error {
	return use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if err := o.Push(gone, full(1)); !errors.Is(err, context.Canceled) {
			return fmt.Errorf("got %v", err)
		}
		if n, size := o.Size(); n != 0 || size != 0 {
			return fmt.Errorf("size %d, %d", n, size)
		}
		return nil
	})
}

func count(ctx context.Context, b Backend) error {
	return use(ctx, b.Queues, actions.Limits{MaxCount: 2}, func(o actions.Queue) error {
		if err := push(ctx, o, 0, 2); err != nil {
			return err
		}
		all, err := pop(ctx, o, 1)
		if err != nil {
			return err
		}
		if err := o.Push(ctx, full(9)); !errors.Is(err, actions.ErrQueueFull) {
			return fmt.Errorf("the third: %v", err)
		}
		if err := o.Ack(all); err != nil {
			return err
		}
		if err := push(ctx, o, 2, 3); err != nil {
			return err
		}
		if all, err = pop(ctx, o, 2); err != nil {
			return err
		}
		return expect(all, 1, 2)
	})
}

func maxBytes(ctx context.Context, b Backend) error {
	return use(ctx, b.Queues, actions.Limits{MaxBytes: 10_000}, func(o actions.Queue) error {
		big := full(1)
		big.Payload = make([]byte, 6000)
		if err := o.Push(ctx, big); err != nil {
			return err
		}
		if _, size := o.Size(); size < 6000 || size > 10_000 {
			return fmt.Errorf("size %d", size)
		}
		if err := o.Push(ctx, big); !errors.Is(err, actions.ErrQueueFull) {
			return fmt.Errorf("the second: %v", err)
		}
		all, err := pop(ctx, o, 1)
		if err != nil {
			return err
		}
		if err := o.Ack(all); err != nil {
			return err
		}
		return o.Push(ctx, big)
	})
}

func unlimited(ctx context.Context, b Backend) error {
	return use(ctx, b.Queues, actions.Limits{MaxCount: -1, MaxBytes: -1, MaxAge: -1}, func(o actions.Queue) error {
		if err := push(ctx, o, 0, 3); err != nil {
			return err
		}
		all, err := pop(ctx, o, 3)
		if err != nil {
			return err
		}
		return expect(all, 0, 1, 2)
	})
}

func age(ctx context.Context, b Backend) error {
	return use(ctx, b.Queues, actions.Limits{MaxAge: time.Nanosecond}, func(o actions.Queue) error {
		if err := push(ctx, o, 0, 1); err != nil {
			return err
		}
		<-time.After(2 * time.Millisecond) // the clock may be coarse
		all, err := pop(ctx, o, 1)
		if err != nil {
			return err
		}
		if !errors.Is(all[0].Err, actions.ErrExpired) || all[0].Request.ID != "0" {
			return fmt.Errorf("got %q, %v", all[0].Request.ID, all[0].Err)
		}
		return o.Ack(all)
	})
}

func anyOrder(ctx context.Context, b Backend) error {
	return use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		if err := push(ctx, o, 0, 3); err != nil {
			return err
		}
		all, err := pop(ctx, o, 3)
		if err != nil {
			return err
		}
		for left, i := range []int{2, 0, 1} {
			if n, _ := o.Size(); n != 3-left {
				return fmt.Errorf("size %d, want %d", n, 3-left)
			}
			if err := o.Ack(all[i : i+1]); err != nil {
				return err
			}
		}
		if n, size := o.Size(); n != 0 || size != 0 {
			return fmt.Errorf("size %d, %d at the end", n, size)
		}
		return nil
	})
}

func separate(ctx context.Context, b Backend) error {
	other := someone
	other.Owner = "another"
	q, err := b.Queues.OpenQueue(ctx, other, actions.Limits{MaxCount: 1})
	if err != nil {
		return err
	}
	err = use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		if err := errors.Join(push(ctx, q, 7, 8), push(ctx, o, 0, 2)); err != nil {
			return err
		}
		mine, err := pop(ctx, o, 2)
		if err != nil {
			return err
		}
		theirs, err := pop(ctx, q, 1)
		if err != nil {
			return err
		}
		return errors.Join(expect(mine, 0, 1), expect(theirs, 7))
	})
	return errors.Join(err, q.Close())
}

func closes(ctx context.Context, b Backend) error {
	o, err := b.Queues.OpenQueue(ctx, someone, actions.Limits{})
	if err != nil {
		return err
	}
	done := make(chan error, 2)
	for range 2 {
		go func() {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			var buf [1]actions.Entry
			_, err := o.Pop(ctx, buf[:])
			done <- err
		}()
	}
	if err := errors.Join(o.Close(), o.Close()); err != nil {
		return err
	}
	for range 2 {
		if err := <-done; !errors.Is(err, actions.ErrClosed) {
			return fmt.Errorf("Pop: %v", err)
		}
	}
	if err := o.Push(ctx, full(1)); !errors.Is(err, actions.ErrClosed) {
		return fmt.Errorf("Push: %v", err)
	}
	return nil
}

func once(ctx context.Context, b Backend) error {
	const pushers, poppers, each = 4, 4, 100
	return use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		var mu sync.Mutex
		seen := map[string]int{}
		var errs []error
		report := func(err error) {
			if err == nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		}
		var wg sync.WaitGroup
		for p := range pushers {
			wg.Go(func() { report(push(ctx, o, p*each, (p+1)*each)) })
		}
		enough, stop := context.WithCancel(ctx)
		defer stop()
		for range poppers {
			wg.Go(func() {
				var buf [7]actions.Entry
				for {
					n, err := o.Pop(enough, buf[:])
					if err != nil {
						return
					}
					report(o.Ack(buf[:n]))
					mu.Lock()
					for i := range buf[:n] {
						seen[buf[i].Request.ID]++
					}
					if len(seen) == pushers*each {
						stop()
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		for id, n := range seen {
			if n != 1 {
				errs = append(errs, fmt.Errorf("%s was given %d times", id, n))
			}
		}
		if len(seen) != pushers*each {
			errs = append(errs, fmt.Errorf("%d of %d were given", len(seen), pushers*each))
		}
		if n, _ := o.Size(); n != 0 {
			errs = append(errs, fmt.Errorf("size %d at the end", n))
		}
		return errors.Join(errs...)
	})
}

func durable(ctx context.Context, b Backend) error {
	return use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		if o.Durable() != (b.Reopen != nil) {
			return fmt.Errorf("Durable is %v", o.Durable())
		}
		return nil
	})
}

func reopen(ctx context.Context, b Backend) error {
	err := use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		if err := push(ctx, o, 0, 4); err != nil {
			return err
		}
		_, err := pop(ctx, o, 2)
		return err
	})
	if err != nil {
		return err
	}
	q, err := b.Reopen()
	if err != nil {
		return err
	}
	return use(ctx, q, actions.Limits{}, func(o actions.Queue) error {
		if n, size := o.Size(); n != 4 || size <= 0 {
			return fmt.Errorf("size %d, %d", n, size)
		}
		all, err := pop(ctx, o, 4)
		if err != nil {
			return err
		}
		if err := expect(all, 0, 1, 2, 3); err != nil {
			return err
		}
		for i := range all {
			if !all[i].Lost || all[i].Request.Done != nil {
				return fmt.Errorf("entry %d: Lost %v", i, all[i].Lost)
			}
			if err := differs(&all[i].Request, full(i)); err != nil {
				return err
			}
		}
		return nil
	})
}

func settledStays(ctx context.Context, b Backend) error {
	err := use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		if err := push(ctx, o, 0, 4); err != nil {
			return err
		}
		all, err := pop(ctx, o, 4)
		if err != nil {
			return err
		}
		return errors.Join(o.Ack(all[3:4]), o.Ack(all[1:2]))
	})
	if err != nil {
		return err
	}
	q, err := b.Reopen()
	if err != nil {
		return err
	}
	return use(ctx, q, actions.Limits{}, func(o actions.Queue) error {
		n, _ := o.Size()
		all, err := pop(ctx, o, n)
		if err != nil {
			return err
		}
		return expect(all, 0, 2)
	})
}

func stored(ctx context.Context, b Backend) error {
	for i := range 3 {
		id := someone
		id.Owner = fmt.Sprint(i)
		o, err := b.Queues.OpenQueue(ctx, id, actions.Limits{})
		if err != nil {
			return err
		}
		if err := push(ctx, o, 0, i); err != nil {
			return err
		}
		if i == 1 {
			all, err := pop(ctx, o, 1)
			if err == nil {
				err = o.Ack(all)
			}
			if err != nil {
				return err
			}
		}
		if err := o.Close(); err != nil {
			return err
		}
	}
	q, err := b.Reopen()
	if err != nil {
		return err
	}
	var got []actions.Identity
	for id, err := range q.Stored(ctx) {
		if err != nil {
			return err
		}
		got = append(got, id)
	}
	want := someone
	want.Owner = "2"
	if len(got) != 1 || got[0].ID() != want.ID() || got[0].Action != want.Action || got[0].Owner != want.Owner {
		return fmt.Errorf("got %+v, want %+v alone", got, want)
	}
	return nil
}

func goesOn(ctx context.Context, b Backend) error {
	var last uint64
	err := use(ctx, b.Queues, actions.Limits{}, func(o actions.Queue) error {
		if err := push(ctx, o, 0, 2); err != nil {
			return err
		}
		all, err := pop(ctx, o, 2)
		if err != nil {
			return err
		}
		last = all[0].Seq
		return o.Ack(all[1:])
	})
	if err != nil {
		return err
	}
	q, err := b.Reopen()
	if err != nil {
		return err
	}
	return use(ctx, q, actions.Limits{}, func(o actions.Queue) error {
		if err := push(ctx, o, 5, 6); err != nil {
			return err
		}
		all, err := pop(ctx, o, 2)
		if err != nil {
			return err
		}
		if all[1].Seq <= last {
			return fmt.Errorf("number %d after %d", all[1].Seq, last)
		}
		return expect(all, 0, 5)
	})
}
