package fleetindex

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/fleet"
)

// An Index is the index of one registry. It is safe for concurrent use.
type Index struct {
	store  registry.Store
	opts   Options
	state  atomic.Pointer[state]
	build  chan struct{} // asks Run for a rebuild
	seed   maphash.Seed
	things [256]sync.Mutex // by name: changes of one document come one after the other

	refreshing [256]sync.Mutex // by name: see Refresh
}

// Options are the optional parts of an Index. A nil *Options is all defaults.
type Options struct {
	// Feed puts all that there is into an empty index, by the Put methods. Run
	// calls it when the index has to be rebuilt. Nil means that nothing is there.
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
	ix := &Index{store: store, seed: maphash.MakeSeed(), build: make(chan struct{}, 1)}
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
	if _, err = store.Get(ctx, keyOpen); err == nil && s.config.Things {
		s.status = Rebuilding
	} else if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return nil, fmt.Errorf("fleetindex: open: %w", err)
	}
	if err := store.Apply(ctx, registry.Op{Key: keyOpen, Prev: registry.Any}); err != nil {
		return nil, fmt.Errorf("fleetindex: open: %w", err)
	}
	ix.state.Store(&s)
	if s.status == Rebuilding {
		ix.build <- struct{}{}
	}
	return ix, nil
}

// Close notes that nothing was missed. The store stays open.
func (ix *Index) Close(ctx context.Context) error {
	if ix.Status() != Active {
		return nil
	}
	return ix.store.Apply(ctx, registry.Op{Kind: registry.Delete, Key: keyOpen, Prev: registry.Any})
}

// A record is what is stored of one thing.
type record struct {
	// Registered is false for a thing of which something is known and that is
	// not in the registry: it is not found.
	Registered   bool                       `json:"registered,omitempty"`
	ID           string                     `json:"id,omitempty"`
	Type         string                     `json:"type,omitempty"`
	Groups       []string                   `json:"groups,omitempty"`
	Attributes   map[string]string          `json:"attributes,omitempty"`
	Version      int64                      `json:"version,omitempty"`
	Classic      json.RawMessage            `json:"shadow,omitempty"`
	Named        map[string]json.RawMessage `json:"named,omitempty"`
	Defender     json.RawMessage            `json:"defender,omitempty"`
	Connectivity *fleet.Connectivity        `json:"connectivity,omitempty"`
}

// PutThing takes what the registry has of a thing.
func (ix *Index) PutThing(ctx context.Context, t registry.Thing) error {
	return ix.change(ctx, t.Name, ix.Config().Things, func(r *record) {
		r.Registered, r.ID, r.Type, r.Groups, r.Attributes, r.Version = true, t.ID, t.Type, t.Groups, t.Attributes, t.Version
	})
}

// DeleteThing takes that the registry has a thing no more. What else is known
// of it stays, in case it comes back.
func (ix *Index) DeleteThing(ctx context.Context, name string) error {
	return ix.change(ctx, name, ix.Config().Things, func(r *record) {
		r.Registered, r.ID, r.Type, r.Groups, r.Attributes, r.Version = false, "", "", nil, nil, 0
	})
}

// PutShadow takes a shadow, the classic one for an empty name: a JSON object with
// desired, reported, metadata, hasDelta and version; nil for one that was deleted.
func (ix *Index) PutShadow(ctx context.Context, thing, name string, doc json.RawMessage) error {
	if doc != nil && !json.Valid(doc) {
		return fmt.Errorf("%w: the shadow of %s is not JSON", ErrInvalid, thing)
	}
	c := ix.Config()
	return ix.change(ctx, thing, name == "" && c.Shadows || name != "" && c.NamedShadows, func(r *record) {
		switch {
		case name == "":
			r.Classic = doc
		case doc == nil:
			delete(r.Named, name)
		default:
			if r.Named == nil {
				r.Named = map[string]json.RawMessage{}
			}
			r.Named[name] = doc
		}
	})
}

// PutConnectivity takes who came and went.
func (ix *Index) PutConnectivity(ctx context.Context, thing string, c fleet.Connectivity) error {
	return ix.change(ctx, thing, ix.Config().Connectivity, func(r *record) { r.Connectivity = &c })
}

// PutDefender takes the violations of a thing: a JSON object, or nil.
func (ix *Index) PutDefender(ctx context.Context, thing string, doc json.RawMessage) error {
	if doc != nil && !json.Valid(doc) {
		return fmt.Errorf("%w: the violations of %s are not JSON", ErrInvalid, thing)
	}
	return ix.change(ctx, thing, ix.Config().Defender, func(r *record) { r.Defender = doc })
}

// change stores what f makes of a record, with the entries that follow.
func (ix *Index) change(ctx context.Context, thing string, on bool, f func(*record)) error {
	if !on {
		return nil
	}
	if thing == "" {
		return fmt.Errorf("%w: a thing without name", ErrInvalid)
	}
	lock := &ix.things[maphash.String(ix.seed, thing)%uint64(len(ix.things))]
	lock.Lock()
	defer lock.Unlock()
	var r record
	found, err := ix.load(ctx, thing, &r)
	if err != nil {
		return err
	}
	before := map[string]bool{}
	if found {
		before = entries(thing, &r)
	}
	f(&r)
	after := entries(thing, &r)
	var ops []registry.Op
	for key := range before {
		if !after[key] {
			ops = append(ops, registry.Op{Kind: registry.Delete, Key: key, Prev: registry.Any})
		}
	}
	for key := range after {
		if !before[key] {
			ops = append(ops, registry.Op{Key: key, Prev: registry.Any})
		}
	}
	if r.empty() {
		ops = append(ops, registry.Op{Kind: registry.Delete, Key: keyDoc + thing, Prev: registry.Any})
	} else {
		value, err := json.Marshal(&r)
		if err != nil {
			return fmt.Errorf("fleetindex: thing %s: %w", thing, err)
		}
		ops = append(ops, registry.Op{Key: keyDoc + thing, Value: value, Prev: registry.Any})
	}
	if err := ix.store.Apply(ctx, ops...); err != nil {
		return fmt.Errorf("fleetindex: thing %s: %w", thing, err)
	}
	if ix.opts.Changed != nil {
		ix.opts.Changed(thing)
	}
	return nil
}

// Thing returns what the index knows of a thing that the registry has.
func (ix *Index) Thing(ctx context.Context, name string) (t fleet.Thing, ok bool, err error) {
	var r record
	found, err := ix.load(ctx, name, &r)
	if err != nil || !found || !r.Registered {
		return fleet.Thing{}, false, err
	}
	return r.thing(name), true, nil
}

func (r *record) empty() bool {
	return !r.Registered && r.Classic == nil && len(r.Named) == 0 && r.Connectivity == nil && r.Defender == nil
}

func (ix *Index) load(ctx context.Context, thing string, r *record) (found bool, err error) {
	e, err := ix.store.Get(ctx, keyDoc+thing)
	if errors.Is(err, registry.ErrNotFound) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(e.Value, r)
	}
	if err != nil {
		return false, fmt.Errorf("fleetindex: thing %s: %w", thing, err)
	}
	return true, nil
}

// ErrInvalid reports input that the index does not take. Queries that cannot be
// read are *fleet.SyntaxErrors.
var ErrInvalid = errors.New("fleetindex: invalid")
