package telemetry

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/thingloom/thingloom/internal/record"
)

// Tee returns a sink that gives each batch to all of sinks, one after the
// other. If some fail, the others have it nevertheless, and only those that
// failed get it when it is written again. Its Hints are the smallest of each.
func Tee(sinks ...Sink) Sink {
	return &tee{sinks: sinks, done: make(map[int]*teeBatch)}
}

type tee struct {
	sinks []Sink

	mu   sync.Mutex
	done map[int]*teeBatch // by partition
}

// teeBatch is which sinks have taken a batch that failed as a whole.
type teeBatch struct {
	id    string
	taken []bool
}

func (t *tee) Write(ctx context.Context, b Batch) error {
	t.mu.Lock()
	d := t.done[b.Partition]
	if d == nil || d.id != b.ID || b.ID == "" {
		d = &teeBatch{b.ID, make([]bool, len(t.sinks))}
		t.done[b.Partition] = d
	}
	t.mu.Unlock()
	var errs []error
	for i, s := range t.sinks {
		if d.taken[i] || len(b.Records) == 0 && !idleOf(s, b.Partition) {
			continue
		}
		if err := s.Write(ctx, b); err != nil {
			errs = append(errs, err)
			continue
		}
		d.taken[i] = true
	}
	return errors.Join(errs...)
}

// State is each sink's state, with its length in front.
func (t *tee) State(partition int) ([]byte, error) {
	b := binary.AppendUvarint(nil, uint64(len(t.sinks)))
	empty := true
	for _, s := range t.sinks {
		st, err := stateOf(s, partition)
		if err != nil {
			return nil, err
		}
		empty = empty && len(st) == 0
		b = record.AppendBytes(b, st)
	}
	if empty {
		return nil, nil
	}
	return b, nil
}

func (t *tee) SetState(partition int, state []byte) error {
	t.mu.Lock()
	delete(t.done, partition)
	t.mu.Unlock()
	states := make([][]byte, len(t.sinks))
	if len(state) > 0 {
		r := newStateReader(state)
		if n := r.Count(1); r.Fault() == nil && n != len(t.sinks) {
			r.Fail(fmt.Sprintf("of %d sinks, not %d", n, len(t.sinks)))
		}
		for i := range states {
			if b := r.View(); len(b) > 0 {
				states[i] = b
			}
		}
		if err := r.end(); err != nil {
			return err
		}
	}
	for i, s := range t.sinks {
		if err := setStateOf(s, partition, states[i]); err != nil {
			return err
		}
	}
	return nil
}

func (t *tee) Hints() Hints {
	var h Hints
	for i, s := range t.sinks {
		c := hintsOf(s)
		d := c.withDefaults()
		if i == 0 {
			h = d
			continue
		}
		h.MaxRecords = min(h.MaxRecords, d.MaxRecords)
		h.MaxBytes = min(h.MaxBytes, d.MaxBytes)
		h.MaxWait = min(h.MaxWait, d.MaxWait)
		if d.IdleAfter > 0 && (h.IdleAfter == 0 || d.IdleAfter < h.IdleAfter) {
			h.IdleAfter = d.IdleAfter
		}
	}
	return h
}

func (t *tee) Idle(partition int) bool {
	for _, s := range t.sinks {
		if idleOf(s, partition) {
			return true
		}
	}
	return false
}

func (t *tee) checkPartitions(n int) error {
	for _, s := range t.sinks {
		if err := checkPartitionsOf(s, n); err != nil {
			return err
		}
	}
	return nil
}
