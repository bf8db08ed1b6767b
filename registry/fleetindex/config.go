package fleetindex

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/thingloom/thingloom/registry"
)

// A Config is what is indexed. Nothing is without Things.
type Config struct {
	Things       bool `json:"things,omitempty"` // registry data
	Shadows      bool `json:"shadows,omitempty"`
	NamedShadows bool `json:"namedShadows,omitempty"`
	Connectivity bool `json:"connectivity,omitempty"`
	Defender     bool `json:"defender,omitempty"` // violations

	// OnlyNamed are the named shadows that are indexed, at most MaxNamedShadows; none is all of them.
	OnlyNamed []string `json:"onlyNamed,omitempty"`

	// CustomFields can be aggregated, besides ManagedFields: at most MaxCustomFields, of attributes, of what a shadow desires
	// or reports, or of violations. Searches need none.
	CustomFields []Field `json:"customFields,omitempty"`
}

// Everything is all that can be indexed.
var Everything = Config{Things: true, Shadows: true, NamedShadows: true, Connectivity: true, Defender: true}

// Shadow reports whether a shadow is indexed, the classic one for an empty name.
func (c Config) Shadow(name string) bool {
	if name == "" {
		return c.Shadows
	}
	return c.NamedShadows && (len(c.OnlyNamed) == 0 || slices.Contains(c.OnlyNamed, name))
}

// indexes reports whether o has another index than c.
func (c Config) indexes(o Config) bool {
	return c.Things != o.Things || c.Shadows != o.Shadows || c.NamedShadows != o.NamedShadows || c.Connectivity != o.Connectivity ||
		c.Defender != o.Defender || !slices.Equal(c.OnlyNamed, o.OnlyNamed)
}

func (c Config) check() error {
	switch {
	case !c.Things && (c.Shadows || c.NamedShadows || c.Connectivity || c.Defender):
		return fmt.Errorf("%w: nothing is indexed without things", ErrInvalid)
	case !c.NamedShadows && len(c.OnlyNamed) > 0:
		return fmt.Errorf("%w: names of shadows, and named shadows are not indexed", ErrInvalid)
	case len(c.OnlyNamed) > MaxNamedShadows:
		return fmt.Errorf("%w: %d named shadows, at most %d can be named", ErrInvalid, len(c.OnlyNamed), MaxNamedShadows)
	case len(c.CustomFields) > MaxCustomFields:
		return fmt.Errorf("%w: %d custom fields, at most %d are possible", ErrInvalid, len(c.CustomFields), MaxCustomFields)
	}
	for i, f := range c.CustomFields {
		if !f.custom() {
			return fmt.Errorf("%w: %q of type %q cannot be a custom field", ErrInvalid, f.Name, f.Type)
		}
		if slices.ContainsFunc(c.CustomFields[:i], func(o Field) bool { return o.Name == f.Name }) {
			return fmt.Errorf("%w: custom field %q twice", ErrInvalid, f.Name)
		}
	}
	return nil
}

// A Status says whether the index can be asked.
type Status string

// The statuses.
const (
	Active     Status = "ACTIVE"
	Building   Status = "BUILDING"   // not searched: ErrNotReady
	Rebuilding Status = "REBUILDING" // searched, and may lack something
)

// ErrNotReady reports a search while the index is built (IndexNotReadyException).
var ErrNotReady = errors.New("fleetindex: the index is being built")

// ErrOff reports a search of an index that indexes nothing.
var ErrOff = errors.New("fleetindex: indexing is switched off")

type state struct {
	config Config
	status Status
}

// Config returns what is indexed.
func (ix *Index) Config() Config { return ix.state.Load().config }

// Status tells whether the index can be asked.
func (ix *Index) Status() Status { return ix.state.Load().status }

// ready is why the index cannot be asked.
func (ix *Index) ready() error {
	switch s := ix.state.Load(); {
	case !s.config.Things:
		return ErrOff
	case s.status == Building:
		return ErrNotReady
	}
	return nil
}

