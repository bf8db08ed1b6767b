package main

import (
	"context"
	"errors"

	"github.com/thingloom/thingloom/broker"
)

// answering lets an endpoint answer the client that asked, and nobody else: as
// at AWS, answers about jobs come to it without a subscription, and neither
// other clients nor rules see them.
type answering struct{ *broker.Broker }

type askerKey struct{}

// Subscribe puts into the context who asks.
func (b answering) Subscribe(filter string, h func(ctx context.Context, topic string, payload []byte) error) (cancel func(), err error) {
	return b.SubscribeMessages(filter, func(ctx context.Context, m broker.Message) error {
		return h(context.WithValue(ctx, askerKey{}, m.ClientID), m.Topic, m.Payload)
	})
}

// answer sends to who asks, if it is still there and may receive. What asks
// without a connection, over HTTP or as the action of a rule, is answered on
// the topic for all.
func (b answering) answer(ctx context.Context, topic string, payload []byte) error {
	asker, _ := ctx.Value(askerKey{}).(string)
	if asker == "" {
		return b.Publish(ctx, topic, payload)
	}
	err := b.SendTo(ctx, asker, broker.Message{Topic: topic, Payload: payload, QoS: 1})
	if errors.Is(err, broker.ErrNotFound) || errors.Is(err, broker.ErrNotAuthorized) {
		return nil
	}
	return err
}
