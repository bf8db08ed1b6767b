package registry

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
)

func TestBillingGroups(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	made, err := f.CreateBillingGroup(ctx, BillingGroup{Name: "north", Description: "d", Version: 7, ID: "mine"})
	f.ok(err)
	if made.Version != 1 || made.ID == "mine" || !made.Created.Equal(f.clock.t) {
		t.Errorf("made %+v", made)
	}
	again, err := f.CreateBillingGroup(ctx, BillingGroup{Name: "north", Description: "d"})
	f.ok(err)
	if !reflect.DeepEqual(again, made) {
		t.Errorf("the same again is %+v, want %+v", again, made)
	}
	_, err = f.CreateBillingGroup(ctx, BillingGroup{Name: "north"})
	if exists, ok := errors.AsType[*ExistsError](err); !ok || exists.ARN != f.ARN("billinggroup/north") {
		t.Errorf("with another description: %v", err)
	}
	for _, bad := range []BillingGroup{{}, {Name: "a b"}, {Name: strings.Repeat("x", 129)}, {Name: "x", Description: strings.Repeat("ä", 2029)}} {
		_, err := f.CreateBillingGroup(ctx, bad)
		f.want(err, ErrInvalid)
	}
	for _, name := range []string{"south", "nine"} {
		_, err := f.CreateBillingGroup(ctx, BillingGroup{Name: name})
		f.ok(err)
	}
	list := func(prefix, after string) (all string) {
		for g, err := range f.BillingGroups(ctx, prefix, after) {
			f.ok(err)
			all += g.Name + " "
		}
		return all
	}
	for _, c := range []struct{ prefix, after, want string }{
		{"", "", "nine north south "}, {"n", "", "nine north "}, {"", "nine", "north south "}, {"n", "nine", "north "}, {"x", "", ""},
	} {
		if got := list(c.prefix, c.after); got != c.want {
			t.Errorf("%q after %q: got %q, want %q", c.prefix, c.after, got, c.want)
		}
	}

	_, err = f.UpdateBillingGroup(ctx, "north", "e", 2)
	f.want(err, ErrVersionConflict)
	_, err = f.UpdateBillingGroup(ctx, "west", "e", 0)
	f.want(err, ErrNotFound)
	_, err = f.UpdateBillingGroup(ctx, "north", strings.Repeat("x", 2029), 0)
	f.want(err, ErrInvalid)
	now, err := f.UpdateBillingGroup(ctx, "north", "e", 1)
	f.ok(err)
	got, err := f.BillingGroup(ctx, "north")
	f.ok(err)
	if !reflect.DeepEqual(got, now) || got.Description != "e" || got.Version != 2 || got.ID != made.ID {
		t.Errorf("updated %+v, stored %+v", now, got)
	}
}

func TestThingsOfBillingGroups(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	for _, name := range []string{"north", "south"} {
		_, err := f.CreateBillingGroup(ctx, BillingGroup{Name: name})
		f.ok(err)
	}
	_, err := f.CreateThing(ctx, Thing{Name: "a", BillingGroup: "west"})
	f.want(err, ErrNotFound)
	_, err = f.CreateThing(ctx, Thing{Name: "a", BillingGroup: "north"})
	f.ok(err)
	f.thing("b")
	f.want(f.SetBillingGroup(ctx, "b", "west"), ErrNotFound)
	f.want(f.SetBillingGroup(ctx, "none", "north"), ErrNotFound)
	f.ok(f.SetBillingGroup(ctx, "b", "north"))
	members := func(group, after string) string {
		return strings.Join(list(t, f.ThingsInBillingGroup(ctx, group, after)), " ")
	}
	if got := members("north", "") + "|" + members("north", "a") + "|" + members("south", ""); got != "a b|b|" {
		t.Errorf("members %s", got)
	}
	for _, err := range f.ThingsInBillingGroup(ctx, "west", "") {
		f.want(err, ErrNotFound)
	}
	f.ok(f.SetBillingGroup(ctx, "b", "south")) // out of the other
	f.want(f.LeaveBillingGroup(ctx, "b", "west"), ErrNotFound)
	f.ok(f.LeaveBillingGroup(ctx, "b", "north")) // which it is not in
	if got := members("north", "") + "|" + members("south", ""); got != "a|b" {
		t.Errorf("members %s", got)
	}
	f.want(f.DeleteBillingGroup(ctx, "south", 0), ErrInvalid)
	f.want(f.DeleteBillingGroup(ctx, "south", 3), ErrVersionConflict)
	f.ok(f.LeaveBillingGroup(ctx, "b", "south"), f.DeleteBillingGroup(ctx, "south", 1), f.DeleteBillingGroup(ctx, "south", 1))
	if thing, err := f.Thing(ctx, "b"); err != nil || thing.BillingGroup != "" {
		t.Errorf("%+v, %v", thing, err)
	}
	f.ok(f.DeleteThing(ctx, "a", 0), f.DeleteBillingGroup(ctx, "north", 0))
}

// A thing that joins and a group that is deleted at the same time: never is a
// thing in a group that is not there.
func TestBillingGroupGoesWhileThingsJoin(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	for i := range 8 {
		f.thing(fmt.Sprint("t", i))
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			thing := fmt.Sprint("t", i)
			for range 50 {
				err := f.SetBillingGroup(ctx, thing, "g")
				if err != nil && !errors.Is(err, ErrNotFound) {
					t.Error(err)
				}
				if err := f.SetBillingGroup(ctx, thing, ""); err != nil {
					t.Error(err)
				}
			}
			if err := f.SetBillingGroup(ctx, thing, "g"); err != nil && !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
		})
	}
	wg.Go(func() {
		for range 100 {
			if _, err := f.CreateBillingGroup(ctx, BillingGroup{Name: "g"}); err != nil {
				t.Error(err)
			}
			if err := f.DeleteBillingGroup(ctx, "g", 0); err != nil && !errors.Is(err, ErrInvalid) {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	_, err := f.BillingGroup(ctx, "g")
	for i := range 8 {
		thing, terr := f.Thing(ctx, fmt.Sprint("t", i))
		f.ok(terr)
		if err != nil && thing.BillingGroup != "" {
			t.Errorf("%s is in a billing group that is gone", thing.Name)
		}
	}
}
