package dynamicgroup_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/dynamicgroup"
	"github.com/thingloom/thingloom/registry/fleet"
	"github.com/thingloom/thingloom/registry/fleetindex"
)

// A world is a registry with its index and its dynamic groups, as an application wires them.
type world struct {
	t      *testing.T
	stores [2]registry.Store // of the registry, of the index
	reg    *registry.Registry
	ix     *fleetindex.Index
	groups *dynamicgroup.Service
	stop   func()

	mu     sync.Mutex
	events []string // memberships
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, stores: [2]registry.Store{registry.NewMemStore(), registry.NewMemStore()}}
	w.start()
	return w
}

// start opens all of it over the stores, as a new process does.
func (w *world) start() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	if w.reg, err = registry.New(w.stores[0], nil); err != nil {
		w.t.Fatal(err)
	}
	w.reg.Observe(func(ctx context.Context, e registry.Event) {
		thing := e.Name
		if e.Kind == registry.MembershipEvents {
			w.mu.Lock()
			w.events = append(w.events, strings.ToLower(e.Operation)+" "+thing+" "+strings.Split(e.Topic, "/")[4])
			w.mu.Unlock()
		} else if e.Kind != registry.ThingEvents {
			return
		}
		if err := w.index(ctx, w.ix, thing); err != nil {
			w.t.Error(err)
		}
	})
	w.ix, err = fleetindex.Open(ctx, w.stores[1], &fleetindex.Options{Config: fleetindex.Everything,
		Changed: func(thing string) {
			if w.groups != nil {
				w.groups.Changed(thing)
			}
		},
		Allow: func(ctx context.Context, c fleetindex.Config) error { return w.groups.Allow(ctx, c) },
		Feed: func(ctx context.Context, ix *fleetindex.Index) error {
			for t, err := range w.reg.Things(ctx, registry.ThingQuery{}) {
				if err == nil {
					err = w.index(ctx, ix, t.Name)
				}
				if err != nil {
					return err
				}
			}
			return nil
		}})
	if err != nil {
		w.t.Fatal(err)
	}
	if w.groups, err = dynamicgroup.New(ctx, w.reg, w.ix, nil); err != nil {
		w.t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = w.ix.Run(ctx) })
	wg.Go(func() { _ = w.groups.Run(ctx) })
	w.stop = func() { cancel(); wg.Wait(); w.groups = nil }
}

// index tells the index of a thing as it is.
func (w *world) index(ctx context.Context, ix *fleetindex.Index, name string) error {
	return ix.Change(ctx, name, func(k *fleetindex.Known) error {
		t, err := w.reg.Thing(ctx, name)
		switch k.Thing = nil; {
		case err == nil:
			k.Thing = &t
		case errors.Is(err, registry.ErrNotFound):
			err = nil
		}
		return err
	})
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) thing(name string, attributes map[string]string) {
	w.t.Helper()
	_, err := w.reg.CreateThing(w.t.Context(), registry.Thing{Name: name, Attributes: attributes})
	w.ok(err)
}

func (w *world) create(name, query string) {
	w.t.Helper()
	_, err := w.groups.Create(w.t.Context(), registry.Group{Name: name}, query)
	w.ok(err)
}

// settled waits until nothing is to be done.
func (w *world) settled() {
	synctest.Wait()
	time.Sleep(2 * time.Second) // virtual: what waited for the index is tried again
	synctest.Wait()
}

func (w *world) members(group string) string {
	w.t.Helper()
	var all []string
	for name, err := range w.reg.ThingsInGroup(w.t.Context(), group, false, "") {
		w.ok(err)
		all = append(all, name)
	}
	return strings.Join(all, " ")
}

func (w *world) want(group, members string) {
	w.t.Helper()
	w.settled()
	if got := w.members(group); got != members {
		w.t.Errorf("%s has %q, want %q", group, got, members)
	}
}

func TestMembersFollowTheIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer func() { w.stop() }()
		ctx := t.Context()
		w.thing("a", map[string]string{"site": "berlin"})
		w.thing("b", map[string]string{"site": "paris"})
		w.create("here", "attributes.site:berlin")
		if g, _ := w.reg.Group(ctx, "here"); g.Dynamic.Status != registry.GroupBuilding && g.Dynamic.Status != registry.GroupActive {
			t.Errorf("%+v", g.Dynamic)
		}
		w.want("here", "a") // what was there before
		if g, _ := w.reg.Group(ctx, "here"); g.Dynamic.Status != registry.GroupActive || g.Version != 1 {
			t.Errorf("%+v, version %d", g.Dynamic, g.Version)
		}
		w.thing("c", map[string]string{"site": "berlin"})
		w.want("here", "a c")
		_, err := w.reg.UpdateThing(ctx, registry.ThingUpdate{Name: "a", Attributes: map[string]string{"site": "rome"}})
		w.ok(err)
		w.want("here", "c")
		w.create("low", "shadow.reported.battery<20")
		w.ok(w.ix.PutShadow(ctx, "b", "", []byte(`{"reported":{"battery":7}}`)))
		w.want("low", "b")
		w.ok(w.ix.PutConnectivity(ctx, "c", fleet.Connectivity{Connected: true}))
		w.create("online", "connectivity.connected:true")
		w.want("online", "c")
		w.ok(w.reg.DeleteThing(ctx, "c", 0))
		w.want("online", "")
		w.want("here", "")
		// Another query.
		_, err = w.groups.Update(ctx, registry.GroupUpdate{Name: "low"}, new("thingName:a"))
		w.ok(err)
		w.want("low", "a")
		if g, _ := w.reg.Group(ctx, "low"); g.Version != 2 || g.Dynamic.Status != registry.GroupActive {
			t.Errorf("%+v %+v", g, g.Dynamic)
		}
		w.ok(w.groups.Delete(ctx, "low", 0))
		w.settled()
		if a, _ := w.reg.Thing(ctx, "a"); len(a.Groups) != 0 {
			t.Errorf("a is in %v", a.Groups)
		}
		want := []string{"added a here", "added c here", "removed a here", "added b low", "added c online", "removed c here", "removed c online",
			"added a low", "removed b low", "removed a low"}
		slices.Sort(want)
		slices.Sort(w.events)
		if !slices.Equal(w.events, want) {
			t.Errorf("events\n got %q\nwant %q", w.events, want)
		}
	})
}

// TestRestart: what the last process has not come to is made good.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx := t.Context()
		w.thing("a", map[string]string{"x": "1"})
		w.create("g", "attributes.x:1")
		w.want("g", "a")
		w.stop()
		w.thing("b", map[string]string{"x": "1"}) // nobody runs
		_, err := w.reg.UpdateThing(ctx, registry.ThingUpdate{Name: "a", Attributes: map[string]string{"x": "2"}})
		w.ok(err)
		w.start()
		defer func() { w.stop() }()
		w.want("g", "b")
	})
}

