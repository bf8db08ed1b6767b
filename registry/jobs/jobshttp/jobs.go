package jobshttp

import (
	"errors"
	"iter"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry/jobs"
)

// made is the answer of operations that make or change a job.
type made struct {
	ARN         string `json:"jobArn"`
	ID          string `json:"jobId"`
	Description string `json:"description,omitempty"`
}

func (c *call) made(j jobs.Job, err error) (any, error) {
	return made{c.svc.ARN("job/" + j.ID), j.ID, j.Description}, err
}

func createJob(c *call) (any, error) {
	var in struct {
		Targets            []string          `json:"targets"`
		DocumentSource     string            `json:"documentSource"`
		Document           string            `json:"document"`
		Description        string            `json:"description"`
		TargetSelection    jobs.Selection    `json:"targetSelection"`
		Tags               awshttp.Tags      `json:"tags"`
		NamespaceID        string            `json:"namespaceId"`
		JobTemplateARN     string            `json:"jobTemplateArn"`
		DocumentParameters map[string]string `json:"documentParameters"`
		Schedule           *jobs.Schedule    `json:"schedulingConfig"`
		Packages           []string          `json:"destinationPackageVersions"`
		jobs.Config
	}
	if err := c.Body(&in); err != nil {
		return nil, err
	}
	if len(in.Packages) > 0 {
		return nil, &awshttp.InputError{Field: "destinationPackageVersions", Reason: "are not supported"}
	}
	return c.made(c.svc.CreateJob(c.Context(), jobs.Job{ID: c.PathValue("jobId"), Targets: in.Targets, Selection: in.TargetSelection,
		Description: in.Description, Document: in.Document, DocumentSource: in.DocumentSource, Template: in.JobTemplateARN,
		Namespace: in.NamespaceID, Parameters: in.DocumentParameters, Tags: in.Tags, Schedule: in.Schedule, Config: in.Config}))
}

// details are the jobProcessDetails.
type details struct {
	Processing []string `json:"processingTargets,omitempty"`
	Canceled   int64    `json:"numberOfCanceledThings"`
	Succeeded  int64    `json:"numberOfSucceededThings"`
	Failed     int64    `json:"numberOfFailedThings"`
	Rejected   int64    `json:"numberOfRejectedThings"`
	Queued     int64    `json:"numberOfQueuedThings"`
	InProgress int64    `json:"numberOfInProgressThings"`
	Removed    int64    `json:"numberOfRemovedThings"`
	TimedOut   int64    `json:"numberOfTimedOutThings"`
}

type rollout struct {
	StartTime string `json:"startTime"`
}

// job is a job on the wire.
type job struct {
	ARN           string            `json:"jobArn"`
	ID            string            `json:"jobId"`
	Selection     jobs.Selection    `json:"targetSelection"`
	Status        jobs.Status       `json:"status"`
	ForceCanceled bool              `json:"forceCanceled,omitempty"`
	ReasonCode    string            `json:"reasonCode,omitempty"`
	Comment       string            `json:"comment,omitempty"`
	Targets       []string          `json:"targets"`
	Description   string            `json:"description,omitempty"`
	Created       *awshttp.Seconds  `json:"createdAt"`
	Updated       *awshttp.Seconds  `json:"lastUpdatedAt"`
	Completed     *awshttp.Seconds  `json:"completedAt,omitempty"`
	Details       details           `json:"jobProcessDetails"`
	Namespace     string            `json:"namespaceId,omitempty"`
	Template      string            `json:"jobTemplateArn,omitempty"`
	Parameters    map[string]string `json:"documentParameters,omitempty"`
	Concurrent    bool              `json:"isConcurrent"`
	Schedule      *jobs.Schedule    `json:"schedulingConfig,omitempty"`
	Rollouts      []rollout         `json:"scheduledJobRollouts,omitempty"`
	jobs.Config
}

