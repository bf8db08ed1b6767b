package brokertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/thingloom/thingloom/broker"
)

var queueCases = []testCase{
	{
		name: "queue/absent",
		rule: "The queue of a client that nothing was enqueued for is empty; dequeuing from it is no error and takes nothing from what comes later.",
		check: func(ctx context.Context, e *env) error {
			return first(
				func() error { return e.wantQueue(ctx, "c", 0) },
				func() error { return e.Dequeue(ctx, "c", 1<<40) },
				func() error { _, err := e.Enqueue(ctx, []broker.Entry{entry("later", "c")}); return err },
				func() error { return e.wantQueue(ctx, "c", 0, "later") },
				func() error { return e.Dequeue(ctx, "c", 1<<40) },
				func() error { _, err := e.Enqueue(ctx, []broker.Entry{entry("last", "c")}); return err },
				func() error { return e.wantQueue(ctx, "c", 0, "last") },
			)
		},
	},
	{
		name: "queue/round trip",
		rule: "Queue gives back every field of a message, whether it is for one session or for several.",
		check: func(ctx context.Context, e *env) error {
			bare := broker.Message{Topic: "t", QoS: 1}
			empty := message("t", "")
			empty.Properties.CorrelationData = []byte{}
			big := message("big", strings.Repeat("x", 300_000))
			want := []broker.Message{fullMessage(), bare, empty, big}
			var batch []broker.Entry
			for _, m := range want {
				batch = append(batch, broker.Entry{Message: m, ClientIDs: []string{"a"}}, broker.Entry{Message: m, ClientIDs: []string{"b", "c"}})
			}
			if _, err := e.Enqueue(ctx, batch); err != nil {
				return err
			}
			for _, client := range []string{"a", "b", "c"} {
				all, err := e.queueOf(ctx, client, 0)
				if err != nil {
					return err
				}
				if len(all) != len(want) {
					return fmt.Errorf("queue of %q has %d messages, want %d", client, len(all), len(want))
				}
				for i := range want {
					if err := sameMessage(all[i].Message, want[i]); err != nil {
						return fmt.Errorf("queue of %q: %w", client, err)
					}
				}
			}
			return nil
		},
	},
	{
		name: "queue/modes",
		rule: "A message that is enqueued with Modes has in each queue the QoS and Retain that stand there for that session, and all else as it is.",
		check: func(ctx context.Context, e *env) error {
			m := fullMessage()
			several := broker.Entry{Message: m, ClientIDs: []string{"a", "b", "c", "d"}, Modes: []broker.Mode{{QoS: 1}, {QoS: 2}, {QoS: 1, Retain: true}, {QoS: 2, Retain: true}}}
			one := broker.Entry{Message: m, ClientIDs: []string{"a"}, Modes: []broker.Mode{{QoS: 1, Retain: true}}}
			if _, err := e.Enqueue(ctx, []broker.Entry{several, one}); err != nil {
				return err
			}
			for client, want := range map[string][]broker.Mode{"a": {{QoS: 1}, {QoS: 1, Retain: true}}, "b": {{QoS: 2}}, "c": {{QoS: 1, Retain: true}}, "d": {{QoS: 2, Retain: true}}} {
				all, err := e.queueOf(ctx, client, 0)
				if err != nil {
					return err
				}
				if len(all) != len(want) {
					return fmt.Errorf("queue of %q has %d messages, want %d", client, len(all), len(want))
				}
				for i, mode := range want {
					m.QoS, m.Retain = mode.QoS, mode.Retain
					if err := sameMessage(all[i].Message, m); err != nil {
						return fmt.Errorf("queue of %q: %w", client, err)
					}
				}
			}
			return nil
		},
	},
	{
		name: "queue/consecutive numbers",
		rule: "The entries of a batch get consecutive numbers from first on, above all numbers given before, and every queue shows a message under the same one.",
		check: func(ctx context.Context, e *env) error {
			var above uint64
			for round := range 3 {
				batch := []broker.Entry{entry("0", "a", "b"), entry("1", "b"), entry("2"), entry("3", "a", "b", "c")}
				got, err := e.Enqueue(ctx, batch)
				if err != nil {
					return err
				}
				if got <= above {
					return fmt.Errorf("round %d: first is %d, and %d was given before", round, got, above)
				}
				for client, want := range map[string][]uint64{"a": {got, got + 3}, "b": {got, got + 1, got + 3}, "c": {got + 3}} {
					all, err := e.queueOf(ctx, client, above)
					if err != nil {
						return err
					}
					var seqs []uint64
					for _, q := range all {
						seqs = append(seqs, q.Seq)
					}
					if fmt.Sprint(seqs) != fmt.Sprint(want) {
						return fmt.Errorf("round %d: queue of %q has numbers %d, want %d", round, client, seqs, want)
					}
				}
				above = got + 3
			}
			return nil
		},
	},
	{
		name: "queue/all or nothing",
		rule: "A batch that is refused leaves nothing behind, for no session of any of its entries.",
		check: func(ctx context.Context, e *env) error {
			done, cancel := context.WithCancel(ctx)
			cancel()
			if _, err := e.Enqueue(done, []broker.Entry{entry("1", "a"), entry("2", "a", "b")}); !errors.Is(err, context.Canceled) {
				return fmt.Errorf("Enqueue with a context that is done gives %v, want context.Canceled", err)
			}
			return first(
				func() error { return e.wantQueue(ctx, "a", 0) },
				func() error { return e.wantQueue(ctx, "b", 0) },
				func() error { _, err := e.Enqueue(ctx, nil); return err },
			)
		},
	},
	{
		name:    "queue/numbers grow over a restart",
		rule:    "Numbers only grow, also over a restart, and also when every queue was empty at that time.",
		reopens: true,
		check: func(ctx context.Context, e *env) error {
			var above uint64
			for round := range 3 {
				got, err := e.Enqueue(ctx, []broker.Entry{entry("1", "a"), entry("2", "a", "b")})
				if err != nil {
					return err
				}
				if got <= above {
					return fmt.Errorf("round %d: first is %d, and %d was given before", round, got, above)
				}
				above = got + 1
				for _, c := range []string{"a", "b"} {
					if err := errors.Join(e.Dequeue(ctx, c, above), e.DeleteSession(ctx, c)); err != nil {
						return err
					}
				}
				e.reopen()
			}
			return nil
		},
	},
	{
		name: "queue/above a number",
		rule: "Queue yields what has a number above after, in order, and no error when it is left early.",
		check: func(ctx context.Context, e *env) error {
			one, err := e.Enqueue(ctx, []broker.Entry{entry("1", "c"), entry("2", "c", "d"), entry("3", "d"), entry("4", "c", "d"), entry("5", "c")})
			if err != nil {
				return err
			}
			for q, err := range e.Queue(ctx, "c", 0) {
				if err != nil || string(q.Message.Payload) != "1" {
					return fmt.Errorf("the queue begins with %q, %w", q.Message.Payload, errors.Join(errMissing, err))
				}
				break
			}
			return first(
				func() error { return e.wantQueue(ctx, "c", one-1, "1", "2", "4", "5") },
				func() error { return e.wantQueue(ctx, "c", one, "2", "4", "5") },
				func() error { return e.wantQueue(ctx, "c", one+2, "4", "5") },
				func() error { return e.wantQueue(ctx, "c", one+4) },
				func() error { return e.wantQueue(ctx, "c", 1<<63) },
				func() error { return e.wantQueue(ctx, "c", 0, "1", "2", "4", "5") },
			)
		},
	},
	{
		name: "queue/dequeue",
		rule: "Dequeue removes up to and including a number, for that client alone; a lower number than before brings nothing back, and one that is the client's of no message is as good as any.",
		check: func(ctx context.Context, e *env) error {
			one, err := e.Enqueue(ctx, []broker.Entry{entry("1", "c", "d"), entry("2", "d"), entry("3", "c", "d"), entry("4", "c")})
			if err != nil {
				return err
			}
			steps := []struct {
				upTo uint64
				c    []string
			}{
				{one - 1, []string{"1", "3", "4"}}, {one, []string{"3", "4"}}, {one - 1, []string{"3", "4"}},
				{one + 1, []string{"3", "4"}}, {one + 2, []string{"4"}}, {one + 3, nil}, {one, nil},
			}
			for _, step := range steps {
				if err := e.Dequeue(ctx, "c", step.upTo); err != nil {
					return err
				}
				if err := e.wantQueue(ctx, "c", 0, step.c...); err != nil {
					return fmt.Errorf("numbers from %d on, after Dequeue(%d): %w", one, step.upTo, err)
				}
				if err := e.wantQueue(ctx, "d", 0, "1", "2", "3"); err != nil {
					return fmt.Errorf("after Dequeue of another client: %w", err)
				}
			}
			return nil
		},
	},
	{
		name: "queue/many rounds",
		rule: "Ten thousand messages through the queues of a client that follows, one that lags and one that stays away: each finds exactly its own, in order.",
		check: func(ctx context.Context, e *env) error {
			const rounds, size = 100, 100
			var lag uint64
			for round := range rounds {
				var batch []broker.Entry
				for i := range size {
					n := round*size + i
					clients := []string{"follows", "lags"}
					if n%50 == 0 {
						clients = append(clients, "away")
					}
					if n%3 == 0 {
						clients = clients[:1]
					}
					batch = append(batch, entry(fmt.Sprint(n), clients...))
				}
				start, err := e.Enqueue(ctx, batch)
				if err != nil {
					return err
				}
				var want []string
				for i := range size {
					want = append(want, fmt.Sprint(round*size+i))
				}
				if err := e.wantQueue(ctx, "follows", 0, want...); err != nil {
					return fmt.Errorf("round %d: %w", round, err)
				}
				for i := range uint64(size) {
					if err := e.Dequeue(ctx, "follows", start+i); err != nil {
						return err
					}
				}
				if lag > 0 {
					if err := e.Dequeue(ctx, "lags", lag); err != nil {
						return err
					}
				}
				lag = start - 1
			}
			var lags, away []string
			for n := range rounds * size {
				if n%3 != 0 && n >= (rounds-2)*size {
					lags = append(lags, fmt.Sprint(n))
				}
				if n%3 != 0 && n%50 == 0 {
					away = append(away, fmt.Sprint(n))
				}
			}
			return first(
				func() error { return e.wantQueue(ctx, "follows", 0) },
				func() error { return e.wantQueue(ctx, "lags", 0, lags...) },
				func() error { return e.wantQueue(ctx, "away", 0, away...) },
			)
		},
	},
	{
		name: "queue/messages may be kept",
		rule: "What Queue yields stays as it is when the loop moves on, and the batch's slices are the caller's again once Enqueue has returned.",
		check: func(ctx context.Context, e *env) error {
			batch := []broker.Entry{entry("1", "c"), entry("2", "c", "d"), entry("3", "c")}
			if _, err := e.Enqueue(ctx, batch); err != nil {
				return err
			}
			for i := range batch {
				for j := range batch[i].ClientIDs {
					batch[i].ClientIDs[j] = "spoilt"
				}
				batch[i] = entry("spoilt", "spoilt")
			}
			return first(
				func() error { return e.wantQueue(ctx, "spoilt", 0) },
				func() error { return e.wantQueue(ctx, "c", 0, "1", "2", "3") },
				func() error { return e.wantQueue(ctx, "d", 0, "2") },
			)
		},
	},
	{
		name: "queue/change while reading",
		rule: "The loop over a queue may dequeue and enqueue, for that client and others.",
		check: func(ctx context.Context, e *env) error {
			if _, err := e.Enqueue(ctx, []broker.Entry{entry("1", "c"), entry("2", "c", "d"), entry("3", "c")}); err != nil {
				return err
			}
			var got []string
			for q, err := range e.Queue(ctx, "c", 0) {
				if err != nil {
					return err
				}
				if got = append(got, string(q.Message.Payload)); len(got) > 3 {
					break // a loop that sees what came later is fine
				}
				if err := e.Dequeue(ctx, "c", q.Seq); err != nil {
					return err
				}
				if _, err := e.Enqueue(ctx, []broker.Entry{entry("more", "c", "d")}); err != nil {
					return err
				}
			}
			if len(got) < 3 || fmt.Sprint(got[:3]) != "[1 2 3]" {
				return fmt.Errorf("the loop yields %q, want 1, 2 and 3", got)
			}
			return e.wantQueue(ctx, "d", 0, "2", "more", "more", "more")
		},
	},
	{
		name:  "queue/order of appearance",
		rule:  "For one client no message becomes visible after one with a higher number, however many goroutines enqueue: a reader that goes on above the highest number it has seen misses nothing.",
		check: checkAppearance,
	},
	{
		name: "queue/cancelled",
		rule: "With a context that is done, Queue and Dequeue fail with the context's error, also when that happens while a loop runs.",
		check: func(ctx context.Context, e *env) error {
			if _, err := e.Enqueue(ctx, []broker.Entry{entry("1", "c"), entry("2", "c")}); err != nil {
				return err
			}
			done, cancel := context.WithCancel(ctx)
			defer cancel()
			var last error
			var yielded int
			for _, err := range e.Queue(done, "c", 0) {
				if last = err; err == nil {
					yielded++
				}
				cancel()
			}
			if yielded != 1 || !errors.Is(last, context.Canceled) {
				return fmt.Errorf("Queue yields %d messages and ends with %v, want 1 and context.Canceled", yielded, last)
			}
			if err := e.Dequeue(done, "c", 1<<40); !errors.Is(err, context.Canceled) {
				return fmt.Errorf("Dequeue gives %v, want context.Canceled", err)
			}
			return e.wantQueue(ctx, "c", 0, "1", "2")
		},
	},
}

