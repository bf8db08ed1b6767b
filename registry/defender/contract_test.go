package defender

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thingloom/thingloom/internal/cbor"
)

// Every operator, with a value that is normal and one that is not.
func TestOperators(t *testing.T) {
	num := func(f float64) *Value { return &Value{Number: &f} }
	for _, c := range []struct {
		operator    string
		want        *Value
		normal, bad []Value
	}{
		{"less-than", number(5), []Value{count(4), count(math.MinInt64)}, []Value{count(5), count(6)}},
		{"less-than-equals", number(5), []Value{count(4), count(5)}, []Value{count(6), count(math.MaxInt64)}},
		{"greater-than", number(5), []Value{count(6)}, []Value{count(5), count(4)}},
		{"greater-than-equals", number(5), []Value{count(5), count(6)}, []Value{count(4)}},
		{"less-than", num(1.5), []Value{*num(1.25)}, []Value{*num(1.5)}},
		{"greater-than", num(-1.5), []Value{*num(0)}, []Value{*num(-2)}},
		{"in-cidr-set", &Value{CIDRs: []string{"10.0.0.0/8", "2001:db8::/32", "192.0.2.1"}},
			[]Value{{CIDRs: []string{"10.1.2.3", "2001:db8::1"}}, {CIDRs: []string{"192.0.2.1", "::ffff:10.0.0.1"}}, {}},
			[]Value{{CIDRs: []string{"10.1.2.3", "11.0.0.1"}}, {CIDRs: []string{"192.0.2.2"}}, {CIDRs: []string{"nonsense"}}}},
		{"not-in-cidr-set", &Value{CIDRs: []string{"10.0.0.0/8"}}, []Value{{CIDRs: []string{"11.0.0.1"}}, {}}, []Value{{CIDRs: []string{"11.0.0.1", "10.0.0.1"}}}},
		{"in-port-set", &Value{Ports: []int{22, 443}}, []Value{{Ports: []int{443}}, {Ports: []int{22, 443}}, {}}, []Value{{Ports: []int{22, 80}}}},
		{"not-in-port-set", &Value{Ports: []int{22, 443}}, []Value{{Ports: []int{80, 8080}}, {}}, []Value{{Ports: []int{80, 22}}}},
		{"in-set", &Value{Strings: []string{"a", "b"}}, []Value{{Strings: []string{"b"}}}, []Value{{Strings: []string{"a", "c"}}, {Strings: []string{"A"}}}},
		{"not-in-set", &Value{Strings: []string{"a", "b"}}, []Value{{Strings: []string{"c"}}}, []Value{{Strings: []string{"c", "a"}}}},
		{"in-set", &Value{Numbers: []float64{1, 2.5}}, []Value{{Numbers: []float64{2.5, 1}}}, []Value{{Numbers: []float64{1, 3}}}},
		{"not-in-set", &Value{Numbers: []float64{1, 2.5}}, []Value{{Numbers: []float64{3}}}, []Value{{Numbers: []float64{3, 1}}}},
	} {
		cr := Criteria{Operator: c.operator, Value: c.want}
		for i, got := range slices.Concat(c.normal, c.bad) {
			if normal := cr.normal(got, 0); normal != (i < len(c.normal)) {
				t.Errorf("%+v %s %+v: normal is %v", got, c.operator, *c.want, normal)
			}
		}
	}
}

