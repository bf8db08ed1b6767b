package jobshttp

import (
	"errors"
	"iter"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry/jobs"
)

// summary is the short form of an execution on the control plane.
type summary struct {
	Status  jobs.ExecutionStatus `json:"status"`
	Queued  *awshttp.Seconds     `json:"queuedAt"`
	Started *awshttp.Seconds     `json:"startedAt,omitempty"`
	Updated *awshttp.Seconds     `json:"lastUpdatedAt"`
	Number  int64                `json:"executionNumber"`
	Retry   int                  `json:"retryAttempt"`
}

func summaryOf(e jobs.Execution) summary {
	return summary{e.Status, orNil(e.Queued), orNil(e.Started), orNil(e.Updated), e.Number, e.RetryAttempt()}
}

// oneOf reads a parameter that has one of some values; absent is "".
func oneOf[T ~string](c *call, name string, values ...T) (T, error) {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = string(v)
	}
	v, err := c.OneOf(name, texts...)
	return T(v), err
}

func executionStatus(c *call) (jobs.ExecutionStatus, error) {
	return oneOf(c, "status", jobs.Queued, jobs.InProgress, jobs.Succeeded, jobs.Failed, jobs.Rejected, jobs.TimedOut, jobs.Removed, jobs.Canceled)
}

func listExecutionsForJob(c *call) (any, error) {
	type view struct {
		ThingARN string  `json:"thingArn"`
		Summary  summary `json:"jobExecutionSummary"`
	}
	status, err := executionStatus(c)
	if err != nil {
		return nil, err
	}
	items, token, err := awshttp.Page(c.Call, awshttp.ByToken,
		func(after string) iter.Seq2[jobs.Execution, error] {
			return c.svc.ExecutionsOfJob(c.Context(), c.PathValue("jobId"), status, after)
		},
		func(e jobs.Execution) string { return e.Thing },
		func(e jobs.Execution) view { return view{c.svc.ARN("thing/" + e.Thing), summaryOf(e)} })
	return struct {
		Summaries []view `json:"executionSummaries"`
		Token     string `json:"nextToken,omitempty"`
	}{items, token}, err
}

func listExecutionsForThing(c *call) (any, error) {
	type view struct {
		ID      string  `json:"jobId"`
		Summary summary `json:"jobExecutionSummary"`
	}
	status, err := executionStatus(c)
	if err != nil {
		return nil, err
	}
	items, token, err := awshttp.Page(c.Call, awshttp.ByToken,
		func(after string) iter.Seq2[jobs.Execution, error] {
			return c.svc.ExecutionsOfThing(c.Context(), c.PathValue("thingName"),
				jobs.ExecutionQuery{Status: status, Job: c.Query("jobId"), Namespace: c.Query("namespaceId"), After: after})
		},
		func(e jobs.Execution) string { return e.Job },
		func(e jobs.Execution) view { return view{e.Job, summaryOf(e)} })
	return struct {
		Summaries []view `json:"executionSummaries"`
		Token     string `json:"nextToken,omitempty"`
	}{items, token}, err
}

func describeExecution(c *call) (any, error) {
	number, err := c.Number("executionNumber")
	if err != nil {
		return nil, err
	}
	e, err := c.svc.Execution(c.Context(), c.PathValue("thingName"), c.PathValue("jobId"), number)
	type detailsMap struct {
		Map map[string]string `json:"detailsMap"`
	}
	var details *detailsMap
	if len(e.Details) > 0 {
		details = &detailsMap{e.Details}
	}
	type view struct {
		Job           string               `json:"jobId"`
		Status        jobs.ExecutionStatus `json:"status"`
		ForceCanceled bool                 `json:"forceCanceled,omitempty"`
		Details       *detailsMap          `json:"statusDetails,omitempty"`
		ThingARN      string               `json:"thingArn"`
		Queued        *awshttp.Seconds     `json:"queuedAt"`
		Started       *awshttp.Seconds     `json:"startedAt,omitempty"`
		Updated       *awshttp.Seconds     `json:"lastUpdatedAt"`
		Number        int64                `json:"executionNumber"`
		Version       int64                `json:"versionNumber"`
		Left          *int64               `json:"approximateSecondsBeforeTimedOut,omitempty"`
	}
	return struct {
		Execution view `json:"execution"`
	}{view{e.Job, e.Status, e.ForceCanceled, details, c.svc.ARN("thing/" + e.Thing), orNil(e.Queued), orNil(e.Started), orNil(e.Updated),
		e.Number, e.Version, e.SecondsLeft(c.svc.Now())}}, err
}

func cancelExecution(c *call) (any, error) {
	var in struct {
		ExpectedVersion int64             `json:"expectedVersion"`
		Details         map[string]string `json:"statusDetails"`
	}
	force, err := c.Flag("force")
	if err := errors.Join(c.Body(&in), err); err != nil {
		return nil, err
	}
	return nil, c.svc.CancelExecution(c.Context(), c.PathValue("thingName"), c.PathValue("jobId"),
		jobs.ExecutionCancellation{Force: force, ExpectedVersion: in.ExpectedVersion, Details: in.Details})
}

func deleteExecution(c *call) (any, error) {
	force, err := c.Flag("force")
	number, nerr := number("executionNumber", c.PathValue("executionNumber"))
	if err := errors.Join(err, nerr, c.inNamespace(c.PathValue("jobId"))); err != nil {
		return nil, err
	}
	return nil, c.svc.DeleteExecution(c.Context(), c.PathValue("thingName"), c.PathValue("jobId"), number, force)
}
