package defender

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingloom/thingloom/internal/cbor"
	"github.com/thingloom/thingloom/registry"
)

type fixture struct {
	t      *testing.T
	reg    *registry.Registry
	store  registry.Store
	svc    *Service
	mu     sync.Mutex
	events []Event
}

func newFixture(t *testing.T, opts *Options) *fixture {
	t.Helper()
	ca, err := registry.NewCA(nil)
	if err != nil {
		t.Fatal(err)
	}
	reg, err := registry.New(registry.NewMemStore(), &registry.Options{CA: ca})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, reg: reg, store: registry.NewMemStore()}
	f.open(opts)
	return f
}

func (f *fixture) open(opts *Options) {
	f.t.Helper()
	svc, err := Open(f.t.Context(), f.store, f.reg, opts)
	if err != nil {
		f.t.Fatal(err)
	}
	f.svc = svc
	svc.Observe(func(_ context.Context, e Event) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.events = append(f.events, e)
	})
}

// take returns the events since the last call as "thing behavior type value".
func (f *fixture) take() (out []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		value, err := json.Marshal(e.Value)
		if err != nil {
			f.t.Error(err)
		}
		out = append(out, fmt.Sprint(e.Thing, " ", e.Behavior.Name, " ", e.Type, " ", string(value)))
	}
	f.events = nil
	slices.Sort(out)
	return out
}

