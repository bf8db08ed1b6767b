package main

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/shadow"
	"github.com/thingloom/thingloom/telemetry"
)

// watchFleet tells the page which things have changed: who came and went, and
// whose shadow is another.
func (b *backend) watchFleet() error {
	b.changes = telemetry.NewLive(nil)
	tell := func(ctx context.Context, thing string) {
		text, err := json.Marshal(thing)
		if err == nil {
			err = b.changes.Write(ctx, telemetry.Batch{Records: []telemetry.Record{{Key: thing, Time: time.Now(), Value: text}}})
		}
		if err != nil {
			b.log.Warn("page", "thing", thing, "err", err)
		}
	}
	b.shadows.Observe(func(ctx context.Context, c shadow.Change) {
		if c.Ref.Name == "" {
			tell(ctx, c.Ref.Thing)
		}
	})
	_, err := b.broker.SubscribeMessages("$aws/events/presence/+/+", func(ctx context.Context, m broker.Message) error {
		tell(ctx, m.Topic[strings.LastIndexByte(m.Topic, '/')+1:])
		return nil
	})
	return err
}
