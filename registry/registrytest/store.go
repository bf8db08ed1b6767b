package registrytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/thingloom/thingloom/registry"
)

// Options are what a store can do besides.
type Options struct {
	// Reopen closes the store and opens it again with what it kept. Nil for
	// stores that keep nothing.
	Reopen func(t *testing.T, s registry.Store) registry.Store
}

// A Case is one rule of registry.Store.
type Case struct {
	Name string
	Rule string // the sentence that the case checks
	Run  func(ctx context.Context, s registry.Store) error
}

// TestStore runs every case on a store of its own.
func TestStore(t *testing.T, open func(t *testing.T) registry.Store, opts *Options) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			if err := c.Run(t.Context(), open(t)); err != nil {
				t.Errorf("%v\nrule: %s", err, c.Rule)
			}
		})
	}
	if opts == nil || opts.Reopen == nil {
		return
	}
	t.Run("reopen", func(t *testing.T) {
		ctx := t.Context()
		s := open(t)
		must(t, s.Apply(ctx, put("a", "1"), put("b", "2")))
		must(t, s.Apply(ctx, del("b")))
		before, err := s.Get(ctx, "a")
		must(t, err)
		s = opts.Reopen(t, s)
		after, err := s.Get(ctx, "a")
		must(t, err)
		if string(after.Value) != "1" || after.Version != before.Version {
			t.Errorf("a is %+v after reopening, was %+v", after, before)
		}
		if _, err := s.Get(ctx, "b"); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("b was deleted, and after reopening: %v", err)
		}
		must(t, s.Apply(ctx, put("b", "3")))
		b, err := s.Get(ctx, "b")
		must(t, err)
		if b.Version <= before.Version {
			t.Errorf("version %d after reopening, %d before: versions only grow", b.Version, before.Version)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(key, value string) registry.Op {
	return registry.Op{Kind: registry.Put, Key: key, Value: []byte(value), Prev: registry.Any}
}

func del(key string) registry.Op {
	return registry.Op{Kind: registry.Delete, Key: key, Prev: registry.Any}
}

func keys(ctx context.Context, s registry.Store, prefix, after string) ([]string, error) {
	var out []string
	for e, err := range s.Scan(ctx, prefix, after) {
		if err != nil {
			return out, err
		}
		out = append(out, e.Key)
	}
	return out, nil
}

func wantKeys(ctx context.Context, s registry.Store, prefix, after string, want ...string) error {
	got, err := keys(ctx, s, prefix, after)
	if err == nil && !slices.Equal(got, want) {
		err = fmt.Errorf("scan of %q after %q: got %q, want %q", prefix, after, got, want)
	}
	return err
}
