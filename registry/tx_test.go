package registry

import (
	"context"
	"errors"
	"testing"
)

// A between is a store in which somebody else writes after the first read of a key.
type between struct {
	Store
	key   string
	write func()
}

func (b *between) Get(ctx context.Context, key string) (Entry, error) {
	e, err := b.Store.Get(ctx, key)
	if write := b.write; key == b.key && write != nil {
		b.write = nil
		write()
	}
	return e, err
}

// A transaction that reads a key twice must not decide from two versions of
// it: a group made in between would become its own parent.
func TestTwoReadsOfOneKey(t *testing.T) {
	store := &between{Store: NewMemStore(), key: keyGroup + "g"}
	r, err := New(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	store.write = func() {
		other, err := New(store.Store, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.CreateGroup(t.Context(), Group{Name: "g"}, ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.CreateGroup(t.Context(), Group{Name: "g"}, "g"); !errors.Is(err, ErrExists) {
		t.Errorf("got %v, want ErrExists", err)
	}
	g, err := r.Group(t.Context(), "g")
	if err != nil || g.Parent() != "" || g.Children != 0 {
		t.Errorf("the group is %+v, %v", g, err)
	}
}
