// Package shadowtest says what a shadow.Store has to do, as a suite of tests.
//
//	func TestStore(t *testing.T) {
//		shadowtest.TestStore(t, func(t *testing.T) shadow.Store { return open(t) })
//	}
package shadowtest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thingloom/thingloom/shadow"
)

// A Case is one rule for stores.
type Case struct {
	Name string
	Rule string // printed when the case fails
	Run  func(ctx context.Context, s shadow.Store) error
}

// TestStore runs every case on a store of its own.
func TestStore(t *testing.T, open func(t *testing.T) shadow.Store) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			if err := c.Run(t.Context(), open(t)); err != nil {
				t.Errorf("%v\nrule: %s", err, c.Rule)
			}
		})
	}
}

// Cases returns the rules.
func Cases() []Case {
	return []Case{
		{"absent", "Load of a shadow that was never saved is ErrNotFound.", absent},
		{"round trip", "Load gives back every field of what Save was given.", roundTrip},
		{"conditional", "Save changes nothing and is ErrVersionConflict unless the stored version is prev.", conditional},
		{"contention", "Of many Saves with one prev exactly one succeeds.", contention},
		{"tombstone", "A tombstone is loaded, keeps its version for Save, and is not listed.", tombstone},
		{"names", "Names lists named shadows of that very thing in byte order, after the given one.", names},
		{"refs", "Refs lists every shadow once, classic first, without tombstones.", refs},
		{"purge", "Purge removes the tombstones written before the given time and nothing else.", purge},
		{"memory", "What Load returned does not change with later Saves.", memory},
		{"cancelled", "A context that is done ends every method with its error.", cancelled},
	}
}

func doc(version int64) shadow.Document {
	return shadow.Document{Version: version, Time: time.Unix(version, 5), By: "b", Desired: []byte(fmt.Sprintf(`{"d":%d}`, version)),
		Reported: []byte(`{"r":"é"}`), Metadata: []byte(`{"desired":{"d":{"timestamp":1}},"reported":{"r":{"timestamp":1}}}`)}
}

func same(a, b shadow.Document) bool {
	ok := a.Time.Equal(b.Time)
	a.Time, b.Time = time.Time{}, time.Time{}
	return ok && reflect.DeepEqual(a, b)
}

func absent(ctx context.Context, s shadow.Store) error {
	if _, err := s.Load(ctx, shadow.Ref{Thing: "t"}); !errors.Is(err, shadow.ErrNotFound) {
		return fmt.Errorf("got %v", err)
	}
	return nil
}

func roundTrip(ctx context.Context, s shadow.Store) error {
	longest := shadow.Ref{Thing: strings.Repeat("t", 128), Name: strings.Repeat("n", 64)}
	for _, ref := range []shadow.Ref{{Thing: "t"}, {Thing: "t", Name: "n"}, {Thing: "a:b_c-1", Name: "$package"}, longest} {
		want := doc(1)
		if err := s.Save(ctx, ref, want, 0); err != nil {
			return err
		}
		if got, err := s.Load(ctx, ref); err != nil || !same(got, want) {
			return fmt.Errorf("%s: got %+v, %v", ref, got, err)
		}
	}
	bare := shadow.Document{Version: 1, Time: time.Unix(0, 1)}
	if err := s.Save(ctx, shadow.Ref{Thing: "bare"}, bare, 0); err != nil {
		return err
	}
	if got, err := s.Load(ctx, shadow.Ref{Thing: "bare"}); err != nil || !same(got, bare) {
		return fmt.Errorf("bare: got %+v, %v", got, err)
	}
	return nil
}

func conditional(ctx context.Context, s shadow.Store) error {
	ref := shadow.Ref{Thing: "t"}
	for _, tt := range []struct {
		version, prev int64
		ok            bool
	}{{1, 1, false}, {1, 0, true}, {1, 0, false}, {2, 2, false}, {2, 1, true}, {9, 1, false}} {
		before, _ := s.Load(ctx, ref)
		err := s.Save(ctx, ref, doc(tt.version), tt.prev)
		if tt.ok && err != nil || !tt.ok && !errors.Is(err, shadow.ErrVersionConflict) {
			return fmt.Errorf("save of %d over %d with prev %d: %v", tt.version, before.Version, tt.prev, err)
		}
		after, _ := s.Load(ctx, ref)
		if want := before.Version; !tt.ok && after.Version != want || tt.ok && after.Version != tt.version {
			return fmt.Errorf("version %d after save of %d with prev %d", after.Version, tt.version, tt.prev)
		}
	}
	return nil
}

func contention(ctx context.Context, s shadow.Store) error {
	ref := shadow.Ref{Thing: "t"}
	for prev := range int64(20) {
		var wg sync.WaitGroup
		results := make([]error, 8)
		for i := range results {
			wg.Go(func() { results[i] = s.Save(ctx, ref, doc(prev+1), prev) })
		}
		wg.Wait()
		won := 0
		for _, err := range results {
			if err == nil {
				won++
			} else if !errors.Is(err, shadow.ErrVersionConflict) {
				return err
			}
		}
		if won != 1 {
			return fmt.Errorf("%d of 8 won", won)
		}
	}
	return nil
}

