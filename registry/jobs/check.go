package jobs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/thingloom/thingloom/internal/tagset"
	"github.com/thingloom/thingloom/registry"
)

// checkChars checks that s has 1 to limit bytes: letters, digits and any of more.
func checkChars(field, s, more string, limit int) error {
	if s == "" {
		return invalid(field, "is empty")
	}
	if len(s) > limit {
		return invalid(field, "has %d characters, more than %d", len(s), limit)
	}
	for i, c := range s {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune(more, c)) {
			return invalid(field, "%q has %q at position %d; letters, digits and any of %s may be used", s, c, i, more)
		}
	}
	return nil
}

func checkID(field, s string) error { return checkChars(field, s, "_-", 64) }

// checkNamespace checks a namespace; empty is none.
func checkNamespace(s string) error {
	if s == "" {
		return nil
	}
	return checkID("namespaceId", s)
}

// CheckThing checks the name of a thing.
func CheckThing(s string) error { return checkChars("thingName", s, "_:-", 128) }

// checkText checks a text for people.
func checkText(field, s string, limit int) error {
	if n := utf8.RuneCountInString(s); n > limit {
		return invalid(field, "has %d characters, more than %d", n, limit)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return invalid(field, "has control characters or is not UTF-8")
	}
	return nil
}

func checkReason(s string) error {
	if len(s) > 128 {
		return invalid("reasonCode", "has %d characters, more than 128", len(s))
	}
	if strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsUpper(c) && !unicode.IsDigit(c) && c != '_' }) {
		return invalid("reasonCode", "%q has other characters than upper case letters, digits and _", s)
	}
	return nil
}

// CheckDetails checks the statusDetails of a request.
func CheckDetails(details map[string]string) error {
	if len(details) > 10 {
		return invalid("statusDetails", "has %d entries, more than 10", len(details))
	}
	for key, value := range details {
		if err := checkChars("statusDetails", key, ":_-", 128); err != nil {
			return err
		}
		if value == "" {
			return invalid("statusDetails."+key, "is empty")
		}
		if err := checkText("statusDetails."+key, value, 1024); err != nil {
			return err
		}
	}
	return nil
}

func between[T int | int64 | float64](field string, v, low, high T) error {
	if v < low || v > high {
		return invalid(field, "is %v, not %v to %v", v, low, high)
	}
	return nil
}

func oneOf(field, s string, all ...string) error {
	if !slices.Contains(all, s) {
		return invalid(field, "is %q, none of %s", s, strings.Join(all, ", "))
	}
	return nil
}

const maxMinutes = 7 * 24 * 60

func (c *Config) check() error {
	var errs []error
	add := func(err error) { errs = append(errs, err) }
	if p := c.Presign; p != nil && p.ExpiresInSec != 0 {
		add(between("presignedUrlConfig.expiresInSec", p.ExpiresInSec, 60, 3600))
	}
	if c.Rollout != nil {
		add(c.Rollout.check())
	}
	if c.Abort != nil {
		add(c.Abort.check())
	}
	if t := c.Timeout; t != nil && t.InProgressMinutes != 0 {
		add(between("timeoutConfig.inProgressTimeoutInMinutes", t.InProgressMinutes, 1, maxMinutes))
	}
	if c.Retry != nil {
		add(c.Retry.check())
	}
	return errors.Join(errs...)
}

func (r *Rollout) check() error {
	const field = "jobExecutionsRolloutConfig."
	var errs []error
	if r.MaximumPerMinute != 0 {
		errs = append(errs, between(field+"maximumPerMinute", r.MaximumPerMinute, 1, 1000))
	}
	if e := r.Exponential; e != nil {
		errs = append(errs, between(field+"exponentialRate.baseRatePerMinute", e.BasePerMinute, 1, 1000),
			between(field+"exponentialRate.incrementFactor", e.Factor, 1.1, 5))
		n, s := e.Criteria.Notified, e.Criteria.Succeeded
		if n < 0 || s < 0 || (n == 0) == (s == 0) {
			errs = append(errs, invalid(field+"exponentialRate.rateIncreaseCriteria", "needs one of numberOfNotifiedThings and numberOfSucceededThings, above 0"))
		}
	}
	return errors.Join(errs...)
}

