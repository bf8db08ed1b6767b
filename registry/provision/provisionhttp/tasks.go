package provisionhttp

import (
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"slices"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry/provision"
)

const tasks = "/thing-registration-tasks"

func (a *api) taskOperations() []awshttp.Operation {
	return []awshttp.Operation{
		{Name: "StartThingRegistrationTask", Pattern: "POST " + tasks, Do: awshttp.With(a.startTask)},
		{Name: "StopThingRegistrationTask", Pattern: "PUT " + tasks + "/{taskId}/cancel", Do: a.stopTask},
		{Name: "DescribeThingRegistrationTask", Pattern: "GET " + tasks + "/{taskId}", Do: a.describeTask},
		{Name: "ListThingRegistrationTasks", Pattern: "GET " + tasks, Do: a.listTasks},
		{Name: "ListThingRegistrationTaskReports", Pattern: "GET " + tasks + "/{taskId}/reports", Do: a.listReports},
	}
}

// report is what the links of ListThingRegistrationTaskReports lead to; who may
// list them may read them.
func (a *api) report() awshttp.Operation {
	return awshttp.Operation{Name: "ListThingRegistrationTaskReports", Pattern: "GET " + tasks + "/{taskId}/reports/{reportType}", Do: a.readReport}
}

func (a *api) startTask(c *awshttp.Call, in struct{ TemplateBody, InputFileBucket, InputFileKey, RoleArn string }) (any, error) {
	t, err := a.s.StartTask(c.Context(), provision.Task{Body: in.TemplateBody, Bucket: in.InputFileBucket, Key: in.InputFileKey, Role: in.RoleArn})
	return struct {
		ID string `json:"taskId"`
	}{t.ID}, err
}

func (a *api) stopTask(c *awshttp.Call) (any, error) {
	return nil, a.s.StopTask(c.Context(), c.PathValue("taskId"))
}

func (a *api) describeTask(c *awshttp.Call) (any, error) {
	t, err := a.s.Task(c.Context(), c.PathValue("taskId"))
	return struct {
		ID       string               `json:"taskId"`
		Created  awshttp.Seconds      `json:"creationDate"`
		Modified awshttp.Seconds      `json:"lastModifiedDate"`
		Body     string               `json:"templateBody"`
		Bucket   string               `json:"inputFileBucket"`
		Key      string               `json:"inputFileKey"`
		Role     string               `json:"roleArn,omitempty"`
		Status   provision.TaskStatus `json:"status"`
		Message  string               `json:"message,omitempty"`
		Good     int                  `json:"successCount"`
		Bad      int                  `json:"failureCount"`
		Percent  int                  `json:"percentageProgress"`
	}{t.ID, awshttp.Seconds(t.Created), awshttp.Seconds(t.Modified), t.Body, t.Bucket, t.Key, t.Role, t.Status, t.Message, t.Registered, t.Failed, t.Percent()}, err
}

func (a *api) listTasks(c *awshttp.Call) (any, error) {
	status := provision.TaskStatus(c.Query("status"))
	known := []provision.TaskStatus{"", provision.TaskInProgress, provision.TaskCompleted, provision.TaskFailed, provision.TaskCancelled, provision.TaskCancelling}
	if !slices.Contains(known, status) {
		return nil, &awshttp.InputError{Field: "status", Reason: fmt.Sprintf("%q is none of %q", status, known[1:])}
	}
	id := func(t provision.Task) string { return t.ID }
	ids, token, err := awshttp.Page(c, awshttp.ByToken, func(after string) iter.Seq2[provision.Task, error] {
		return func(yield func(provision.Task, error) bool) {
			for t, err := range a.s.Tasks(c.Context(), after) {
				if err == nil && status != "" && t.Status != status {
					continue
				}
				if !yield(t, err) {
					return
				}
			}
		}
	}, id, id)
	return struct {
		IDs   []string `json:"taskIds"`
		Token string   `json:"nextToken,omitempty"`
	}{ids, token}, err
}

// reportType checks the type of a report.
func reportType(kind string) error {
	if kind != "ERRORS" && kind != "RESULTS" {
		return &awshttp.InputError{Field: "reportType", Reason: fmt.Sprintf("%q is neither ERRORS nor RESULTS", kind)}
	}
	return nil
}

func (a *api) listReports(c *awshttp.Call) (any, error) {
	kind := c.Query("reportType")
	if err := reportType(kind); err != nil {
		return nil, err
	}
	t, err := a.s.Task(c.Context(), c.PathValue("taskId"))
	if err != nil {
		return nil, err
	}
	scheme := "http"
	if c.TLS != nil {
		scheme = "https"
	}
	return struct {
		Links []string `json:"resourceLinks"`
		Kind  string   `json:"reportType"`
	}{[]string{scheme + "://" + c.Host + tasks + "/" + t.ID + "/reports/" + kind}, kind}, nil
}

// readReport answers a JSON object a line.
func (a *api) readReport(c *awshttp.Call) (any, error) {
	kind := c.PathValue("reportType")
	if err := reportType(kind); err != nil {
		return nil, err
	}
	if _, err := a.s.Task(c.Context(), c.PathValue("taskId")); err != nil {
		return nil, err
	}
	return awshttp.Raw(func(w http.ResponseWriter) error {
		w.Header().Set("Content-Type", "application/x-ndjson")
		lines := json.NewEncoder(w)
		lines.SetEscapeHTML(false)
		for l, err := range a.s.TaskLines(c.Context(), c.PathValue("taskId"), kind == "ERRORS") {
			if err == nil {
				err = lines.Encode(l)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}), nil
}