// Each metric has its operators, and no others.
func TestMetricsAndOperators(t *testing.T) {
	f := newFixture(t, nil)
	values := map[kind]*Value{countMetric: number(1), cidrMetric: {CIDRs: []string{"10.0.0.0/8"}}, portMetric: {Ports: []int{1}},
		numberMetric: {Number: new(float64)}, numbersMetric: {Numbers: []float64{1}}, stringsMetric: {Strings: []string{"a"}}}
	kinds := map[string]kind{}
	for name, m := range metrics {
		kinds[name] = m.kind
	}
	for custom, k := range customKinds {
		if err := f.svc.CreateMetric(t.Context(), CustomMetric{Name: custom, Type: custom}); err != nil {
			t.Fatal(err)
		}
		kinds[custom] = k
	}
	if len(kinds) != 18+4 {
		t.Errorf("%d metrics", len(kinds))
	}
	var operators []string
	for k := range values {
		operators = append(operators, k.operators()...)
	}
	for name, k := range kinds {
		for _, operator := range operators {
			b := Behavior{Name: "b", Metric: name, Criteria: &Criteria{Operator: operator, Value: values[k], Seconds: 300}}
			if errs := f.svc.ValidateBehaviors([]Behavior{b}); (len(errs) == 0) != slices.Contains(k.operators(), operator) {
				t.Errorf("%s %s: %v", name, operator, errs)
			}
		}
		// A statistic needs an order.
		b := Behavior{Name: "b", Metric: name, Criteria: &Criteria{Operator: k.operators()[0], Statistic: &Statistic{"p99"}, Seconds: 300}}
		if errs := f.svc.ValidateBehaviors([]Behavior{b}); (len(errs) == 0) != (k == countMetric || k == numberMetric) {
			t.Errorf("a statistic of %s: %v", name, errs)
		}
	}
	var b Behavior
	text := `{"name":"b","metric":"aws:num-messages-sent","criteria":{"mlDetectionConfig":{"confidenceLevel":"HIGH"}}}`
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		t.Fatal(err)
	}
	errs := f.svc.ValidateBehaviors([]Behavior{b})
	if ie, ok := errors.AsType[*InvalidError](errors.Join(errs...)); !ok || ie.Field != "behaviors[0].criteria.mlDetectionConfig" || !strings.Contains(ie.Reason, "not supported") {
		t.Errorf("machine learning: %v", errs)
	}
}

// So many bad data points in a row raise the alarm, so many good ones end it; a
// row that is broken begins anew.
func TestConsecutiveDatapoints(t *testing.T) {
	for _, c := range []struct {
		alarm, clear int
		points, want string // b is bad, g is good; + is in-alarm, - cleared
	}{
		{1, 1, "gbbgbg", " + -+-"},
		{0, 0, "bg", "+-"}, // the default is one
		{2, 1, "bgbbbg", "   + -"},
		{1, 2, "bgbggg", "+   - "},
		{3, 3, "bbgbbbggbgggb", "     +     - "},
		{10, 10, "bbbbbbbbbbgggggggggg", "         +         -"},
		{10, 1, "bbbbbbbbbgbbbbbbbbbbg", "                   +-"},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, &Options{ReportInterval: -1})
			f.profile("p", "all/things", Behavior{Name: "udp", Metric: "aws:num-listening-udp-ports",
				Criteria: &Criteria{Operator: "less-than", Value: number(1), ToAlarm: c.alarm, ToClear: c.clear}})
			got := ""
			for i, point := range c.points {
				pass(time.Minute)
				total := map[rune]int{'b': 1, 'g': 0}[point]
				if _, err := f.svc.Report(t.Context(), "t1", fmt.Appendf(nil, `{"hed":{"rid":%d},"met":{"up":{"t":%d}}}`, i+1, total), false); err != nil {
					t.Fatal(err)
				}
				sign := " "
				for _, e := range f.take() {
					sign = map[bool]string{true: "+", false: "-"}[strings.Contains(e, InAlarm)]
				}
				got += sign
			}
			if got != c.want {
				t.Errorf("%d and %d, %s: %q, want %q", c.alarm, c.clear, c.points, got, c.want)
			}
		})
	}
}

func TestPercentiles(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	for name, want := range map[string]float64{"p0": 1, "p0.1": 1, "p0.01": 1, "p1": 1, "p10": 10, "p50": 50, "p90": 90, "p99": 99, "p99.9": 100, "p99.99": 100, "p100": 100} {
		if got := percentile(name, hundred); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
		if !slices.Contains(statistics, name) {
			t.Errorf("%s is not accepted", name)
		}
	}
	if len(statistics) != 11 {
		t.Errorf("%d statistics", len(statistics))
	}
}

