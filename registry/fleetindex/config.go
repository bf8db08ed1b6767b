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
	Rebuilding Status = "REBUILDING" // searched; a crash may have lost the last changes before it
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
		ops := []registry.Op{{Key: keyConfig, Value: value, Prev: registry.Any}}
		if old.indexes(c) { // what there is is not it, also for the next process
			ops = append(ops, registry.Op{Key: keyFormat, Prev: registry.Any})
		}
		err = ix.store.Apply(ctx, ops...)
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
