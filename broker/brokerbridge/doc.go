// Package brokerbridge joins our broker to a foreign one, Mosquitto, EMQX, a cloud: messages of chosen
// topics go from one to the other, in either direction.
//
//	bridge, err := brokerbridge.New(b, []string{"mqtts://broker.example.com:8883"}, &brokerbridge.Options{
//		Name: "site-7",
//		Out:  []brokerbridge.Route{{Filter: "telemetry/#", Remote: "sites/7/"}},
//		In:   []brokerbridge.Route{{Filter: "commands/+", Remote: "sites/7/"}},
//	})
//	...
//	workers.Go(func() error { return bridge.Run(ctx) })
//
// # Topics
//
// A [Route] has a filter, and a prefix on each side: with Local "here/" and Remote "there/", the filter a/#
// takes here/a/b of our broker to there/a/b of the other, or the other way round. Where what is subscribed
// to in a direction overlaps, a message would have two names, and foreign brokers may send it once for each; so New refuses that.
//
// # Delivery
//
// QoS 1 and 2 are at least once, and QoS 0 at most once. What goes out waits in a persistent session of
// our broker, under the client id "bridge-" and the bridge's name: a message is acknowledged there when the
// other broker has acknowledged it, and until then it is in the Store, over restarts of either side. Its bounds
// are those of the broker's queues (MaxQueueMessages and so on). What comes in waits in a
// persistent session of the other broker, and is acknowledged there when our broker has it.
//
// Messages of one topic keep their order. Retained messages go over as retained: those that are there when a
// route is new, and every change of them; so do the MQTT 5 properties.
//
// What a side refuses for good, such as a topic it forbids, is dropped, counted and logged: it
// must not stop what is behind it. Refusals that may pass (0x80, 0x89, 0x97) are tried again.
//
// # Loops
//
// A message never goes back to where it came from: both sides subscribe with No Local. For rings of more than
// two brokers each bridge adds its broker's ID to the user property [PathProperty] and drops what has
// come through it before, or through more than Options.MaxHops.
package brokerbridge
