package telemetry

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/thingloom/thingloom/internal/record"
)

// An Aggregator is a Sink that turns records into windows. Made by Aggregate.
//
// Each partition has a Windower of its own. When records or silence close
// windows, these go to the next sink as one batch of Records (see
// Windower.Advance), whose ID is that of the batch that closed them and the
// aggregator's name. The state is saved with the offset in one checkpoint,
// and a batch is repeated as it was, so that a repetition after a crash
// closes the same windows with the same content under the same ID.
//
// A partition that is silent for IdleAfter is given an empty batch. Its
// watermark then moves by as much as the clock did since the last record, no
// further than to the end of the last open window: what devices kept while
// they were away is not late because of the silence.
//
// A change of the query's text makes the state unreadable (ErrState): start
// it under another consumer's name.
type Aggregator struct {
	q    *Query
	next Sink
	opts WindowOptions

	mu    sync.Mutex
	parts map[int]*aggregatorPart
}

type aggregatorPart struct {
	mu      sync.Mutex // Stats reads while Write writes
	w       *Windower
	lastCut int64  // Time of the last batch with records, Unix nanoseconds
	applied string // ID of the last batch that is in w
	// out is what that batch closed, until next has taken it: a batch that
	// is written again must not be added again.
	out *Batch
}

var (
	_ Sink     = (*Aggregator)(nil)
	_ Stateful = (*Aggregator)(nil)
	_ Hinter   = (*Aggregator)(nil)
	_ Idler    = (*Aggregator)(nil)
)

// Aggregate returns a sink that computes the windows of q and hands those
// that are closed to next.
// An opts.Name that is not as described there makes Consume fail.
func Aggregate(q *Query, next Sink, opts *WindowOptions) *Aggregator {
	a := &Aggregator{q: q, next: next, opts: opts.withDefaults(), parts: make(map[int]*aggregatorPart)}
	if a.opts.Name == "" {
		a.opts.Name = fmt.Sprintf("w%08x", uint32(q.fingerprint()))
	}
	return a
}

func checkWindowName(name string) error {
	ok := len(name) <= 41
	for i, c := range []byte(name) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		ok = ok && (letter || i > 0 && (c == '_' || c >= '0' && c <= '9'))
	}
	if !ok {
		return fmt.Errorf("%w: WindowOptions.Name %q", ErrInvalidName, name)
	}
	return nil
}

func (a *Aggregator) part(partition int) *aggregatorPart {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.parts[partition]
	if p == nil {
		p = &aggregatorPart{w: NewWindower(a.q, &a.opts)}
		// Their zero is a default; here it has been replaced already.
		p.w.opts = a.opts
		a.parts[partition] = p
	}
	return p
}

// Write implements Sink.
func (a *Aggregator) Write(ctx context.Context, b Batch) error {
	p := a.part(b.Partition)
	p.mu.Lock()
	if b.ID == "" || b.ID != p.applied {
		p.out = a.apply(p, b)
		p.applied = b.ID
	}
	out := p.out
	p.mu.Unlock()
	if out == nil {
		return nil
	}
	if err := a.next.Write(ctx, *out); err != nil {
		return err
	}
	p.mu.Lock()
	p.out = nil
	p.mu.Unlock()
	return nil
}

// apply adds a batch to the windows and returns those it closes, or nil.
func (a *Aggregator) apply(p *aggregatorPart, b Batch) *Batch {
	for i := range b.Records {
		r := &b.Records[i]
		var err error
		if ahead := r.Time.Sub(b.Time); a.opts.MaxAhead > 0 && ahead > a.opts.MaxAhead {
			p.w.stats.Ahead++
			err = fmt.Errorf("%w by %s: key %q", ErrAhead, ahead, r.Key)
		} else {
			err = p.w.Add(r)
		}
		if err != nil && a.opts.OnDrop != nil {
			a.opts.OnDrop(r, err)
		}
	}
	var watermark time.Time
	if len(b.Records) > 0 {
		p.lastCut = b.Time.UnixNano()
	} else {
		watermark = p.idle(b.Time, a.opts.Lateness)
	}
	out := &Batch{ID: b.ID + "-" + a.opts.Name, Partition: b.Partition, Time: b.Time}
	for r := range p.w.Advance(watermark) {
		r.Partition, r.Offset = b.Partition, int64(len(out.Records))
		out.Records = append(out.Records, r)
	}
	if len(out.Records) == 0 && !(len(b.Records) == 0 && idleOf(a.next, b.Partition)) {
		return nil
	}
	return out
}

