package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/thingloom/thingloom/internal/uuid"
	"github.com/thingloom/thingloom/registry"
)

// An Event is one message that the service has for others.
type Event struct {
	// Kind is registry.JobEvents or registry.JobExecutionEvents for what can be
	// switched by event configurations, and Notification for what devices hear.
	Kind    registry.EventKind
	Topic   string
	Payload []byte // JSON; do not modify
	Job     string // empty for the notification of a list
	Thing   string // empty for events of a job as a whole
	// Enabled tells whether the message is to be published: notifications
	// always are, events if they are switched on.
	Enabled bool
}

// Notification is the kind of notify and notify-next.
const Notification registry.EventKind = "NOTIFICATION"

func (s *Service) tell(ctx context.Context, events []Event) {
	if len(events) == 0 {
		return
	}
	on, err := s.reg.EventConfigurations(ctx)
	if err != nil {
		s.fault("event configurations not read", events[0].Job, err)
	}
	s.observers.RLock()
	fns := s.observers.fns
	s.observers.RUnlock()
	for _, e := range events {
		e.Enabled = e.Kind == Notification || on[e.Kind]
		for _, fn := range fns {
			(*fn)(ctx, e)
		}
	}
}

type eventHead struct {
	EventType string `json:"eventType"`
	EventID   string `json:"eventId"`
	Timestamp int64  `json:"timestamp"` // seconds
	Operation string `json:"operation"`
	JobID     string `json:"jobId"`
}

func (s *Service) eventHead(kind registry.EventKind, operation, job string) eventHead {
	return eventHead{string(kind), uuid.New().String(), s.opts.Now().Unix(), operation, job}
}

// jobEvents are the operations of job events, in the words of their topics.
var jobEvents = []string{"completed", "canceled", "deleted", "cancellation_in_progress", "deletion_in_progress"}

// jobEvent adds an event about a job as a whole.
func (t *tx) jobEvent(j *Job, operation string, c Counts) error {
	if !slices.Contains(jobEvents, operation) {
		panic("jobs: no event " + operation)
	}
	payload, err := json.Marshal(struct {
		eventHead
		Status      Status    `json:"status"`
		Selection   Selection `json:"targetSelection"`
		Targets     []string  `json:"targets"`
		Description string    `json:"description,omitempty"`
		Created     int64     `json:"createdAt"`
		Updated     int64     `json:"lastUpdatedAt"`
		Completed   int64     `json:"completedAt,omitempty"`
		Comment     string    `json:"comment,omitempty"`
		ReasonCode  string    `json:"reasonCode,omitempty"`
		Details     any       `json:"jobProcessDetails"`
	}{t.s.eventHead(registry.JobEvents, operation, j.ID), j.Status, j.Selection, j.Targets, j.Description,
		j.Created.Unix(), j.Updated.Unix(), max(0, j.Completed.Unix()), j.Comment, j.ReasonCode, struct {
			Canceled  int64 `json:"numberOfCanceledThings"`
			Rejected  int64 `json:"numberOfRejectedThings"`
			Failed    int64 `json:"numberOfFailedThings"`
			Removed   int64 `json:"numberOfRemovedThings"`
			Succeeded int64 `json:"numberOfSucceededThings"`
			TimedOut  int64 `json:"numberOfTimedOutThings"`
		}{c.Canceled, c.Rejected, c.Failed, c.Removed, c.Succeeded, c.TimedOut}})
	if err != nil {
		return fmt.Errorf("jobs: event of %q: %w", j.ID, err)
	}
	t.events = append(t.events, Event{Kind: registry.JobEvents, Topic: "$aws/events/job/" + j.ID + "/" + operation, Payload: payload, Job: j.ID})
	return nil
}

// executionEvent adds an event about an execution, whose operation is that it
// is now in its terminal status, or deleted.
func (t *tx) executionEvent(e *Execution, deleted bool) error {
	operation := strings.ToLower(string(e.Status))
	if deleted {
		operation = "deleted"
	}
	payload, err := json.Marshal(struct {
		eventHead
		ThingARN string            `json:"thingArn"`
		Status   ExecutionStatus   `json:"status"`
		Details  map[string]string `json:"statusDetails,omitempty"`
	}{t.s.eventHead(registry.JobExecutionEvents, operation, e.Job), t.s.ARN("thing/" + e.Thing), e.Status, e.Details})
	if err != nil {
		return fmt.Errorf("jobs: event of %q: %w", e.Job, err)
	}
	t.events = append(t.events, Event{Kind: registry.JobExecutionEvents, Topic: "$aws/events/jobExecution/" + e.Job + "/" + operation,
		Payload: payload, Job: e.Job, Thing: e.Thing})
	return nil
}
