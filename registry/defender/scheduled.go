package defender

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A ScheduledAudit is one that Run makes again and again.
type ScheduledAudit struct {
	Name       string    `json:"name"`
	Frequency  string    `json:"frequency"`            // DAILY, WEEKLY, BIWEEKLY or MONTHLY
	DayOfMonth string    `json:"dayOfMonth,omitempty"` // 1 to 31 or LAST, for MONTHLY
	DayOfWeek  string    `json:"dayOfWeek,omitempty"`  // SUN to SAT, for WEEKLY and BIWEEKLY
	Checks     []string  `json:"checks"`
	Created    time.Time `json:"created"`
	Last       time.Time `json:"last,omitzero"`
	// Tags are set at creation and by ChangeTags.
	Tags map[string]string `json:"tags,omitempty"`
}

var weekdays = []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}

func (a *ScheduledAudit) check() error {
	errs := []error{checkName("scheduledAuditName", a.Name), oneOf("frequency", a.Frequency, "DAILY", "WEEKLY", "BIWEEKLY", "MONTHLY"), checkTags(a.Tags)}
	switch a.Frequency {
	case "WEEKLY", "BIWEEKLY":
		errs = append(errs, oneOf("dayOfWeek", a.DayOfWeek, weekdays...))
	case "MONTHLY":
		if n := 0; a.DayOfMonth != "LAST" {
			if _, err := fmt.Sscanf(a.DayOfMonth, "%d", &n); err != nil || fmt.Sprint(n) != a.DayOfMonth || n < 1 || n > 31 {
				errs = append(errs, invalid("dayOfMonth", "is %q, not 1 to 31 or LAST", a.DayOfMonth))
			}
		}
	}
	return errors.Join(errs...)
}

// due reports whether the audit is to be made on the day of now, in UTC. In
// months that are too short the last day stands for the one meant.
func (a *ScheduledAudit) due(now time.Time) bool {
	now = now.UTC()
	day := func(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }
	if !a.Last.IsZero() && !day(now).After(day(a.Last)) {
		return false
	}
	switch a.Frequency {
	case "WEEKLY", "BIWEEKLY":
		if weekdays[now.Weekday()] != a.DayOfWeek {
			return false
		}
		return a.Frequency == "WEEKLY" || a.Last.IsZero() || day(now).Sub(day(a.Last)) >= 14*24*time.Hour
	case "MONTHLY":
		last := time.Date(now.Year(), now.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
		want := last
		if a.DayOfMonth != "LAST" {
			fmt.Sscan(a.DayOfMonth, &want)
		}
		return now.Day() == min(want, last)
	}
	return true
}

// CreateScheduledAudit adds a scheduled audit.
func (s *Service) CreateScheduledAudit(ctx context.Context, a ScheduledAudit) error {
	if err := errors.Join(a.check(), s.checkChecks(ctx, a.Checks)); err != nil {
		return err
	}
	if len(a.Checks) == 0 {
		return invalid("targetCheckNames", "is empty")
	}
	s.admin.Lock()
	defer s.admin.Unlock()
	if found, err := s.load(ctx, keyScheduled+a.Name, &ScheduledAudit{}); err != nil {
		return err
	} else if found {
		return fmt.Errorf("defender: scheduled audit %q: %w", a.Name, ErrExists)
	}
	a.Created = s.opts.Now()
	return s.putScheduled(ctx, a)
}

// runScheduled makes the audits that are due.
func (s *Service) runScheduled(ctx context.Context) error {
	var errs []error
	for listed, err := range values[ScheduledAudit](ctx, s, keyScheduled, "") {
		if err != nil {
			return err
		}
		if !listed.due(s.opts.Now()) {
			continue
		}
		a, due, err := s.begun(ctx, listed.Name)
		if err == nil && due {
			_, err = s.audit(ctx, a.Checks, a.Name)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
