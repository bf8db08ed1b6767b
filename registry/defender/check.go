package defender

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/thingloom/thingloom/internal/topic"
)

func checkName(field, s string) error {
	if s == "" || len(s) > 128 {
		return invalid(field, "has %d characters, not 1 to 128", len(s))
	}
	for i, c := range s {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune(":_-", c)) {
			return invalid(field, "%q has %q at position %d; letters, digits and any of :_- may be used", s, c, i)
		}
	}
	return nil
}

func oneOf[T comparable](field string, v T, all ...T) error {
	if !slices.Contains(all, v) {
		return invalid(field, "is %v, none of %v", v, all)
	}
	return nil
}

func (p *Profile) check(c *config) error {
	errs := []error{checkName("securityProfileName", p.Name), checkTags(p.Tags)}
	if utf8.RuneCountInString(p.Description) > 1000 {
		errs = append(errs, invalid("securityProfileDescription", "has more than 1000 characters"))
	}
	errs = append(errs, c.checkBehaviors(p.Behaviors)...)
	for i, r := range p.Retain {
		errs = append(errs, c.checkMetric(fmt.Sprintf("additionalMetricsToRetainV2[%d].", i), r.Metric, r.Dimension))
	}
	return errors.Join(errs...)
}

// checkMetric checks a metric with the dimension that it may have.
func (c *config) checkMetric(field, metric string, d *Dimension) error {
	switch {
	case c.kindOf(metric) == unknownMetric:
		return invalid(field+"metric", "%q is not known", metric)
	case d == nil:
		return nil
	case !metrics[metric].topics:
		return invalid(field+"metricDimension", "goes with no metric %q", metric)
	}
	if _, ok := c.dimensions[d.Name]; !ok {
		return invalid(field+"metricDimension.dimensionName", "%q does not exist", d.Name)
	}
	return oneOf(field+"metricDimension.operator", d.Operator, "", "IN", "NOT_IN")
}

// checkBehaviors returns all that is wrong with a list of behaviors.
func (c *config) checkBehaviors(all []Behavior) (errs []error) {
	if len(all) > 100 {
		return []error{invalid("behaviors", "has %d entries, more than 100", len(all))}
	}
	names := map[string]bool{}
	for i := range all {
		field := fmt.Sprintf("behaviors[%d].", i)
		if names[all[i].Name] {
			errs = append(errs, invalid(field+"name", "%q is there twice", all[i].Name))
		}
		names[all[i].Name] = true
		if err := c.checkBehavior(field, &all[i]); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

func (c *config) checkBehavior(field string, b *Behavior) error {
	if err := checkName(field+"name", b.Name); err != nil {
		return err
	}
	if err := c.checkMetric(field, b.Metric, b.Dimension); err != nil {
		return err
	}
	if b.Criteria == nil {
		return invalid(field+"criteria", "is missing")
	}
	return b.Criteria.check(field+"criteria.", c.kindOf(b.Metric), b.Metric)
}

func (cr *Criteria) check(field string, kind kind, metric string) error {
	if cr.ML != nil {
		return invalid(field+"mlDetectionConfig", "is not supported: use value or statisticalThreshold")
	}
	if err := oneOf(field+"comparisonOperator", cr.Operator, kind.operators()...); err != nil {
		return err
	}
	for name, n := range map[string]int{"consecutiveDatapointsToAlarm": cr.ToAlarm, "consecutiveDatapointsToClear": cr.ToClear} {
		if n < 0 || n > 10 {
			return invalid(field+name, "is %d, not 1 to 10", n)
		}
	}
	if cr.Seconds != 0 || metrics[metric].sum {
		if err := oneOf(field+"durationSeconds", cr.Seconds, 300, 600, 900, 1800, 3600); err != nil {
			return err
		}
	}
	ordered := kind == countMetric || kind == numberMetric
	if cr.Statistic != nil {
		if cr.Value != nil || !ordered {
			return invalid(field+"statisticalThreshold", "goes with neither value nor metric %q", metric)
		}
		return oneOf(field+"statisticalThreshold.statistic", cr.Statistic.Name, statistics...)
	}
	v := cr.Value
	if v == nil {
		return invalid(field+"value", "is missing")
	}
	switch kind {
	case countMetric:
		if v.Count == nil || *v.Count < 0 {
			return invalid(field+"value.count", "is missing or negative")
		}
	case numberMetric:
		if v.Number == nil {
			return invalid(field+"value.number", "is missing")
		}
	case cidrMetric:
		if len(v.CIDRs) == 0 {
			return invalid(field+"value.cidrs", "is empty")
		}
		for _, s := range v.CIDRs {
			if _, err := parseCIDR(s); err != nil {
				return invalid(field+"value.cidrs", "%q is no address range", s)
			}
		}
	case portMetric:
		if len(v.Ports) == 0 || slices.ContainsFunc(v.Ports, func(p int) bool { return p < 0 || p > 65535 }) {
			return invalid(field+"value.ports", "is empty or has a number above 65535")
		}
	case numbersMetric:
		if len(v.Numbers) == 0 {
			return invalid(field+"value.numbers", "is empty")
		}
	case stringsMetric:
		if len(v.Strings) == 0 {
			return invalid(field+"value.strings", "is empty")
		}
	}
	return nil
}

func (d *TopicDimension) check() error {
	if err := errors.Join(checkName("name", d.Name), checkTags(d.Tags)); err != nil {
		return err
	}
	if len(d.Filters) < 1 || len(d.Filters) > 5 {
		return invalid("stringValues", "has %d entries, not 1 to 5", len(d.Filters))
	}
	for _, f := range d.Filters {
		if err := topic.CheckFilter(f); err != nil {
			return invalid("stringValues", "%q is no topic filter: %v", f, err)
		}
	}
	return nil
}

// config is all that is configured, as it is at one moment. It is not changed
// but replaced.
type config struct {
	profiles   map[string]*Profile
	targets    map[string]map[string]bool // by profile: ARNs
	metrics    map[string]CustomMetric
	dimensions map[string]TopicDimension
}

// kindOf returns how a metric is compared.
func (c *config) kindOf(metric string) kind {
	if m, ok := metrics[metric]; ok {
		return m.kind
	}
	return customKinds[c.metrics[metric].Type]
}
