package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

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
		b.indexed(thing, b.indexThing(ctx, b.index, thing))
	})
	b.shadows.Observe(func(ctx context.Context, c shadow.Change) {
		b.indexed(c.Ref.Thing, b.index.Refresh(c.Ref.Thing, func() error { return indexShadow(ctx, b.index, c.Ref, c.After) }))
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

func (b *backend) indexThing(ctx context.Context, ix *fleetindex.Index, name string) error {
	return ix.Refresh(name, func() error {
		t, err := b.registry.Thing(ctx, name)
		if errors.Is(err, registry.ErrNotFound) {
			return ix.DeleteThing(ctx, name)
		}
		if err != nil {
			return err
		}
		return ix.PutThing(ctx, t)
	})
}

// indexShadow tells of a shadow as fleet indexing has it.
func indexShadow(ctx context.Context, ix *fleetindex.Index, ref shadow.Ref, d shadow.Document) error {
	if c := ix.Config(); ref.Name == "" && !c.Shadows || ref.Name != "" && !c.NamedShadows {
		return nil
	}
	if d.Deleted || d.Version == 0 {
		return ix.PutShadow(ctx, ref.Thing, ref.Name, nil)
	}
	delta, err := shadow.Delta(d.Desired, d.Reported)
	if err != nil {
		return err
	}
	text, err := json.Marshal(struct {
		Desired  json.RawMessage `json:"desired,omitempty"`
		Reported json.RawMessage `json:"reported,omitempty"`
		Delta    json.RawMessage `json:"delta,omitempty"`
		Metadata json.RawMessage `json:"metadata,omitempty"`
		HasDelta bool            `json:"hasDelta"`
		Version  int64           `json:"version"`
	}{d.Desired, d.Reported, delta, d.Metadata, delta != nil, d.Version})
	if err != nil {
		return err
	}
	return ix.PutShadow(ctx, ref.Thing, ref.Name, text)
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
	return ix.Refresh(thing, func() error { return ix.PutDefender(ctx, thing, b.defender.IndexDocument(thing)) })
}

// feedIndex tells of all that there is.
func (b *backend) feedIndex(ctx context.Context, ix *fleetindex.Index, shadows *shadowpebble.Store) error {
	for t, err := range b.registry.Things(ctx, registry.ThingQuery{}) {
		if err == nil {
			err = b.indexThing(ctx, ix, t.Name)
		}
		if err != nil {
			return err
		}
	}
	for ref, err := range shadows.Refs(ctx) {
		if err != nil {
			return err
		}
		err = ix.Refresh(ref.Thing, func() error {
			d, err := b.shadows.Get(ctx, ref)
			if err == nil {
				err = indexShadow(ctx, ix, ref, d)
			}
			return err
		})
		if err != nil && !errors.Is(err, shadow.ErrNotFound) {
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
		if err := ix.PutConnectivity(ctx, c.ClientID, fleet.Connectivity{Connected: c.Connected, Timestamp: at.UnixMilli(), DisconnectReason: string(c.DisconnectReason)}); err != nil {
			return err
		}
	}
	return nil
}