// Where nothing was sent there is no size: not one of zero, which would be bad
// by greater-than and good by less-than.
func TestNoMessageHasNoSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		f.profile("p", "all/things", Behavior{Name: "large", Metric: "aws:message-byte-size", Criteria: &Criteria{Operator: "greater-than-equals", Value: number(10)}},
			Behavior{Name: "small", Metric: "aws:message-byte-size", Criteria: &Criteria{Operator: "less-than", Value: number(100)}})
		f.run(func() {
			pass(time.Second)
			f.svc.Record(Observation{Kind: Connected, Thing: "t1", ClientID: "t1"})
			pass(5 * time.Minute)
			f.expect("connected and silent")
			f.svc.Record(Observation{Kind: Sent, Thing: "t1", Topic: "a", Bytes: 100})
			pass(5 * time.Minute)
			f.expect("a large message", `t1 small in-alarm {"count":100}`)
			pass(10 * time.Minute)
			f.expect("silence clears nothing")
			f.svc.Record(Observation{Kind: Sent, Thing: "t1", Topic: "a", Bytes: 9})
			pass(5 * time.Minute)
			f.expect("a small one", `t1 large in-alarm {"count":9}`, `t1 small alarm-cleared {"count":100}`)
		})
	})
}

// What a device claims may be as large as it likes: sums stay where they are.
func TestReportedSumsDoNotOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &Options{ReportInterval: -1})
		f.profile("p", "all/things", Behavior{Name: "out", Metric: "aws:all-bytes-out", Criteria: &Criteria{Operator: "less-than", Value: number(1000), Seconds: 600}})
		for i := range 3 {
			pass(4 * time.Minute)
			if _, err := f.svc.Report(t.Context(), "t1", fmt.Appendf(nil, `{"hed":{"rid":%d},"met":{"ns":{"bo":9223372036854775807}}}`, i+1), false); err != nil {
				t.Fatal(err)
			}
		}
		f.expect("three reports", `t1 out in-alarm {"count":9223372036854775807}`)
		active, _, err := f.svc.ActiveViolations(t.Context(), ViolationQuery{})
		if err != nil || len(active) != 1 || *active[0].Value.Count != math.MaxInt64 {
			t.Errorf("active %+v, %v", active, err)
		}
	})
}

