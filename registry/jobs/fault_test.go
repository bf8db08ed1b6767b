package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingloom/thingloom/registry"
)

// A faulty store fails every nth write, or all of them.
type faulty struct {
	registry.Store
	every, calls atomic.Int64
}

var errDisk = errors.New("disk on fire")

func (s *faulty) Apply(ctx context.Context, ops ...registry.Op) error {
	if n := s.every.Load(); n > 0 && s.calls.Add(1)%n == 0 {
		return errDisk
	}
	return s.Store.Apply(ctx, ops...)
}

// A write that fails is an error and changes nothing; what Run could not do it
// does later.
func TestFailingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faulty{Store: registry.NewMemStore()}
		f := newFixture(t, store, nil)
		f.things("g", numbered(60)...)
		f.run(func() {
			store.every.Store(1)
			if _, err := f.svc.CreateJob(t.Context(), Job{ID: "a", Document: "{}", Targets: []string{arns + "thinggroup/g"}}); !errors.Is(err, errDisk) {
				t.Errorf("created: %v", err)
			}
			if _, err := f.svc.Job(t.Context(), "a"); !errors.Is(err, ErrNotFound) {
				t.Errorf("after it: %v", err)
			}
			store.every.Store(0)
			f.create("b", nil, "thing/t000")
			store.every.Store(1)
			if _, err := f.svc.Update(t.Context(), "t000", "b", Update{Status: Succeeded}); !errors.Is(err, errDisk) {
				t.Errorf("updated: %v", err)
			}
			if e := f.execution("t000", "b"); e.Status != Queued || e.Version != 1 {
				t.Errorf("execution is %+v", e)
			}
			store.every.Store(7)
			f.createSomehow("c")
			f.pass(time.Minute)
			if c := f.counts("c"); c != (Counts{Queued: 60}) || f.job("c").Concurrent() {
				t.Errorf("rolled out %+v", c)
			}
			if f.svc.Stats().Faults == 0 {
				t.Error("no fault was counted")
			}
		})
		f.checkStep(0, 0, nil)
	})
}

// Who joins while the store fails has the job a moment after it works again,
// all of them, and nothing is tried without a pause.
func TestMembershipsWhileTheStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faulty{Store: registry.NewMemStore()}
		f := newFixture(t, store, nil)
		f.things("g", "t000")
		f.things("", numbered(40)[1:]...)
		f.run(func() {
			f.create("a", func(j *Job) { j.Selection = Continuous }, "thinggroup/g")
			store.every.Store(1)
			for _, thing := range numbered(40)[1:] {
				f.join(thing, "g")
			}
			f.pass(10 * time.Second)
			if n := f.svc.Stats().Faults; n == 0 || n > 39+11 {
				t.Errorf("%d faults in ten seconds", n)
			}
			store.every.Store(0)
			f.pass(2 * time.Second)
			if c := f.counts("a"); c != (Counts{Queued: 40}) {
				t.Errorf("afterwards %+v", c)
			}
		})
		f.checkStep(0, 0, nil)
	})
}

// createSomehow creates a job for the group g as often as it takes.
func (f *fixture) createSomehow(id string) {
	f.t.Helper()
	for range 10 {
		_, err := f.svc.CreateJob(f.t.Context(), Job{ID: id, Document: "{}", Targets: []string{arns + "thinggroup/g"}})
		if err == nil || errors.Is(err, ErrExists) {
			return
		}
	}
	f.t.Fatal("not created")
}

func BenchmarkUpdate(b *testing.B) {
	reg, err := registry.New(registry.NewMemStore(), nil)
	if err != nil {
		b.Fatal(err)
	}
	svc, err := New(registry.NewMemStore(), reg, nil)
	if err != nil {
		b.Fatal(err)
	}
	const things = 1000
	var targets []string
	for i := range things {
		name := fmt.Sprint("t", i)
		if _, err := reg.CreateThing(b.Context(), registry.Thing{Name: name}); err != nil {
			b.Fatal(err)
		}
		if targets = append(targets, arns+"thing/"+name); len(targets) == 100 {
			if _, err := svc.CreateJob(b.Context(), Job{ID: fmt.Sprint("j", i/100), Document: "{}", Targets: targets}); err != nil {
				b.Fatal(err)
			}
			targets = nil
		}
	}
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		i := n % things
		if _, err := svc.Update(b.Context(), fmt.Sprint("t", i), fmt.Sprint("j", i/100), Update{Status: InProgress}); err != nil {
			b.Fatal(err)
		}
	}
}