func (f *fixture) expect(what string, want ...string) {
	f.t.Helper()
	if got := f.take(); !slices.Equal(got, want) {
		f.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func number(n int64) *Value { return &Value{Count: &n} }

func (f *fixture) profile(name, target string, behaviors ...Behavior) {
	f.t.Helper()
	if _, err := f.svc.CreateProfile(f.t.Context(), Profile{Name: name, Behaviors: behaviors}); err != nil {
		f.t.Fatal(err)
	}
	if err := f.svc.Attach(f.t.Context(), name, f.reg.ARN(target)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) thing(name string, groups ...string) {
	f.t.Helper()
	if _, err := f.reg.CreateThing(f.t.Context(), registry.Thing{Name: name}); err != nil {
		f.t.Fatal(err)
	}
	for _, g := range groups {
		if err := f.reg.AddThingToGroup(f.t.Context(), name, g); err != nil {
			f.t.Fatal(err)
		}
	}
}

// run runs the service in the bubble while fn works.
func (f *fixture) run(fn func()) {
	ctx, stop := context.WithCancel(f.t.Context())
	done := make(chan error, 1)
	go func() { done <- f.svc.Run(ctx) }()
	synctest.Wait()
	fn()
	stop()
	if err := <-done; err != nil {
		f.t.Error(err)
	}
	if n := f.svc.Stats().Faults; n > 0 {
		f.t.Errorf("%d faults", n)
	}
}

func pass(d time.Duration) {
	time.Sleep(d) // the bubble's clock
	synctest.Wait()
}

func (f *fixture) sent(thing string, n int, topic string) {
	for range n {
		f.svc.Record(Observation{Kind: Sent, Thing: thing, ClientID: thing, Topic: topic, Bytes: 10, IP: "10.0.0.7:1883"})
	}
}

func TestCloudMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // begins on the boundary of a slot
		f := newFixture(t, nil)
		if _, err := f.reg.CreateGroup(t.Context(), registry.Group{Name: "g"}, ""); err != nil {
			t.Fatal(err)
		}
		f.thing("t1", "g")
		f.thing("t2")
		if err := f.svc.CreateDimension(t.Context(), TopicDimension{Name: "alarms", Filters: []string{"alarm/#"}}); err != nil {
			t.Fatal(err)
		}
		few := Behavior{Name: "few", Metric: "aws:num-messages-sent", Criteria: &Criteria{Operator: "less-than", Value: number(5), Seconds: 300, ToAlarm: 2, ToClear: 2}}
		f.profile("p", "thinggroup/g", few,
			Behavior{Name: "alarms", Metric: "aws:num-messages-sent", Dimension: &Dimension{Name: "alarms"}, Criteria: &Criteria{Operator: "less-than-equals", Value: number(1), Seconds: 600}},
			Behavior{Name: "small", Metric: "aws:message-byte-size", Criteria: &Criteria{Operator: "less-than", Value: number(100)}},
			Behavior{Name: "refused", Metric: "aws:num-authorization-failures", Suppress: true, Criteria: &Criteria{Operator: "less-than", Value: number(1), Seconds: 300}},
			Behavior{Name: "at-home", Metric: "aws:source-ip-address", Criteria: &Criteria{Operator: "in-cidr-set", Value: &Value{CIDRs: []string{"10.0.0.0/8"}}}})
		f.run(func() {
			pass(time.Second)
			f.sent("t1", 7, "a")
			f.sent("t2", 99, "a") // in no group
			f.svc.Record(Observation{Kind: Unauthorized, Thing: "t1", Topic: "a"})
			pass(5 * time.Minute)
			f.expect("one bad data point of two")
			f.sent("t1", 8, "a")
			f.sent("t1", 1, "alarm/x")
			pass(5 * time.Minute)
			f.expect("the second", `t1 few in-alarm {"count":9}`)
			f.sent("t1", 1, "alarm/y")
			f.svc.Record(Observation{Kind: Sent, Thing: "t1", Topic: "b", Bytes: 100, IP: "192.0.2.1"})
			pass(5 * time.Minute)
			f.expect("size and address", `t1 at-home in-alarm {"cidrs":["10.0.0.7","192.0.2.1"]}`, `t1 small in-alarm {"count":100}`)
			f.sent("t1", 1, "alarm/y")
			pass(5 * time.Minute)
			f.expect("the second good one, and two alarms in ten minutes", `t1 alarms in-alarm {"count":2}`, `t1 at-home alarm-cleared {"cidrs":["10.0.0.7","192.0.2.1"]}`, `t1 few alarm-cleared {"count":9}`, `t1 small alarm-cleared {"count":100}`)
		})
		active, _, err := f.svc.ActiveViolations(t.Context(), ViolationQuery{Thing: "t1"})
		if err != nil || len(active) != 1 || active[0].Behavior.Name != "alarms" {
			t.Errorf("active %+v, %v", active, err)
		}
		// What was suppressed is listed all the same.
		yes := true
		var names []string
		for e, err := range f.svc.Events(t.Context(), time.Unix(0, 0), time.Now().Add(time.Hour), ViolationQuery{Suppressed: &yes}, "") {
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, e.Behavior.Name+" "+e.Type)
		}
		if want := []string{"refused in-alarm", "refused alarm-cleared"}; !slices.Equal(names, want) {
			t.Errorf("suppressed events %q", names)
		}
		if err := f.svc.Verify(t.Context(), active[0].ID, Verification{State: "TRUE_POSITIVE"}); err != nil {
			t.Error(err)
		}
		if got, _, err := f.svc.ActiveViolations(t.Context(), ViolationQuery{Verification: "TRUE_POSITIVE"}); err != nil || len(got) != 1 {
			t.Errorf("verified %v, %v", got, err)
		}
		// After a restart it is still there, and a change of the profile ends it.
		f.open(nil)
		if got, _, err := f.svc.ActiveViolations(t.Context(), ViolationQuery{}); err != nil || len(got) != 1 || got[0].ID != active[0].ID {
			t.Errorf("after a restart %v, %v", got, err)
		}
		f.take()
		if _, err := f.svc.UpdateProfile(t.Context(), "p", 7, func(*Profile) {}); !errors.Is(err, ErrVersion) {
			t.Errorf("update of another version: %v", err)
		}
		if _, err := f.svc.UpdateProfile(t.Context(), "p", 1, func(p *Profile) { p.Behaviors = []Behavior{few} }); err != nil {
			t.Fatal(err)
		}
		f.expect("a change of the profile", `t1 alarms alarm-invalidated {"count":2}`)
	})
}

func TestConnectionMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		f.profile("p", "all/unregistered-things",
			Behavior{Name: "away", Metric: "aws:disconnect-duration", Criteria: &Criteria{Operator: "less-than", Value: number(600)}},
			Behavior{Name: "attempts", Metric: "aws:num-connection-attempts", Criteria: &Criteria{Operator: "less-than", Value: number(3), Seconds: 300}},
			Behavior{Name: "drops", Metric: "aws:num-disconnects", Criteria: &Criteria{Operator: "less-than", Value: number(2), Seconds: 300}})
		f.thing("t1")
		f.run(func() {
			pass(time.Second)
			for _, thing := range []string{"t1", "a/b"} { // one is registered, the other an odd client ID
				for range 3 {
					f.svc.Record(Observation{Kind: Attempted, Thing: thing})
					f.svc.Record(Observation{Kind: Connected, Thing: thing, ClientID: thing, Principal: "x"})
					f.svc.Record(Observation{Kind: Disconnected, Thing: thing, ClientID: thing, Principal: "x"})
				}
			}
			pass(5 * time.Minute)
			f.expect("attempts", `a/b attempts in-alarm {"count":3}`, `a/b drops in-alarm {"count":3}`)
			pass(5 * time.Minute)
			f.expect("quiet", `a/b attempts alarm-cleared {"count":3}`, `a/b drops alarm-cleared {"count":3}`)
			pass(5 * time.Minute)
			f.expect("away", `a/b away in-alarm {"count":899}`)
			f.svc.Record(Observation{Kind: Connected, Thing: "a/b", ClientID: "a/b", Principal: "x"})
			pass(5 * time.Minute)
			f.expect("back", `a/b away alarm-cleared {"count":899}`)
		})
	})
}

const report = `{"header":{"report_id":%d,"version":"1.0"},"metrics":{
 "listening_tcp_ports":{"ports":[{"port":22,"interface":"eth0"},{"port":8080}],"total":2},"listening_udp_ports":{"total":5},
 "network_stats":{"bytes_in":100,"bytes_out":%d,"packets_in":1,"packets_out":2},
 "tcp_connections":{"established_connections":{"connections":[{"remote_addr":"192.0.2.1:443","local_port":5}],"total":1}}},
 "custom_metrics":{"heat":[{"number":%d}],"unknown":[{"number":1}]}}`

func TestDeviceMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		f.thing("t1")
		if err := f.svc.CreateMetric(t.Context(), CustomMetric{Name: "heat", Type: "number"}); err != nil {
			t.Fatal(err)
		}
		hot := 90.0
		f.profile("p", "all/registered-things",
			Behavior{Name: "ports", Metric: "aws:listening-tcp-ports", Criteria: &Criteria{Operator: "in-port-set", Value: &Value{Ports: []int{22}}}},
			Behavior{Name: "udp", Metric: "aws:num-listening-udp-ports", Criteria: &Criteria{Operator: "less-than", Value: number(6)}},
			Behavior{Name: "peers", Metric: "aws:destination-ip-addresses", Criteria: &Criteria{Operator: "not-in-cidr-set", Value: &Value{CIDRs: []string{"192.0.2.0/24"}}}},
			Behavior{Name: "out", Metric: "aws:all-bytes-out", Criteria: &Criteria{Operator: "less-than", Value: number(1000), Seconds: 600}},
			Behavior{Name: "cool", Metric: "heat", Criteria: &Criteria{Operator: "less-than", Value: &Value{Number: &hot}}})
		send := func(id, out, heat int) error {
			_, err := f.svc.Report(t.Context(), "t1", fmt.Appendf(nil, report, id, out, heat), false)
			return err
		}
		if err := send(1, 600, 20); err != nil {
			t.Fatal(err)
		}
		f.expect("the first", `t1 peers in-alarm {"cidrs":["192.0.2.1"]}`, `t1 ports in-alarm {"ports":[22,8080]}`)
		if err := send(2, 600, 20); !errors.Is(err, ErrThrottled) {
			t.Errorf("at once again: %v", err)
		}
		pass(5 * time.Minute)
		if err := send(1, 600, 20); !errors.Is(err, ErrInvalid) {
			t.Errorf("the same ID: %v", err)
		}
		if err := send(3, 600, 99); err != nil {
			t.Fatal(err)
		}
		f.expect("sum of two, and a custom metric", `t1 cool in-alarm {"number":99}`, `t1 out in-alarm {"count":1200}`)
		pass(10 * time.Minute)
		if err := send(4, 600, 99); err != nil {
			t.Fatal(err)
		}
		f.expect("after the duration", `t1 out alarm-cleared {"count":1200}`)
		if err := f.svc.DeleteProfile(t.Context(), "p", 1); err != nil {
			t.Fatal(err)
		}
		if got := f.take(); len(got) != 3 || !strings.Contains(got[0], "cool alarm-invalidated") {
			t.Errorf("a deleted profile: %q", got)
		}
		if s := f.svc.Stats(); s.Reports != 3 || s.Refused != 2 || s.Violations != 4 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestStatisticalThreshold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		f.profile("p", "all/things", Behavior{Name: "usual", Metric: "aws:num-messages-sent",
			Criteria: &Criteria{Operator: "less-than-equals", Statistic: &Statistic{"p90"}, Seconds: 300}})
		f.run(func() {
			pass(time.Second)
			for i := range 10 {
				f.sent(fmt.Sprint("t", i), i+1, "a")
			}
			pass(5 * time.Minute)
			f.expect("above the ninetieth percentile", `t9 usual in-alarm {"count":10}`)
		})
	})
}

func TestPercentile(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		all := make([]float64, 1+r.IntN(50))
		for i := range all {
			all[i] = float64(r.IntN(20))
		}
		slices.Sort(all)
		prev := all[0]
		for _, name := range []string{"p0", "p1", "p10", "p50", "p90", "p99", "p100"} {
			got := percentile(name, all)
			if got < prev || !slices.Contains(all, got) || name == "p100" && got != all[len(all)-1] {
				t.Fatalf("%s of %v is %v after %v", name, all, got, prev)
			}
			prev = got
		}
	}
}

func TestStaleAndRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &Options{Stale: time.Hour, Retention: 2 * time.Hour})
		f.profile("p", "all/things", Behavior{Name: "udp", Metric: "aws:num-listening-udp-ports", Criteria: &Criteria{Operator: "less-than", Value: number(1)}})
		if _, err := f.svc.UpdateProfile(t.Context(), "p", 0, func(p *Profile) { p.Retain = []Retained{{Metric: "aws:num-messages-sent"}} }); err != nil {
			t.Fatal(err)
		}
		f.run(func() {
			pass(time.Second)
			if _, err := f.svc.Report(t.Context(), "t1", []byte(`{"hed":{"rid":1,"v":"1.0"},"met":{"up":{"t":1}}}`), false); err != nil {
				t.Fatal(err)
			}
			f.sent("t1", 3, "a")
			pass(5 * time.Minute)
			f.take()
			pass(time.Hour)
			f.expect("silence", `t1 udp alarm-invalidated {"count":1}`)
			n := 0
			for d, err := range f.svc.Data(t.Context(), "t1", "aws:num-messages-sent", Dimension{}, time.Unix(0, 0), time.Now(), time.Time{}) {
				if err != nil || n == 0 && *d.Value.Count != 3 {
					t.Fatal(d, err)
				}
				n++
			}
			if n != 13 {
				t.Errorf("%d values are retained", n)
			}
			pass(30 * time.Hour)
			for e, err := range f.svc.store.Scan(t.Context(), keyEvent, "") {
				t.Errorf("kept %q, %v", e.Key, err)
			}
		})
	})
}

