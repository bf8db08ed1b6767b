package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/thingloom/thingloom/registry"
)

// maxAttempts bounds how often a transaction is tried. Each failure means that
// somebody else's succeeded.
const maxAttempts = 1000

// A tx is one optimistic transaction: what it read is checked and what it
// wrote is applied in one call of the store.
type tx struct {
	ctx   context.Context
	s     *Service
	read  map[string]int64 // versions seen, 0 for absent
	ops   []registry.Op    // writes, one per key
	index map[string]int   // position in ops of a written key

	lanes    []*laneChange // of the thing whose executions change
	events   []Event       // to be told after the commit
	ended    []string      // jobs that may be over
	deadline time.Time     // of an execution that was written
	retries  uint64
	released uint64
}

// errMoved says that a key which a transaction reads twice changed in between.
var errMoved = errors.New("jobs: changed between two reads")

// update runs fn until what it read was still true when it was applied.
func (s *Service) update(ctx context.Context, fn func(*tx) error) (*tx, error) {
	for range maxAttempts {
		t := &tx{ctx: ctx, s: s, read: map[string]int64{}, index: map[string]int{}}
		err := fn(t)
		if err == nil {
			err = t.commit()
		}
		if (errors.Is(err, errMoved) || errors.Is(err, registry.ErrVersionConflict)) && ctx.Err() == nil {
			continue
		}
		return t, err
	}
	return nil, fmt.Errorf("jobs: given up after %d attempts: %w", maxAttempts, registry.ErrVersionConflict)
}

func (t *tx) commit() error {
	if len(t.ops) == 0 {
		return nil
	}
	for key, version := range t.read {
		if _, ok := t.index[key]; !ok {
			t.ops = append(t.ops, registry.Op{Kind: registry.Check, Key: key, Prev: version})
		}
	}
	return t.s.store.Apply(t.ctx, t.ops...)
}

// get reads key into v, as the transaction has left it, and reports whether it is there.
func (t *tx) get(key string, v any) (bool, error) {
	if i, ok := t.index[key]; ok {
		if t.ops[i].Kind == registry.Delete {
			return false, nil
		}
		return true, decode(key, t.ops[i].Value, v)
	}
	e, err := t.s.store.Get(t.ctx, key)
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return false, err
	}
	if before, again := t.read[key]; again && before != e.Version {
		return false, errMoved
	}
	t.read[key] = e.Version
	if e.Version == 0 {
		return false, nil
	}
	return true, decode(key, e.Value, v)
}

func decode(key string, value []byte, v any) error {
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(value, v); err != nil {
		return fmt.Errorf("jobs: key %q: %w", key, err)
	}
	return nil
}

func (t *tx) write(op registry.Op) {
	op.Prev = registry.Any
	if version, ok := t.read[op.Key]; ok {
		op.Prev = version
	}
	if i, ok := t.index[op.Key]; ok {
		t.ops[i] = op
		return
	}
	t.index[op.Key] = len(t.ops)
	t.ops = append(t.ops, op)
}

func (t *tx) put(key string, v any) error {
	value, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("jobs: key %q: %w", key, err)
	}
	t.write(registry.Op{Kind: registry.Put, Key: key, Value: value})
	return nil
}

func (t *tx) mark(key string)   { t.write(registry.Op{Kind: registry.Put, Key: key}) }
func (t *tx) delete(key string) { t.write(registry.Op{Kind: registry.Delete, Key: key}) }

// job reads a job that has to exist.
func (t *tx) job(id string) (Job, error) {
	var j Job
	found, err := t.get(keyJob+id, &j)
	if err == nil && !found {
		err = notFound("job", id)
	}
	return j, err
}

// putJob writes a job and the indexes of jobs.
func (t *tx) putJob(j *Job) error {
	for key, on := range map[string]bool{keyActive + j.ID: !j.done(), keyJoinable + j.ID: j.joinable()} {
		if on {
			t.mark(key)
		} else {
			t.delete(key)
		}
	}
	return t.put(keyJob+j.ID, j)
}

// execution reads the present execution of a thing, or nil.
func (t *tx) execution(job, thing string) (*Execution, error) {
	var e Execution
	found, err := t.get(executionKey(job, thing), &e)
	if err != nil || !found {
		return nil, err
	}
	return &e, nil
}

// replace makes now the present execution instead of old, with indexes and
// counts. Either may be nil. An old one of another number is kept as an earlier
// attempt.
func (t *tx) replace(old, now *Execution) error {
	any := now
	if any == nil {
		any = old
	}
	key := countsKey(any.Job, any.Thing)
	var c Counts
	if _, err := t.get(key, &c); err != nil {
		return err
	}
	var was, is []string
	if old != nil {
		was = indexes(old)
		*c.of(old.Status)--
	}
	if now != nil {
		is = indexes(now)
		*c.of(now.Status)++
	}
	for _, k := range was {
		if !slices.Contains(is, k) {
			t.delete(k)
		}
	}
	for _, k := range is {
		if !slices.Contains(was, k) {
			t.mark(k)
		}
	}
	if old != nil && now != nil && old.Number != now.Number {
		if err := t.put(earlierKey(old), old); err != nil {
			return err
		}
	}
	lane, err := t.lane(any)
	if err != nil {
		return err
	}
	// Entering and leaving, also to queue anew, but not going on.
	lane.list = lane.list || (old != nil && !old.Status.Terminal()) != (now != nil && !now.Status.Terminal()) ||
		old != nil && now != nil && old.Number != now.Number
	if err := t.put(key, c); err != nil {
		return err
	}
	if now != nil && now.Status == InProgress {
		t.deadline = now.Deadline()
	}
	if now == nil {
		t.delete(executionKey(old.Job, old.Thing))
		return nil
	}
	return t.put(executionKey(now.Job, now.Thing), now)
}

// lane is the change of the list that an execution is in, with its head from
// before the transaction: nothing of it is stored yet, and the lock of the thing
// keeps others away.
func (t *tx) lane(e *Execution) (*laneChange, error) {
	for _, c := range t.lanes {
		if c.namespace == e.Namespace {
			return c, nil
		}
	}
	before, err := t.s.head(t.ctx, laneOf(e.Thing, e.Namespace))
	if err != nil {
		return nil, err
	}
	t.lanes = append(t.lanes, &laneChange{namespace: e.Namespace, before: before})
	return t.lanes[len(t.lanes)-1], nil
}

// load reads key into v outside of a transaction.
func (s *Service) load(ctx context.Context, key string, v any) (bool, error) {
	e, err := s.store.Get(ctx, key)
	if errors.Is(err, registry.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, decode(key, e.Value, v)
}

// keys yields what follows prefix in the keys that have it, beyond after.
func (s *Service) keys(ctx context.Context, prefix, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if after != "" {
			after = prefix + after
		}
		for e, err := range s.store.Scan(ctx, prefix, after) {
			if err != nil {
				yield("", err)
				return
			}
			if !yield(e.Key[len(prefix):], nil) {
				return
			}
		}
	}
}

// values decodes the entries with the prefix, beyond prefix + after.
func values[T any](ctx context.Context, s *Service, prefix, after string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if after != "" {
			after = prefix + after
		}
		for e, err := range s.store.Scan(ctx, prefix, after) {
			var v T
			if err == nil {
				err = decode(e.Key, e.Value, &v)
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}
