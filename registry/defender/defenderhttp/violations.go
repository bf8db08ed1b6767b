package defenderhttp

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry/defender"
)

// violationQuery reads what selects violations.
func (c *call) violationQuery() (defender.ViolationQuery, error) {
	q := defender.ViolationQuery{Thing: c.Query("thingName"), Profile: c.Query("securityProfileName"),
		Type: c.Query("behaviorCriteriaType"), Verification: c.Query("verificationState")}
	if c.Query("listSuppressedAlerts") != "" {
		suppressed, err := c.Flag("listSuppressedAlerts")
		q.Suppressed = &suppressed
		return q, err
	}
	return q, nil
}

func listActiveViolations(c *call) (any, error) {
	q, err := c.violationQuery()
	if err != nil {
		return nil, err
	}
	all, found, err := c.svc.ActiveViolations(c.Context(), q)
	if err != nil {
		return nil, err
	}
	type pair struct {
		defender.Violation
		defender.Verification
	}
	pairs := make([]pair, len(all))
	for i := range all {
		pairs[i] = pair{all[i], found[i]}
	}
	type view struct {
		ID          string            `json:"violationId"`
		Thing       string            `json:"thingName"`
		Profile     string            `json:"securityProfileName"`
		Behavior    defender.Behavior `json:"behavior"`
		Value       defender.Value    `json:"lastViolationValue"`
		State       string            `json:"verificationState"`
		Description string            `json:"verificationStateDescription,omitempty"`
		Last        awshttp.Seconds   `json:"lastViolationTime"`
		Start       awshttp.Seconds   `json:"violationStartTime"`
	}
	key := func(p pair) string { return p.ID }
	items, token, err := awshttp.Page(c.Call, awshttp.ByToken, list(pairs, key), key, func(p pair) view {
		return view{p.ID, p.Thing, p.Profile, p.Violation.Behavior, p.Value, p.State, p.Description, awshttp.Seconds(p.Last), awshttp.Seconds(p.Start)}
	})
	return struct {
		Violations []view `json:"activeViolations"`
		Token      string `json:"nextToken,omitempty"`
	}{items, token}, err
}

func listViolationEvents(c *call) (any, error) {
	q, err := c.violationQuery()
	start, serr := c.time("startTime")
	end, eerr := c.time("endTime")
	if err := errors.Join(err, serr, eerr); err != nil {
		return nil, err
	}
	type view struct {
		ID          string            `json:"violationId"`
		Thing       string            `json:"thingName"`
		Profile     string            `json:"securityProfileName"`
		Behavior    defender.Behavior `json:"behavior"`
		Value       defender.Value    `json:"metricValue"`
		Type        string            `json:"violationEventType"`
		State       string            `json:"verificationState"`
		Description string            `json:"verificationStateDescription,omitempty"`
		Time        awshttp.Seconds   `json:"violationEventTime"`
	}
	items, token, err := awshttp.Page(c.Call, awshttp.ByToken,
		func(after string) iter.Seq2[defender.KeyedEvent, error] {
			return c.svc.Events(c.Context(), start, end, q, after)
		},
		func(e defender.KeyedEvent) string { return e.Key },
		func(e defender.KeyedEvent) view {
			return view{e.ID, e.Thing, e.Profile, e.Behavior, e.Value, e.Type, e.State, e.Description, awshttp.Seconds(e.Time)}
		})
	return struct {
		Events []view `json:"violationEvents"`
		Token  string `json:"nextToken,omitempty"`
	}{items, token}, err
}

func putVerification(c *call) (any, error) {
	var in struct {
		State       string `json:"verificationState"`
		Description string `json:"verificationStateDescription"`
	}
	if err := c.Body(&in); err != nil {
		return nil, err
	}
	return nil, c.svc.Verify(c.Context(), c.PathValue("violationId"), defender.Verification{State: in.State, Description: in.Description})
}

func listMetricValues(c *call) (any, error) {
	start, err := c.time("startTime")
	end, eerr := c.time("endTime")
	if err := errors.Join(err, eerr); err != nil {
		return nil, err
	}
	for _, name := range []string{"thingName", "metricName"} {
		if c.Query(name) == "" {
			return nil, &awshttp.InputError{Field: name, Reason: "is missing"}
		}
	}
	d := defender.Dimension{Name: c.Query("dimensionName"), Operator: c.Query("dimensionValueOperator")}
	if d.Operator != "" && d.Operator != "IN" && d.Operator != "NOT_IN" || d.Name == "" && d.Operator != "" {
		return nil, &awshttp.InputError{Field: "dimensionValueOperator", Reason: fmt.Sprintf("is %q, not IN or NOT_IN of a dimensionName", d.Operator)}
	}
	type view struct {
		Time  awshttp.Seconds `json:"timestamp"`
		Value defender.Value  `json:"value"`
	}
	items, token, err := awshttp.Page(c.Call, awshttp.ByToken,
		func(after string) iter.Seq2[defender.Datum, error] {
			from, _ := time.Parse(time.RFC3339Nano, after) // zero is from the start
			return c.svc.Data(c.Context(), c.Query("thingName"), c.Query("metricName"), d, start, end, from)
		},
		func(d defender.Datum) string { return d.Time.Format(time.RFC3339Nano) },
		func(d defender.Datum) view { return view{awshttp.Seconds(d.Time), d.Value} })
	return struct {
		Data  []view `json:"metricDatumList"`
		Token string `json:"nextToken,omitempty"`
	}{items, token}, err
}
