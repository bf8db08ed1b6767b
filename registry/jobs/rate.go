package jobs

import (
	"math"
	"time"
)

// rate returns how many things may get the job per minute, after so many were
// notified and so many succeeded; 0 is no limit.
func (r *Rollout) rate(notified, succeeded int64) float64 {
	if r == nil {
		return 0
	}
	most := float64(r.MaximumPerMinute)
	e := r.Exponential
	if e == nil {
		return most
	}
	steps := succeeded
	threshold := int64(e.Criteria.Succeeded)
	if e.Criteria.Notified > 0 {
		steps, threshold = notified, int64(e.Criteria.Notified)
	}
	rate := float64(e.BasePerMinute) * math.Pow(e.Factor, float64(steps/threshold))
	if most == 0 {
		most = 1e6 // where an exponential without a maximum stops to matter
	}
	return math.Min(rate, most)
}

// A pace is how many things got a job, and in which minute of its rollout. Its
// JSON form is how it is stored.
type pace struct {
	Start    time.Time `json:"start"`
	Minute   int64     `json:"minute"` // the present minute, from 0
	InMinute int64     `json:"inMinute"`
	Notified int64     `json:"notified"`
}

// allow returns how many things may get the job at now, and when that will be
// more. In each minute from the start it is at most the rate, and the first
// comes at once, the others spread evenly over the minute.
func (p *pace) allow(rate float64, now time.Time) (n int64, again time.Time) {
	if p.Start.IsZero() || now.Before(p.Start) {
		p.Start, p.Minute, p.InMinute = now, 0, 0
	}
	if minute := int64(now.Sub(p.Start) / time.Minute); minute != p.Minute {
		p.Minute, p.InMinute = minute, 0
	}
	begin := p.Start.Add(time.Duration(p.Minute) * time.Minute)
	whole := int64(rate)
	due := min(whole, whole*int64(now.Sub(begin))/int64(time.Minute)+1)
	if n = max(0, due-p.InMinute); p.InMinute+n >= whole {
		return n, begin.Add(time.Minute)
	}
	wait := (p.InMinute+n)*int64(time.Minute) + whole - 1 // rounded up, so that then it is really more
	return n, begin.Add(time.Duration(wait / whole))
}

func (p *pace) take(n int64) {
	p.InMinute += n
	p.Notified += n
}

// hundredths is a percentage in hundredths of a percent, in which a threshold
// is reached exactly: 0.07*10000 is more than 700 in floating point.
func hundredths(percent float64) int64 { return int64(math.Round(percent * 100)) }

// met returns the criterion that is met, or nil.
func (a *Abort) met(c *Counts) *AbortCriterion {
	if a == nil {
		return nil
	}
	executed := c.Succeeded + c.Failed + c.Rejected + c.TimedOut
	for i := range a.Criteria {
		failures := c.Failed + c.Rejected + c.TimedOut
		if kind := a.Criteria[i].FailureType; kind != "ALL" {
			failures = *c.of(ExecutionStatus(kind))
		}
		if executed >= int64(a.Criteria[i].MinExecuted) && executed > 0 &&
			failures*100_00 >= hundredths(a.Criteria[i].Percentage)*executed {
			return &a.Criteria[i]
		}
	}
	return nil
}