// idle is where silence has moved the watermark to.
func (p *aggregatorPart) idle(cut time.Time, lateness time.Duration) time.Time {
	last, ok := p.w.lastEnd()
	if !ok || p.w.maxEvent == noTime {
		return time.Time{}
	}
	moved := time.Unix(0, p.w.maxEvent).Add(cut.Sub(time.Unix(0, p.lastCut)) - lateness)
	if moved.After(last) {
		return last
	}
	return moved
}

// Hints implements Hinter. Batches wait up to 200 ms, since each checkpoint
// saves the state of all open windows.
func (a *Aggregator) Hints() Hints {
	h := Hints{MaxWait: 200 * time.Millisecond, IdleAfter: a.opts.IdleAfter}
	if n := hintsOf(a.next).IdleAfter; n > 0 && (h.IdleAfter == 0 || n < h.IdleAfter) {
		h.IdleAfter = n
	}
	return h
}

// Idle implements Idler: there are open windows.
func (a *Aggregator) Idle(partition int) bool {
	if idleOf(a.next, partition) {
		return true
	}
	p := a.part(partition)
	p.mu.Lock()
	defer p.mu.Unlock()
	return a.opts.IdleAfter > 0 && p.w.stats.Open > 0
}

func (a *Aggregator) checkPartitions(n int) error {
	if err := checkWindowName(a.opts.Name); err != nil {
		return err
	}
	if n > 1 && !a.q.byKey && !a.opts.AnyPartitions {
		return fmt.Errorf("%w: %d", ErrNotPartitioned, n)
	}
	return checkPartitionsOf(a.next, n)
}

// State implements Stateful.
func (a *Aggregator) State(partition int) ([]byte, error) {
	p := a.part(partition)
	p.mu.Lock()
	windows, err := p.w.MarshalBinary()
	b := record.AppendBytes(binary.AppendVarint(nil, p.lastCut), windows)
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	next, err := stateOf(a.next, partition)
	if err != nil {
		return nil, err
	}
	return record.AppendBytes(b, next), nil
}

// SetState implements Stateful.
func (a *Aggregator) SetState(partition int, state []byte) error {
	p := a.part(partition)
	var windows, next []byte
	var lastCut int64
	if len(state) > 0 {
		r := newStateReader(state)
		lastCut, windows, next = r.Varint(), r.View(), r.View()
		if err := r.end(); err != nil {
			return err
		}
	}
	p.mu.Lock()
	p.lastCut, p.applied, p.out = lastCut, "", nil
	err := p.w.resetTo(windows)
	p.mu.Unlock()
	if err != nil {
		return err
	}
	if len(next) == 0 {
		next = nil
	}
	return setStateOf(a.next, partition, next)
}

// Stats returns the counters of all partitions together.
func (a *Aggregator) Stats() WindowStats {
	a.mu.Lock()
	parts := slices.Collect(maps.Values(a.parts))
	a.mu.Unlock()
	var sum WindowStats
	for _, p := range parts {
		p.mu.Lock()
		s := p.w.stats
		p.mu.Unlock()
		sum.Records += s.Records
		sum.Filtered += s.Filtered
		sum.Late += s.Late
		sum.PartlyLate += s.PartlyLate
		sum.Ahead += s.Ahead
		sum.NoRoom += s.NoRoom
		sum.Failed += s.Failed
		sum.NotNumbers += s.NotNumbers
		sum.Closed += s.Closed
		sum.Rejected += s.Rejected
		sum.Broken += s.Broken
		sum.Open += s.Open
	}
	return sum
}
