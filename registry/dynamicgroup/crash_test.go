package dynamicgroup_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/fleet"
	"github.com/thingloom/thingloom/registry/registrypebble"
)

type quiet struct{}

func (quiet) Infof(string, ...any)              {}
func (quiet) Errorf(string, ...any)             {}
func (quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// onDisk is a world over one database, as an application has it: the index does
// not wait for the disk.
func onDisk(t *testing.T, fs vfs.FS) (w *world, stop func()) {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatNewest, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	w = &world{t: t}
	w.stores[0], err = registrypebble.Open(t.Context(), db, "registry/", nil)
	w.ok(err)
	w.stores[1], err = registrypebble.Open(t.Context(), db, "index/", &registrypebble.Options{NoSync: true})
	w.ok(err)
	w.start()
	return w, func() {
		w.stop()
		w.ok(db.Close())
	}
}

// A power cut at any moment, also while memberships are being set: what was
// acknowledged is there, and the groups come to have the members that their
// queries find.
func TestCrash(t *testing.T) {
	queries := []string{"attributes.x:1", "attributes.x>=2", "NOT attributes.x:1", "thingName:t1*", "attributes.x:[0 TO 2] AND NOT thingName:t2"}
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			ctx, rng := t.Context(), rand.New(rand.NewPCG(seed, 2))
			fs := vfs.NewCrashableMem()
			w, stop := onDisk(t, fs)
			things, groups := map[string]string{}, map[string]string{} // x by thing, query by group: what was acknowledged
			at := 10 + rng.IntN(60)
			for range at {
				thing, group := fmt.Sprint("t", rng.IntN(12)), fmt.Sprint("g", rng.IntN(4))
				x := fmt.Sprint(rng.IntN(4))
				query := queries[rng.IntN(len(queries))]
				_, known := groups[group]
				switch n := rng.IntN(10); {
				case n < 6:
					_, err := w.reg.UpdateThing(ctx, registry.ThingUpdate{Name: thing, Attributes: map[string]string{"x": x}})
					if errors.Is(err, registry.ErrNotFound) {
						w.thing(thing, map[string]string{"x": x})
						err = nil
					}
					w.ok(err)
					things[thing] = x
				case n < 7:
					w.ok(w.reg.DeleteThing(ctx, thing, 0))
					delete(things, thing)
				case n < 8 && known:
					w.ok(w.groups.Delete(ctx, group, 0))
					delete(groups, group)
				case known:
					_, err := w.groups.Update(ctx, registry.GroupUpdate{Name: group}, &query)
					w.ok(err)
					groups[group] = query
				default:
					w.create(group, query)
					groups[group] = query
				}
				if rng.IntN(3) == 0 {
					synctest.Wait() // else memberships are being set meanwhile
				}
			}
			cut := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
			stop()

			w, stop = onDisk(t, cut)
			defer stop()
			w.settled()
			found := map[string]string{}
			for thing, err := range w.reg.Things(ctx, registry.ThingQuery{}) {
				w.ok(err)
				found[thing.Name] = thing.Attributes["x"]
				for _, g := range thing.Groups {
					if groups[g] == "" {
						t.Errorf("seed %d: %s is in %s, which is deleted", seed, thing.Name, g)
					}
				}
			}
			if fmt.Sprint(found) != fmt.Sprint(things) {
				t.Errorf("seed %d: things are %v, %v were acknowledged", seed, found, things)
			}
			all, err := w.reg.DynamicGroups(ctx)
			w.ok(err)
			if len(all) != len(groups) {
				t.Errorf("seed %d: %d groups, %d were acknowledged", seed, len(all), len(groups))
			}
			for _, g := range all {
				q, err := fleet.Parse(groups[g.Name])
				w.ok(err)
				var want []string
				for thing, x := range found {
					if q.Match(fleet.NewDocument(fleet.Thing{Name: thing, Attributes: map[string]string{"x": x}})) {
						want = append(want, thing)
					}
				}
				slices.Sort(want)
				if got := w.members(g.Name); got != strings.Join(want, " ") || g.Dynamic.Status != registry.GroupActive || g.Dynamic.Query != groups[g.Name] {
					t.Errorf("seed %d: %s, %s, %s: has %q, want %q", seed, g.Name, g.Dynamic.Query, g.Dynamic.Status, got, want)
				}
			}
		})
	}
}
