package fleetindex

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/fleet"
)

func TestAggregations(t *testing.T) {
	ix, ctx := open(t), t.Context()
	c := Everything
	c.CustomFields = []Field{{"attributes.v", Number}, {"shadow.reported.on", Boolean}}
	if err := ix.SetConfig(ctx, c); err != nil || ix.Status() != Active {
		t.Fatal(err, ix.Status())
	}
	for i, v := range []float64{1, 2, 3, 4, 10} {
		name := fmt.Sprint("t", i)
		if err := errors.Join(ix.PutThing(ctx, registry.Thing{Name: name, Type: []string{"lamp", "fan"}[i%2], Version: int64(i + 1), Attributes: map[string]string{"v": fmt.Sprint(v)}}),
			ix.PutShadow(ctx, name, "", fmt.Appendf(nil, `{"reported":{"on":%v},"version":%d}`, i%2 == 0, i*10))); err != nil {
			t.Fatal(err)
		}
	}
	s, err := ix.Statistics(ctx, "*", "attributes.v")
	if err != nil || s.Count != 5 || s.Sum != 20 || s.Average != 4 || s.Minimum != 1 || s.Maximum != 10 || s.SumOfSquares != 130 || s.Variance != 10 || math.Abs(s.StdDeviation-math.Sqrt(10)) > 1e-12 {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := ix.Statistics(ctx, "thingTypeName:lamp", "shadow.reported.on"); err != nil || !s.Boolean || s.Count != 3 || s.Sum != 3 {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := ix.Statistics(ctx, "*", "thingName"); err != nil || s != (Statistics{Count: 5}) {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := ix.Statistics(ctx, "*", ""); err != nil || s.Sum != 15 {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := ix.Statistics(ctx, "*", "shadow.version"); err != nil || s.Sum != 100 {
		t.Errorf("%+v, %v", s, err)
	}
	if n, err := ix.Cardinality(ctx, "*", "registry.thingTypeName"); err != nil || n != 2 {
		t.Errorf("%d, %v", n, err)
	}
	if p, err := ix.Percentiles(ctx, "*", "attributes.v", []float64{0, 50, 75, 90, 100}); err != nil || fmt.Sprint(p) != "[{0 1} {50 3} {75 4} {90 7.6000000000000005} {100 10}]" {
		t.Errorf("%v, %v", p, err)
	}
	if p, err := ix.Percentiles(ctx, "thingName:none", "attributes.v", nil); err != nil || p != nil {
		t.Errorf("%v, %v", p, err)
	}
	if b, total, err := ix.Buckets(ctx, "*", "thingTypeName", 1); err != nil || total != 5 || fmt.Sprint(b) != "[{lamp 3}]" {
		t.Errorf("%v, %d, %v", b, total, err)
	}
	// Values of another type do not count.
	if err := errors.Join(ix.PutShadow(ctx, "t0", "", []byte(`{"reported":{"on":"true"},"version":1}`)),
		ix.PutShadow(ctx, "t1", "", []byte(`{"reported":{"on":[1,true,"x"]},"hasDelta":true,"version":2}`)),
		ix.PutShadow(ctx, "t2", "c:f-g_1", []byte(`{"reported":{},"hasDelta":false,"version":7}`)),
		ix.PutThing(ctx, registry.Thing{Name: "t3", Attributes: map[string]string{"v": "many"}}),
		ix.PutConnectivity(ctx, "t3", fleet.Connectivity{Connected: true, Timestamp: 12, DisconnectReason: "x"})); err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]Statistics{
		"shadow.reported.on":            {Count: 4, Boolean: true, Sum: 3, Average: 0.75, Minimum: 0, Maximum: 1}, // of t1 to t4
		"shadow.hasDelta":               {Count: 1, Boolean: true, Sum: 1, Average: 1, Minimum: 1, Maximum: 1},
		"shadow.name.c:f-g_1.version":   {Count: 1, Numeric: true, Sum: 7, Average: 7, Minimum: 7, Maximum: 7},
		"shadow.name.c:f-g_1.hasDelta":  {Count: 1, Boolean: true},
		"shadow.name.none.version":      {Numeric: true},
		"connectivity.connected":        {Count: 1, Boolean: true, Sum: 1, Average: 1, Minimum: 1, Maximum: 1},
		"connectivity.timestamp":        {Count: 1, Numeric: true, Sum: 12, Average: 12, Minimum: 12, Maximum: 12},
		"connectivity.disconnectReason": {Count: 1},
		"registry.thingTypeName":        {Count: 4},
		"thingId":                       {},
	} {
		s, err := ix.Statistics(ctx, "*", field)
		s.SumOfSquares, s.Variance, s.StdDeviation = 0, 0, 0
		if err != nil || s != want {
			t.Errorf("%s: %+v, %v, want %+v", field, s, err, want)
		}
	}
	if s, err := ix.Statistics(ctx, "*", "attributes.v"); err != nil || s.Count != 4 {
		t.Errorf("%+v, %v", s, err)
	}
	for _, field := range []string{"attributes.w", "version", "shadow.reported.off", "shadow.metadata.reported.on.timestamp", "shadow.name.x.reported.y", "none"} {
		if _, err := ix.Statistics(ctx, "*", field); !errors.Is(err, ErrAggregation) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// What the index cannot decide beside a negation is decided by documents.
func TestAggregationBesideWildcard(t *testing.T) {
	ix, ctx := open(t), t.Context()
	for i := range 20 {
		if err := ix.PutThing(ctx, registry.Thing{Name: fmt.Sprint("t", i), Type: []string{"alpha", "beta", "gamme"}[i%3], Attributes: map[string]string{"v": fmt.Sprint(i % 2)}}); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[string]string{
		"NOT attributes.v:1 AND *a":                        "[{alpha 4} {beta 3}] 7",
		"*a AND NOT attributes.v:1":                        "[{alpha 4} {beta 3}] 7",
		"(-attributes.v:1 *a) thingName:t*":                "[{alpha 4} {beta 3}] 7",
		"NOT (attributes.v:1 OR *a)":                       "[{gamme 3}] 3",
		"NOT attributes.v:1":                               "[{alpha 4} {beta 3} {gamme 3}] 10",
		"NOT NOT attributes.v:1":                           "[{beta 4} {alpha 3} {gamme 3}] 10",
		"NOT *":                                            "[] 0",
		"NOT attributes.v:1 AND NOT attributes.v:[0 TO 1]": "[] 0",
		"thingTypeName:*a":                                 "[{alpha 7} {beta 7}] 14",
	} {
		if b, total, err := ix.Buckets(ctx, query, "thingTypeName", 10); err != nil || fmt.Sprint(b, total) != want {
			t.Errorf("%s: %v %d, %v, want %s", query, b, total, err, want)
		}
	}
}
