// Package brokerpaho lets a program keep the MQTT 5 broker it has: EMQX,
// HiveMQ, Mosquitto, a cluster. A [Client] has the Publish and Subscribe of
// [*github.com/thingloom/thingloom/broker.Broker], so that whatever takes those
// two methods takes either.
//
//	c, err := brokerpaho.New([]string{"mqtts://broker.example.com:8883"}, &brokerpaho.Options{
//		ClientID: "backend-1", TLS: tlsConfig,
//	})
//	...
//	cancel, err := c.Subscribe("sensors/+/climate", handle)
//	workers.Go(func() error { return c.Run(ctx) })
//
// # Delivery
//
// Everything is QoS 1. Publish returns when the server has acknowledged. A
// message that comes in is handled and then acknowledged, so that one whose
// handler did not succeed, because the program ended, comes again: at least
// once. The session outlives the connection by Options.SessionExpiry; with a
// fixed ClientID it also outlives the program.
//
// A handler that fails is tried again, Options.Attempts times with a growing
// pause, and the message is then acknowledged, counted in Stats.Failed and
// logged: MQTT has no way to give it back.
//
// # Order and bounds
//
// Handlers run one after another in the order of arrival, beside the connection:
// a slow one delays the others and never the keep alive. The server sends no
// more than Options.ReceiveMaximum messages ahead of what is acknowledged, and
// that is what may wait in memory. QoS 0 messages beyond twice that are dropped
// and counted. With Options.Workers above one, messages of one topic keep their order.
//
// # Filters
//
// A message is given to each handler whose filter matches, once, although
// filters overlap. Servers are free to send it once for each of the
// subscriptions that overlap [MQTT-3.3.4-2]; whose a copy is, subscription identifiers tell. With a server that
// does so and takes none, and over WebSocket or a proxy, handlers see as many copies; so they may, as ever at QoS 1, while a
// connection is being restored.
//
// # Reconnecting
//
// Run connects and, when the connection is lost, connects again with a growing
// pause, and subscribes anew. Publish waits for the connection as long as its
// context allows. A publish that was sent when the connection broke is sent
// again in the session; if that has not ended well after
// Options.PublishTimeout, it is [ErrUnconfirmed].
package brokerpaho
