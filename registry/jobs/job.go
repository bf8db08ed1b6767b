package jobs

import (
	"slices"
	"time"
)

// A Status is where a job is in its life.
type Status string

// The statuses of jobs.
const (
	JobScheduled  Status = "SCHEDULED"
	JobInProgress Status = "IN_PROGRESS"
	JobCompleted  Status = "COMPLETED"
	JobCanceled   Status = "CANCELED"
	JobDeleting   Status = "DELETION_IN_PROGRESS"
)

// A Selection says whether things that join a target later get the job too.
type Selection string

// The selections.
const (
	Snapshot   Selection = "SNAPSHOT"
	Continuous Selection = "CONTINUOUS"
)

// A Job is one document for many things. Its JSON form is how it is stored.
type Job struct {
	ID             string            `json:"id"` // 1 to 64 of [a-zA-Z0-9_-]
	Targets        []string          `json:"targets"`
	Selection      Selection         `json:"selection"`
	Description    string            `json:"description,omitempty"`
	Document       string            `json:"document"` // a JSON object
	DocumentSource string            `json:"documentSource,omitempty"`
	Template       string            `json:"template,omitempty"` // ARN
	Parameters     map[string]string `json:"parameters,omitempty"`
	Tags           map[string]string `json:"tags,omitempty"`
	// Namespace sets the executions of the job apart: devices find them in a
	// list of its own, and hear of them on topics of its own. Empty is none; else
	// 1 to 64 of [a-zA-Z0-9_-].
	Namespace string    `json:"namespace,omitempty"`
	Schedule  *Schedule `json:"schedule,omitempty"`
	Config

	Status        Status    `json:"status"`
	ForceCanceled bool      `json:"forceCanceled,omitempty"`
	ReasonCode    string    `json:"reasonCode,omitempty"`
	Comment       string    `json:"comment,omitempty"`
	Created       time.Time `json:"created"`
	Updated       time.Time `json:"updated"`
	Completed     time.Time `json:"completed,omitzero"` // also of canceled jobs

	Progress Progress `json:"progress"`
}

// A Progress is how far the service has come with a job.
type Progress struct {
	// Expanded is how many of the targets are resolved to things, and After the
	// last member taken of the group that is being resolved.
	Expanded int    `json:"expanded,omitempty"`
	After    string `json:"after,omitempty"`
	// RolledOut is set when every thing found has its execution.
	RolledOut bool `json:"rolledOut,omitempty"`
	// Ended is set when the end of the schedule has passed: no more things get
	// the job.
	Ended bool `json:"ended,omitempty"`
	// Sweep is what is being done to the executions of the job, or empty.
	Sweep Sweep `json:"sweep,omitempty"`
}

// A Sweep is something done to all executions of a job, some at a time.
type Sweep string

// The sweeps.
const (
	SweepQueued Sweep = "queued" // cancels those QUEUED
	SweepAll    Sweep = "all"    // cancels those IN_PROGRESS too
	SweepDelete Sweep = "delete" // deletes all, and then the job
)

// Concurrent reports whether executions are being rolled out or canceled.
func (j Job) Concurrent() bool {
	return j.Progress.Sweep != "" || j.Status == JobInProgress && !j.Progress.RolledOut
}

// done reports whether the service has no more work with j.
func (j *Job) done() bool {
	return j.Progress.Sweep == "" && (j.Status == JobCompleted || j.Status == JobCanceled)
}

// joinable reports whether things that join a target get the job.
func (j *Job) joinable() bool {
	return j.Selection == Continuous && j.Status == JobInProgress && !j.Progress.Ended
}

// A Config is how a job treats its executions. The zero value rolls out at
// once, never aborts, never times out and never retries. The JSON form is that
// of AWS.
type Config struct {
	Presign *Presign `json:"presignedUrlConfig,omitempty"`
	Rollout *Rollout `json:"jobExecutionsRolloutConfig,omitempty"`
	Abort   *Abort   `json:"abortConfig,omitempty"`
	Timeout *Timeout `json:"timeoutConfig,omitempty"`
	Retry   *Retry   `json:"jobExecutionsRetryConfig,omitempty"`
}

