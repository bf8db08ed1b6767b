package telemetry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A Stream puts records into a Log, many goroutines in one write, and hands
// them to consumers. Records of one key are in one partition, in the order in
// which their Puts returned; nothing is promised between partitions.
//
// All methods may be called from many goroutines.
type Stream struct {
	log  Log
	cps  Checkpoints
	opts StreamOptions
	ran  atomic.Bool

	parts   []*partition
	refused atomic.Int64

	mu        sync.Mutex
	consumers map[string]*consumerRun
}

// partition is the intake of one partition.
type partition struct {
	n    int
	wake chan struct{} // of the committer; one token

	mu     sync.Mutex
	cur    *group // accepting puts
	closed bool
	grown  chan struct{} // closed at the next append; nil when nobody waits

	end                         atomic.Int64 // offset after the last record known
	puts, bytes, groups, failed atomic.Int64
}

// A group is the puts that one Append writes.
type group struct {
	recs  []Record
	arena []byte        // copies of the values
	bytes int           // of keys and values
	taken chan struct{} // closed when the group accepts no more
	done  chan struct{} // closed when err is valid
	err   error
}

func newGroup(records, arena int) *group {
	return &group{
		recs:  make([]Record, 0, records),
		arena: make([]byte, 0, arena),
		taken: make(chan struct{}),
		done:  make(chan struct{}),
	}
}

// NewStream returns a stream over log that keeps its consumers' checkpoints in
// cp. It starts nothing: see Run.
func NewStream(log Log, cp Checkpoints, opts *StreamOptions) (*Stream, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	n := log.Partitions()
	if n < 1 {
		return nil, fmt.Errorf("%w: the log has %d partitions", ErrPartition, n)
	}
	s := &Stream{log: log, cps: cp, opts: o, consumers: make(map[string]*consumerRun)}
	for i := range n {
		s.parts = append(s.parts, &partition{n: i, wake: make(chan struct{}, 1), cur: newGroup(8, 1024)})
	}
	return s, nil
}

// Put appends one record and returns once it is durable. The zero t means now.
// Value is JSON unless StreamOptions.AnyBytes is set, and is copied.
//
// An error that wraps ErrInvalidRecord or ErrClosed means that the record is
// not in the stream. After an error of ctx or of the log it may be or not be.
// Put waits for Run to begin, and while the group it would join is full.
func (s *Stream) Put(ctx context.Context, key string, t time.Time, value []byte) error {
	if t.IsZero() {
		t = s.opts.Now()
	}
	if err := s.opts.check(key, t, value); err != nil {
		s.refused.Add(1)
		return err
	}
	g, err := s.join(ctx, s.parts[Partition(key, len(s.parts))], key, t, value)
	if err != nil {
		s.refused.Add(1)
		return err
	}
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
		return fmt.Errorf("telemetry: put of %q, outcome unknown: %w", key, context.Cause(ctx))
	}
}

// PutAll is Put of several values under one key, in their order and in as few
// writes as Puts at the same time would share. If one of them is refused none
// is put; after any other error some may be in the stream.
func (s *Stream) PutAll(ctx context.Context, key string, t time.Time, values [][]byte) error {
	if t.IsZero() {
		t = s.opts.Now()
	}
	recs := make([]Record, len(values))
	for i, value := range values {
		if err := s.opts.check(key, t, value); err != nil {
			s.refused.Add(1)
			return fmt.Errorf("value %d: %w", i, err)
		}
		recs[i] = Record{Key: key, Time: t, Value: value}
	}
	return s.putAll(ctx, recs)
}

// putAll puts what is acceptable of recs. All join their groups before one is
// waited for, so that they cost a write or two and not one each; the order of
// a key stays.
func (s *Stream) putAll(ctx context.Context, recs []Record) error {
	groups := make(map[*group]struct{})
	var errs []error
	for i := range recs {
		r := &recs[i]
		if err := s.opts.check(r.Key, r.Time, r.Value); err != nil {
			s.refused.Add(1)
			errs = append(errs, err)
			continue
		}
		g, err := s.join(ctx, s.parts[Partition(r.Key, len(s.parts))], r.Key, r.Time, r.Value)
		if err != nil {
			s.refused.Add(1)
			errs = append(errs, err)
			break
		}
		groups[g] = struct{}{}
	}
	for g := range groups {
		select {
		case <-g.done:
			errs = append(errs, g.err)
		case <-ctx.Done():
			return errors.Join(append(errs, context.Cause(ctx))...)
		}
	}
	return errors.Join(errs...)
}

