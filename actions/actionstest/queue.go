package actionstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
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
		ID: fmt.Sprint(n), Rule: "rule", Hops: n + 1, Topic: "a/é/" + fmt.Sprint(n), ClientID: "c", Principal: "p", SourceIP: "::1", TraceID: "t",
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