func tombstone(ctx context.Context, s shadow.Store) error {
	ref := shadow.Ref{Thing: "t", Name: "n"}
	tomb := shadow.Document{Version: 2, Time: time.Unix(2, 0), Deleted: true}
	if err := errors.Join(s.Save(ctx, ref, doc(1), 0), s.Save(ctx, ref, tomb, 1)); err != nil {
		return err
	}
	if got, err := s.Load(ctx, ref); err != nil || !same(got, tomb) {
		return fmt.Errorf("got %+v, %v", got, err)
	}
	if err := s.Save(ctx, ref, doc(1), 0); !errors.Is(err, shadow.ErrVersionConflict) {
		return fmt.Errorf("save over a tombstone with prev 0: %v", err)
	}
	if all, err := collect(s.Names(ctx, "t", "")); err != nil || len(all) > 0 {
		return fmt.Errorf("listed %v, %v", all, err)
	}
	return s.Save(ctx, ref, doc(3), 2)
}

func names(ctx context.Context, s shadow.Store) error {
	for _, ref := range []shadow.Ref{{Thing: "t"}, {Thing: "t", Name: "b"}, {Thing: "t", Name: "a"}, {Thing: "t", Name: "ab"}, {Thing: "t", Name: "B"}, {Thing: "tt", Name: "x"}, {Thing: "s", Name: "y"}} {
		if err := s.Save(ctx, ref, doc(1), 0); err != nil {
			return err
		}
	}
	for after, want := range map[string][]string{"": {"B", "a", "ab", "b"}, "a": {"ab", "b"}, "aa": {"ab", "b"}, "b": nil} {
		if got, err := collect(s.Names(ctx, "t", after)); err != nil || !slices.Equal(got, want) {
			return fmt.Errorf("after %q: %v, %v", after, got, err)
		}
	}
	if got, err := collect(s.Names(ctx, "nobody", "")); err != nil || len(got) > 0 {
		return fmt.Errorf("nobody: %v, %v", got, err)
	}
	for range s.Names(ctx, "t", "") {
		break // leaving early must not harm
	}
	return nil
}

func refs(ctx context.Context, s shadow.Store) error {
	want := []shadow.Ref{{Thing: "a"}, {Thing: "a", Name: "n"}, {Thing: "b", Name: "m"}}
	for _, ref := range want {
		if err := s.Save(ctx, ref, doc(1), 0); err != nil {
			return err
		}
	}
	if err := s.Save(ctx, shadow.Ref{Thing: "gone"}, shadow.Document{Version: 1, Time: time.Unix(1, 0), Deleted: true}, 0); err != nil {
		return err
	}
	if got, err := collect(s.Refs(ctx)); err != nil || !slices.Equal(got, want) {
		return fmt.Errorf("got %v, %v", got, err)
	}
	return nil
}

func purge(ctx context.Context, s shadow.Store) error {
	for thing, d := range map[string]shadow.Document{
		"old": {Version: 1, Time: time.Unix(1, 0), Deleted: true}, "edge": {Version: 1, Time: time.Unix(5, 0), Deleted: true},
		"young": {Version: 1, Time: time.Unix(9, 0), Deleted: true}, "alive": {Version: 1, Time: time.Unix(1, 0)},
	} {
		if err := s.Save(ctx, shadow.Ref{Thing: thing}, d, 0); err != nil {
			return err
		}
	}
	if n, err := s.Purge(ctx, time.Unix(5, 0)); err != nil || n != 1 {
		return fmt.Errorf("purged %d, %v", n, err)
	}
	for thing, there := range map[string]bool{"old": false, "edge": true, "young": true, "alive": true} {
		if _, err := s.Load(ctx, shadow.Ref{Thing: thing}); (err == nil) != there {
			return fmt.Errorf("%s: %v", thing, err)
		}
	}
	return nil
}

func memory(ctx context.Context, s shadow.Store) error {
	ref := shadow.Ref{Thing: "t"}
	if err := s.Save(ctx, ref, doc(1), 0); err != nil {
		return err
	}
	first, err := s.Load(ctx, ref)
	if err != nil {
		return err
	}
	if err := s.Save(ctx, ref, doc(2), 1); err != nil {
		return err
	}
	if _, err := s.Load(ctx, ref); err != nil || !same(first, doc(1)) {
		return fmt.Errorf("the first document became %+v, %v", first, err)
	}
	return nil
}

func cancelled(ctx context.Context, s shadow.Store) error {
	if err := s.Save(ctx, shadow.Ref{Thing: "t", Name: "n"}, doc(1), 0); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	_, err1 := s.Load(ctx, shadow.Ref{Thing: "t"})
	err2 := s.Save(ctx, shadow.Ref{Thing: "t"}, doc(1), 0)
	_, err3 := collect(s.Names(ctx, "t", ""))
	_, err4 := collect(s.Refs(ctx))
	for i, err := range []error{err1, err2, err3, err4} {
		if !errors.Is(err, context.Canceled) {
			return fmt.Errorf("method %d: %v", i, err)
		}
	}
	return nil
}

func collect[T any](seq func(yield func(T, error) bool)) (all []T, err error) {
	for v, err := range seq {
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}