func TestParseReport(t *testing.T) {
	types := map[string]string{"n": "number", "ns": "number-list", "s": "string-list", "ip": "ip-address-list"}
	good := `{"hed":{"rid":7,"v":"1.0"},"met":{"tp":{"pts":[{"pt":22}],"t":1},"ns":{"bi":1,"bo":2,"pi":3,"po":4},"tc":{"ec":{"cs":[{"rad":"[2001:db8::1]:443","lp":1}],"t":1}}},
 "cmet":{"n":[{"number":1.5}],"ns":[{"number_list":[1,2]}],"s":[{"string_list":["a"]}],"ip":[{"ip_list":["172.0.0.1"]}]}}`
	packed, err := cbor.FromJSON([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"json": []byte(good), "cbor": packed} {
		r, err := ParseReport(text, name == "cbor", func(m string) string { return types[m] })
		if err != nil || r.ID != 7 {
			t.Fatalf("%s: %+v, %v", name, r, err)
		}
		got, err := json.Marshal(r.Values)
		want := `{"aws:all-bytes-in":{"count":1},"aws:all-bytes-out":{"count":2},"aws:all-packets-in":{"count":3},"aws:all-packets-out":{"count":4},"aws:destination-ip-addresses":{"cidrs":["2001:db8::1"]},"aws:listening-tcp-ports":{"ports":[22]},"aws:num-established-tcp-connections":{"count":1},"aws:num-listening-tcp-ports":{"count":1},"ip":{"cidrs":["172.0.0.1"]},"n":{"number":1.5},"ns":{"numbers":[1,2]},"s":{"strings":["a"]}}`
		if err != nil || string(got) != want {
			t.Errorf("%s: values %s, %v", name, got, err)
		}
	}
	for text, want := range map[string]error{
		``: ErrInvalid, `[]`: ErrInvalid, `{}`: ErrHeader, `{"header":{"report_id":1}}`: ErrInvalid, `{"header":{"report_id":"x"},"metrics":{}}`: ErrInvalid,
		`{"header":{"version":"1.0"},"metrics":{}}`: ErrInvalid, `{"header":{"report_id":1},"metrics":{"network_stats":{"bytes_in":-1}}}`: ErrInvalid,
		`{"header":{"report_id":1},"metrics":{"tp":{"pts":[{"pt":70000}]}}}`: ErrInvalid, `{"header":{"report_id":1},"metrics":{"tc":{"ec":{"cs":[{"rad":"home"}]}}}}`: ErrInvalid,
		`{"header":{"report_id":1},"hed":{"rid":1},"metrics":{}}`: ErrInvalid, `{"header":{"report_id":1},"custom_metrics":{"n":[{"string_list":[]}]}}`: ErrInvalid,
		`{"header":{"report_id":1},"custom_metrics":{"ip":[{"ip_list":["x"]}]}}`: ErrInvalid,
	} {
		if _, err := ParseReport([]byte(text), false, func(m string) string { return types[m] }); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
}

func FuzzParseReport(f *testing.F) {
	f.Add(fmt.Appendf(nil, report, 1, 2, 3), false)
	f.Add([]byte("\xa1chedg"), true)
	f.Fuzz(func(t *testing.T, text []byte, isCBOR bool) {
		r, err := ParseReport(text, isCBOR, func(string) string { return "number" })
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("error %v", err)
			}
			return
		}
		for metric, v := range r.Values {
			if metrics[metric].sum && v.Count == nil {
				t.Errorf("%s is %+v", metric, v)
			}
		}
	})
}