func describeJob(c *call) (any, error) {
	j, err := c.svc.Job(c.Context(), c.PathValue("jobId"))
	if err != nil {
		return nil, err
	}
	n, err := c.svc.Counts(c.Context(), j.ID)
	if err != nil {
		return nil, err
	}
	out := struct {
		Source string `json:"documentSource,omitempty"`
		Job    job    `json:"job"`
	}{j.DocumentSource, job{ARN: c.svc.ARN("job/" + j.ID), ID: j.ID, Selection: j.Selection, Status: j.Status, ForceCanceled: j.ForceCanceled,
		ReasonCode: j.ReasonCode, Comment: j.Comment, Targets: j.Targets, Description: j.Description, Created: orNil(j.Created),
		Updated: orNil(j.Updated), Completed: orNil(j.Completed), Namespace: j.Namespace, Template: j.Template, Parameters: j.Parameters, Concurrent: j.Concurrent(),
		Schedule: j.Schedule, Config: j.Config, Details: details{nil, n.Canceled, n.Succeeded, n.Failed, n.Rejected, n.Queued, n.InProgress, n.Removed, n.TimedOut}}}
	if j.Status == jobs.JobInProgress && !j.Progress.RolledOut {
		out.Job.Details.Processing = j.Targets
	}
	for _, at := range j.Schedule.Rollouts(c.svc.Now()) {
		out.Job.Rollouts = append(out.Job.Rollouts, rollout{at})
	}
	return out, nil
}

func getJobDocument(c *call) (any, error) {
	j, err := c.svc.Job(c.Context(), c.PathValue("jobId"))
	if err != nil {
		return nil, err
	}
	before, err := c.Flag("beforeSubstitution")
	text := []byte(j.Document)
	if err == nil && !before {
		text, err = c.svc.Document(c.Context(), j.ID, "")
	}
	return struct {
		Document string `json:"document"`
	}{string(text)}, err
}

func updateJob(c *call) (any, error) {
	var in struct {
		Description *string `json:"description"`
		jobs.Config
	}
	if err := errors.Join(c.Body(&in), c.inNamespace(c.PathValue("jobId"))); err != nil {
		return nil, err
	}
	return nil, c.svc.UpdateJob(c.Context(), jobs.JobUpdate{ID: c.PathValue("jobId"), Description: in.Description, Config: in.Config})
}

func cancelJob(c *call) (any, error) {
	var in struct {
		ReasonCode string `json:"reasonCode"`
		Comment    string `json:"comment"`
	}
	force, err := c.Flag("force")
	if err := errors.Join(c.Body(&in), err); err != nil {
		return nil, err
	}
	return c.made(c.svc.CancelJob(c.Context(), c.PathValue("jobId"), jobs.Cancellation{Force: force, ReasonCode: in.ReasonCode, Comment: in.Comment}))
}

func deleteJob(c *call) (any, error) {
	force, err := c.Flag("force")
	if err := errors.Join(err, c.inNamespace(c.PathValue("jobId"))); err != nil {
		return nil, err
	}
	return nil, c.svc.DeleteJob(c.Context(), c.PathValue("jobId"), force)
}

func associateTargets(c *call) (any, error) {
	var in struct {
		Targets []string `json:"targets"`
		Comment string   `json:"comment"`
	}
	if err := errors.Join(c.Body(&in), c.inNamespace(c.PathValue("jobId"))); err != nil {
		return nil, err
	}
	return c.made(c.svc.AssociateTargets(c.Context(), c.PathValue("jobId"), in.Targets, in.Comment))
}

func listJobs(c *call) (any, error) {
	type view struct {
		ARN        string           `json:"jobArn"`
		ID         string           `json:"jobId"`
		Selection  jobs.Selection   `json:"targetSelection"`
		Status     jobs.Status      `json:"status"`
		Created    *awshttp.Seconds `json:"createdAt"`
		Updated    *awshttp.Seconds `json:"lastUpdatedAt"`
		Completed  *awshttp.Seconds `json:"completedAt,omitempty"`
		Concurrent bool             `json:"isConcurrent"`
	}
	status, err := oneOf(c, "status", jobs.JobScheduled, jobs.JobInProgress, jobs.JobCompleted, jobs.JobCanceled, jobs.JobDeleting)
	if err != nil {
		return nil, err
	}
	selection, err := oneOf(c, "targetSelection", jobs.Snapshot, jobs.Continuous)
	if err != nil {
		return nil, err
	}
	q := jobs.JobQuery{Status: status, Selection: selection, Group: c.Query("thingGroupName"), GroupID: c.Query("thingGroupId"),
		Namespace: c.Query("namespaceId")}
	items, token, err := awshttp.Page(c.Call, awshttp.ByToken,
		func(after string) iter.Seq2[jobs.Job, error] { q.After = after; return c.svc.Jobs(c.Context(), q) },
		func(j jobs.Job) string { return j.ID },
		func(j jobs.Job) view {
			return view{c.svc.ARN("job/" + j.ID), j.ID, j.Selection, j.Status, orNil(j.Created), orNil(j.Updated), orNil(j.Completed), j.Concurrent()}
		})
	return struct {
		Jobs  []view `json:"jobs"`
		Token string `json:"nextToken,omitempty"`
	}{items, token}, err
}