// Reports that are none, in both formats: refused, and nothing of them remains.
func TestHostileReports(t *testing.T) {
	f := newFixture(t, &Options{ReportInterval: -1})
	for name, text := range map[string]string{
		"a number":                   `5`,
		"null":                       `null`,
		"a text as header":           `{"header":"x","metrics":{}}`,
		"a broken ID":                `{"header":{"report_id":1.5},"metrics":{}}`,
		"an ID beyond 64 bits":       `{"header":{"report_id":18446744073709551615},"metrics":{}}`,
		"a version of tomorrow":      `{"header":{"report_id":1,"version":"2.0"},"metrics":{}}`,
		"a list as metrics":          `{"header":{"report_id":1},"metrics":[]}`,
		"long and short":             `{"header":{"report_id":1},"metrics":{"network_stats":{"bytes_in":1,"bi":2}}}`,
		"a negative total":           `{"header":{"report_id":1},"metrics":{"listening_tcp_ports":{"total":-1}}}`,
		"a negative total of peers":  `{"header":{"report_id":1},"metrics":{"tc":{"ec":{"t":-1}}}}`,
		"negative bytes":             `{"header":{"report_id":1},"metrics":{"ns":{"bo":-5}}}`,
		"a text as port":             `{"header":{"report_id":1},"metrics":{"tp":{"pts":[{"pt":"22"}]}}}`,
		"no port":                    `{"header":{"report_id":1},"metrics":{"tp":{"pts":[{}]}}}`,
		"null as a port's entry":     `{"header":{"report_id":1},"metrics":{"tp":{"pts":[null]}}}`,
		"no address":                 `{"header":{"report_id":1},"metrics":{"tc":{"ec":{"cs":[{}]}}}}`,
		"a name as address":          `{"header":{"report_id":1},"metrics":{"tc":{"ec":{"cs":[{"rad":"example.com:80"}]}}}}`,
		"custom metrics that differ": `{"header":{"report_id":1},"custom_metrics":{"n":[{"string_list":["a"]}]}}`,
		"two custom values":          `{"header":{"report_id":1},"custom_metrics":{"n":[{"number":1},{"number":2}]}}`,
		"a text as custom number":    `{"header":{"report_id":1},"custom_metrics":{"n":[{"number":"1"}]}}`,
		"null as custom number":      `{"header":{"report_id":1},"custom_metrics":{"n":[{"number":null}]}}`,
		"neither":                    `{"header":{"report_id":1}}`,
		"both null":                  `{"header":{"report_id":1},"metrics":null,"custom_metrics":null}`,
		"deep":                       `{"header":{"report_id":1},"metrics":` + strings.Repeat(`{"tc":`, 20_000) + `1` + strings.Repeat(`}`, 20_000) + `}`,
		"large":                      `{"header":{"report_id":1},"metrics":{},"x":"` + strings.Repeat("x", maxReportBytes) + `"}`,
	} {
		if err := f.svc.CreateMetric(t.Context(), CustomMetric{Name: "n", Type: "number"}); err != nil && !errors.Is(err, ErrExists) {
			t.Fatal(err)
		}
		if _, err := f.svc.Report(t.Context(), "t1", []byte(text), false); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		packed, err := cbor.FromJSON([]byte(text))
		if err != nil {
			continue
		}
		if _, err := f.svc.Report(t.Context(), "t1", packed, true); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s in CBOR: %v", name, err)
		}
	}
	for name, packed := range map[string]string{
		"nothing": "", "a break": "\xff", "an endless map": "\xbf", "a claimed length": "\x9b\x7f\xff\xff\xff\xff\xff\xff\xff", "not a number": "\xa1chedZZ",
		"NaN as ID": "\xa2chedZ\xa1crid\xf9\x7e\x00", "text that is not UTF-8": "\xa1chedc\xff\xff\xff", "JSON": `{"hed":{"rid":1},"met":{}}`,
	} {
		if _, err := f.svc.Report(t.Context(), "t1", []byte(packed), true); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// As before all of them: the first report is the first.
	if _, err := f.svc.Report(t.Context(), "t1", []byte(`{"header":{"report_id":-7,"version":"1.1"},"metrics":{}}`), false); err != nil {
		t.Error(err)
	}
	if s := f.svc.Stats(); s.Reports != 1 {
		t.Errorf("stats %+v", s)
	}
	// Five thousand peers are as many as fit.
	var b strings.Builder
	b.WriteString(`{"header":{"report_id":8},"metrics":{"tc":{"ec":{"cs":[{"rad":"10.0.0.0:1"}`)
	for i := range 5000 {
		fmt.Fprintf(&b, `,{"rad":"10.1.%d.%d:1"}`, i/250, i%250)
	}
	b.WriteString(`]}}}}`)
	r, err := f.svc.Report(t.Context(), "t1", []byte(b.String()), false)
	if err != nil || len(r.Values["aws:destination-ip-addresses"].CIDRs) != 5001 {
		t.Errorf("%d addresses, %v", len(r.Values["aws:destination-ip-addresses"].CIDRs), err)
	}
}

func TestViolationQueries(t *testing.T) {
	f := newFixture(t, nil)
	for name, c := range map[string]struct {
		q    ViolationQuery
		want error
	}{
		"of no profile": {ViolationQuery{Profile: "none"}, ErrNotFound},
		"of a type":     {ViolationQuery{Type: "MACHINE_LEARNING"}, nil},
		"of no type":    {ViolationQuery{Type: "STATIK"}, ErrInvalid},
		"of no state":   {ViolationQuery{Verification: "MAYBE"}, ErrInvalid},
		"of no thing":   {ViolationQuery{Thing: "none"}, nil},
	} {
		if _, _, err := f.svc.ActiveViolations(t.Context(), c.q); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		for _, err := range f.svc.Events(t.Context(), time.Unix(0, 0), time.Now(), c.q, "") {
			if c.want != ErrInvalid || !errors.Is(err, ErrInvalid) {
				t.Errorf("events %s: %v", name, err)
			}
		}
	}
}