func checkAppearance(ctx context.Context, e *env) error {
	const writers, batches = 8, 50
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	errs := make(chan error, writers)
	for w := range writers {
		wg.Go(func() {
			for n := range batches {
				batch := []broker.Entry{entry(fmt.Sprintf("%d/%d", w, 2*n), "c"), entry(fmt.Sprintf("%d/%d", w, 2*n+1), "c", "d")}
				if _, err := e.Enqueue(ctx, batch); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		})
	}
	defer wg.Wait()
	var after uint64
	next := [writers]int{} // by writer, the message that must come
	for left := writers; ; {
		writing := left > 0
		for q, err := range e.Queue(ctx, "c", after) {
			if err != nil {
				return err
			}
			var w, n int
			if _, err := fmt.Sscanf(string(q.Message.Payload), "%d/%d", &w, &n); err != nil {
				return fmt.Errorf("message %q: %w", q.Message.Payload, err)
			}
			if n != next[w] {
				return fmt.Errorf("message %d of writer %d appears where %d is due", n, w, next[w])
			}
			next[w]++
			after = q.Seq
		}
		if !writing {
			break
		}
		select {
		case err := <-errs:
			if left--; err != nil {
				return err
			}
		default:
		}
	}
	for w, n := range next {
		if n != 2*batches {
			return fmt.Errorf("the reader saw %d messages of writer %d, want %d", n, w, 2*batches)
		}
	}
	return nil
}
