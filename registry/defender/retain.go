package defender

import (
	"context"
	"iter"
	"time"

	"github.com/thingloom/thingloom/registry"
)

// A keeper stores the values that profiles retain, many in one write.
type keeper struct {
	s    *Service
	now  time.Time
	ops  []registry.Op
	keys map[string]bool // of ops: two profiles may retain the same
}

// keptAtOnce is how many values are in one write.
const keptAtOnce = 500

// datumKey is where the values of a metric of a thing are, before their time.
func datumKey(thing, metric string, d Dimension) string {
	key := keyDatum + escape(thing) + "/" + metric
	if d != (Dimension{}) {
		key += "|" + d.Name + "|" + d.operator()
	}
	return key + "/"
}

// operator is IN unless another is given.
func (d *Dimension) operator() string {
	if d.Operator == "" {
		return "IN"
	}
	return d.Operator
}

// retain keeps the values of a thing of the slot that ended last. Those that a
// device reports are kept where a report came in it.
func (k *keeper) retain(ctx context.Context, p *Profile, thing string, last int64) error {
	for _, r := range p.Retain {
		b := Behavior{Metric: r.Metric, Dimension: r.Dimension, Criteria: &Criteria{}}
		if !metrics[b.Metric].cloud && !k.s.reportedIn(thing, last) {
			continue
		}
		v, ok := k.s.valueOf(thing, &b, last, k.now)
		if !ok {
			continue
		}
		var d Dimension
		if r.Dimension != nil {
			d = *r.Dimension
		}
		op, err := put(datumKey(thing, r.Metric, d)+stamp(k.now), Datum{k.now, v})
		if err != nil {
			return err
		}
		if k.keys[op.Key] {
			continue
		}
		if k.keys == nil {
			k.keys = map[string]bool{}
		}
		k.ops, k.keys[op.Key] = append(k.ops, op), true
	}
	if len(k.ops) < keptAtOnce {
		return nil
	}
	return k.flush(ctx)
}

func (k *keeper) flush(ctx context.Context) error {
	if len(k.ops) == 0 {
		return nil
	}
	err := k.s.store.Apply(ctx, k.ops...)
	k.ops = k.ops[:0]
	clear(k.keys)
	return err
}

// reportedIn tells whether the last report of a thing came in a slot.
func (s *Service) reportedIn(thing string, slot int64) (yes bool) {
	s.watch.look(thing, func(t *watched) { yes = !t.report.IsZero() && slotOf(t.report) == slot })
	return yes
}

// A Datum is the value of a metric at a time.
type Datum struct {
	Time  time.Time `json:"time"`
	Value Value     `json:"value"`
}

// Data yields the retained values of a metric of a thing, with a dimension or
// without, from start until before end, those after the time after.
func (s *Service) Data(ctx context.Context, thing, metric string, d Dimension, start, end, after time.Time) iter.Seq2[Datum, error] {
	return func(yield func(Datum, error) bool) {
		from := stamp(start.Add(-1))
		if after.After(start) {
			from = stamp(after)
		}
		for d, err := range values[Datum](ctx, s, datumKey(thing, metric, d), from) {
			if err == nil && !d.Time.Before(end) {
				return
			}
			if !yield(d, err) {
				return
			}
		}
	}
}
