package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// consistent checks what must hold of the whole key space between any two
// calls: every index says what the records say, and nothing points nowhere.
func consistent(t *testing.T, r *Registry) {
	t.Helper()
	ctx := t.Context()
	have := map[string]bool{}
	for e, err := range r.store.Scan(ctx, "", "") {
		if err != nil {
			t.Fatal(err)
		}
		have[e.Key] = true
	}
	want := map[string]bool{}
	for _, v := range list(t, r.Things(ctx, ThingQuery{})) {
		for _, key := range indexKeys(&v) {
			want[key] = true
		}
		for _, g := range v.Groups {
			want[keyMember+g+"/"+v.Name] = true
			if !have[keyGroup+g] {
				t.Errorf("thing %s is in the group %s, which is not there", v.Name, g)
			}
		}
		if v.Type != "" && !have[keyType+v.Type] {
			t.Errorf("thing %s has the type %s, which is not there", v.Name, v.Type)
		}
		if len(v.Groups) > maxGroupsPerThing {
			t.Errorf("thing %s is in %d groups", v.Name, len(v.Groups))
		}
	}
	for _, g := range list(t, r.Groups(ctx, GroupQuery{})) {
		if g.Parent() != "" {
			want[keyChild+g.Parent()+"/"+g.Name] = true
			if !have[keyGroup+g.Parent()] {
				t.Errorf("group %s is below %s, which is not there", g.Name, g.Parent())
			}
		}
		if n := len(list(t, r.names(ctx, keyChild+g.Name+"/", ""))); n != g.Children {
			t.Errorf("group %s counts %d children and has %d", g.Name, g.Children, n)
		}
	}
	for key := range have {
		switch {
		case strings.HasPrefix(key, keyAttached):
			name := unescape(strings.TrimPrefix(key, keyAttached))
			policies, err := r.AttachedPolicies(ctx, name)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range policies {
				want[keyTarget+p+"/"+escape(name)] = true
				if !have[keyPolicy+p] {
					t.Errorf("%s has the policy %s, which is not there", name, p)
				}
			}
			if group, ok := strings.CutPrefix(name, r.ARN("thinggroup/")); ok && !have[keyGroup+group] {
				t.Errorf("policies %q on the group %s, which is not there", policies, group)
			}
		case strings.HasPrefix(key, keyThingPrincipal):
			thing, principal, _ := strings.Cut(strings.TrimPrefix(key, keyThingPrincipal), "/")
			want[keyPrincipalThing+principal+"/"+thing] = true
			if !have[keyThing+thing] {
				t.Errorf("principal %s of the thing %s, which is not there", principal, thing)
			}
			if have[keyExclusive+principal] {
				if n := len(list(t, r.PrincipalThings(ctx, unescape(principal), ""))); n != 1 {
					t.Errorf("the exclusive principal %s has %d things", principal, n)
				}
			}
		}
	}
	for _, prefix := range []string{keyByType, keyByAttr, keyByBilling, keyMember, keyChild, keyTarget, keyPrincipalThing, keyReleased} {
		for key := range have {
			if strings.HasPrefix(key, prefix) && !want[key] {
				t.Errorf("index entry without a record: %s", key)
			}
		}
		for key := range want {
			if strings.HasPrefix(key, prefix) && !have[key] {
				t.Errorf("index entry missing: %s", key)
			}
		}
	}
}

