// Package jobsmqtt serves jobs on the reserved topics of AWS IoT:
//
//	$aws/things/{thing}/jobs/{get|start-next}
//	$aws/things/{thing}/jobs/{job}/{get|update}
//	$aws/things/{thing}/jobs/{job}/namespace-{namespace}/{get|update}
//
// with answers on accepted and rejected below them, publishes the notifications
// notify and notify-next, and the events of jobs and executions that are
// switched on.
//
//	e, err := jobsmqtt.New(svc, broker, nil)
//	defer e.Close()
package jobsmqtt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/thingloom/thingloom/registry/jobs"
)

// A Bus is the part of a broker that the job topics need; *broker.Broker has
// it. A handler runs before the publisher is acknowledged.
type Bus interface {
	Publish(ctx context.Context, topic string, payload []byte) error
	Subscribe(filter string, h func(ctx context.Context, topic string, payload []byte) error) (cancel func(), err error)
}

// Options are the optional parts of an Endpoint. A nil *Options is all defaults.
type Options struct {
	// Answer publishes an answer, with the context that the Bus gave to the
	// handler of the request. Nil means Bus.Publish, by which every subscriber
	// of the topic sees it; AWS shows it to the client that asked alone.
	Answer func(ctx context.Context, topic string, payload []byte) error

	// MaxRequestBytes is the largest request looked at. Zero means 131072.
	MaxRequestBytes int

	// Logger hears of requests that failed inside and of messages that could
	// not be published. Nil is silence.
	Logger *slog.Logger
}

// An Endpoint is the job topics on one bus.
type Endpoint struct {
	svc    *jobs.Service
	bus    Bus
	opts   Options
	cancel []func()

	requests, rejected, published, failed atomic.Uint64
}

// Stats are the counters of an Endpoint. They only grow.
type Stats struct {
	Requests  uint64 // received on the request topics
	Rejected  uint64 // answered on a rejected topic
	Published uint64 // messages handed to the bus
	Failed    uint64 // messages that the bus did not take
}

// New subscribes to the request topics and observes svc: when it returns,
// requests are answered. Close undoes it.
func New(svc *jobs.Service, bus Bus, opts *Options) (*Endpoint, error) {
	if svc == nil || bus == nil {
		return nil, errors.New("jobsmqtt: New needs a service and a bus")
	}
	e := &Endpoint{svc: svc, bus: bus}
	if opts != nil {
		e.opts = *opts
	}
	if e.opts.Answer == nil {
		e.opts.Answer = bus.Publish
	}
	if e.opts.MaxRequestBytes == 0 {
		e.opts.MaxRequestBytes = 128 << 10
	}
	if e.opts.Logger == nil {
		e.opts.Logger = slog.New(slog.DiscardHandler)
	}
	e.cancel = append(e.cancel, svc.Observe(e.tell))
	for filter, do := range map[string]operation{
		"get": e.pending, "start-next": e.startNext, "+/get": e.describe, "+/update": e.update,
		"+/+/get": e.describe, "+/+/update": e.update,
	} {
		cancel, err := bus.Subscribe("$aws/things/+/jobs/"+filter, func(ctx context.Context, topic string, payload []byte) error {
			return e.serve(ctx, topic, payload, do)
		})
		if err != nil {
			e.Close()
			return nil, fmt.Errorf("jobsmqtt: subscribe: %w", err)
		}
		e.cancel = append(e.cancel, cancel)
	}
	return e, nil
}

// Close unsubscribes. It may be called twice.
func (e *Endpoint) Close() error {
	for _, cancel := range e.cancel {
		cancel()
	}
	e.cancel = nil
	return nil
}

// Serve answers on bus until ctx is done. An application that has to know when
// it is answered uses New and Close.
func Serve(ctx context.Context, svc *jobs.Service, bus Bus, opts *Options) error {
	e, err := New(svc, bus, opts)
	if err != nil {
		return err
	}
	<-ctx.Done()
	return e.Close()
}

// Stats returns the counters.
func (e *Endpoint) Stats() Stats {
	return Stats{e.requests.Load(), e.rejected.Load(), e.published.Load(), e.failed.Load()}
}

// tell publishes what the service has for others. What cannot be published is
// counted and logged: the change is stored, and a device that missed its
// notification finds the execution when it asks.
func (e *Endpoint) tell(ctx context.Context, m jobs.Event) {
	if m.Enabled {
		e.publish(ctx, e.bus.Publish, m.Topic, m.Payload)
	}
}

// An operation answers one kind of request. The head of the answer is filled in.
type operation func(ctx context.Context, to address, r jobs.DeviceRequest, head head) (any, error)

// An address is what a topic names.
type address struct {
	thing     string
	job       string // empty, or jobs.Next
	namespace string // empty is none
}

// addressOf reads $aws/things/{thing}/jobs/[{job}/[namespace-{namespace}/]]{operation}.
func addressOf(topic string) (to address, err error) {
	levels := strings.Split(topic, "/")
	to.thing = levels[2]
	if len(levels) > 5 {
		to.job = levels[4]
	}
	err = jobs.CheckThing(to.thing)
	if err == nil && to.job != "" && to.job != jobs.Next {
		err = jobs.CheckJob(to.job)
	}
	if err == nil && len(levels) == 7 {
		var ok bool
		if to.namespace, ok = strings.CutPrefix(levels[5], "namespace-"); !ok {
			return to, fmt.Errorf("%q is no namespace", levels[5])
		}
		err = jobs.CheckJob(to.namespace) // the same characters
	}
	return to, err
}

