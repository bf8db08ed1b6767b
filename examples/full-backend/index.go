package main

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/dynamicgroup"
	"github.com/thingloom/thingloom/registry/fleet"
	"github.com/thingloom/thingloom/registry/fleetindex"
	"github.com/thingloom/thingloom/registry/registrypebble"
	"github.com/thingloom/thingloom/shadow"
	"github.com/thingloom/thingloom/shadow/shadowpebble"
)

// openIndex opens the fleet index and tells it of changes. What is indexed is
// set as at AWS (aws iot update-indexing-configuration), and is nothing at first.
// Its store need not wait for the disk: after a crash the index is built anew.
func (b *backend) openIndex(ctx context.Context, shadows *shadowpebble.Store) error {
	store, err := registrypebble.Open(ctx, b.db, "index/", &registrypebble.Options{NoSync: true})
	if err != nil {
		return err
	}
	b.index, err = fleetindex.Open(ctx, store, &fleetindex.Options{
		Feed:    func(ctx context.Context, ix *fleetindex.Index) error { return b.feedIndex(ctx, ix, shadows) },
		Changed: func(thing string) { b.dynamic.Changed(thing) },
		Allow:   func(ctx context.Context, c fleetindex.Config) error { return b.dynamic.Allow(ctx, c) },
		Logger:  b.log,
	})
	if err != nil {
		return err
	}
	if b.dynamic, err = dynamicgroup.New(ctx, b.registry, b.index, &dynamicgroup.Options{Logger: b.log}); err != nil {
		return err
	}
	b.registry.Observe(func(ctx context.Context, e registry.Event) {
		thing := e.Name
		switch e.Kind {
		case registry.ThingEvents, registry.ThingTypeAssociationEvents:
		case registry.MembershipEvents:
			thing = membershipThing(e.Topic)
		default:
			return
		}
		b.indexed(thing, b.indexThing(ctx, thing))
	})
	b.shadows.Observe(func(ctx context.Context, c shadow.Change) {
		b.indexed(c.Ref.Thing, indexShadow(ctx, b.index, c.Ref, c.After))
	})
	_, err = b.broker.SubscribeMessages("$aws/events/presence/+/+", func(ctx context.Context, m broker.Message) error {
		b.indexed(m.ClientID, b.indexPresence(ctx, m.Payload))
		return nil
	})
	return err
}

// indexed logs what the index was not told of a thing.
func (b *backend) indexed(thing string, err error) {
	if err != nil {
		b.log.Error("fleet index", "thing", thing, "err", err)
	}
}

// membershipThing is the thing of .../thingGroup/{group}/thing/{thing}/added.
func membershipThing(topic string) string {
	parts := strings.Split(topic, "/")
	return parts[max(0, len(parts)-2)]
}

// indexThing has the index take what the registry has of a thing. That is read while the index takes no other change of
// it: else, of two changes, the older one could be put last.
func (b *backend) indexThing(ctx context.Context, name string) error {
	return b.index.Change(ctx, name, func(k *fleetindex.Known) error { return b.readThing(ctx, name, k) })
}

// readThing sets what the registry has of a thing.
func (b *backend) readThing(ctx context.Context, name string, k *fleetindex.Known) error {
	t, err := b.registry.Thing(ctx, name)
	switch k.Thing = nil; {
	case err == nil:
		k.Thing = &t
	case errors.Is(err, registry.ErrNotFound):
		err = nil
	}
	return err
}

// indexShadow tells of a shadow.
func indexShadow(ctx context.Context, ix *fleetindex.Index, ref shadow.Ref, d shadow.Document) error {
	if !ix.Config().Shadow(ref.Name) {
		return nil
	}
	text, err := indexedShadow(d)
	if err != nil {
		return err
	}
	return ix.PutShadow(ctx, ref.Thing, ref.Name, text)
}

