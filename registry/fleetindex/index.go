package fleetindex

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/fleet"
)

// An Index is the index of one registry. It is safe for concurrent use.
type Index struct {
	store registry.Store
	opts  Options
	state atomic.Pointer[state]
	build chan struct{} // asks Run for a rebuild

	configuring sync.Mutex // one SetConfig at a time
	rebuilding  sync.Mutex // one Rebuild at a time
	spaces      atomic.Pointer[spaces]

	seed   maphash.Seed
	bounds bounds
	things [256]sync.Mutex // by name: changes of one document come one after the other
}

// Options are the optional parts of an Index. A nil *Options is all defaults.
type Options struct {
	// Feed puts all that there is into an empty index. Run calls it when the index has to be rebuilt. Changes are put
	// meanwhile: so that nothing old is put over them, Feed reads within Index.Change. It may do so on several
	// goroutines. Nil means that nothing is there.
	Feed func(ctx context.Context, ix *Index) error

	// Config is what is indexed as long as SetConfig has not said it. The zero
	// Config is nothing, as at AWS.
	Config Config

	// Changed hears of each thing whose document has changed, once that is stored. It must not wait: what it has
	// to do about it, it does later.
	Changed func(thing string)

	// Allow is asked by SetConfig. Its error refuses the change.
	Allow func(ctx context.Context, c Config) error

	// Logger hears of rebuilds. Nil is silence.
	Logger *slog.Logger
}

// Open opens the index in store, which is for it alone. Run it.
func Open(ctx context.Context, store registry.Store, opts *Options) (*Index, error) {
	if store == nil {
		return nil, errors.New("fleetindex: Open needs a store")
	}
	ix := &Index{store: store, seed: maphash.MakeSeed(), build: make(chan struct{}, 1), bounds: defaultBounds}
	if opts != nil {
		ix.opts = *opts
	}
	if ix.opts.Logger == nil {
		ix.opts.Logger = slog.New(slog.DiscardHandler)
	}
	s := state{config: ix.opts.Config, status: Active}
	e, err := store.Get(ctx, keyConfig)
	if err == nil {
		s.config = Config{}
		err = json.Unmarshal(e.Value, &s.config)
	} else if errors.Is(err, registry.ErrNotFound) {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("fleetindex: open: %w", err)
	}
	// Whoever opened it last has not closed it: a change may have been missed.
	switch _, err = store.Get(ctx, keyOpen); {
	case err != nil && !errors.Is(err, registry.ErrNotFound):
		return nil, fmt.Errorf("fleetindex: open: %w", err)
	case err == nil && s.config.Things:
		s.status = Rebuilding
	}
	if err := ix.openSpaces(ctx, &s); err != nil {
		return nil, fmt.Errorf("fleetindex: open: %w", err)
	}
	if err := store.Apply(ctx, registry.Op{Key: keyOpen, Prev: registry.Any}); err != nil {
		return nil, fmt.Errorf("fleetindex: open: %w", err)
	}
	ix.state.Store(&s)
	if s.status != Active {
		ix.build <- struct{}{}
	}
	return ix, nil
}

// openSpaces finds out which space is read. What another version of this package has written, or for another Config,
// cannot be: it is cleared, and s is Building.
func (ix *Index) openSpaces(ctx context.Context, s *state) error {
	at, err := ix.store.Get(ctx, keySpace)
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return err
	}
	read := newSpace(ix.store, string(at.Value))
	ix.spaces.Store(&spaces{read, []*space{read}})
	if other := read.other(); some(other.Scan(ctx, keyDoc, "")) || some(other.Scan(ctx, keyText, "")) { // of a rebuild that was cut off
		if err := other.clear(ctx); err != nil {
			return err
		}
	}
	e, err := ix.store.Get(ctx, keyFormat)
	switch {
	case err != nil && !errors.Is(err, registry.ErrNotFound):
		return err
	case string(e.Value) == format:
		return nil
	case err == nil || some(read.Scan(ctx, keyDoc, "")):
		s.status = Building
		return read.clear(ctx)
	}
	return ix.store.Apply(ctx, registry.Op{Key: keyFormat, Value: []byte(format), Prev: registry.Any})
}

