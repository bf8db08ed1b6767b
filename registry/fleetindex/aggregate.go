package fleetindex

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"

	"github.com/thingloom/thingloom/registry/fleet"
)

// Aggregations are over managed fields and Config.CustomFields: ErrAggregation for others. Values of another type than the
// field's do not count, and each value of a thing counts once, however often an array has it.

// DefaultField is what is aggregated if nothing is said.
const DefaultField = "registry.version"

// Statistics are those of a field. Of texts there is the count alone; of
// Booleans, true counting as 1, no sum of squares, variance and deviation.
type Statistics struct {
	Count                                int
	Numeric, Boolean                     bool // which of the others are set
	Sum, Average, Minimum, Maximum       float64
	SumOfSquares, Variance, StdDeviation float64
}

// Statistics aggregates a field, DefaultField if it is empty. Of a number or Boolean of which there is no value, all is zero.
func (ix *Index) Statistics(ctx context.Context, query, field string) (s Statistics, err error) {
	a, err := ix.aggregate(ctx, query, field, false)
	if err != nil {
		return s, err
	}
	s.Numeric, s.Boolean = a.field.Type == Number, a.field.Type == Boolean
	for _, v := range a.counts {
		s.Count += v.count
	}
	if a.field.Type == String || s.Count == 0 {
		return s, nil
	}
	s.Minimum, s.Maximum = math.Inf(1), math.Inf(-1)
	values := a.sorted() // sums do not depend on how maps are walked
	for _, v := range values {
		s.Sum += v.number * float64(v.count)
		s.SumOfSquares += v.number * v.number * float64(v.count)
		s.Minimum, s.Maximum = min(s.Minimum, v.number), max(s.Maximum, v.number)
	}
	s.Average = s.Sum / float64(s.Count)
	for _, v := range values { // in two passes: large numbers that differ little
		s.Variance += (v.number - s.Average) * (v.number - s.Average) * float64(v.count) / float64(s.Count)
	}
	s.StdDeviation = math.Sqrt(s.Variance)
	return s, nil
}

// Cardinality counts the different values of a field.
func (ix *Index) Cardinality(ctx context.Context, query, field string) (int, error) {
	a, err := ix.aggregate(ctx, query, field, false)
	if err != nil {
		return 0, err
	}
	return len(a.counts), nil
}

// A Percentile is one answer of Percentiles.
type Percentile struct{ Percent, Value float64 }

// Percentiles interpolates between the two nearest values of a field. Without
// percents it takes 1, 5, 25, 50, 75, 95 and 99; without numbers it is empty.
func (ix *Index) Percentiles(ctx context.Context, query, field string, percents []float64) ([]Percentile, error) {
	if len(percents) == 0 {
		percents = []float64{1, 5, 25, 50, 75, 95, 99}
	}
	a, err := ix.aggregate(ctx, query, field, false)
	if err != nil || a.field.Type != Number || len(a.counts) == 0 {
		return nil, err
	}
	values := a.sorted()
	upTo := make([]int, len(values)) // how many there are up to each, with it
	total := 0
	for i, v := range values {
		total += v.count
		upTo[i] = total
	}
	nth := func(n int) float64 {
		i, _ := slices.BinarySearch(upTo, n+1)
		return values[i].number
	}
	var all []Percentile
	for _, p := range percents {
		at := p / 100 * float64(total-1)
		low := int(at)
		below, above := nth(low), nth(min(low+1, total-1))
		all = append(all, Percentile{p, below + (above-below)*(at-float64(low))})
	}
	return all, nil
}

// A Bucket is one value and how many things have it.
type Bucket struct {
	Value string // in lower case; of a number its canonical form
	Count int
}

// Buckets counts the things by the values of a field, most first, most at
// most; total is how many things match.
func (ix *Index) Buckets(ctx context.Context, query, field string, most int) (buckets []Bucket, total int, err error) {
	a, err := ix.aggregate(ctx, query, field, true)
	if err != nil {
		return nil, 0, err
	}
	for _, v := range a.counts {
		if a.field.Type == Number {
			v.text = fleet.Canonical(v.number)
		}
		buckets = append(buckets, Bucket{v.text, v.count})
	}
	slices.SortFunc(buckets, func(a, b Bucket) int { return cmp.Or(b.Count-a.Count, strings.Compare(a.Value, b.Value)) })
	return buckets[:min(len(buckets), most)], a.total, nil
}

// sorted are the values that are numbers or Booleans, in order; true is 1.
func (a *aggregation) sorted() []counted {
	if a.field.Type == Boolean {
		for i := range a.counts {
			if v := &a.counts[i]; v.text == "true" {
				v.number = 1
			}
		}
	}
	slices.SortFunc(a.counts, func(a, b counted) int { return cmp.Compare(a.number, b.number) })
	return a.counts
}