// indexedShadow is a shadow as fleet indexing has it, nil if there is none.
func indexedShadow(d shadow.Document) (json.RawMessage, error) {
	if !d.Exists() {
		return nil, nil
	}
	delta, err := shadow.Delta(d.Desired, d.Reported)
	if err != nil {
		return nil, err
	}
	return json.Marshal(struct {
		Desired  json.RawMessage `json:"desired,omitempty"`
		Reported json.RawMessage `json:"reported,omitempty"`
		Delta    json.RawMessage `json:"delta,omitempty"`
		Metadata json.RawMessage `json:"metadata,omitempty"`
		HasDelta bool            `json:"hasDelta"`
		Version  int64           `json:"version"`
	}{d.Desired, d.Reported, delta, d.Metadata, delta != nil, d.Version})
}

// indexPresence takes a lifecycle event. Clients count that are named as a thing.
func (b *backend) indexPresence(ctx context.Context, payload []byte) error {
	var e struct {
		ClientID, EventType, DisconnectReason string
		Timestamp                             int64
	}
	if err := json.Unmarshal(payload, &e); err != nil {
		return err
	}
	return b.index.PutConnectivity(ctx, e.ClientID, fleet.Connectivity{Connected: e.EventType == "connected", Timestamp: e.Timestamp, DisconnectReason: e.DisconnectReason})
}

// indexViolations tells of what a thing does that is not normal.
func (b *backend) indexViolations(ctx context.Context, ix *fleetindex.Index, thing string) error {
	return ix.Change(ctx, thing, func(k *fleetindex.Known) error {
		k.Defender = b.defender.IndexDocument(thing)
		return nil
	})
}

// feedIndex tells of all that there is, each thing with its shadows in one step.
func (b *backend) feedIndex(ctx context.Context, ix *fleetindex.Index, shadows *shadowpebble.Store) error {
	group, feeding := errgroup.WithContext(ctx) // which ends with the group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for t, err := range b.registry.Things(feeding, registry.ThingQuery{}) {
		if err != nil {
			return errors.Join(group.Wait(), err)
		}
		group.Go(func() error { return b.feedThing(feeding, ix, shadows, t.Name) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	// Shadows of things that the registry does not have are found once it has them.
	last := ""
	for ref, err := range shadows.Refs(ctx) {
		if err != nil {
			return err
		}
		if ref.Thing == last {
			continue
		}
		last = ref.Thing
		_, err := b.registry.Thing(ctx, last)
		if errors.Is(err, registry.ErrNotFound) {
			err = b.feedThing(ctx, ix, shadows, last)
		}
		if err != nil {
			return err
		}
	}
	for _, thing := range b.defender.InViolation() {
		if err := b.indexViolations(ctx, ix, thing); err != nil {
			return err
		}
	}
	for c := range b.broker.Clients() {
		at := c.ConnectedAt
		if !c.Connected {
			at = c.DisconnectedAt
		}
		if at.IsZero() {
			at = time.Now()
		}
		err := ix.Change(ctx, c.ClientID, func(k *fleetindex.Known) error {
			if k.Connectivity == nil { // else an event has told, which is newer
				k.Connectivity = &fleet.Connectivity{Connected: c.Connected, Timestamp: at.UnixMilli(), DisconnectReason: string(c.DisconnectReason)}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// feedThing has the index take what registry and shadows have of a thing.
func (b *backend) feedThing(ctx context.Context, ix *fleetindex.Index, shadows *shadowpebble.Store, name string) error {
	return ix.Change(ctx, name, func(k *fleetindex.Known) error {
		if err := b.readThing(ctx, name, k); err != nil {
			return err
		}
		c := ix.Config()
		k.Shadows = map[string]json.RawMessage{}
		read := func(shadowName string) error {
			if !c.Shadow(shadowName) {
				return nil
			}
			d, err := shadows.Load(ctx, shadow.Ref{Thing: name, Name: shadowName})
			if errors.Is(err, shadow.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			text, err := indexedShadow(d)
			if text != nil {
				k.Shadows[shadowName] = text
			}
			return err
		}
		if err := read(""); err != nil || !c.NamedShadows {
			return err
		}
		for shadowName, err := range shadows.Names(ctx, name, "") {
			if err == nil {
				err = read(shadowName)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
