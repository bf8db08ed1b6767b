package broker

import (
	"context"
	"errors"
	"testing"
)

// PublishTo reaches one client, whose subscription decides about the QoS, and
// neither others nor handlers.
func TestPublishTo(t *testing.T) {
	bubble(t, func(t *testing.T, b *Broker) {
		seen := 0
		cancel, err := b.SubscribeMessages("#", func(context.Context, Message) error { seen++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		defer cancel()
		one := join(t, b, connectOpts{id: "one"})
		other := join(t, b, connectOpts{id: "other"})
		kept := join(t, b, connectOpts{id: "kept", expiry: 3600})
		for _, p := range []*peer{one, other, kept} {
			p.subscribe(1, "answers/+")
		}
		for _, to := range []struct {
			p  *peer
			id string
		}{{one, "one"}, {kept, "kept"}} {
			if err := b.PublishTo(t.Context(), to.id, Message{Topic: "answers/x", Payload: []byte(to.id), QoS: 1, Retain: true}); err != nil {
				t.Fatal(err)
			}
			to.p.puback(to.p.gets(1, "answers/x", to.id).id)
		}
		for _, m := range []struct{ client, topic string }{{"nobody", "answers/x"}, {"one", "else/x"}} {
			if err := b.PublishTo(t.Context(), m.client, Message{Topic: m.topic, QoS: 1}); !errors.Is(err, ErrNotFound) {
				t.Errorf("%v: %v", m, err)
			}
		}
		if err := b.PublishTo(t.Context(), "one", Message{Topic: "answers/+"}); !errors.Is(err, ErrTopic) {
			t.Error(err)
		}
		late := join(t, b, connectOpts{id: "late"})
		late.subscribe(1, "answers/+")
		for _, p := range []*peer{one, other, kept, late} {
			p.none()
			p.leave()
		}
		if seen != 0 {
			t.Errorf("handlers saw %d messages", seen)
		}
	})
}
