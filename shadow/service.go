package shadow

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"sync"
	"sync/atomic"
	"time"
)

// A Service is the shadows of a fleet: it loads, merges, saves and tells its
// observers. All methods may be called from many goroutines.
type Service struct {
	store   Store
	opts    Options
	lanes   lanes
	busy    busy
	rates   rates
	watches watches

	mu        sync.Mutex // for changing observers; readers take the pointer
	observers atomic.Pointer[[]*observer]

	stats counters
}

type observer struct{ fn func(context.Context, Change) }

// New returns a Service over store. It starts no goroutine and needs no Close.
func New(store Store, opts *Options) (*Service, error) {
	o, err := opts.filled()
	if err != nil {
		return nil, err
	}
	if store == nil {
		return nil, errors.New("shadow: New needs a store")
	}
	s := &Service{store: store, opts: o}
	s.observers.Store(new([]*observer))
	s.busy.seed, s.rates.seed, s.lanes.seed, s.lanes.tell = maphash.MakeSeed(), maphash.MakeSeed(), maphash.MakeSeed(), s.tell
	return s, nil
}

// Limits returns the limits in force, defaults filled in.
func (s *Service) Limits() Limits { return s.opts.Limits }

// Now is the service's clock, for endpoints that write times into answers.
func (s *Service) Now() time.Time { return s.opts.Now() }

// Get returns the document of ref. ErrNotFound if there is none.
func (s *Service) Get(ctx context.Context, ref Ref) (Document, error) {
	doc, err := s.get(ctx, ref)
	s.stats.count(&s.stats.gets, err)
	return doc, err
}

func (s *Service) get(ctx context.Context, ref Ref) (Document, error) {
	if err := ref.Check(); err != nil {
		return Document{}, err
	}
	if err := s.enter(ref, ""); err != nil {
		return Document{}, err
	}
	defer s.busy.leave(ref.Thing)
	doc, err := s.store.Load(ctx, ref)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Document{}, wrap(ref, "load", err)
	}
	if !doc.Exists() {
		return Document{}, absent(ref)
	}
	return doc, nil
}

// enter begins a request, which busy.leave ends, if the limits allow one more.
func (s *Service) enter(ref Ref, clientToken string) error {
	if s.busy.enter(ref.Thing, s.opts.MaxInFlight) {
		if s.opts.MaxRate == 0 || s.rates.take(ref, s.opts.MaxRate, time.Now()) {
			return nil
		}
		s.busy.leave(ref.Thing)
	}
	e := refuse(ErrTooManyRequests, "Too many requests")
	e.ClientToken = clientToken
	return e
}

func absent(ref Ref) *RequestError {
	name := ref.Name
	if name == "" {
		name = ref.Thing
	}
	return refuse(ErrNotFound, fmt.Sprintf("No shadow exists with name: '%s'", name))
}

// Update merges the request document patch into the shadow, creating it if need
// be. See Merge for what it does, and ParseRequest for what is refused.
//
//	{"state":{"desired":{"on":true}},"version":3,"clientToken":"a"}
//
// A patch without a version that loses a race is merged again; a patch with
// one gets ErrVersionConflict. When Update returns, the change is saved and
// all observers have seen it. An observer that calls Update passes on the
// context it was given: then the call returns once saved, and observers may
// see that change later.
func (s *Service) Update(ctx context.Context, ref Ref, patch []byte) (Change, error) {
	c, err := s.update(ctx, ref, patch)
	s.stats.count(&s.stats.updates, err)
	return c, err
}

func (s *Service) update(ctx context.Context, ref Ref, patch []byte) (Change, error) {
	if err := ref.Check(); err != nil {
		return Change{}, err
	}
	r, err := ParseRequest(patch, s.opts.Limits)
	if err != nil {
		return Change{}, err
	}
	return s.write(ctx, ref, r.ClientToken, func(stored Document, now time.Time) (Change, error) {
		return s.merge(ref, stored, r, now)
	})
}

// updateWith is Update by a request that make writes for what is stored. If
// another writer wins, make is called again. accept sees the change before it
// is saved and may refuse it.
func (s *Service) updateWith(ctx context.Context, ref Ref, make func(stored Document) (*Request, error), accept func(Change) error) (Change, error) {
	err := ref.Check()
	var c Change
	if err == nil {
		c, err = s.write(ctx, ref, "", func(stored Document, now time.Time) (Change, error) {
			r, err := make(stored)
			if err != nil {
				return Change{}, err
			}
			c, err := s.merge(ref, stored, r, now)
			if err != nil {
				return Change{}, err
			}
			c.After.By = s.opts.principal(ctx)
			return c, accept(c)
		})
	}
	s.stats.count(&s.stats.updates, err)
	return c, err
}

// merge is the change that r makes of what is stored.
func (s *Service) merge(ref Ref, stored Document, r *Request, now time.Time) (Change, error) {
	if ref.reserved() && !stored.Exists() {
		e := refuse(ErrInvalidName, "Shadow names that begin with $ are reserved")
		e.ClientToken = r.ClientToken
		return Change{}, e
	}
	next, trees, err := r.apply(stored, now)
	if err != nil {
		return Change{}, err
	}
	before := stored
	if !stored.Exists() {
		before = Document{}
	}
	return newChange(ref, before, next, &trees, r), nil
}

// Delete removes the shadow. Its version is remembered for
// Options.VersionMemory. ErrNotFound if there is none.
func (s *Service) Delete(ctx context.Context, ref Ref) (Change, error) {
	return s.DeleteToken(ctx, ref, "")
}

