package defender

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Whoever keeps an index hears of each change, with the violations as they are
// then, suppressed ones too; and so it is after a restart.
func TestIndexed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		docs := map[string]string{}
		changes := 0
		var f *fixture
		opts := &Options{Changed: func(_ context.Context, thing string) {
			changes++
			if docs[thing] = string(f.svc.IndexDocument(thing)); docs[thing] == "" {
				delete(docs, thing)
			}
		}}
		f = newFixture(t, opts)
		f.thing("t1")
		udp := func(name string, n int64, suppress bool) Behavior {
			return Behavior{Name: name, Metric: "aws:num-listening-udp-ports", Suppress: suppress, Criteria: &Criteria{Operator: "less-than", Value: number(n)}}
		}
		f.profile("p", "all/things", udp("a", 1, false), udp("b", 3, true))
		f.profile("q", "all/registered-things", udp("c", 3, false))
		id := 0
		report := func(thing string, ports int) {
			t.Helper()
			id++
			if _, err := f.svc.Report(t.Context(), thing, fmt.Appendf(nil, `{"header":{"report_id":%d},"metrics":{"listening_udp_ports":{"total":%d}}}`, id, ports), false); err != nil {
				t.Fatal(err)
			}
			pass(5 * time.Minute)
		}
		check := func(what string, things int, doc string) {
			t.Helper()
			if got := docs["t1"]; got != doc || len(docs) != things {
				t.Errorf("%s: %d things, t1 has\n%s\nwant %d and\n%s", what, len(docs), got, things, doc)
			}
		}
		one := func(name string, count, minutes int) string {
			return fmt.Sprintf(`%q:{"inViolation":true,"lastViolationValue":{"count":%d},"lastViolationTime":%d,"metricName":"aws:num-listening-udp-ports"}`,
				name, count, 946684800000+minutes*60000)
		}
		report("t1", 0)
		check("normal", 0, "")
		report("t1", 1)
		check("one", 1, `{"p":{`+one("a", 1, 5)+`},"violationCount":1}`)
		report("t1", 3)
		check("three", 1, `{"p":{`+one("a", 3, 10)+`,`+one("b", 3, 10)+`},"q":{`+one("c", 3, 10)+`},"violationCount":3}`)
		report("t1", 2)
		check("the last value that is not normal", 1, `{"p":{`+one("a", 2, 15)+`},"violationCount":1}`)
		report("client", 2)
		check("another, that is not registered", 2, docs["t1"])
		f.open(opts)
		if got := f.svc.InViolation(); !slices.Equal(got, []string{"client", "t1"}) || string(f.svc.IndexDocument("t1")) != docs["t1"] {
			t.Errorf("opened anew: %v, %s", got, f.svc.IndexDocument("t1"))
		}
		before := changes
		if err := f.svc.DeleteProfile(t.Context(), "p", 0); err != nil {
			t.Fatal(err)
		}
		check("the profile is gone", 0, "")
		if changes != before+2 || len(f.svc.InViolation()) > 0 {
			t.Errorf("%d changes, in violation are %v", changes-before, f.svc.InViolation())
		}
	})
}

// A data point judged by a profile that has been deleted meanwhile begins
// nothing that nobody would end.
func TestJudgedTooLate(t *testing.T) {
	f := newFixture(t, nil)
	b := Behavior{Name: "a", Metric: "aws:num-messages-sent", Criteria: &Criteria{Operator: "less-than", Value: number(1), Seconds: 300}}
	f.profile("p", "all/things", b)
	for _, want := range []int{1, 0} {
		if err := f.svc.judge(t.Context(), point{"t1", "p", b, count(7)}, 0); err != nil {
			t.Fatal(err)
		}
		if got := f.svc.InViolation(); len(got) != want {
			t.Errorf("in violation are %v, want %d", got, want)
		}
		if err := f.svc.DeleteProfile(t.Context(), "p", 0); err != nil {
			t.Fatal(err)
		}
	}
}