func some(entries iter.Seq2[registry.Entry, error]) bool {
	for range entries {
		return true
	}
	return false
}

// Close notes that nothing was missed. The store stays open.
func (ix *Index) Close(ctx context.Context) error {
	if ix.Status() != Active {
		return nil
	}
	return ix.store.Apply(ctx, registry.Op{Kind: registry.Delete, Key: keyOpen, Prev: registry.Any})
}

// Known is what the index knows of one thing. What is nil is not there.
type Known struct {
	// Thing is what the registry has; without it the thing is not found, whatever else is known.
	Thing *registry.Thing
	// Shadows are by name, the classic one under the empty name: each a JSON object with desired, reported, delta,
	// metadata, hasDelta and version, as far as it has them.
	Shadows      map[string]json.RawMessage
	Defender     json.RawMessage // violations, a JSON object
	Connectivity *fleet.Connectivity
}

// PutThing takes what the registry has of a thing.
func (ix *Index) PutThing(ctx context.Context, t registry.Thing) error {
	return ix.put(ctx, t.Name, ix.Config().Things, func(k *Known) { k.Thing = &t })
}

// DeleteThing takes that the registry has a thing no more. What else is known
// of it stays, in case it comes back.
func (ix *Index) DeleteThing(ctx context.Context, name string) error {
	return ix.put(ctx, name, ix.Config().Things, func(k *Known) { k.Thing = nil })
}

// PutShadow takes a shadow, the classic one for an empty name, in the form of Known.Shadows; nil for one that was deleted.
func (ix *Index) PutShadow(ctx context.Context, thing, name string, doc json.RawMessage) error {
	return ix.put(ctx, thing, ix.Config().Shadow(name), func(k *Known) {
		switch {
		case doc == nil:
			delete(k.Shadows, name)
		case k.Shadows == nil:
			k.Shadows = map[string]json.RawMessage{name: doc}
		default:
			k.Shadows[name] = doc
		}
	})
}

// PutConnectivity takes who came and went.
func (ix *Index) PutConnectivity(ctx context.Context, thing string, c fleet.Connectivity) error {
	return ix.put(ctx, thing, ix.Config().Connectivity, func(k *Known) { k.Connectivity = &c })
}

// PutDefender takes the violations of a thing: a JSON object, or nil.
func (ix *Index) PutDefender(ctx context.Context, thing string, doc json.RawMessage) error {
	return ix.put(ctx, thing, ix.Config().Defender, func(k *Known) { k.Defender = doc })
}

func (ix *Index) put(ctx context.Context, thing string, on bool, f func(*Known)) error {
	if !on {
		return nil
	}
	return ix.Change(ctx, thing, func(k *Known) error { f(k); return nil })
}

// Change stores what f makes of what is known of a thing; an error of f is returned, and nothing is stored then. What
// the Config leaves out is left out. Changes of one thing, also those by the Put methods, come one after the other: what
// f reads elsewhere is at least as new as what was put before. f does not call the Index; while it is rebuilt, f is called
// twice: for what there was, and for what there is to be.
func (ix *Index) Change(ctx context.Context, thing string, f func(*Known) error) error {
	if thing == "" {
		return fmt.Errorf("%w: a thing without name", ErrInvalid)
	}
	lock := &ix.things[maphash.String(ix.seed, thing)%uint64(len(ix.things))]
	lock.Lock()
	defer lock.Unlock()
	var ops []registry.Op
	for _, s := range ix.spaces.Load().write {
		more, err := s.change(ctx, thing, ix.Config(), f)
		if err != nil {
			return err
		}
		ops = append(ops, more...)
	}
	if err := ix.store.Apply(ctx, ops...); err != nil {
		return fmt.Errorf("fleetindex: thing %s: %w", thing, err)
	}
	if ix.opts.Changed != nil {
		ix.opts.Changed(thing)
	}
	return nil
}

