package telemetry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// readChunk is how many records one look at the log asks for.
const readChunk = 512

// Consume hands the stream's records to sink, each partition from its
// checkpoint on, and blocks until ctx is done, when it returns nil. The name
// of the consumer is 1 to 100 letters, digits, '.', '_' or '-'; one Consume
// with that name runs at a time, others get ErrBusy.
//
// Partitions are consumed concurrently, each in order. A failed Write is tried
// again, after growing pauses, until it succeeds: wrap the sink in DeadLetter
// to give up on a batch. Failures of the log, of the checkpoints and of the
// sink's state end Consume with that error.
//
// What is not delivered when ctx is done is delivered by the next Consume of
// that name, also in another process.
func (s *Stream) Consume(ctx context.Context, consumer string, sink Sink) error {
	if err := checkName(consumer); err != nil {
		return err
	}
	if err := checkPartitionsOf(sink, len(s.parts)); err != nil {
		return fmt.Errorf("consumer %q: %w", consumer, err)
	}
	run := &consumerRun{parts: make([]consumerPart, len(s.parts))}
	s.mu.Lock()
	if old := s.consumers[consumer]; old != nil && old.running.Load() {
		s.mu.Unlock()
		return fmt.Errorf("consumer %q: %w", consumer, ErrBusy)
	}
	run.running.Store(true)
	s.consumers[consumer] = run
	s.mu.Unlock()
	defer run.running.Store(false)

	dctx, cancel := drainContext(ctx, s.opts.DrainTimeout)
	defer cancel()
	g, gctx := errgroup.WithContext(ctx)
	for i, p := range s.parts {
		r := &reader{
			s: s, p: p, name: consumer, sink: sink,
			hints: hintsOf(sink).withDefaults(), stats: &run.parts[i],
		}
		g.Go(func() error {
			if err := r.run(gctx, dctx); err != nil {
				return fmt.Errorf("telemetry: consumer %q, partition %d: %w", consumer, p.n, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// checkName accepts what may be part of a file name and of a store's key.
func checkName(name string) error {
	if len(name) < 1 || len(name) > 100 {
		return fmt.Errorf("%w: consumer's name has %d bytes, not 1 to 100", ErrInvalidName, len(name))
	}
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("._-", c) >= 0:
		default:
			return fmt.Errorf("%w: consumer %q: %q is not a letter, a digit, '.', '_' or '-'", ErrInvalidName, name, c)
		}
	}
	if name[0] == '.' {
		return fmt.Errorf("%w: consumer %q begins with '.'", ErrInvalidName, name)
	}
	return nil
}

// A reader takes one consumer through one partition.
type reader struct {
	s     *Stream
	p     *partition
	name  string
	sink  Sink
	hints Hints
	stats *consumerPart

	cp    Checkpoint
	saved bool // cp is what the store has

	// The batch being filled: the records from cp.Next up to end.
	buf   []Record
	bytes int
	end   int64
	since time.Time // when its first record was read
	last  time.Time // when the partition last showed a sign of life
}

// run returns nil when ctx is done. dctx outlives ctx for what is in flight.
func (r *reader) run(ctx, dctx context.Context) error {
	cp, err := r.s.cps.LoadCheckpoint(ctx, r.name, r.p.n)
	if err != nil {
		return ignoreDone(ctx, fmt.Errorf("load checkpoint: %w", err))
	}
	if err := setStateOf(r.sink, r.p.n, cp.State); err != nil {
		return err
	}
	r.cp, r.saved, r.end = cp, true, cp.Next
	r.stats.next.Store(cp.Next)
	if _, next, err := r.s.log.Bounds(ctx, r.p.n); err == nil {
		r.p.setEnd(next)
	}
	if !cp.Cut.IsZero() {
		if err := r.refill(ctx); err != nil {
			return ignoreDone(ctx, err)
		}
		if err := r.deliver(ctx, dctx); err != nil {
			return ignoreDone(ctx, err)
		}
	}
	r.last = r.s.opts.Now()
	for ctx.Err() == nil {
		if err := r.fill(ctx, dctx); err != nil {
			return ignoreDone(ctx, err)
		}
		r.cp.End, r.cp.Cut = r.end, r.s.opts.Now().Round(0)
		if err := r.save(dctx); err != nil {
			return err
		}
		if err := r.deliver(ctx, dctx); err != nil {
			return ignoreDone(ctx, err)
		}
	}
	return r.settle(dctx)
}

// ignoreDone turns the end that was asked for into nil.
func ignoreDone(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, errStopped)) {
		return nil
	}
	return err
}

// errStopped ends a reader whose batch was not delivered when ctx was done.
// The checkpoint has the batch in flight.
var errStopped = errors.New("telemetry: stopped")

func (r *reader) save(ctx context.Context) error {
	if err := r.s.cps.SaveCheckpoint(ctx, r.name, r.p.n, r.cp); err != nil {
		return fmt.Errorf("save checkpoint: %w", err)
	}
	r.saved = true
	return nil
}

// settle saves a delivery that is not yet on record. While there is a backlog
// that is left to the announcement of the next batch: one write for both.
func (r *reader) settle(ctx context.Context) error {
	if r.saved {
		return nil
	}
	return r.save(ctx)
}

// refill reads the batch in flight of the loaded checkpoint, and nothing else.
func (r *reader) refill(ctx context.Context) error {
	for r.end = r.cp.Next; r.end < r.cp.End; {
		recs, err := r.s.log.Read(ctx, r.p.n, r.end, int(min(r.cp.End-r.end, readChunk)))
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if len(recs) == 0 || recs[0].Offset >= r.cp.End {
			break // retention was here: there is no more of this batch
		}
		r.take(recs)
	}
	if r.end < r.cp.End {
		r.skip(r.cp.End)
	}
	return nil
}

// take adds consecutive records to the batch and counts what retention took
// from before them.
func (r *reader) take(recs []Record) {
	r.skip(recs[0].Offset)
	for i := range recs {
		r.bytes += len(recs[i].Key) + len(recs[i].Value)
	}
	r.buf = append(r.buf, recs...)
	r.end = recs[len(recs)-1].Offset + 1
}

// skip moves end over records that are gone.
func (r *reader) skip(to int64) {
	if to <= r.end {
		return
	}
	r.stats.skipped.Add(to - r.end)
	r.s.opts.Logger.Warn("telemetry: records were removed before they were consumed",
		"consumer", r.name, "partition", r.p.n, "offset", r.end, "records", to-r.end)
	r.end = to
}

// fill returns when a batch is due: full, or old enough, or empty and idle.
func (r *reader) fill(ctx, dctx context.Context) error {
	var timer *time.Timer
	defer func() {
		if timer != nil {
			timer.Stop()
		}
	}()
	for {
		more := r.p.more()
		grew, err := r.read(ctx)
		if err != nil {
			return err
		}
		now := r.s.opts.Now()
		if grew {
			r.last = now
			if len(r.buf) > 0 && r.since.IsZero() {
				r.since = now
			}
		}
		if len(r.buf) >= r.hints.MaxRecords || r.bytes >= r.hints.MaxBytes {
			return nil
		}
		if grew && r.hints.MaxWait > 0 {
			continue // there may be more at once
		}
		wait := r.s.opts.PollInterval
		if len(r.buf) > 0 {
			left := r.hints.MaxWait - now.Sub(r.since)
			if left <= 0 {
				return nil
			}
			wait = min(wait, left)
		} else if r.hints.IdleAfter > 0 && idleOf(r.sink, r.p.n) {
			left := r.hints.IdleAfter - now.Sub(r.last)
			if left <= 0 {
				r.last = now
				return nil
			}
			wait = min(wait, left)
		}
		if err := r.settle(dctx); err != nil {
			return err
		}
		if timer == nil {
			timer = time.NewTimer(wait)
		} else {
			timer.Reset(wait)
		}
		select {
		case <-more:
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// read takes what the log has, up to what the batch still holds.
func (r *reader) read(ctx context.Context) (grew bool, err error) {
	want := min(r.hints.MaxRecords-len(r.buf), readChunk)
	if want <= 0 {
		return false, nil
	}
	recs, err := r.s.log.Read(ctx, r.p.n, r.end, want)
	if err != nil {
		return false, fmt.Errorf("read: %w", err)
	}
	if len(recs) == 0 {
		return false, nil
	}
	r.take(recs)
	r.p.setEnd(r.end)
	return true, nil
}

// deliver writes the batch in flight until the sink has it, and moves on.
func (r *reader) deliver(ctx, dctx context.Context) error {
	b := Batch{ID: r.batchID(), Partition: r.p.n, Time: r.cp.Cut, Records: r.buf}
	pause := r.s.opts.RetryMin
	for {
		err := r.sink.Write(dctx, b)
		if err == nil {
			break
		}
		r.stats.failed(err)
		r.s.opts.Logger.Warn("telemetry: sink failed, batch will be written again",
			"consumer", r.name, "batch", b.ID, "records", len(b.Records), "err", err)
		if !sleep(ctx, jitter(pause)) {
			return errStopped
		}
		pause = min(2*pause, r.s.opts.RetryMax)
	}
	state, err := stateOf(r.sink, r.p.n)
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	r.stats.delivered(r.cp.End, len(b.Records))
	r.cp = Checkpoint{Next: r.cp.End, Seq: r.cp.Seq + 1, State: state}
	r.saved = false
	// The sink may have kept the records.
	r.buf, r.bytes, r.since = nil, 0, time.Time{}
	return nil
}

// batchID names the batch in flight by what the checkpoint says of it.
func (r *reader) batchID() string {
	if r.cp.End == r.cp.Next {
		return fmt.Sprintf("%s-%03d-%016d-idle%012d", r.name, r.p.n, r.cp.Next, r.cp.Seq)
	}
	return fmt.Sprintf("%s-%03d-%016d-%016d", r.name, r.p.n, r.cp.Next, r.cp.End-1)
}

// jitter returns d give or take half of it, so that consumers of one failed
// system do not return to it in step.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }

// sleep reports whether it slept d rather than being woken by ctx.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
