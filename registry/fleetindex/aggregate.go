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
// field's do not count.

// DefaultField is what is aggregated if nothing is said.
const DefaultField = "registry.version"

// each yields the values of a field of all things that match, and returns its type and how many things do.
func (ix *Index) each(ctx context.Context, query, name string, use func(fleet.Value)) (t FieldType, things int, err error) {
	if name == "" {
		name = DefaultField
	}
	if err := ix.ready(); err != nil {
		return "", 0, err
	}
	field, err := ix.Config().field(name)
	if err != nil {
		return "", 0, err
	}
	for hit, err := range ix.All(ctx, query) {
		if err != nil {
			return field.Type, things, err
		}
		things++
		for _, v := range field.values(&hit) {
			use(v)
		}
	}
	return field.Type, things, nil
}

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
	var values []float64
	t, _, err := ix.each(ctx, query, field, func(v fleet.Value) {
		switch {
		case v.Numeric:
			values = append(values, v.Number)
		case v.Text == "true":
			values = append(values, 1)
		default:
			values = append(values, 0)
		}
	})
	if err != nil {
		return s, err
	}
	s.Numeric, s.Boolean = t == Number, t == Boolean
	if t == String || len(values) == 0 {
		s.Count = len(values)
		return s, nil
	}
	s.Count, s.Minimum, s.Maximum = len(values), math.Inf(1), math.Inf(-1)
	for _, f := range values {
		s.Sum += f
		s.SumOfSquares += f * f
		s.Minimum, s.Maximum = min(s.Minimum, f), max(s.Maximum, f)
	}
	s.Average = s.Sum / float64(s.Count)
	for _, f := range values { // in two passes: large numbers that differ little
		s.Variance += (f - s.Average) * (f - s.Average) / float64(s.Count)
	}
	s.StdDeviation = math.Sqrt(s.Variance)
	return s, nil
}

// Cardinality counts the different values of a field.
func (ix *Index) Cardinality(ctx context.Context, query, field string) (int, error) {
	seen := map[string]bool{}
	_, _, err := ix.each(ctx, query, field, func(v fleet.Value) { seen[v.Text] = true })
	return len(seen), err
}

// A Percentile is one answer of Percentiles.
type Percentile struct{ Percent, Value float64 }

// Percentiles interpolates between the two nearest values of a field. Without
// percents it takes 1, 5, 25, 50, 75, 95 and 99; without numbers it is empty.
func (ix *Index) Percentiles(ctx context.Context, query, field string, percents []float64) ([]Percentile, error) {
	if len(percents) == 0 {
		percents = []float64{1, 5, 25, 50, 75, 95, 99}
	}
	var numbers []float64
	if _, _, err := ix.each(ctx, query, field, func(v fleet.Value) {
		if v.Numeric {
			numbers = append(numbers, v.Number)
		}
	}); err != nil || len(numbers) == 0 {
		return nil, err
	}
	slices.Sort(numbers)
	var all []Percentile
	for _, p := range percents {
		at := p / 100 * float64(len(numbers)-1)
		low := int(at)
		high := min(low+1, len(numbers)-1)
		all = append(all, Percentile{p, numbers[low] + (numbers[high]-numbers[low])*(at-float64(low))})
	}
	return all, nil
}

// A Bucket is one value and how many things have it.
type Bucket struct {
	Value string // as it was found first, in lower case
	Count int
}

// Buckets counts the things by the values of a field, most first, most at
// most; total is how many things match.
func (ix *Index) Buckets(ctx context.Context, query, field string, most int) (buckets []Bucket, total int, err error) {
	counts := map[string]int{}
	_, total, err = ix.each(ctx, query, field, func(v fleet.Value) { counts[v.Text]++ })
	for value, n := range counts {
		buckets = append(buckets, Bucket{value, n})
	}
	slices.SortFunc(buckets, func(a, b Bucket) int { return cmp.Or(b.Count-a.Count, strings.Compare(a.Value, b.Value)) })
	return buckets[:min(len(buckets), most)], total, err
}
