package defender

import (
	"context"
	"fmt"
)

// Report takes a device's report, in JSON or CBOR, and judges it. Errors are
// ErrInvalid, ErrHeader, ErrThrottled.
func (s *Service) Report(ctx context.Context, thing string, text []byte, isCBOR bool) (Report, error) {
	c := s.config.Load()
	r, err := ParseReport(text, isCBOR, func(metric string) string { return c.metrics[metric].Type })
	if err == nil {
		err = s.takeReport(thing, &r)
	}
	if err != nil {
		s.refused.Add(1)
		return r, err
	}
	s.reports.Add(1)
	profiles, err := s.profilesFor(ctx, c, thing)
	if err != nil {
		return r, err
	}
	thresholds := s.thresholds.Load()
	for _, p := range profiles {
		for _, b := range p.Behaviors {
			if _, reported := r.Values[b.Metric]; !reported {
				continue
			}
			v, ok := s.valueOf(thing, &b, slotOf(s.opts.Now()), s.opts.Now())
			threshold := 0.0
			if ok && b.Criteria.Statistic != nil {
				if thresholds == nil {
					continue
				}
				threshold, ok = (*thresholds)[streakKey{p.Name, b.Name}]
			}
			if !ok {
				continue // no threshold yet
			}
			if err := s.judge(ctx, point{thing, p.Name, b, v}, threshold); err != nil {
				return r, err
			}
		}
	}
	return r, nil
}

// takeReport remembers a report, if it may come now.
func (s *Service) takeReport(thing string, r *Report) (err error) {
	now := s.opts.Now()
	room := s.watch.with(thing, now, func(t *watched) {
		switch {
		case !t.report.IsZero() && r.ID <= t.reportID:
			err = invalid("header.report_id", "is %d, and that of the last report %d", r.ID, t.reportID)
			return
		case !t.report.IsZero() && now.Sub(t.report) < s.opts.ReportInterval:
			err = fmt.Errorf("%w: the last one came %v ago", ErrThrottled, now.Sub(t.report))
			return
		}
		t.report, t.reportID = now, r.ID
		t.latest = r.Values
		x := t.tally(slotOf(now))
		for metric, v := range r.Values {
			if metrics[metric].sum {
				x.add(series{metric: metric}, *v.Count)
			}
		}
	})
	if !room {
		s.dropped.Add(1)
		return fmt.Errorf("%w: too many things", ErrThrottled)
	}
	return err
}