func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer func() { w.stop() }()
		ctx := t.Context()
		w.thing("a", nil)
		w.create("d", "*")
		_, err := w.reg.CreateGroup(ctx, registry.Group{Name: "s"}, "")
		w.ok(err)
		_, err = w.reg.CreatePolicy(ctx, "p", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
		w.ok(err)
		create := func(name, query string) error {
			_, err := w.groups.Create(ctx, registry.Group{Name: name}, query)
			return err
		}
		child := func(err error) error { return err }
		_, below := w.reg.CreateGroup(ctx, registry.Group{Name: "c"}, "d")
		_, asStatic := w.reg.CreateGroup(ctx, registry.Group{Name: "d"}, "")
		_, updateStatic := w.reg.UpdateGroup(ctx, registry.GroupUpdate{Name: "d", Description: new("x")})
		_, updateDynamic := w.groups.Update(ctx, registry.GroupUpdate{Name: "s"}, nil)
		_, badQuery := w.groups.Update(ctx, registry.GroupUpdate{Name: "d"}, new("a:b:c"))
		_, stale := w.groups.Update(ctx, registry.GroupUpdate{Name: "d", ExpectedVersion: 7}, nil)
		for what, c := range map[string]struct{ got, want error }{
			"a query that cannot be read":    {create("x", "a:b:c"), dynamicgroup.ErrQuery},
			"another query for it":           {badQuery, dynamicgroup.ErrQuery},
			"the same name, another query":   {create("d", "thingName:a"), registry.ErrExists},
			"the same again":                 {create("d", "*"), nil},
			"the name of a static group":     {create("s", "*"), registry.ErrExists},
			"no name":                        {create("", "*"), registry.ErrInvalid},
			"a child":                        {child(below), registry.ErrInvalid},
			"as a static one":                {asStatic, registry.ErrExists},
			"an update as a static one":      {updateStatic, registry.ErrInvalid},
			"an update of a static one":      {updateDynamic, registry.ErrInvalid},
			"an old version":                 {stale, registry.ErrVersionConflict},
			"deleted as a static one":        {w.reg.DeleteGroup(ctx, "d", 0), registry.ErrInvalid},
			"deleted though it is static":    {w.groups.Delete(ctx, "s", 0), registry.ErrInvalid},
			"deleted at an old version":      {w.groups.Delete(ctx, "d", 7), registry.ErrVersionConflict},
			"deleted though it is not there": {w.groups.Delete(ctx, "nobody", 0), nil},
			"a thing added by hand":          {w.reg.AddThingToGroup(ctx, "a", "d"), registry.ErrInvalid},
			"a thing removed by hand":        {w.reg.RemoveThingFromGroup(ctx, "a", "d"), registry.ErrInvalid},
			"a policy":                       {w.reg.AttachPolicy(ctx, "p", w.reg.ARN("thinggroup/d")), registry.ErrInvalid},
			"the index switched off":         {w.ix.SetConfig(ctx, fleetindex.Config{}), dynamicgroup.ErrNeeded},
		} {
			if !errors.Is(c.got, c.want) || c.want == nil && c.got != nil {
				t.Errorf("%s: %v, want %v", what, c.got, c.want)
			}
		}
		for i := range 99 {
			w.create(fmt.Sprint("more", i), "thingName:nobody")
		}
		if err := create("hundred-and-first", "*"); !errors.Is(err, registry.ErrLimit) {
			t.Errorf("got %v", err)
		}
		w.ok(w.groups.Delete(ctx, "more0", 0))
		w.create("hundred", "thingName:nobody")
		w.want("d", "a")
	})
}

// TestTenGroups: static groups stay, older dynamic groups go before younger ones, and a static one may be put in the
// place of the youngest.
func TestTenGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer func() { w.stop() }()
		ctx := t.Context()
		w.thing("a", map[string]string{"x": "1"})
		for i := range 10 {
			_, err := w.reg.CreateGroup(ctx, registry.Group{Name: fmt.Sprint("s", i)}, "")
			w.ok(err)
			if i < 8 {
				w.ok(w.reg.AddThingToGroup(ctx, "a", fmt.Sprint("s", i)))
			}
		}
		for _, name := range []string{"z-old", "m-middle", "a-young"} {
			w.create(name, "attributes.x:1")
			w.settled()
		}
		in := func(want string) {
			t.Helper()
			w.settled()
			thing, err := w.reg.Thing(ctx, "a")
			w.ok(err)
			got := slices.DeleteFunc(thing.Groups, func(g string) bool { return g < "s8" && g >= "s0" })
			if strings.Join(got, " ") != want {
				t.Errorf("a is in %q, want %q", got, want)
			}
		}
		in("m-middle z-old")
		if err := w.reg.AddThingToGroup(ctx, "a", "s8"); !errors.Is(err, registry.ErrInvalid) {
			t.Errorf("got %v", err)
		}
		w.ok(w.reg.AddThingToGroupOverriding(ctx, "a", "s8"))
		in("s8 z-old")
		w.ok(w.groups.Delete(ctx, "z-old", 0))
		w.ok(w.ix.PutConnectivity(ctx, "a", fleet.Connectivity{Connected: true})) // asked about again
		in("m-middle s8")
		w.ok(w.reg.AddThingToGroupOverriding(ctx, "a", "s9"))
		in("s8 s9")
	})
}