// step makes one random change. Refusals are fine, other errors are not.
func step(ctx context.Context, r *Registry, rng *rand.Rand) error {
	pick := func(kind string, n int) string { return fmt.Sprintf("%s%d", kind, rng.IntN(n)) }
	thing, group, pol, user := pick("t", 4), pick("g", 4), pick("p", 3), pick("u", 3)
	target := user
	if rng.IntN(2) == 0 {
		target = r.ARN("thinggroup/" + group)
	}
	var err error
	switch rng.IntN(16) {
	case 0, 1:
		_, err = r.CreateThing(ctx, Thing{Name: thing, Attributes: map[string]string{"a": pick("v", 2)}})
	case 2:
		err = r.DeleteThing(ctx, thing, 0)
	case 3:
		_, err = r.UpdateThing(ctx, ThingUpdate{Name: thing, Attributes: map[string]string{"a": pick("v", 3)}})
	case 4:
		parent := ""
		if rng.IntN(2) == 0 {
			parent = pick("g", 4)
		}
		_, err = r.CreateGroup(ctx, Group{Name: group}, parent)
	case 5:
		err = r.DeleteGroup(ctx, group, 0)
	case 6, 7:
		err = r.AddThingToGroup(ctx, thing, group)
	case 8:
		err = r.RemoveThingFromGroup(ctx, thing, group)
	case 9:
		_, err = r.CreatePolicy(ctx, pol, allow("iot:Publish", "*"))
	case 10:
		err = r.DeletePolicy(ctx, pol)
	case 11:
		err = r.AttachPolicy(ctx, pol, target)
	case 12:
		err = r.DetachPolicy(ctx, pol, target)
	case 13:
		err = r.AttachPrincipal(ctx, thing, user)
	case 14:
		err = r.AttachPrincipalExclusively(ctx, thing, user)
	case 15:
		err = r.DetachPrincipal(ctx, thing, user)
	}
	for _, refusal := range []error{ErrNotFound, ErrExists, ErrInvalid, ErrLimit, ErrDeleteConflict} {
		if errors.Is(err, refusal) {
			return nil
		}
	}
	return err
}

// TestConcurrentChangesStayConsistent: whatever many callers do at once, no
// index and no limit is broken, and cached answers are those of the store.
func TestConcurrentChangesStayConsistent(t *testing.T) {
	store := NewMemStore()
	r, err := New(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for round := range uint64(20) {
		var wg sync.WaitGroup
		for w := range uint64(6) {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(round, w))
				for range 60 {
					if err := step(ctx, r, rng); err != nil {
						t.Error(err)
					}
					_ = r.Allowed(ctx, Access{Principal: fmt.Sprintf("u%d", rng.IntN(3)), ClientID: fmt.Sprintf("t%d", rng.IntN(4)),
						Action: "iot:Publish", Resource: "topic/a"})
				}
			})
		}
		wg.Wait()
		consistent(t, r)
		fresh, err := New(store, nil)
		if err != nil {
			t.Fatal(err)
		}
		for u := range 3 {
			for th := range 4 {
				a := Access{Principal: fmt.Sprintf("u%d", u), ClientID: fmt.Sprintf("t%d", th), Action: "iot:Publish", Resource: "topic/a"}
				if got, want := r.Allowed(ctx, a), fresh.Allowed(ctx, a); (got == nil) != (want == nil) {
					t.Errorf("round %d: %+v: cached %v, stored %v", round, a, got, want)
				}
			}
		}
	}
}

// faulty is a store whose writes fail now and then, before or after they are
// made.
type faulty struct {
	Store
	n atomic.Int64
}

var errDisk = errors.New("disk")

func (f *faulty) Apply(ctx context.Context, ops ...Op) error {
	switch f.n.Add(1) % 7 {
	case 3:
		return errDisk
	case 5:
		return errors.Join(f.Store.Apply(ctx, ops...), errDisk)
	}
	return f.Store.Apply(ctx, ops...)
}

// TestFailingWrites: a write that fails is made whole or not at all, and no
// cached answer outlives one that was made.
func TestFailingWrites(t *testing.T) {
	store := NewMemStore()
	r, err := New(&faulty{Store: store}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	rng := rand.New(rand.NewPCG(7, 7))
	failed := 0
	for i := range 3000 {
		if err := step(ctx, r, rng); errors.Is(err, errDisk) {
			failed++
		} else if err != nil {
			t.Fatal(err)
		}
		if i%50 != 0 {
			continue
		}
		fresh, err := New(store, nil)
		if err != nil {
			t.Fatal(err)
		}
		for u := range 3 {
			a := Access{Principal: fmt.Sprintf("u%d", u), ClientID: "t0", Action: "iot:Publish", Resource: "topic/a"}
			if got, want := r.Allowed(ctx, a), fresh.Allowed(ctx, a); (got == nil) != (want == nil) {
				t.Errorf("step %d: %+v: cached %v, stored %v", i, a, got, want)
			}
		}
	}
	if failed < 100 {
		t.Errorf("only %d writes failed", failed)
	}
	// What a failure left half done is finished when the group is used again.
	well, err := New(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Collect(func(yield func(string) bool) {
		for name := range well.names(ctx, keyReleased, "") {
			if !yield(name) {
				return
			}
		}
	}) {
		if err := well.releaseMembers(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	consistent(t, well)
}
