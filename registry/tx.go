package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// maxAttempts bounds how often a transaction is tried. Each failure means
// that somebody else's succeeded.
const maxAttempts = 1000

// A tx is one optimistic transaction: what it read is checked and what it
// wrote is applied in one call of the store.
type tx struct {
	ctx     context.Context
	r       *Registry
	read    map[string]int64 // versions seen, 0 for absent
	ops     []Op             // writes and predicates, one per key
	index   map[string]int   // position in ops of a written key
	events  []Event
	touched invalidation
	things  []string // updated: the access of their principals has changed
}

// update runs fn until what it read was still true when it was applied, and
// then tells the cache and the observers.
func (r *Registry) update(ctx context.Context, fn func(*tx) error) error {
	for range maxAttempts {
		t := &tx{ctx: ctx, r: r, read: map[string]int64{}, index: map[string]int{}}
		err := fn(t)
		if errors.Is(err, errMoved) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return err
		}
		err = t.commit()
		if errors.Is(err, ErrVersionConflict) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			// The store may have applied the writes and failed after it.
			r.auth.invalidate(invalidation{all: true})
			r.propagation.gen.Add(1)
			return err
		}
		t.thingsChanged()
		r.auth.invalidate(t.touched)
		if slices.ContainsFunc(t.events, func(e Event) bool { return e.Kind == ThingTypeEvents }) {
			r.propagation.gen.Add(1)
		}
		r.notify(ctx, t.events)
		return nil
	}
	return fmt.Errorf("registry: given up after %d attempts: %w", maxAttempts, ErrVersionConflict)
}

func (t *tx) commit() error {
	written := len(t.ops)
	for key, version := range t.read {
		if _, ok := t.index[key]; !ok {
			t.ops = append(t.ops, Op{Kind: Check, Key: key, Prev: version})
		}
	}
	if written == 0 {
		return nil // nothing changes: what was read needs no check
	}
	return t.r.store.Apply(t.ctx, t.ops...)
}

// thingsChanged adds those whose access changed because a thing did. It looks
// for them after the commit: who attaches a principal later sees the new
// thing and tells of it himself.
func (t *tx) thingsChanged() {
	for _, thing := range t.things {
		for principal, err := range t.r.names(t.ctx, keyThingPrincipal+thing+"/", "") {
			if err != nil {
				t.r.opts.Logger.Warn("access of everybody is looked at anew", "thing", thing, "error", err)
				t.accessChanged(ThingEvents, "UPDATED", thing, "", "")
				break
			}
			t.accessChanged(ThingEvents, "UPDATED", thing, unescape(principal), "")
		}
	}
}

// errMoved says that a key which a transaction reads twice changed in between:
// what it decided from the first read does not go with the second.
var errMoved = errors.New("registry: changed between two reads")

// get reads key into v and reports whether it is there.
func (t *tx) get(key string, v any) (bool, error) {
	found, version, err := t.r.load(t.ctx, key, v)
	if err != nil {
		return false, err
	}
	switch before, again := t.read[key]; {
	case !again:
		t.read[key] = version
	case before != version && !(before == Present && found):
		return false, errMoved
	}
	return found, nil
}

func (t *tx) write(op Op) {
	op.Prev = Any
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
		return fmt.Errorf("registry: key %q: %w", key, err)
	}
	t.write(Op{Kind: Put, Key: key, Value: value})
	return nil
}

func (t *tx) mark(key string)   { t.write(Op{Kind: Put, Key: key}) }
func (t *tx) delete(key string) { t.write(Op{Kind: Delete, Key: key}) }

// relax drops the condition that key is still at the version that was read to
// the condition that it is there at all: others may change it meanwhile.
func (t *tx) relax(key string) {
	if t.read[key] > 0 {
		t.read[key] = Present
	}
}

// needEmpty makes the transaction fail if there is a key with the prefix when
// it is applied. The caller has looked already, so that a failure is a race
// and the next attempt finds out.
func (t *tx) needEmpty(prefix string) (empty bool, err error) {
	for _, err := range t.r.store.Scan(t.ctx, prefix, "") {
		return false, err
	}
	t.ops = append(t.ops, Op{Kind: CheckEmpty, Key: prefix})
	return true, nil
}

func (t *tx) emit(e Event) { t.events = append(t.events, e) }

// load reads key into v outside of a transaction.
func (r *Registry) load(ctx context.Context, key string, v any) (found bool, version int64, err error) {
	e, err := r.store.Get(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return false, 0, nil
	}
	if err != nil {
		return false, 0, err
	}
	if v != nil {
		if err := json.Unmarshal(e.Value, v); err != nil {
			return false, 0, fmt.Errorf("registry: key %q: %w", key, err)
		}
	}
	return true, e.Version, nil
}

// names yields what follows prefix in the keys that have it.
func (r *Registry) names(ctx context.Context, prefix, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if after != "" {
			after = prefix + after
		}
		for e, err := range r.store.Scan(ctx, prefix, after) {
			if !yield(strings.TrimPrefix(e.Key, prefix), err) || err != nil {
				return
			}
		}
	}
}

// stored is what lies under key, or ErrNotFound, for something of that kind and name.
func stored[T any](ctx context.Context, r *Registry, key, kind, name string) (v T, err error) {
	found, _, err := r.load(ctx, key, &v)
	if err == nil && !found {
		err = notFound(kind, name)
	}
	return v, err
}

// needed is stored within a transaction.
func needed[T any](t *tx, key, kind, name string) (v T, err error) {
	found, err := t.get(key, &v)
	if err == nil && !found {
		err = notFound(kind, name)
	}
	return v, err
}

// scan decodes the entries with the prefix that come after prefix + after.
func scan[T any](ctx context.Context, r *Registry, prefix, after string) iter.Seq2[T, error] {
	if after != "" {
		after = prefix + after
	}
	return scanFrom[T](ctx, r, prefix, after)
}

// scanFrom is scan with a whole key to begin after.
func scanFrom[T any](ctx context.Context, r *Registry, prefix, after string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		for e, err := range r.store.Scan(ctx, prefix, after) {
			if err != nil {
				yield(zero, err)
				return
			}
			var v T
			if err := json.Unmarshal(e.Value, &v); err != nil {
				yield(zero, fmt.Errorf("registry: key %q: %w", e.Key, err))
				return
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}
