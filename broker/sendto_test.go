package broker

import (
	"context"
	"errors"
	"testing"
)

// SendTo reaches one client that is connected, with a subscription or without,
// where it may receive, and nobody else.
func TestSendTo(t *testing.T) {
	book := &rulebook{}
	book.set("one iot:Receive topic/answers/secret", ErrNotAuthorized)
	bubble(t, func(t *testing.T, b *Broker) {
		seen := 0
		cancel, err := b.SubscribeMessages("#", func(context.Context, Message) error { seen++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		defer cancel()
		one, kept := join(t, b, connectOpts{id: "one"}), join(t, b, connectOpts{id: "kept", expiry: 3600})
		other, zero := join(t, b, connectOpts{id: "other"}), join(t, b, connectOpts{id: "zero"})
		other.subscribe(1, "#")
		zero.subscribe(0, "answers/+")
		for _, to := range []struct {
			p        *peer
			id       string
			sent, as byte
		}{{one, "one", 1, 1}, {one, "one", 0, 0}, {kept, "kept", 1, 1}, {other, "other", 1, 1}, {zero, "zero", 1, 0}} {
			if err := b.SendTo(t.Context(), to.id, Message{Topic: "answers/x", Payload: []byte(to.id), QoS: to.sent, Retain: true}); err != nil {
				t.Fatal(err)
			}
			if got := to.p.gets(to.as, "answers/x", to.id); to.as > 0 {
				to.p.puback(got.id)
			}
		}
		if err := b.SendTo(t.Context(), "one", Message{Topic: "answers/secret", QoS: 1}); !errors.Is(err, ErrNotAuthorized) {
			t.Error(err)
		}
		kept.leave()
		for _, client := range []string{"nobody", "kept"} {
			if err := b.SendTo(t.Context(), client, Message{Topic: "answers/x", QoS: 1}); !errors.Is(err, ErrNotFound) {
				t.Errorf("%s: %v", client, err)
			}
		}
		late := join(t, b, connectOpts{id: "late"})
		late.subscribe(1, "answers/+")
		for _, p := range []*peer{one, other, zero, late} {
			p.none()
			p.leave()
		}
		if seen != 0 {
			t.Errorf("handlers saw %d messages", seen)
		}
	}, func(o *Options) { o.Authorizer = book })
}
