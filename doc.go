// Package thingloom is the tour of an IoT backend in six packages. It holds no
// code: there is no facade to learn, each package is useful alone, and none of
// them imports another.
//
//   - broker is an MQTT 3.1.1 and 5.0 server inside your process: sessions,
//     retained messages, wills, certificates, and in-process Publish and
//     Subscribe. Sub-packages: brokerpebble (durable sessions), brokerws
//     (WebSocket), brokerhttp (publish over HTTP), brokerpaho (the same two
//     small interfaces over a foreign MQTT 5 broker).
//   - registry knows things, types, groups, certificates and policies, issues
//     certificates from its own CA, and answers what a principal may do.
//   - shadow merges the desired and the reported state of a thing into one
//     document and tells devices the delta, over MQTT (shadowmqtt) and HTTP
//     (shadowhttp).
//   - rules selects and transforms messages with AWS IoT SQL and hands what it
//     selected to actions.
//   - actions delivers: bounded or durable queues, retries, dead letters, and
//     plugins from webhook to table.
//   - telemetry stores records in partitioned streams, aggregates them over
//     windows of event time, and writes them as files, into tables, and live to
//     a page.
//
// They meet in your application, in adapters of five to ten lines, because a
// method at a seam uses only types of the standard library: a *broker.Broker
// publishes for shadowmqtt and for the republish action as it stands. The
// example of this package assembles a whole backend that way; examples/full-backend
// is the same thing grown up, as one binary.
package thingloom
