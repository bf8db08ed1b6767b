package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// maxNotified is how many executions one notify message names.
const maxNotified = 10

// A note is a notification to a device, to be made when it is delivered.
type note struct {
	thing, namespace string

	list  []Execution // for notify
	next  bool        // notify-next
	first *Execution  // for notify-next; nil when nothing is pending
}

// head returns what identifies the first pending execution of a lane: its
// order and its job. It is empty when nothing is pending.
func (s *Service) head(ctx context.Context, lane string) (string, error) {
	for key, err := range s.keys(ctx, keyPending+lane+"/", "") {
		_, id, _ := strings.Cut(key, "/") // without the class
		return id, err
	}
	return "", nil
}

// pending returns the first pending executions of a thing in a namespace.
func (s *Service) pending(ctx context.Context, thing, namespace string, limit int) ([]Execution, error) {
	var list []Execution
	for key, err := range s.keys(ctx, keyPending+laneOf(thing, namespace)+"/", "") {
		if err != nil || len(list) == limit {
			return list, err
		}
		var e Execution
		found, err := s.load(ctx, executionKey(last(key), thing), &e)
		if err != nil {
			return nil, err
		}
		// Between two reads it may have ended.
		if found && !e.Status.Terminal() {
			list = append(list, e)
		}
	}
	return list, nil
}

// A laneChange is what a transaction does to the pending executions of a thing
// in a namespace.
type laneChange struct {
	namespace string
	before    string // the head before it
	list      bool   // one enters or leaves
}

// notes says what a thing is to hear of a change. It is called with the lock of
// the thing held.
func (s *Service) notes(ctx context.Context, thing string, c *laneChange) ([]note, error) {
	after, err := s.head(ctx, laneOf(thing, c.namespace))
	if err != nil || !c.list && after == c.before {
		return nil, err
	}
	list, err := s.pending(ctx, thing, c.namespace, maxNotified)
	if err != nil {
		return nil, err
	}
	var notes []note
	if c.list {
		notes = append(notes, note{thing: thing, namespace: c.namespace, list: list})
	}
	if after != c.before {
		n := note{thing: thing, namespace: c.namespace, next: true}
		if len(list) > 0 {
			n.first = &list[0]
		}
		notes = append(notes, n)
	}
	return notes, nil
}

// tellNote delivers a notification. What cannot be made is counted and logged:
// the device finds its execution when it asks.
func (s *Service) tellNote(ctx context.Context, n note) {
	e, err := s.notification(ctx, n)
	if err != nil {
		s.fault("notification not made", e.Job, err)
		return
	}
	s.tell(ctx, []Event{e})
}

func (s *Service) notification(ctx context.Context, n note) (e Event, err error) {
	e = Event{Kind: Notification, Thing: n.thing, Topic: "$aws/things/" + n.thing + "/jobs/notify"}
	now := s.opts.Now().Unix()
	var payload any
	if n.next {
		e.Topic += "-next"
	}
	if n.namespace != "" {
		e.Topic += "-namespace-" + n.namespace
	}
	if n.next {
		m := struct {
			Timestamp int64          `json:"timestamp"`
			Execution *ExecutionView `json:"execution,omitempty"`
		}{Timestamp: now}
		if n.first != nil {
			e.Job = n.first.Job
			document, err := s.Document(ctx, n.first.Job, n.thing)
			if err != nil {
				return e, err
			}
			view := n.first.View(s.opts.Now(), json.RawMessage(document))
			m.Execution = &view
		}
		payload = m
	} else {
		classes := map[ExecutionStatus][]SummaryView{}
		for i := range n.list {
			classes[n.list[i].Status] = append(classes[n.list[i].Status], n.list[i].Summary())
		}
		payload = struct {
			Timestamp int64                             `json:"timestamp"`
			Jobs      map[ExecutionStatus][]SummaryView `json:"jobs"`
		}{now, classes}
	}
	if e.Payload, err = json.Marshal(payload); err != nil {
		return e, fmt.Errorf("jobs: notification for %q: %w", n.thing, err)
	}
	return e, nil
}
