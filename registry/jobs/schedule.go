package jobs

import (
	"errors"
	"fmt"
	"time"
)

const scheduleLayout = "2006-01-02 15:04"

// scheduleTime reads a time of a schedule; empty and unreadable are zero.
func scheduleTime(s string) time.Time {
	for _, layout := range []string{scheduleLayout, "2006-01-02T15:04", time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	return time.Time{}
}

func (s *Schedule) start() time.Time {
	if s == nil {
		return time.Time{}
	}
	return scheduleTime(s.StartTime)
}

func (s *Schedule) end() time.Time {
	if s == nil {
		return time.Time{}
	}
	return scheduleTime(s.EndTime)
}

func (s *Schedule) check(now time.Time) error {
	if s == nil {
		return nil
	}
	const field = "schedulingConfig."
	for name, text := range map[string]string{"startTime": s.StartTime, "endTime": s.EndTime} {
		if text != "" && scheduleTime(text).IsZero() {
			return invalid(field+name, "%q is not a time like %q", text, scheduleLayout)
		}
	}
	start, end := s.start(), s.end()
	if s.EndBehavior != "" {
		if err := oneOf(field+"endBehavior", s.EndBehavior, "STOP_ROLLOUT", "CANCEL", "FORCE_CANCEL"); err != nil {
			return err
		}
	}
	switch {
	case s.EndTime != "" && !end.After(now):
		return invalid(field+"endTime", "%q has passed", s.EndTime)
	case s.EndTime != "" && s.StartTime != "" && !end.After(start):
		return invalid(field+"endTime", "is not after startTime")
	case s.EndTime == "" && s.EndBehavior != "":
		return invalid(field+"endBehavior", "is given without endTime")
	case s.EndTime != "" && s.EndBehavior == "":
		s.EndBehavior = "STOP_ROLLOUT"
	}
	var errs []error
	for i, w := range s.Windows {
		at := fmt.Sprintf("%smaintenanceWindows[%d].", field, i)
		if _, err := parseCron(w.StartTime); err != nil {
			errs = append(errs, invalid(at+"startTime", "%q: %v", w.StartTime, err))
		}
		errs = append(errs, between(at+"durationInMinutes", w.Minutes, 1, 1430))
	}
	return errors.Join(errs...)
}

// open reports whether things may get the job at now, and if not, when they may.
func (s *Schedule) open(now time.Time) (open bool, next time.Time) {
	if s == nil || len(s.Windows) == 0 {
		return true, time.Time{}
	}
	for _, w := range s.Windows {
		c, err := parseCron(w.StartTime)
		if err != nil {
			continue // checked when it was given
		}
		// The last beginning that is still open is the first one after this.
		begin := c.next(now.Add(-time.Duration(w.Minutes) * time.Minute))
		if begin.IsZero() {
			continue
		}
		if !begin.After(now) {
			return true, time.Time{}
		}
		next = earliest(next, begin)
	}
	return false, next
}

// Rollouts returns the next times that maintenance windows of a job open, seven
// at most.
func (s *Schedule) Rollouts(now time.Time) []string {
	if s == nil || len(s.Windows) == 0 {
		return nil
	}
	var out []string
	at := now
	for len(out) < 7 {
		var next time.Time
		for _, w := range s.Windows {
			if c, err := parseCron(w.StartTime); err == nil {
				next = earliest(next, c.next(at))
			}
		}
		if next.IsZero() {
			break
		}
		out = append(out, next.Format(scheduleLayout))
		at = next
	}
	return out
}
