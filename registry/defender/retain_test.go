package defender

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingloom/thingloom/registry"
)

// Values are kept by slot: of a metric as a whole and by dimension, once though
// two profiles want them, and of a device only where it reported.
func TestRetain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &Options{ReportInterval: -1})
		if err := f.svc.CreateDimension(t.Context(), TopicDimension{Name: "alarms", Filters: []string{"alarm/#"}}); err != nil {
			t.Fatal(err)
		}
		const sent, ports = "aws:num-messages-sent", "aws:num-listening-udp-ports"
		in, not := Dimension{Name: "alarms"}, Dimension{"alarms", "NOT_IN"}
		for _, name := range []string{"p", "q"} {
			if _, err := f.svc.CreateProfile(t.Context(), Profile{Name: name, Retain: []Retained{{Metric: sent}, {Metric: sent, Dimension: &in}, {Metric: sent, Dimension: &not}, {Metric: ports}}}); err != nil {
				t.Fatal(err)
			}
			if err := f.svc.Attach(t.Context(), name, f.reg.ARN("all/things")); err != nil {
				t.Fatal(err)
			}
		}
		for what, bad := range map[string]Retained{
			"an unknown metric":        {Metric: "x"},
			"an unknown dimension":     {Metric: sent, Dimension: &Dimension{Name: "x"}},
			"a dimension that no goes": {Metric: ports, Dimension: &in},
			"an unknown operator":      {Metric: sent, Dimension: &Dimension{"alarms", "OUT"}},
		} {
			if _, err := f.svc.CreateProfile(t.Context(), Profile{Name: "x", Retain: []Retained{bad}}); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %v", what, err)
			}
		}
		begin := time.Now()
		f.run(func() {
			pass(time.Second)
			f.sent("t1", 3, "a")
			f.sent("t1", 2, "alarm/x")
			f.sent("t2", 1, "a")
			pass(5 * time.Minute)
			if _, err := f.svc.Report(t.Context(), "t1", []byte(`{"hed":{"rid":1},"met":{"up":{"t":4}}}`), false); err != nil {
				t.Fatal(err)
			}
			pass(15 * time.Minute)
		})
		for _, c := range []struct {
			thing, metric string
			d             Dimension
			want          string
		}{
			{"t1", sent, Dimension{}, "[5 0 0 0]"}, {"t1", sent, in, "[2 0 0 0]"}, {"t1", sent, not, "[3 0 0 0]"},
			{"t1", sent, Dimension{"alarms", "IN"}, "[2 0 0 0]"}, {"t2", sent, Dimension{}, "[1 0 0 0]"},
			{"t1", ports, Dimension{}, "[4]"}, {"t2", ports, Dimension{}, "[]"}, {"t3", sent, Dimension{}, "[]"},
		} {
			got := []int64{}
			for d, err := range f.svc.Data(t.Context(), c.thing, c.metric, c.d, begin, time.Now(), time.Time{}) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, *d.Value.Count)
			}
			if fmt.Sprint(got) != c.want {
				t.Errorf("%s %s %v: %v, want %s", c.thing, c.metric, c.d, got, c.want)
			}
		}
	})
}

// counting counts the writes of a store.
type counting struct {
	registry.Store
	writes int
}

func (s *counting) Apply(ctx context.Context, ops ...registry.Op) error {
	s.writes++
	return s.Store.Apply(ctx, ops...)
}

// The values of many things are in few writes.
func TestRetainOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		store := &counting{Store: f.store}
		f.store = store
		f.open(nil)
		if _, err := f.svc.CreateProfile(t.Context(), Profile{Name: "p", Retain: []Retained{{Metric: "aws:num-messages-sent"}}}); err != nil {
			t.Fatal(err)
		}
		if err := f.svc.Attach(t.Context(), "p", f.reg.ARN("all/things")); err != nil {
			t.Fatal(err)
		}
		const things = 3*keptAtOnce + 7
		for i := range things {
			f.sent(fmt.Sprint("t", i), 1, "a")
		}
		time.Sleep(5 * time.Minute)
		before := store.writes
		if err := f.svc.Evaluate(t.Context()); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, err := range f.store.Scan(t.Context(), keyDatum, "") {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != things || store.writes-before != 4 {
			t.Errorf("%d values in %d writes", n, store.writes-before)
		}
	})
}

func TestAttachments(t *testing.T) {
	f := newFixture(t, nil)
	for _, g := range [][2]string{{"a", ""}, {"b", "a"}, {"c", "b"}, {"d", ""}} {
		if _, err := f.reg.CreateGroup(t.Context(), registry.Group{Name: g[0]}, g[1]); err != nil {
			t.Fatal(err)
		}
	}
	for profile, groups := range map[string][]string{"p": {"a", "c", "d"}, "q": {"b", "c"}} {
		if _, err := f.svc.CreateProfile(t.Context(), Profile{Name: profile}); err != nil {
			t.Fatal(err)
		}
		for _, g := range groups {
			if err := f.svc.Attach(t.Context(), profile, f.reg.ARN("thinggroup/"+g)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		group     string
		recursive bool
		want      []string
	}{
		{"a", false, []string{"p a"}}, {"a", true, []string{"p a", "q b", "p c", "q c"}}, {"b", true, []string{"q b", "p c", "q c"}}, {"d", true, []string{"p d"}},
	} {
		all, err := f.svc.Attachments(t.Context(), f.reg.ARN("thinggroup/"+c.group), c.recursive)
		var got []string
		for _, a := range all {
			got = append(got, a.Profile+" "+a.Target[len(f.reg.ARN("thinggroup/")):])
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s %v: %v, %v", c.group, c.recursive, got, err)
		}
	}
	if _, err := f.svc.Attachments(t.Context(), f.reg.ARN("thinggroup/none"), true); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}