// change returns what makes of what is known of a thing what f makes of it.
func (s *space) change(ctx context.Context, thing string, c Config, f func(*Known) error) ([]registry.Op, error) {
	var k Known
	if _, err := s.load(ctx, thing, &k); err != nil {
		return nil, err
	}
	old := entries(thing, &k)
	if err := f(&k); err != nil {
		return nil, err
	}
	if err := k.check(c); err != nil {
		return nil, fmt.Errorf("%w: thing %s: %w", ErrInvalid, thing, err)
	}
	ops := differences(s.prefix, old, entries(thing, &k))
	if k.empty() {
		return append(ops, registry.Op{Kind: registry.Delete, Key: s.prefix + keyDoc + thing, Prev: registry.Any}), nil
	}
	value, err := k.encode()
	if err != nil {
		return nil, fmt.Errorf("fleetindex: thing %s: %w", thing, err)
	}
	return append(ops, registry.Op{Key: s.prefix + keyDoc + thing, Value: value, Prev: registry.Any}), nil
}

// check takes out what is not indexed, and refuses what is not JSON.
func (k *Known) check(c Config) error {
	for name, doc := range k.Shadows {
		if !c.Shadow(name) {
			delete(k.Shadows, name)
		} else if !json.Valid(doc) {
			return fmt.Errorf("shadow %q is not JSON", name)
		}
	}
	if !c.Defender {
		k.Defender = nil
	}
	if k.Defender != nil && !json.Valid(k.Defender) {
		return errors.New("the violations are not JSON")
	}
	if !c.Connectivity {
		k.Connectivity = nil
	}
	if !c.Things {
		*k = Known{}
	}
	return nil
}

// differences are what makes the entries of after from those of before, both in order.
func differences(prefix string, before, after []entry) (ops []registry.Op) {
	for len(before) > 0 || len(after) > 0 {
		switch {
		case len(after) == 0 || len(before) > 0 && before[0].key < after[0].key:
			ops = append(ops, registry.Op{Kind: registry.Delete, Key: prefix + before[0].key, Prev: registry.Any})
			before = before[1:]
		case len(before) == 0 || before[0] != after[0]:
			ops = append(ops, registry.Op{Key: prefix + after[0].key, Value: []byte{byte(after[0].roles)}, Prev: registry.Any})
			if len(before) > 0 && before[0].key == after[0].key {
				before = before[1:]
			}
			after = after[1:]
		default:
			before, after = before[1:], after[1:]
		}
	}
	return ops
}

// Thing returns what the index knows of a thing that the registry has.
func (ix *Index) Thing(ctx context.Context, name string) (t fleet.Thing, ok bool, err error) {
	var k Known
	s := ix.reading()
	defer s.leave()
	found, err := s.load(ctx, name, &k)
	if err != nil || !found || k.Thing == nil {
		return fleet.Thing{}, false, err
	}
	return k.fleetThing(name), true, nil
}

func (k *Known) empty() bool {
	return k.Thing == nil && len(k.Shadows) == 0 && k.Connectivity == nil && k.Defender == nil
}

func (s *space) load(ctx context.Context, thing string, k *Known) (found bool, err error) {
	e, err := s.Get(ctx, keyDoc+thing)
	if errors.Is(err, registry.ErrNotFound) {
		return false, nil
	}
	if err == nil {
		err = k.decode(e.Value)
	}
	if err != nil {
		return false, fmt.Errorf("fleetindex: thing %s: %w", thing, err)
	}
	return true, nil
}

// ErrInvalid reports input that the index does not take. Queries that cannot be
// read are *fleet.SyntaxErrors.
var ErrInvalid = errors.New("fleetindex: invalid")