// A Presign says for how long URLs in a document are valid.
type Presign struct {
	RoleARN      string `json:"roleArn,omitempty"`
	ExpiresInSec int64  `json:"expiresInSec,omitempty"` // 60 to 3600; 0 is 3600
}

// A Rollout says how many things get the job in each minute.
type Rollout struct {
	MaximumPerMinute int          `json:"maximumPerMinute,omitempty"` // 1 to 1000; 0 is no limit
	Exponential      *Exponential `json:"exponentialRate,omitempty"`
}

// An Exponential rate grows by a factor each time that so many things more were
// notified, or succeeded.
type Exponential struct {
	BasePerMinute int          `json:"baseRatePerMinute"` // 1 to 1000
	Factor        float64      `json:"incrementFactor"`   // 1.1 to 5
	Criteria      RateIncrease `json:"rateIncreaseCriteria"`
}

// A RateIncrease is a number of things notified or of things that succeeded: one
// of the two.
type RateIncrease struct {
	Notified  int `json:"numberOfNotifiedThings,omitempty"`
	Succeeded int `json:"numberOfSucceededThings,omitempty"`
}

// An Abort says when a job is given up.
type Abort struct {
	Criteria []AbortCriterion `json:"criteriaList"`
}

// An AbortCriterion cancels the job when, of at least MinExecuted things whose
// execution ended, so many percent failed in the given way, exactly so many
// too. Percentage has two digits after the point at most.
type AbortCriterion struct {
	FailureType string  `json:"failureType"` // FAILED, REJECTED, TIMED_OUT or ALL
	Action      string  `json:"action"`      // CANCEL
	Percentage  float64 `json:"thresholdPercentage"`
	MinExecuted int     `json:"minNumberOfExecutedThings"`
}

// A Timeout bounds how long an execution may be IN_PROGRESS.
type Timeout struct {
	InProgressMinutes int64 `json:"inProgressTimeoutInMinutes,omitempty"` // 1 to 10080; 0 is no bound
}

// A Retry says how often a failed execution is queued again.
type Retry struct {
	Criteria []RetryCriterion `json:"criteriaList"`
}

// A RetryCriterion is the number of retries for one kind of failure.
type RetryCriterion struct {
	FailureType string `json:"failureType"` // FAILED, TIMED_OUT or ALL
	Retries     int    `json:"numberOfRetries"`
}

// A Schedule says when a job begins, ends and pauses. Times are in UTC,
// "2006-01-02 15:04".
type Schedule struct {
	StartTime   string   `json:"startTime,omitempty"`
	EndTime     string   `json:"endTime,omitempty"`
	EndBehavior string   `json:"endBehavior,omitempty"` // STOP_ROLLOUT, CANCEL or FORCE_CANCEL
	Windows     []Window `json:"maintenanceWindows,omitempty"`
}

// A Window is a recurring time in which things get the job.
type Window struct {
	StartTime string `json:"startTime"` // cron(minutes hours day month weekday year)
	Minutes   int    `json:"durationInMinutes"`
}

// Counts are how many things of a job have an execution in each status.
type Counts struct {
	Queued, InProgress, Succeeded, Failed, Rejected, TimedOut, Removed, Canceled int64
}

// pending is how many executions are not over.
func (c *Counts) pending() int64 { return c.Queued + c.InProgress }

// Total is how many things have an execution.
func (c Counts) Total() int64 {
	return c.pending() + c.Succeeded + c.Failed + c.Rejected + c.TimedOut + c.Removed + c.Canceled
}

// of returns the count of a status.
func (c *Counts) of(s ExecutionStatus) *int64 {
	return []*int64{&c.Queued, &c.InProgress, &c.Succeeded, &c.Failed, &c.Rejected, &c.TimedOut, &c.Removed, &c.Canceled}[slices.Index(statuses, s)]
}

func (c *Counts) add(o *Counts) {
	for _, s := range statuses {
		*c.of(s) += *o.of(s)
	}
}
