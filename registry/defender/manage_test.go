package defender

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// What profiles use cannot be deleted, and what is changed holds from then on,
// also after a restart.
func TestMetricsAndDimensions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &Options{ReportInterval: -1})
		ctx := t.Context()
		ok := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		ok(f.svc.CreateMetric(ctx, CustomMetric{Name: "heat", Type: "number", Token: "1"}))
		ok(f.svc.CreateMetric(ctx, CustomMetric{Name: "heat", Type: "number", Token: "1"}))
		ok(f.svc.CreateDimension(ctx, TopicDimension{Name: "d", Filters: []string{"a/#"}, Token: "1"}))
		ok(f.svc.CreateDimension(ctx, TopicDimension{Name: "d", Filters: []string{"a/#"}, Token: "1"}))
		for _, err := range []error{f.svc.CreateMetric(ctx, CustomMetric{Name: "heat", Type: "number"}), f.svc.CreateDimension(ctx, TopicDimension{Name: "d", Filters: []string{"a/#"}, Token: "2"})} {
			if !errors.Is(err, ErrExists) {
				t.Error(err)
			}
		}
		hot := 90.0
		f.profile("p", "all/things", Behavior{Name: "cool", Metric: "heat", Criteria: &Criteria{Operator: "less-than", Value: &Value{Number: &hot}}},
			Behavior{Name: "few", Metric: "aws:num-messages-sent", Dimension: &Dimension{Name: "d"}, Criteria: &Criteria{Operator: "less-than", Value: number(2), Seconds: 300}})
		for _, err := range []error{f.svc.DeleteMetric(ctx, "heat"), f.svc.DeleteDimension(ctx, "d")} {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("in use: %v", err)
			}
		}
		_, err := f.svc.UpdateDimension(ctx, "d", []string{"b/#"})
		ok(err)
		if _, err := f.svc.UpdateDimension(ctx, "d", []string{"b/#/c"}); !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
		m, err := f.svc.UpdateMetric(ctx, "heat", "Heat")
		ok(err)
		f.open(&Options{ReportInterval: -1})
		if again, err := f.svc.Metric("heat"); err != nil || again.DisplayName != "Heat" || !again.Modified.Equal(m.Modified) {
			t.Errorf("after a restart %+v, %v", again, err)
		}
		f.run(func() {
			pass(time.Second)
			f.sent("t1", 3, "a/x")
			f.sent("t2", 3, "b/x")
			pass(5 * time.Minute)
			f.expect("the new filters count", `t2 few in-alarm {"count":3}`)
		})
		ok(f.svc.DeleteProfile(ctx, "p", 0))
		ok(f.svc.DeleteMetric(ctx, "heat"))
		ok(f.svc.DeleteDimension(ctx, "d"))
		f.open(nil)
		if len(f.svc.Metrics())+len(f.svc.Dimensions()) > 0 {
			t.Errorf("left are %v, %v", f.svc.Metrics(), f.svc.Dimensions())
		}
	})
}

// A scheduled audit that is changed or deleted while others are made is made so,
// or not.
func TestManageScheduledAudits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		for _, name := range []string{"a", "b", "c"} {
			if err := f.svc.CreateScheduledAudit(t.Context(), ScheduledAudit{Name: name, Frequency: "DAILY", Checks: []string{CAExpiring}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.svc.UpdateScheduledAudit(t.Context(), "b", func(a *ScheduledAudit) { a.Frequency, a.DayOfWeek, a.Name = "WEEKLY", "SUN", "other" }); err != nil {
			t.Fatal(err)
		}
		if err := f.svc.UpdateScheduledAudit(t.Context(), "b", func(a *ScheduledAudit) { a.Checks = []string{"LOGGING_DISABLED_CHECK"} }); !errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
		if err := f.svc.DeleteScheduledAudit(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		if _, due, err := f.svc.begun(t.Context(), "c"); due || err != nil {
			t.Errorf("deleted meanwhile: %v, %v", due, err)
		}
		f.run(func() { pass(24*time.Hour - time.Minute) }) // a Saturday
		made := ""
		for a, err := range f.svc.Audits(context.Background(), "") {
			if err != nil {
				t.Fatal(err)
			}
			made += a.Scheduled
		}
		if made != "a" {
			t.Errorf("made were %q", made)
		}
	})
}
