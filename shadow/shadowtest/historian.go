package shadowtest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/thingloom/thingloom/shadow"
)

// A HistoryCase is one rule for stores that are a shadow.Historian.
type HistoryCase struct {
	Name    string
	Rule    string // printed when the case fails
	History int    // how many documents the store has to keep
	Run     func(ctx context.Context, s shadow.Store) error
}

// TestHistorian runs every case on a store of its own that keeps so many
// documents of each shadow besides the present one.
func TestHistorian(t *testing.T, open func(t *testing.T, history int) shadow.Store) {
	for _, c := range HistoryCases() {
		t.Run("history/"+c.Name, func(t *testing.T) {
			if err := c.Run(t.Context(), open(t, c.History)); err != nil {
				t.Errorf("%v\nrule: %s", err, c.Rule)
			}
		})
	}
}

// HistoryCases returns the rules.
func HistoryCases() []HistoryCase {
	return []HistoryCase{
		{"kept", "History gives back every field of what Save replaced, tombstones too, newest first, and not the present document.", 10, kept},
		{"bounded", "No more documents are kept than the store was told.", 3, bounded},
		{"none", "A store that keeps none has no history.", 0, noHistory},
		{"refused", "A Save that is refused leaves the history alone.", 10, refusedSave},
		{"apart", "Shadows whose names begin alike do not share a history.", 10, apart},
		{"restart", "Versions that start again at 1 have no history from before.", 10, restart},
		{"purged", "Purge takes the history of a tombstone with it.", 10, purged},
		{"trim", "Trim forgets what was replaced before the time given, not what was written before it.", 10, trim},
		{"not listed", "Names and Refs list no history.", 10, notListed},
	}
}

// saveAll saves documents one over the other, written at second version.
func saveAll(ctx context.Context, s shadow.Store, ref shadow.Ref, versions ...int64) error {
	prev := int64(0)
	for _, v := range versions {
		d := doc(v)
		if v%5 == 0 {
			d = shadow.Document{Version: v, Time: time.Unix(v, 0), Deleted: true}
		}
		if err := s.Save(ctx, ref, d, prev); err != nil {
			return err
		}
		prev = v
	}
	return nil
}

// historyIs compares the versions kept, newest first.
func historyIs(ctx context.Context, s shadow.Store, ref shadow.Ref, want ...int64) error {
	h, ok := s.(shadow.Historian)
	if !ok {
		return fmt.Errorf("%T is no Historian", s)
	}
	docs, err := collect(h.History(ctx, ref))
	if err != nil {
		return err
	}
	var got []int64
	for _, d := range docs {
		got = append(got, d.Version)
		if d.Deleted != (d.Version%5 == 0) || !d.Deleted && !same(d, doc(d.Version)) {
			return fmt.Errorf("%s: version %d came back as %+v", ref, d.Version, d)
		}
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s: history has %v, want %v", ref, got, want)
	}
	return nil
}

var classic = shadow.Ref{Thing: "t"}

func kept(ctx context.Context, s shadow.Store) error {
	if err := historyIs(ctx, s, classic); err != nil {
		return err
	}
	if err := saveAll(ctx, s, classic, 1, 2, 3, 4, 5, 6); err != nil {
		return err
	}
	for range s.(shadow.Historian).History(ctx, classic) {
		break // leaving early must not harm
	}
	return historyIs(ctx, s, classic, 5, 4, 3, 2, 1)
}

func bounded(ctx context.Context, s shadow.Store) error {
	if err := saveAll(ctx, s, classic, 1, 2, 3, 4, 5, 6, 7, 8); err != nil {
		return err
	}
	return historyIs(ctx, s, classic, 7, 6, 5)
}

func noHistory(ctx context.Context, s shadow.Store) error {
	if err := saveAll(ctx, s, classic, 1, 2, 3); err != nil {
		return err
	}
	return historyIs(ctx, s, classic)
}

func refusedSave(ctx context.Context, s shadow.Store) error {
	if err := saveAll(ctx, s, classic, 1, 2); err != nil {
		return err
	}
	if err := s.Save(ctx, classic, doc(3), 1); err == nil {
		return fmt.Errorf("a save over another version succeeded")
	}
	return historyIs(ctx, s, classic, 1)
}

func apart(ctx context.Context, s shadow.Store) error {
	refs := []shadow.Ref{{Thing: "t"}, {Thing: "t", Name: "n"}, {Thing: "t", Name: "nn"}, {Thing: "tt"}, {Thing: "tt", Name: "n"}}
	for i, ref := range refs {
		if err := saveAll(ctx, s, ref, 1, 2, 3, 4); err != nil {
			return err
		}
		for _, other := range refs[:i+1] {
			if err := historyIs(ctx, s, other, 3, 2, 1); err != nil {
				return err
			}
		}
	}
	return nil
}

func restart(ctx context.Context, s shadow.Store) error {
	if err := saveAll(ctx, s, classic, 1, 2, 3, 4, 5, 1); err != nil {
		return err
	}
	if err := historyIs(ctx, s, classic); err != nil {
		return err
	}
	if err := s.Save(ctx, classic, doc(2), 1); err != nil {
		return err
	}
	return historyIs(ctx, s, classic, 1)
}

func purged(ctx context.Context, s shadow.Store) error {
	other := shadow.Ref{Thing: "t", Name: "n"}
	if err := saveAll(ctx, s, other, 1, 2); err != nil {
		return err
	}
	if err := saveAll(ctx, s, classic, 1, 2, 3, 4, 5); err != nil {
		return err
	}
	if n, err := s.Purge(ctx, time.Unix(100, 0)); err != nil || n != 1 {
		return fmt.Errorf("purged %d, %v", n, err)
	}
	if err := historyIs(ctx, s, classic); err != nil {
		return err
	}
	return historyIs(ctx, s, other, 1)
}

func trim(ctx context.Context, s shadow.Store) error {
	other := shadow.Ref{Thing: "t", Name: "n"}
	if err := saveAll(ctx, s, classic, 1, 2, 3, 4, 6, 8); err != nil {
		return err
	}
	if err := saveAll(ctx, s, other, 7, 8, 9); err != nil {
		return err
	}
	h := s.(shadow.Historian)
	// 4 was replaced at second 6 and is what held at second 5.
	if n, err := h.Trim(ctx, time.Unix(5, 0)); err != nil || n != 3 {
		return fmt.Errorf("trimmed %d, %v, want 3", n, err)
	}
	if err := historyIs(ctx, s, classic, 6, 4); err != nil {
		return err
	}
	if err := historyIs(ctx, s, other, 8, 7); err != nil {
		return err
	}
	if n, err := h.Trim(ctx, time.Unix(100, 0)); err != nil || n != 4 {
		return fmt.Errorf("trimmed %d, %v, want 4", n, err)
	}
	if d, err := s.Load(ctx, classic); err != nil || d.Version != 8 {
		return fmt.Errorf("the present document became %+v, %v", d, err)
	}
	return historyIs(ctx, s, classic)
}

func notListed(ctx context.Context, s shadow.Store) error {
	if err := saveAll(ctx, s, shadow.Ref{Thing: "t", Name: "n"}, 1, 2, 3); err != nil {
		return err
	}
	refs, err := collect(s.Refs(ctx))
	if err != nil || len(refs) != 1 {
		return fmt.Errorf("refs are %v, %v", refs, err)
	}
	names, err := collect(s.Names(ctx, "t", ""))
	if err != nil || len(names) != 1 {
		return fmt.Errorf("names are %v, %v", names, err)
	}
	return nil
}