// DeleteToken is Delete for a request that brought a client token, which
// becomes part of the Change.
func (s *Service) DeleteToken(ctx context.Context, ref Ref, clientToken string) (Change, error) {
	c, err := s.delete(ctx, ref, clientToken)
	s.stats.count(&s.stats.deletes, err)
	return c, err
}

func (s *Service) delete(ctx context.Context, ref Ref, clientToken string) (Change, error) {
	if err := ref.Check(); err != nil {
		return Change{}, err
	}
	return s.write(ctx, ref, clientToken, func(stored Document, now time.Time) (Change, error) {
		if !stored.Exists() {
			e := absent(ref)
			e.ClientToken = clientToken
			return Change{}, e
		}
		// The delete takes a version of its own, so that no version ever
		// names two contents.
		tomb := Document{Version: stored.Version + 1, Time: now, Deleted: true}
		return Change{Ref: ref, Before: stored, After: tomb,
			ClientToken: clientToken, hasToken: clientToken != ""}, nil
	})
}

// write is the loop of load, change, compare-and-swap, tell.
func (s *Service) write(ctx context.Context, ref Ref, clientToken string,
	change func(stored Document, now time.Time) (Change, error)) (Change, error) {
	if err := s.enter(ref, clientToken); err != nil {
		return Change{}, err
	}
	defer s.busy.leave(ref.Thing)
	op := s.lanes.begin(ctx, ref)
	for {
		stored, err := s.store.Load(ctx, ref)
		if err != nil && !errors.Is(err, ErrNotFound) {
			s.lanes.drop(op)
			return Change{}, wrap(ref, "load", err)
		}
		prev, now := stored.Version, s.opts.Now()
		if stored.Deleted && now.Sub(stored.Time) >= s.opts.VersionMemory {
			stored = Document{}
		}
		c, err := change(stored, now)
		if err != nil {
			s.lanes.drop(op)
			return Change{}, err
		}
		c.After.By = s.opts.principal(ctx)
		s.lanes.attempt(op, prev, c.After.Version <= prev)
		err = s.store.Save(ctx, ref, c.After, prev)
		switch {
		case err == nil:
			s.lanes.commit(op, c)
			return c, nil
		case errors.Is(err, ErrVersionConflict) && ctx.Err() == nil:
			// Somebody else won. A request with a version of its own finds
			// out in change.
			s.lanes.lost(op)
			s.stats.retries.Add(1)
		default:
			s.lanes.drop(op)
			return Change{}, wrap(ref, "save", err)
		}
	}
}

// Observe calls fn after each committed change, in commit order for one shadow
// and one call at a time for it; for different shadows calls run at the same
// time. fn runs on the goroutine of a writer, whose Update or Delete returns
// after it, so it should be quick; its context carries the values of the
// writer's, and not its end. cancel may be called once or more; a call under
// way goes on.
func (s *Service) Observe(fn func(context.Context, Change)) (cancel func()) {
	o := &observer{fn}
	s.change(func(all []*observer) []*observer { return append(all, o) })
	return func() {
		s.change(func(all []*observer) []*observer {
			kept := all[:0]
			for _, other := range all {
				if other != o {
					kept = append(kept, other)
				}
			}
			return kept
		})
	}
}

// change swaps the list of observers for what f makes of a copy.
func (s *Service) change(f func([]*observer) []*observer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := *s.observers.Load()
	next := f(append(make([]*observer, 0, len(old)+1), old...))
	s.observers.Store(&next)
}

func (s *Service) tell(ctx context.Context, c Change) {
	for _, o := range *s.observers.Load() {
		s.tellOne(ctx, o, c)
	}
	for _, o := range s.watches.of(c.Ref) {
		s.tellOne(ctx, o, c)
	}
}

// tellOne keeps a panic of an observer from the lane: the change is saved, the
// writer must hear so, and the next change must be told.
func (s *Service) tellOne(ctx context.Context, o *observer, c Change) {
	defer func() {
		if p := recover(); p != nil {
			s.stats.panics.Add(1)
			s.opts.Logger.ErrorContext(ctx, "observer panicked", "thing", c.Ref.Thing, "shadow", c.Ref.Name, "panic", p)
		}
	}()
	o.fn(ctx, c)
}

// Names lists the named shadows of thing in byte order, those after the name
// after ("" for all). The classic shadow is not listed; a thing that nobody
// knows has no names.
func (s *Service) Names(ctx context.Context, thing, after string) iter.Seq2[string, error] {
	if err := CheckThing(thing); err != nil {
		return func(yield func(string, error) bool) { yield("", err) }
	}
	return s.store.Names(ctx, thing, after)
}

// Refs lists every shadow there is, for those who build an index.
func (s *Service) Refs(ctx context.Context) iter.Seq2[Ref, error] { return s.store.Refs(ctx) }

// Run forgets what is too old, until ctx is done: now and every hour the
// versions of shadows deleted longer ago than Options.VersionMemory, and once a
// day the documents replaced longer ago than Options.HistoryAge. A service
// without Run works as well; its store keeps more than it shows.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for hour := 0; ; hour++ {
		if err := s.forget(ctx, hour%24 == 0); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *Service) forget(ctx context.Context, trim bool) error {
	n, err := s.store.Purge(ctx, s.opts.Now().Add(-s.opts.VersionMemory))
	s.stats.purged.Add(uint64(n))
	if err != nil {
		return fmt.Errorf("shadow: purge: %w", err)
	}
	h, ok := s.store.(Historian)
	if oldest, bounded := s.historyBegin(); ok && trim && bounded {
		n, err := h.Trim(ctx, oldest)
		s.stats.trimmed.Add(uint64(n))
		if err != nil {
			return fmt.Errorf("shadow: trim history: %w", err)
		}
	}
	return nil
}