// head is what all answers have.
type head struct {
	Timestamp int64  `json:"timestamp"` // seconds
	Token     string `json:"clientToken,omitempty"`
}

func (e *Endpoint) serve(ctx context.Context, topic string, payload []byte, do operation) error {
	e.requests.Add(1)
	var r jobs.DeviceRequest
	to, err := addressOf(topic)
	if err != nil {
		err = fmt.Errorf("%w: %w", errTopic, err)
	} else if len(payload) > e.opts.MaxRequestBytes {
		err = &jobs.InvalidError{Field: "request", Reason: fmt.Sprintf("has %d bytes, more than %d", len(payload), e.opts.MaxRequestBytes)}
	} else {
		r, err = jobs.ParseDeviceRequest(payload)
	}
	h := head{e.svc.Now().Unix(), r.Token}
	var answer any
	if err == nil {
		answer, err = do(ctx, to, r, h)
	}
	end := "/accepted"
	if err != nil {
		end, answer = "/rejected", e.rejection(topic, err, h)
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("jobsmqtt: answer on %s: %w", topic, err)
	}
	return e.publish(ctx, e.opts.Answer, topic+end, text)
}

func (e *Endpoint) publish(ctx context.Context, publish func(context.Context, string, []byte) error, topic string, payload []byte) error {
	if err := publish(ctx, topic, payload); err != nil {
		e.failed.Add(1)
		e.opts.Logger.Error("job message not published", "topic", topic, "err", err)
		return fmt.Errorf("jobsmqtt: publish %s: %w", topic, err)
	}
	e.published.Add(1)
	return nil
}

func (e *Endpoint) pending(ctx context.Context, to address, _ jobs.DeviceRequest, h head) (any, error) {
	inProgress, queued, err := e.svc.Pending(ctx, to.thing, "")
	return struct {
		InProgress []jobs.SummaryView `json:"inProgressJobs"`
		Queued     []jobs.SummaryView `json:"queuedJobs"`
		head
	}{jobs.Summaries(inProgress), jobs.Summaries(queued), h}, err
}

// found is the answer with an execution; none when nothing is pending.
type found struct {
	Execution *jobs.ExecutionView `json:"execution,omitempty"`
	head
}

func (e *Endpoint) view(ctx context.Context, x *jobs.Execution, withDocument bool, h head) (any, error) {
	if x == nil {
		return found{nil, h}, nil
	}
	var document []byte
	if withDocument {
		var err error
		if document, err = e.svc.Document(ctx, x.Job, x.Thing); err != nil {
			return nil, err
		}
	}
	view := x.View(e.svc.Now(), document)
	return found{&view, h}, nil
}

func (e *Endpoint) startNext(ctx context.Context, to address, r jobs.DeviceRequest, h head) (any, error) {
	x, err := e.svc.StartNext(ctx, to.thing, r.Start())
	if err != nil {
		return nil, err
	}
	return e.view(ctx, x, true, h)
}

func (e *Endpoint) describe(ctx context.Context, to address, r jobs.DeviceRequest, h head) (any, error) {
	x, err := e.svc.DescribeIn(ctx, to.thing, to.namespace, to.job, r.Attempt())
	if err != nil {
		return nil, err
	}
	return e.view(ctx, x, r.WithDocument(true), h)
}

func (e *Endpoint) update(ctx context.Context, to address, r jobs.DeviceRequest, h head) (any, error) {
	answer := struct {
		State    *jobs.StateView `json:"executionState,omitempty"`
		Document json.RawMessage `json:"jobDocument,omitempty"`
		head
	}{head: h}
	var err error
	// First, so that an update that is stored is not refused for want of it.
	if r.WithDocument(false) {
		if answer.Document, err = e.svc.Document(ctx, to.job, to.thing); err != nil {
			return nil, err
		}
	}
	u := r.Update()
	u.Namespace = to.namespace
	x, err := e.svc.Update(ctx, to.thing, to.job, u)
	if err != nil {
		return nil, err
	}
	if r.IncludeState {
		state := x.State()
		answer.State = &state
	}
	return answer, nil
}

// errTopic reports names in a topic that are none.
var errTopic = errors.New("jobsmqtt: invalid topic")

// codes is the protocol's code of each error, the first that fits. What is not
// in it is InternalError.
var codes = []struct {
	err  error
	code string
}{
	{errTopic, "InvalidTopic"},
	{jobs.ErrJSON, "InvalidJson"},
	{jobs.ErrInvalid, "InvalidRequest"},
	{jobs.ErrNotFound, "ResourceNotFound"},
	{jobs.ErrTransition, "InvalidStateTransition"},
	{jobs.ErrVersion, "VersionMismatch"},
	{jobs.ErrTerminal, "TerminalStateReached"},
	{jobs.ErrThrottled, "RequestThrottled"},
	{jobs.ErrLimit, "RequestThrottled"},
	{jobs.ErrExists, "InvalidRequest"},
}

func code(err error) string {
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return "InternalError"
}

func (e *Endpoint) rejection(topic string, err error, h head) any {
	e.rejected.Add(1)
	answer := struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		head
		State *jobs.StateView `json:"executionState,omitempty"`
	}{Code: code(err), Message: err.Error(), head: h}
	if answer.Code == "InternalError" {
		e.opts.Logger.Error("job request failed", "topic", topic, "err", err)
		answer.Message = "internal failure"
	}
	if se, ok := errors.AsType[*jobs.StateError](err); ok && se.Err != jobs.ErrTerminal {
		state := se.Execution.State()
		answer.State = &state
	}
	return answer
}
