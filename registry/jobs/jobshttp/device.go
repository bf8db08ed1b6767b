package jobshttp

import (
	"encoding/json"

	"github.com/thingloom/thingloom/internal/awshttp"
	"github.com/thingloom/thingloom/registry/jobs"
)

// request reads the body of a device.
func (c *call) request() (jobs.DeviceRequest, error) {
	var text json.RawMessage
	if err := c.Body(&text); err != nil {
		return jobs.DeviceRequest{}, err
	}
	return jobs.ParseDeviceRequest(text)
}

func pendingExecutions(c *call) (any, error) {
	inProgress, queued, err := c.svc.Pending(c.Context(), c.PathValue("thingName"), c.Query("namespaceId"))
	return struct {
		InProgress []jobs.SummaryView `json:"inProgressJobs"`
		Queued     []jobs.SummaryView `json:"queuedJobs"`
	}{jobs.Summaries(inProgress), jobs.Summaries(queued)}, err
}

// found is the answer with an execution; none when nothing is pending.
type found struct {
	Execution *jobs.ExecutionView `json:"execution,omitempty"`
}

// document is the document of a job for a thing, as a JSON string of its text.
func (c *call) document(job, thing string) (json.RawMessage, error) {
	text, err := c.svc.Document(c.Context(), job, thing)
	if err != nil {
		return nil, err
	}
	return json.Marshal(string(text))
}

func (c *call) view(e *jobs.Execution, withDocument bool) (any, error) {
	if e == nil {
		return found{}, nil
	}
	var document json.RawMessage
	if withDocument {
		var err error
		if document, err = c.document(e.Job, e.Thing); err != nil {
			return nil, err
		}
	}
	view := e.View(c.svc.Now(), document)
	return found{&view}, nil
}

func startNext(c *call) (any, error) {
	if c.PathValue("next") != jobs.Next {
		return nil, &awshttp.InputError{Field: "jobId", Reason: "is not $next"}
	}
	r, err := c.request()
	if err != nil {
		return nil, err
	}
	e, err := c.svc.StartNext(c.Context(), c.PathValue("thingName"), r.Start())
	if err != nil {
		return nil, err
	}
	return c.view(e, true)
}

func deviceDescribe(c *call) (any, error) {
	number, err := c.Number("executionNumber")
	if err != nil {
		return nil, err
	}
	withDocument := true
	if c.Query("includeJobDocument") != "" {
		if withDocument, err = c.Flag("includeJobDocument"); err != nil {
			return nil, err
		}
	}
	e, err := c.svc.Describe(c.Context(), c.PathValue("thingName"), c.PathValue("jobId"), number)
	if err != nil {
		return nil, err
	}
	return c.view(e, withDocument)
}

func deviceUpdate(c *call) (any, error) {
	r, err := c.request()
	if err != nil {
		return nil, err
	}
	thing, job := c.PathValue("thingName"), c.PathValue("jobId")
	var answer struct {
		State    *jobs.StateView `json:"executionState,omitempty"`
		Document json.RawMessage `json:"jobDocument,omitempty"`
	}
	// First, so that an update that is stored is not refused for want of it.
	if r.WithDocument(false) {
		if answer.Document, err = c.document(job, thing); err != nil {
			return nil, err
		}
	}
	e, err := c.svc.Update(c.Context(), thing, job, r.Update())
	if err != nil {
		return nil, err
	}
	if r.IncludeState {
		state := e.State()
		answer.State = &state
	}
	return answer, nil
}
