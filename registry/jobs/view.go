package jobs

import (
	"encoding/json"
	"time"
)

// A SummaryView is an execution as the lists of the device protocol have it.
// Times are seconds since 1970.
type SummaryView struct {
	JobID     string `json:"jobId"`
	QueuedAt  int64  `json:"queuedAt"`
	StartedAt int64  `json:"startedAt,omitempty"`
	UpdatedAt int64  `json:"lastUpdatedAt"`
	Version   int64  `json:"versionNumber"`
	Number    int64  `json:"executionNumber"`
}

// Summary returns the short form of e.
func (e *Execution) Summary() SummaryView {
	return SummaryView{e.Job, e.Queued.Unix(), unix(e.Started), e.Updated.Unix(), e.Version, e.Number}
}

// An ExecutionView is an execution as the device protocol has it. Document is
// the JSON object itself over MQTT, and a JSON string of its text over HTTP.
type ExecutionView struct {
	JobID     string            `json:"jobId"`
	Thing     string            `json:"thingName"`
	Status    ExecutionStatus   `json:"status"`
	Details   map[string]string `json:"statusDetails,omitempty"`
	QueuedAt  int64             `json:"queuedAt"`
	StartedAt int64             `json:"startedAt,omitempty"`
	UpdatedAt int64             `json:"lastUpdatedAt"`
	Left      *int64            `json:"approximateSecondsBeforeTimedOut,omitempty"`
	Version   int64             `json:"versionNumber"`
	Number    int64             `json:"executionNumber"`
	Document  json.RawMessage   `json:"jobDocument,omitempty"`
}

// View returns e as the device protocol has it, with a document unless that is empty.
func (e *Execution) View(now time.Time, document json.RawMessage) ExecutionView {
	return ExecutionView{e.Job, e.Thing, e.Status, e.Details, e.Queued.Unix(), unix(e.Started), e.Updated.Unix(),
		e.SecondsLeft(now), e.Version, e.Number, document}
}

// SecondsLeft returns how long the execution has until it times out; nil when
// it does not.
func (e *Execution) SecondsLeft(now time.Time) *int64 {
	at := e.Deadline()
	if at.IsZero() {
		return nil
	}
	left := max(0, int64(at.Sub(now)/time.Second))
	return &left
}

// A StateView is the executionState of answers.
type StateView struct {
	Status  ExecutionStatus   `json:"status"`
	Details map[string]string `json:"statusDetails,omitempty"`
	Version int64             `json:"versionNumber"`
}

// State returns the executionState of e.
func (e *Execution) State() StateView { return StateView{e.Status, e.Details, e.Version} }

// unix is the time in seconds, 0 for never.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// Summaries returns the short forms of executions, an empty list for none.
func Summaries(list []Execution) []SummaryView {
	out := []SummaryView{}
	for i := range list {
		out = append(out, list[i].Summary())
	}
	return out
}