// join adds a record to the open group of p, waiting while it is full.
func (s *Stream) join(ctx context.Context, p *partition, key string, t time.Time, value []byte) (*group, error) {
	n := len(key) + len(value)
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, ErrClosed
		}
		g := p.cur
		if len(g.recs) == 0 || len(g.recs) < s.opts.MaxGroupRecords && g.bytes+n <= s.opts.MaxGroupBytes {
			at := len(g.arena)
			g.arena = append(g.arena, value...)
			g.recs = append(g.recs, Record{Key: key, Time: t, Value: g.arena[at:len(g.arena):len(g.arena)], Partition: p.n})
			g.bytes += n
			p.mu.Unlock()
			select {
			case p.wake <- struct{}{}:
			default:
			}
			return g, nil
		}
		p.mu.Unlock()
		select {
		case <-g.taken:
		case <-ctx.Done():
			return nil, fmt.Errorf("telemetry: put of %q: %w", key, context.Cause(ctx))
		}
	}
}

// Run writes what is put, until ctx is done; then it refuses further puts,
// writes what was accepted and returns nil, or the error of a write that
// failed while draining. It can be called once.
func (s *Stream) Run(ctx context.Context) error {
	if !s.ran.CompareAndSwap(false, true) {
		return fmt.Errorf("stream: %w", ErrBusy)
	}
	dctx, cancel := drainContext(ctx, s.opts.DrainTimeout)
	defer cancel()
	errs := make([]error, len(s.parts))
	var wg sync.WaitGroup
	for i, p := range s.parts {
		wg.Go(func() { errs[i] = s.commitLoop(ctx, dctx, p) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (s *Stream) commitLoop(ctx, dctx context.Context, p *partition) error {
	if _, next, err := s.log.Bounds(ctx, p.n); err == nil {
		p.setEnd(next)
	}
	for {
		select {
		case <-p.wake:
			s.commit(dctx, p) // its error is the putters'
		case <-ctx.Done():
			p.mu.Lock()
			p.closed = true
			p.mu.Unlock()
			return s.commit(dctx, p)
		}
	}
}

// commit writes the open group of p as one append.
func (s *Stream) commit(ctx context.Context, p *partition) error {
	p.mu.Lock()
	g := p.cur
	if len(g.recs) == 0 && !p.closed {
		p.mu.Unlock()
		return nil
	}
	p.cur = newGroup(len(g.recs)+len(g.recs)/4, len(g.arena)+len(g.arena)/4)
	p.mu.Unlock()
	close(g.taken)

	if len(g.recs) > 0 {
		first, err := s.log.Append(ctx, p.n, g.recs)
		if err != nil {
			g.err = fmt.Errorf("telemetry: append to partition %d: %w", p.n, err)
			p.failed.Add(int64(len(g.recs)))
		} else {
			p.puts.Add(int64(len(g.recs)))
			p.bytes.Add(int64(g.bytes))
			p.groups.Add(1)
			p.setEnd(first + int64(len(g.recs)))
			p.announce()
		}
	}
	close(g.done)
	return g.err
}

// setEnd moves the known end of the partition forward, never back.
func (p *partition) setEnd(end int64) {
	for {
		old := p.end.Load()
		if end <= old || p.end.CompareAndSwap(old, end) {
			return
		}
	}
}

// announce wakes the consumers that wait for more.
func (p *partition) announce() {
	p.mu.Lock()
	c := p.grown
	p.grown = nil
	p.mu.Unlock()
	if c != nil {
		close(c)
	}
}

// more returns a channel that is closed when the partition has grown. Ask
// before the last look at the log, or an append in between goes unseen.
func (p *partition) more() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.grown == nil {
		p.grown = make(chan struct{})
	}
	return p.grown
}

// drainContext returns a context that outlives ctx by d, for what is in flight.
func drainContext(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	dctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	// The timer's goroutine ends with the timer; stop makes that sure.
	var mu sync.Mutex
	var timer *time.Timer
	ended := false
	stop := context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		if !ended {
			timer = time.AfterFunc(d, func() { cancel(errDrain) })
		}
	})
	return dctx, func() {
		stop()
		mu.Lock()
		ended = true
		if timer != nil {
			timer.Stop()
		}
		mu.Unlock()
		cancel(context.Canceled)
	}
}

var errDrain = errors.New("telemetry: drain timeout")