// TestGroupsDoNotChaseOneAnother: queries about groups see static ones alone.
func TestGroupsDoNotChaseOneAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer func() { w.stop() }()
		w.thing("a", nil)
		_, err := w.reg.CreateGroup(t.Context(), registry.Group{Name: "s"}, "")
		w.ok(err)
		w.create("one", "NOT thingGroupNames:two")
		w.create("two", "NOT thingGroupNames:one")
		w.create("three", "thingGroupNames:s")
		w.want("one", "a")
		w.want("two", "a")
		w.ok(w.reg.AddThingToGroup(t.Context(), "a", "s"))
		w.want("three", "a")
		if len(w.events) != 4 {
			t.Errorf("%q", w.events)
		}
	})
}

// TestNegationsSeeNoDynamicGroup: also a group that is made when the thing is in another one already.
func TestNegationsSeeNoDynamicGroup(t *testing.T) {
	for _, query := range []string{"NOT thingGroupNames:one", "-thingGroupNames:one", "thingName:a AND NOT one"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			defer func() { w.stop() }()
			w.thing("a", nil)
			w.create("one", "thingName:a")
			w.want("one", "a")
			w.create("two", query)
			w.want("two", "a")
		})
	}
}

// TestAgainstAFullScan: after random changes the members are those that a scan of all things finds.
func TestAgainstAFullScan(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			defer func() { w.stop() }()
			ctx, rng := t.Context(), rand.New(rand.NewPCG(seed, 1))
			queries := []string{"attributes.x:1", "attributes.x>=2", "NOT attributes.x:1", "thingName:t1*", "shadow.reported.v:[2 TO 4]", "attributes.x:1 OR shadow.reported.v:1"}
			for range 150 {
				thing, group := fmt.Sprint("t", rng.IntN(15)), fmt.Sprint("g", rng.IntN(4))
				x := map[string]string{"x": fmt.Sprint(rng.IntN(4))}
				switch rng.IntN(9) {
				case 0, 1, 2:
					if _, err := w.reg.UpdateThing(ctx, registry.ThingUpdate{Name: thing, Attributes: x}); errors.Is(err, registry.ErrNotFound) {
						w.thing(thing, x)
					}
				case 3:
					w.ok(w.reg.DeleteThing(ctx, thing, 0))
				case 4, 5:
					w.ok(w.ix.PutShadow(ctx, thing, "", fmt.Appendf(nil, `{"reported":{"v":%d}}`, rng.IntN(6))))
				case 6, 7:
					query := queries[rng.IntN(len(queries))]
					if _, err := w.groups.Update(ctx, registry.GroupUpdate{Name: group}, &query); errors.Is(err, registry.ErrNotFound) {
						w.create(group, query)
					}
				case 8:
					if rng.IntN(3) == 0 {
						w.ok(w.groups.Delete(ctx, group, 0))
					}
				}
				if rng.IntN(40) == 0 {
					w.stop()
					w.start()
				}
			}
			w.settled()
			all, err := w.reg.DynamicGroups(ctx)
			w.ok(err)
			for _, g := range all {
				q, err := fleet.Parse(g.Dynamic.Query)
				w.ok(err)
				var want []string
				for thing, err := range w.reg.Things(ctx, registry.ThingQuery{}) {
					w.ok(err)
					known, ok, err := w.ix.Thing(ctx, thing.Name)
					w.ok(err)
					if ok && q.Match(fleet.NewDocument(known)) {
						want = append(want, thing.Name)
					}
				}
				slices.Sort(want)
				if got := w.members(g.Name); got != strings.Join(want, " ") || g.Dynamic.Status != registry.GroupActive {
					t.Errorf("seed %d: %s, %s, %s: has %q, want %q", seed, g.Name, g.Dynamic.Query, g.Dynamic.Status, got, want)
				}
			}
		})
	}
}