func (a *Abort) check() error {
	if len(a.Criteria) == 0 {
		return invalid("abortConfig.criteriaList", "is empty")
	}
	var errs []error
	for i, c := range a.Criteria {
		field := fmt.Sprintf("abortConfig.criteriaList[%d].", i)
		errs = append(errs, oneOf(field+"failureType", c.FailureType, "FAILED", "REJECTED", "TIMED_OUT", "ALL"),
			oneOf(field+"action", c.Action, "CANCEL"), between(field+"thresholdPercentage", c.Percentage, 0.01, 100),
			between(field+"minNumberOfExecutedThings", c.MinExecuted, 1, unlimited))
		if math.Abs(float64(hundredths(c.Percentage))-c.Percentage*100) > 1e-6 {
			errs = append(errs, invalid(field+"thresholdPercentage", "is %v, with more than two digits after the point", c.Percentage))
		}
	}
	return errors.Join(errs...)
}

func (r *Retry) check() error {
	const field = "jobExecutionsRetryConfig.criteriaList"
	if len(r.Criteria) < 1 || len(r.Criteria) > 2 {
		return invalid(field, "has %d entries, not 1 or 2", len(r.Criteria))
	}
	var errs []error
	total := 0
	for i, c := range r.Criteria {
		at := fmt.Sprintf("%s[%d].", field, i)
		errs = append(errs, oneOf(at+"failureType", c.FailureType, "FAILED", "TIMED_OUT", "ALL"), between(at+"numberOfRetries", c.Retries, 0, 10))
		total += c.Retries
	}
	if len(r.Criteria) == 2 && (r.Criteria[0].FailureType == r.Criteria[1].FailureType ||
		r.Criteria[0].FailureType == "ALL" || r.Criteria[1].FailureType == "ALL") {
		errs = append(errs, invalid(field, "names a failure twice"))
	}
	if total > 10 {
		errs = append(errs, invalid(field, "grants %d retries together, more than 10", total))
	}
	return errors.Join(errs...)
}

func checkTags(tags map[string]string) error {
	if err := tagset.Check(tags); err != nil {
		return invalid("tags", "%v", err)
	}
	return nil
}

func checkParameters(parameters map[string]string) error {
	for name, value := range parameters {
		if err := checkChars("documentParameters", name, ":_-", 128); err != nil {
			return err
		}
		if value == "" {
			return invalid("documentParameters."+name, "is empty")
		}
		if err := checkText("documentParameters."+name, value, 30720); err != nil {
			return err
		}
	}
	return nil
}

// A target is a thing or a group that a job names by its ARN.
type target struct{ thing, group string }

// target reads an ARN of this registry.
func (s *Service) target(arn string) (target, error) {
	if name, ok := strings.CutPrefix(arn, s.reg.ARN("thing/")); ok {
		return target{thing: name}, CheckThing(name)
	}
	if name, ok := strings.CutPrefix(arn, s.reg.ARN("thinggroup/")); ok {
		return target{group: name}, checkChars("targets", name, "_:-", 128)
	}
	return target{}, invalid("targets", "%q is not the ARN of a thing or thing group of this account", arn)
}

// checkTargets checks that targets are there, and returns them without repetitions.
func (s *Service) checkTargets(ctx context.Context, arns []string) ([]string, error) {
	if len(arns) == 0 {
		return nil, invalid("targets", "is empty")
	}
	var out []string
	for _, arn := range arns {
		if slices.Contains(out, arn) {
			continue
		}
		to, err := s.target(arn)
		if err != nil {
			return nil, err
		}
		if to.thing != "" {
			_, err = s.reg.Thing(ctx, to.thing)
		} else {
			_, err = s.reg.Group(ctx, to.group)
		}
		if errors.Is(err, registry.ErrNotFound) {
			return nil, notFound("target", arn)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, arn)
	}
	if len(out) > s.opts.MaxTargets {
		return nil, fmt.Errorf("%w: %d targets, more than %d", ErrLimit, len(out), s.opts.MaxTargets)
	}
	return out, nil
}

// CheckJob checks the ID of a job.
func CheckJob(s string) error { return checkID("jobId", s) }
