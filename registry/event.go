package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// An EventKind is a class of changes that can be switched on and off as a
// whole; the text is the key of AWS event configurations.
type EventKind string

// The kinds of events.
const (
	ThingEvents                EventKind = "THING"
	ThingTypeEvents            EventKind = "THING_TYPE"
	ThingTypeAssociationEvents EventKind = "THING_TYPE_ASSOCIATION"
	GroupEvents                EventKind = "THING_GROUP"
	MembershipEvents           EventKind = "THING_GROUP_MEMBERSHIP"
	HierarchyEvents            EventKind = "THING_GROUP_HIERARCHY"
	JobEvents                  EventKind = "JOB"
	JobExecutionEvents         EventKind = "JOB_EXECUTION"
	PolicyEvents               EventKind = "POLICY"
	CertificateEvents          EventKind = "CERTIFICATE"
	CACertificateEvents        EventKind = "CA_CERTIFICATE"
)

var eventKinds = []EventKind{ThingEvents, GroupEvents, ThingTypeEvents, MembershipEvents, HierarchyEvents,
	ThingTypeAssociationEvents, JobEvents, JobExecutionEvents, PolicyEvents, CertificateEvents, CACertificateEvents}

// An Event is one committed change.
//
// Every change is observed. Enabled tells whether somebody asked that it be
// published (Registry.SetEventConfigurations; off at first, as at AWS):
//
//	reg.Observe(func(ctx context.Context, e registry.Event) {
//		if e.Enabled && e.Topic != "" {
//			b.Publish(ctx, e.Topic, e.Payload)
//		}
//	})
type Event struct {
	Kind      EventKind
	Operation string // CREATED, UPDATED, DELETED, ADDED, REMOVED
	Time      time.Time
	// Name is the thing, type, group, policy or certificate ID.
	Name string
	// Topic and Payload are the documented message; Topic is empty for
	// changes that have none.
	Topic   string
	Payload []byte
	Enabled bool

	// Access is set when answers of Allowed may have changed: for the
	// Principal, or for anybody if that is empty.
	Access    bool
	Principal string
	// Status is, for CertificateEvents, the new status of the certificate
	// Principal, and empty when it was deleted. Sessions of a certificate
	// that is not StatusActive have to end.
	Status CertificateStatus
}

// EventConfigurations tells for every kind whether its events are to be published.
func (r *Registry) EventConfigurations(ctx context.Context) (map[EventKind]bool, error) {
	on, err := r.events.load(ctx, r)
	if err != nil {
		return nil, err
	}
	all := map[EventKind]bool{}
	for _, k := range eventKinds {
		all[k] = on[k]
	}
	return all, nil
}

// SetEventConfigurations switches the named kinds on or off.
func (r *Registry) SetEventConfigurations(ctx context.Context, changes map[EventKind]bool) error {
	for kind := range changes {
		if !isEventKind(kind) {
			return invalid("eventConfigurations", "has the unknown kind %q", kind)
		}
	}
	r.events.mu.Lock()
	defer r.events.mu.Unlock()
	var on map[EventKind]bool
	err := r.update(ctx, func(t *tx) error {
		on = map[EventKind]bool{}
		if _, err := t.get(keyEvents, &on); err != nil {
			return err
		}
		maps.Copy(on, changes)
		var times EventTimes
		if _, err := t.get(keyEventTimes, &times); err != nil {
			return err
		}
		times.Modified = r.opts.Now().UTC()
		if times.Created.IsZero() {
			times.Created = times.Modified
		}
		if err := t.put(keyEventTimes, times); err != nil {
			return err
		}
		return t.put(keyEvents, on)
	})
	if err == nil {
		r.events.on.Store(&on)
	}
	return err
}

// EventTimes are when the configuration of events was made and last changed;
// zero where that never happened.
type EventTimes struct {
	Created  time.Time `json:"created"`
	Modified time.Time `json:"modified"`
}

// EventTimes returns the times of the configuration of events.
func (r *Registry) EventTimes(ctx context.Context) (times EventTimes, err error) {
	_, _, err = r.load(ctx, keyEventTimes, &times)
	return times, err
}

func isEventKind(k EventKind) bool {
	for _, known := range eventKinds {
		if k == known {
			return true
		}
	}
	return false
}

// An eventSwitch remembers which kinds are on.
type eventSwitch struct {
	mu sync.Mutex // held by who changes it
	on atomic.Pointer[map[EventKind]bool]
}

func (s *eventSwitch) load(ctx context.Context, r *Registry) (map[EventKind]bool, error) {
	if on := s.on.Load(); on != nil {
		return *on, nil
	}
	on := map[EventKind]bool{}
	if _, _, err := r.load(ctx, keyEvents, &on); err != nil {
		return nil, err
	}
	s.on.CompareAndSwap(nil, &on) // never over what a writer has stored
	return on, nil
}

// eventHead is what all payloads begin with.
type eventHead struct {
	EventType string `json:"eventType"`
	EventID   string `json:"eventId"`
	Timestamp int64  `json:"timestamp"` // milliseconds
	Operation string `json:"operation"`
	AccountID string `json:"accountId"`
}

// publishable adds an event with a documented message. build gets the head
// and returns the whole payload.
func (t *tx) publishable(kind EventKind, operation, name, topic string, build func(eventHead) any) error {
	on, err := t.r.events.load(t.ctx, t.r)
	if err != nil {
		return err
	}
	now := t.r.opts.Now()
	payload, err := json.Marshal(build(eventHead{EventType: string(kind) + "_EVENT", EventID: newID(),
		Timestamp: now.UnixMilli(), Operation: operation, AccountID: t.r.opts.Account}))
	if err != nil {
		return fmt.Errorf("registry: event: %w", err)
	}
	t.emit(Event{Kind: kind, Operation: operation, Time: now, Name: name, Topic: "$aws/events/" + topic,
		Payload: payload, Enabled: on[kind]})
	return nil
}

// accessChanged adds an event without a message: what principal may do (all
// of them if empty) has changed.
func (t *tx) accessChanged(kind EventKind, operation, name, principal string, status CertificateStatus) {
	if principal == "" {
		t.touched.all = true
	} else {
		t.touched.principals = append(t.touched.principals, principal)
	}
	t.emit(Event{Kind: kind, Operation: operation, Time: t.r.opts.Now(), Name: name, Access: true,
		Principal: principal, Status: status})
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
