package rules

import (
	"errors"
	"fmt"
	"testing"
)

// Tags stay with a rule through replacements, and go with it.
func TestTags(t *testing.T) {
	store := NewMemStore()
	e := open(t, store, binder{"x": &recorder{}}, nil)
	ctx := t.Context()
	r := rule("r", "SELECT * FROM 'a'", "x")
	r.Tags = map[string]string{"owner": "ann"}
	if _, err := e.Create(ctx, r); err != nil {
		t.Fatal(err)
	}
	r.Tags["owner"] = "bob" // the engine's is another map
	has := func(when, want string) {
		t.Helper()
		info, err := e.Rule("r")
		stored, serr := store.Load(ctx, "r")
		if fmt.Sprint(info.Tags) != want || fmt.Sprint(stored.Tags) != want || err != nil || serr != nil {
			t.Errorf("%s: %v and stored %v, %v, %v, want %s", when, info.Tags, stored.Tags, err, serr, want)
		}
	}
	has("at creation", "map[owner:ann]")
	if err := e.ChangeTags(ctx, "r", func(tags map[string]string) error { tags["site"] = "berlin"; return nil }); err != nil {
		t.Fatal(err)
	}
	put(t, e, "r", "SELECT * FROM 'b'", "x")
	if err := errors.Join(e.Disable(ctx, "r"), e.Enable(ctx, "r")); err != nil {
		t.Fatal(err)
	}
	has("after other edits", "map[owner:ann site:berlin]")
	if err := e.ChangeTags(ctx, "r", func(tags map[string]string) error { clear(tags); return ErrTooMany }); !errors.Is(err, ErrTooMany) {
		t.Error(err)
	}
	if err := e.ChangeTags(ctx, "r", func(tags map[string]string) error { tags["?"] = ""; return nil }); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	has("after refusals", "map[owner:ann site:berlin]")
	if err := e.ChangeTags(ctx, "r", func(tags map[string]string) error { clear(tags); return nil }); err != nil {
		t.Fatal(err)
	}
	has("without any", "map[]")
	if err := e.ChangeTags(ctx, "none", func(map[string]string) error { return nil }); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}