func TestBehaviorChecks(t *testing.T) {
	f := newFixture(t, nil)
	ok := Behavior{Name: "b", Metric: "aws:num-messages-sent", Criteria: &Criteria{Operator: "less-than", Value: number(1), Seconds: 300}}
	for name, c := range map[string]struct {
		change func(*Behavior)
		field  string
	}{
		"as it is":           {func(*Behavior) {}, ""},
		"no name":            {func(b *Behavior) { b.Name = "" }, "behaviors[0].name"},
		"an unknown metric":  {func(b *Behavior) { b.Metric = "aws:x" }, "behaviors[0].metric"},
		"no criteria":        {func(b *Behavior) { b.Criteria = nil }, "behaviors[0].criteria"},
		"an odd operator":    {func(b *Behavior) { b.Criteria.Operator = "in-cidr-set" }, "behaviors[0].criteria.comparisonOperator"},
		"no duration":        {func(b *Behavior) { b.Criteria.Seconds = 0 }, "behaviors[0].criteria.durationSeconds"},
		"an odd duration":    {func(b *Behavior) { b.Criteria.Seconds = 301 }, "behaviors[0].criteria.durationSeconds"},
		"no value":           {func(b *Behavior) { b.Criteria.Value = nil }, "behaviors[0].criteria.value"},
		"another value":      {func(b *Behavior) { b.Criteria.Value = &Value{Ports: []int{1}} }, "behaviors[0].criteria.value.count"},
		"eleven data points": {func(b *Behavior) { b.Criteria.ToAlarm = 11 }, "behaviors[0].criteria.consecutiveDatapointsToAlarm"},
		"both thresholds":    {func(b *Behavior) { b.Criteria.Statistic = &Statistic{"p50"} }, "behaviors[0].criteria.statisticalThreshold"},
		"an odd statistic":   {func(b *Behavior) { b.Criteria.Value, b.Criteria.Statistic = nil, &Statistic{"p51"} }, "behaviors[0].criteria.statisticalThreshold.statistic"},
		"no such dimension":  {func(b *Behavior) { b.Dimension = &Dimension{Name: "d"} }, "behaviors[0].metricDimension.dimensionName"},
		"no dimension goes":  {func(b *Behavior) { b.Metric, b.Dimension = "aws:num-disconnects", &Dimension{Name: "d"} }, "behaviors[0].metricDimension"},
	} {
		b := ok
		criteria := *ok.Criteria
		b.Criteria = &criteria
		c.change(&b)
		errs := f.svc.ValidateBehaviors([]Behavior{b})
		if c.field == "" && len(errs) == 0 {
			continue
		}
		ie, ok := errors.AsType[*InvalidError](errors.Join(errs...))
		if !ok || ie.Field != c.field {
			t.Errorf("%s: %v, want one about %s", name, errs, c.field)
		}
	}
	for i := range 6 {
		name := fmt.Sprint("p", i)
		if _, err := f.svc.CreateProfile(t.Context(), Profile{Name: name}); err != nil {
			t.Fatal(err)
		}
		err := f.svc.Attach(t.Context(), name, f.reg.ARN("all/things"))
		if (i < 5) != (err == nil) || i == 5 && !errors.Is(err, ErrLimit) {
			t.Errorf("attachment %d: %v", i, err)
		}
	}
	if _, err := f.svc.CreateProfile(t.Context(), Profile{Name: "p1"}); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	if err := f.svc.Attach(t.Context(), "p1", f.reg.ARN("thinggroup/none")); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if err := f.svc.Attach(t.Context(), "p1", f.reg.ARN("thing/x")); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}

// What cannot be remembered is counted.
func TestBoundedMemory(t *testing.T) {
	f := newFixture(t, &Options{MaxThings: 64})
	for i := range 1000 {
		f.svc.Record(Observation{Kind: Sent, Thing: fmt.Sprint("t", i)})
	}
	if s := f.svc.Stats(); s.Observed != 1000 || s.Dropped < 1000-64 {
		t.Errorf("stats %+v", s)
	}
}
