package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/thingloom/thingloom/actions"
)

// CloudWatchMetricParams are the parameters of the cloudwatchMetric action of AWS IoT.
type CloudWatchMetricParams struct {
	MetricName      actions.Template  `json:"metricName" required:"true" doc:"name of the metric, at most 255 bytes"`
	MetricNamespace actions.Template  `json:"metricNamespace" required:"true" doc:"namespace of the metric, at most 255 bytes"`
	MetricUnit      actions.Template  `json:"metricUnit" required:"true" doc:"unit, one of those that CloudWatch has"`
	MetricValue     actions.Template  `json:"metricValue" required:"true" doc:"value, a number written as text"`
	MetricTimestamp *actions.Template `json:"metricTimestamp" doc:"seconds since 1970; by default, and where it is empty, when the message was accepted"`
	RoleARN         actions.RoleARN   `json:"roleArn" required:"true" doc:"kept with the rule; nobody assumes it"`
}

// A DataPoint is the value of a record that cloudwatchMetric puts.
type DataPoint struct {
	Namespace string      `json:"namespace"`
	Name      string      `json:"metricName"`
	Value     json.Number `json:"value"`
	Unit      string      `json:"unit"`
	Timestamp int64       `json:"timestamp"` // ms since 1970
}

// units are those of CloudWatch.
var units = strings.Fields(`Seconds Microseconds Milliseconds Bytes Kilobytes Megabytes Gigabytes Terabytes
	Bits Kilobits Megabits Gigabits Terabits Percent Count Bytes/Second Kilobytes/Second Megabytes/Second Gigabytes/Second
	Terabytes/Second Bits/Second Kilobits/Second Megabits/Second Gigabits/Second Terabits/Second Count/Second None`)

// CloudWatchMetricSpec returns the plugin "cloudwatchMetric": the action of AWS
// IoT with its parameters, so that rules can be copied. Each message is a
// DataPoint in p, under the name of the metric as its key and at the time of
// the point, for windows or a reader to make statistics of. It runs inline, as
// Spec does.
func CloudWatchMetricSpec(p Putter, opts *Options) actions.Spec {
	refused := opts.refused()
	s := actions.NewSpec("cloudwatchMetric", "put a data point of a metric into a stream", func(_ context.Context, params *CloudWatchMetricParams) (actions.Action, error) {
		for _, c := range []struct {
			path  string
			text  actions.Template
			check func(string) error
		}{
			{"metricName", params.MetricName, checkMetricName}, {"metricNamespace", params.MetricNamespace, checkNamespace},
			{"metricUnit", params.MetricUnit, checkUnit}, {"metricValue", params.MetricValue, checkNumber},
		} {
			if text, constant := c.text.Constant(); constant {
				if err := c.check(text); err != nil {
					return nil, &actions.ParamError{Path: c.path, Err: err}
				}
			}
		}
		return actions.Func(func(ctx context.Context, r *actions.Request) error {
			point, err := params.point(ctx, r)
			about := point.Namespace + "/" + point.Name
			if err != nil {
				return actions.WithResource(fmt.Errorf("cloudwatchMetric: %w", err), about)
			}
			value, err := json.Marshal(point)
			if err != nil {
				return actions.WithResource(actions.Permanent(err), about)
			}
			err = p.Put(ctx, point.Name, time.UnixMilli(point.Timestamp), value)
			return actions.WithResource(put(err, "cloudwatchMetric", refused), about)
		}), nil
	})
	s.Inline = true
	return s
}

func (p *CloudWatchMetricParams) point(ctx context.Context, r *actions.Request) (DataPoint, error) {
	d := DataPoint{Timestamp: r.Time.UnixMilli()}
	var value string
	for _, c := range []struct {
		text  actions.Template
		to    *string
		check func(string) error
	}{
		{p.MetricName, &d.Name, checkMetricName}, {p.MetricNamespace, &d.Namespace, checkNamespace},
		{p.MetricUnit, &d.Unit, checkUnit}, {p.MetricValue, &value, checkNumber},
	} {
		var err error
		if *c.to, err = c.text.Expand(ctx, r); err != nil {
			return d, err
		}
		if err := c.check(*c.to); err != nil {
			return d, actions.Permanent(err)
		}
	}
	d.Value = json.Number(value)
	if p.MetricTimestamp == nil {
		return d, nil
	}
	text, err := p.MetricTimestamp.Expand(ctx, r)
	if err != nil || text == "" {
		return d, err
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || math.Abs(seconds) > 1e11 || math.IsNaN(seconds) {
		return d, actions.Permanent(fmt.Errorf("metricTimestamp %.40q is no number of seconds since 1970", text))
	}
	d.Timestamp = int64(math.Round(seconds * 1000))
	return d, nil
}

func checkMetricName(name string) error {
	if name == "" || len(name) > 255 {
		return fmt.Errorf("a name of %d bytes, 1 to 255 are allowed", len(name))
	}
	return nil
}

func checkNamespace(name string) error {
	if strings.HasPrefix(name, "AWS/") {
		return errors.New("namespaces that begin with AWS/ are kept for AWS")
	}
	return checkMetricName(name)
}

func checkUnit(unit string) error {
	if !slices.Contains(units, unit) {
		return fmt.Errorf("%.40q is no unit; there are %s", unit, strings.Join(units, ", "))
	}
	return nil
}

// checkNumber accepts the numbers of JSON.
func checkNumber(text string) error {
	if text == "" || strings.IndexByte("-0123456789", text[0]) < 0 || !json.Valid([]byte(text)) {
		return fmt.Errorf("%.40q is no number", text)
	}
	return nil
}