// SetConfig says what is to be indexed, durably. If that is something else than
// before, the index is built anew by Run, and is Building until then.
func (ix *Index) SetConfig(ctx context.Context, c Config) error {
	if err := c.check(); err != nil {
		return err
	}
	ix.configuring.Lock()
	defer ix.configuring.Unlock()
	old := ix.Config()
	if !old.indexes(c) && slices.Equal(old.CustomFields, c.CustomFields) {
		return nil
	}
	if ix.opts.Allow != nil {
		if err := ix.opts.Allow(ctx, c); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	value, err := json.Marshal(c)
	if err == nil {
		err = ix.store.Apply(ctx, registry.Op{Key: keyConfig, Value: value, Prev: registry.Any})
	}
	if err != nil {
		return fmt.Errorf("fleetindex: config: %w", err)
	}
	if !old.indexes(c) { // fields alone
		for now := ix.state.Load(); !ix.state.CompareAndSwap(now, &state{c, now.status}); now = ix.state.Load() {
		}
		return nil
	}
	ix.state.Store(&state{c, Building})
	select {
	case ix.build <- struct{}{}:
	default: // is asked for already
	}
	return nil
}

// Run builds the index when that is called for: after SetConfig, and where the
// last process has not closed it. It blocks until ctx is done and returns nil
// then, or the error of a build.
func (ix *Index) Run(ctx context.Context) error {
	for {
		select {
		case <-ix.build:
			if err := ix.Rebuild(ctx); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// Rebuild empties the index and has it fed, which mends whatever was missed.
// Changes meanwhile are taken.
func (ix *Index) Rebuild(ctx context.Context) error {
	c := ix.Config()
	ix.opts.Logger.Info("fleet index is built")
	if err := ix.empty(ctx); err != nil {
		return fmt.Errorf("fleetindex: rebuild: %w", err)
	}
	if err := ix.store.Apply(ctx, registry.Op{Key: keyFormat, Value: []byte(format), Prev: registry.Any}); err != nil {
		return fmt.Errorf("fleetindex: rebuild: %w", err)
	}
	if c.Things && ix.opts.Feed != nil {
		if err := ix.opts.Feed(ctx, ix); err != nil {
			return fmt.Errorf("fleetindex: rebuild: %w", err)
		}
	}
	for {
		old := ix.state.Load()
		if old.config.indexes(c) { // another build is asked for
			break
		}
		if ix.state.CompareAndSwap(old, &state{old.config, Active}) {
			break
		}
	}
	ix.opts.Logger.Info("fleet index is there")
	return nil
}

// empty deletes what is known and all entries. No thing changes meanwhile: its entries would go and it would stay, or the
// other way round, and what follows from such a thing is never mended.
func (ix *Index) empty(ctx context.Context) error {
	for i := range ix.things {
		ix.things[i].Lock()
		defer ix.things[i].Unlock()
	}
	// w/ and b/ are kinds of format 2.
	for _, kind := range []string{keyDoc, keyRegistered, keyText, keyNumber, keyAnyText, "w/", "b/"} {
		if err := ix.clear(ctx, kind); err != nil {
			return err
		}
	}
	return nil
}

// A prefixDeleter is a registry.Store that deletes at once what begins with a prefix. Only those implement it that need
// not read the keys for it.
type prefixDeleter interface {
	DeletePrefix(ctx context.Context, prefix string) error
}

// clear deletes the keys of a kind.
func (ix *Index) clear(ctx context.Context, kind string) error {
	if d, ok := ix.store.(prefixDeleter); ok {
		return d.DeletePrefix(ctx, kind)
	}
	for {
		var ops []registry.Op
		for e, err := range ix.store.Scan(ctx, kind, "") {
			if err != nil {
				return err
			}
			if ops = append(ops, registry.Op{Kind: registry.Delete, Key: e.Key, Prev: registry.Any}); len(ops) == 1000 {
				break
			}
		}
		if len(ops) == 0 {
			return nil
		}
		if err := ix.store.Apply(ctx, ops...); err != nil {
			return err
		}
	}
}
