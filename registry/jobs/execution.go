package jobs

import (
	"slices"
	"time"
)

// An ExecutionStatus is where a job is on one thing.
type ExecutionStatus string

// The statuses of executions. All but the first two are terminal.
const (
	Queued     ExecutionStatus = "QUEUED"
	InProgress ExecutionStatus = "IN_PROGRESS"
	Succeeded  ExecutionStatus = "SUCCEEDED"
	Failed     ExecutionStatus = "FAILED"
	Rejected   ExecutionStatus = "REJECTED"
	TimedOut   ExecutionStatus = "TIMED_OUT"
	Removed    ExecutionStatus = "REMOVED"
	Canceled   ExecutionStatus = "CANCELED"
)

// statuses is the order of Counts.
var statuses = []ExecutionStatus{Queued, InProgress, Succeeded, Failed, Rejected, TimedOut, Removed, Canceled}

// Terminal reports whether nothing follows the status.
func (s ExecutionStatus) Terminal() bool { return s != Queued && s != InProgress }

// deviceMay reports whether a device may bring an execution from s to next.
func (s ExecutionStatus) deviceMay(next ExecutionStatus) bool {
	return !s.Terminal() && slices.Contains([]ExecutionStatus{InProgress, Succeeded, Failed, Rejected}, next)
}

// An Execution is a job on one thing. Its JSON form is how it is stored.
type Execution struct {
	Job           string            `json:"job"`
	Thing         string            `json:"thing"`
	Namespace     string            `json:"namespace,omitempty"` // of the job
	Number        int64             `json:"number"`              // 1 at first, one more for each retry
	Version       int64             `json:"version"`             // 1 when queued, one more for each update
	Status        ExecutionStatus   `json:"status"`
	Details       map[string]string `json:"details,omitempty"`
	ForceCanceled bool              `json:"forceCanceled,omitempty"`
	Queued        time.Time         `json:"queued"`
	Started       time.Time         `json:"started,omitzero"`
	Updated       time.Time         `json:"updated"`
	// TimesOut ends the whole execution and StepTimesOut the present step; zero
	// is never.
	TimesOut     time.Time `json:"timesOut,omitzero"`
	StepTimesOut time.Time `json:"stepTimesOut,omitzero"`
	// Order is the place among the executions of the thing: larger was queued later.
	Order int64 `json:"order"`
	// FailedRetries and TimedOutRetries count the attempts before this one.
	FailedRetries   int `json:"failedRetries,omitempty"`
	TimedOutRetries int `json:"timedOutRetries,omitempty"`
}

// Deadline is when the execution times out if nothing happens; zero is never.
func (e *Execution) Deadline() time.Time {
	if e.Status != InProgress {
		return time.Time{}
	}
	if e.TimesOut.IsZero() || !e.StepTimesOut.IsZero() && e.StepTimesOut.Before(e.TimesOut) {
		return e.StepTimesOut
	}
	return e.TimesOut
}

// RetryAttempt is how many attempts came before this one because of a failure.
func (e *Execution) RetryAttempt() int { return e.FailedRetries + e.TimedOutRetries }

// move returns e in another status.
func (e Execution) move(to ExecutionStatus, now time.Time) Execution {
	e.Status, e.Updated = to, now
	e.Version++
	if to.Terminal() {
		e.StepTimesOut = time.Time{}
	}
	return e
}

// An advance is what a device says about its execution.
type advance struct {
	status  ExecutionStatus
	details map[string]string // nil leaves them
	// step is minutes of the step timer: 0 leaves it, -1 removes it.
	step int64
}

// advanced returns e after what the device said, which must be allowed.
func (e Execution) advanced(a advance, timeout *Timeout, now time.Time) Execution {
	first := e.Status == Queued && a.status == InProgress
	e = e.move(a.status, now)
	if a.details != nil {
		e.Details = a.details
	}
	if e.Started.IsZero() {
		e.Started = now
	}
	if first && timeout != nil && timeout.InProgressMinutes > 0 {
		e.TimesOut = now.Add(time.Duration(timeout.InProgressMinutes) * time.Minute)
	}
	if e.Status == InProgress {
		switch {
		case a.step > 0:
			e.StepTimesOut = now.Add(time.Duration(a.step) * time.Minute)
		case a.step < 0:
			e.StepTimesOut = time.Time{}
		}
	}
	return e
}

// retry returns the next attempt after e failed, if the job grants one.
func (e Execution) retry(r *Retry, now time.Time) (Execution, bool) {
	if r == nil || e.Status != Failed && e.Status != TimedOut {
		return e, false
	}
	for _, c := range r.Criteria {
		used := e.FailedRetries
		switch c.FailureType {
		case "ALL":
			used += e.TimedOutRetries
		case string(TimedOut):
			used = e.TimedOutRetries
		}
		if c.FailureType != "ALL" && c.FailureType != string(e.Status) || used >= c.Retries {
			continue
		}
		next := Execution{Job: e.Job, Thing: e.Thing, Namespace: e.Namespace, Number: e.Number + 1, Version: 1, Status: Queued, Queued: now, Updated: now,
			FailedRetries: e.FailedRetries, TimedOutRetries: e.TimedOutRetries}
		if e.Status == Failed {
			next.FailedRetries++
		} else {
			next.TimedOutRetries++
		}
		return next, true
	}
	return e, false
}
