package rules

import (
	"errors"

	"github.com/thingloom/thingloom/internal/sql"
)

// volley fires rules for one message one after the other, as fire does each,
// without what need not be done anew for each: a hundred of ten thousand rules
// may fire. It begins with the first of hits and stops at one that is not
// plain, or after one whose action panics; n is how many it has done, lost what
// Handle returns of them, nil for those of which it returns nothing.
func (h *handling) volley(hits []*entry) (n int, lost []error) {
	var a *answer
	var f *flight
	var x Firing
	invoking := false
	defer func() {
		if invoking {
			if v := recover(); v != nil {
				lost = append(lost, h.late(f, x.gen, newPanicError(v)))
				n++
			}
		} else if f != nil {
			f.l, f.en = nil, nil
			h.spent(f)
		}
	}()
	for n < len(hits) && hits[n].plain {
		en := hits[n]
		if a == nil || a.plan != en.plan {
			h.left = len(hits) - n
			a = h.ask(en, &sql.RunOptions{Scan: &h.w.scan, Slots: en.slots, Preds: len(en.preds) > 0})
		}
		if !a.yes {
			h.refuse(en, a)
			n++
			continue
		}
		if f == nil {
			f = h.flight()
			f.l = h.launch
			f.en = en
			f.describe(&x, 0, h.m, nil, nil)
		}
		f.en, f.open = en, launching|1
		x.Rule, x.Version, x.Output = en.name, en.version, a.out
		invoking = true
		err := en.single[0].Invoke(&h.launch.ctx, x)
		invoking = false
		if err == nil && f.gen.CompareAndSwap(x.gen, x.gen+2) { // as flight.quick
			x.gen += 2
			en.ledger.delivered.Add(1)
		} else {
			lost = append(lost, h.late(f, x.gen, err))
			f = nil
		}
		n++
	}
	return n, lost
}

// late is what is left to do of a flight of one action, invoked, that has not
// delivered at once. The error is what Handle returns of it.
func (h *handling) late(f *flight, gen uint32, err error) error {
	switch {
	case err == nil:
		f.report(gen, 0, h.m, nil)
	case !errors.Is(err, ErrPending):
		f.report(gen, 0, h.m, &failure{action: 0, inline: true, err: err, resource: resource(err, f.en.single[0])})
	}
	spent, err := f.land(h.m)
	if spent {
		h.spent(f)
	}
	return err
}
