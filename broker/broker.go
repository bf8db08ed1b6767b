package broker

import (
	"context"
	"iter"
	"net"
	"sync"
)

type Broker struct {
	count    counters
	mu       sync.Mutex
	conns    map[int]int
	sessions map[string]int
}

func New(store Store, opts *Options) (*Broker, error)                             { panic("soon") }
func (b *Broker) Serve(ctx context.Context, l net.Listener) error                 { panic("soon") }
func (b *Broker) ServeConn(ctx context.Context, c net.Conn) error                 { panic("soon") }
func (b *Broker) Run(ctx context.Context) error                                   { panic("soon") }
func (b *Broker) Publish(ctx context.Context, topic string, payload []byte) error { panic("soon") }
func (b *Broker) PublishMessage(ctx context.Context, m Message) error             { panic("soon") }
func (b *Broker) Subscribe(filter string, h func(ctx context.Context, topic string, payload []byte) error) (cancel func(), err error) {
	panic("soon")
}
func (b *Broker) SubscribeMessages(filter string, h func(context.Context, Message) error) (cancel func(), err error) {
	panic("soon")
}

type KickOptions struct {
	Reason       DisconnectReason
	SuppressWill bool
	EndSession   bool
}

func (b *Broker) Kick(clientID string, reason DisconnectReason) error   { panic("soon") }
func (b *Broker) Disconnect(clientID string, o KickOptions) error       { panic("soon") }
func (b *Broker) DisconnectPrincipal(principal string) int              { panic("soon") }
func (b *Broker) InvalidateAuth()                                       { panic("soon") }
func (b *Broker) Clients() iter.Seq[ClientInfo]                         { panic("soon") }
func (b *Broker) Client(clientID string) (ClientInfo, error)            { panic("soon") }
func (b *Broker) Subscriptions(clientID string) ([]Subscription, error) { panic("soon") }
func (b *Broker) Retained(ctx context.Context, filter string) iter.Seq2[Message, error] {
	panic("soon")
}
