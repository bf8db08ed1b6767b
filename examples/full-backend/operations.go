package main

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/defender"
	"github.com/thingloom/thingloom/registry/defender/defendermqtt"
	"github.com/thingloom/thingloom/registry/jobs"
	"github.com/thingloom/thingloom/registry/jobs/jobshttp"
	"github.com/thingloom/thingloom/registry/jobs/jobsmqtt"
	"github.com/thingloom/thingloom/registry/registrypebble"
)

// openOperations opens what looks after a fleet: jobs, and the watch over what
// things do.
func (b *backend) openOperations(ctx context.Context) error {
	store, err := registrypebble.Open(ctx, b.db, "jobs/", nil)
	if err != nil {
		return err
	}
	if b.jobs, err = jobs.New(store, b.registry, &jobs.Options{Source: b.jobDocument, Logger: b.log}); err != nil {
		return err
	}
	bus := answering{b.broker}
	if _, err := jobsmqtt.New(b.jobs, bus, &jobsmqtt.Options{Answer: bus.answer, Logger: b.log}); err != nil {
		return err
	}
	if store, err = registrypebble.Open(ctx, b.db, "defender/", nil); err != nil {
		return err
	}
	if b.defender, err = defender.Open(ctx, store, b.registry, &defender.Options{
		Changed: func(ctx context.Context, thing string) { b.indexed(thing, b.indexViolations(ctx, b.index, thing)) },
		Logger:  b.log,
		// It logs, and says so; there are no role aliases.
		Logging:     func(context.Context) (bool, error) { return true, nil },
		Revocations: b.revocationLists,
	}); err != nil {
		return err
	}
	if _, err := defendermqtt.New(b.defender, b.broker, &defendermqtt.Options{Logger: b.log}); err != nil {
		return err
	}
	b.watcher.svc.Store(b.defender)
	return nil
}

// deviceJobs is the jobs data plane: the admin may act for every thing, a device
// for its own.
func (b *backend) deviceJobs(allowed func(r *http.Request, action, resource string) (string, error)) http.Handler {
	return jobshttp.Device(b.jobs, &jobshttp.Options{Logger: b.log, Authorize: func(r *http.Request, operation string) error {
		if allowed == nil {
			return nil
		}
		_, err := allowed(r, "iot:"+operation, "thing/"+r.PathValue("thingName"))
		return err
	}})
}

// A watcher tells the defender what the broker sees.
type watcher struct {
	registry *registry.Registry
	svc      atomic.Pointer[defender.Service] // opened after the broker whose hooks tell it
	clients  sync.Map                         // *watched by client ID, of those that are connected
}

// A watched is a client that is connected.
type watched struct {
	thing    string // the client ID if it is none
	recorder *defender.Recorder
}

func (w *watcher) client(clientID string) *watched {
	if c, ok := w.clients.Load(clientID); ok {
		return c.(*watched)
	}
	return nil
}

func (w *watcher) thing(clientID string) string {
	if c := w.client(clientID); c != nil {
		return c.thing
	}
	return clientID
}

func (w *watcher) record(o defender.Observation) {
	if svc := w.svc.Load(); svc != nil {
		svc.Record(o)
	}
}

func (w *watcher) connected(c broker.ClientInfo) {
	svc := w.svc.Load()
	if svc == nil {
		return
	}
	thing, err := w.registry.ThingOf(context.Background(), c.Principal, c.ClientID)
	if err != nil || thing == "" {
		thing = c.ClientID
	}
	w.clients.Store(c.ClientID, &watched{thing, svc.Recorder(thing, c.RemoteAddr)})
	for _, kind := range []defender.Kind{defender.Attempted, defender.Connected} {
		svc.Record(defender.Observation{Kind: kind, Thing: thing, ClientID: c.ClientID, Principal: c.Principal, IP: c.RemoteAddr})
	}
}

func (w *watcher) disconnected(c broker.ClientInfo, reason broker.DisconnectReason) {
	kind := defender.Disconnected
	if reason == broker.DuplicateClientID {
		kind = defender.TakenOver
	} else {
		defer w.clients.Delete(c.ClientID)
	}
	w.record(defender.Observation{Kind: kind, Thing: w.thing(c.ClientID), ClientID: c.ClientID, Principal: c.Principal, IP: c.RemoteAddr})
}

func (w *watcher) refused(clientID string, _ error) {
	// What a policy refuses is told of by denied as well.
	w.record(defender.Observation{Kind: defender.Attempted, Thing: clientID, ClientID: clientID})
}

// sent hears of all messages, also those on reserved topics.
func (w *watcher) sent(m broker.Message) {
	if m.ClientID == "" {
		return
	}
	if c := w.client(m.ClientID); c != nil {
		c.recorder.Sent(m.Topic, len(m.Payload))
		return
	}
	// a will, maybe
	w.record(defender.Observation{Kind: defender.Sent, Thing: m.ClientID, ClientID: m.ClientID, Principal: m.Principal,
		Topic: m.Topic, Bytes: len(m.Payload), IP: m.SourceIP})
}

func (w *watcher) received(clientID, topic string) {
	if c := w.client(clientID); c != nil {
		c.recorder.Received(topic)
		return
	}
	w.record(defender.Observation{Kind: defender.Received, Thing: clientID, ClientID: clientID, Topic: topic})
}

func (w *watcher) denied(a broker.Access) {
	_, topic, _ := strings.Cut(a.Resource, "/") // of topic/a/b, topicfilter/a/#, client/c
	thing := w.thing(a.ClientID)
	if a.Thing != "" {
		thing = a.Thing
	}
	w.record(defender.Observation{Kind: defender.Unauthorized, Thing: thing, ClientID: a.ClientID, Principal: a.Principal,
		Topic: topic, IP: a.SourceIP})
}
