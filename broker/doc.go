// Package broker is an MQTT server in your process: MQTT 3.1.1 and 5.0, over
// any net.Conn, with the program itself as one of its clients.
//
//	b, err := broker.New(broker.NewMemStore(), &broker.Options{
//		Authenticator: broker.AllowAll{}, // tests only
//		Authorizer:    broker.AllowAll{},
//	})
//	...
//	b.Subscribe("sensors/+/climate", func(ctx context.Context, topic string, payload []byte) error {
//		return handle(ctx, topic, payload)
//	})
//	l, err := net.Listen("tcp", "127.0.0.1:1883")
//	...
//	err = b.Serve(ctx, l) // returns when ctx is done and the clients are told
//
// # What is spoken
//
// QoS 0, 1 and 2, retained messages with handling options, wills with delay, keep
// alive, takeover of a client id, clean and persistent sessions with expiry,
// wildcards, shared subscriptions, subscription identifiers, no local and
// retain as published, topic aliases, Receive Maximum and Maximum
// Packet Size in both directions, message expiry, enhanced authentication ([AuthMethod]), server references
// ([Refusal]), and the properties that
// travel with messages, user properties in their order. docs/mqtt-conformance.md lists each statement of the standard with its
// tests. [AWSProfile] has the limits and deviations of AWS IoT as Options. QoS 2 is
// exactly once, also over the end of a connection and of the process; Options.MaxQoS
// grants less.
//
// # Delivery
//
// A publish at QoS 1 is acknowledged when three things are done, in this order: every
// in-process handler has returned without error, the retained message is stored if it is one,
// and the message is durable ([SessionStore]) for each persistent session that
// must get it, connected or not. What no persistent session wants never touches
// the [Store]. A handler's error, a full queue under [RefusePublish], or an error of the Store
// refuses the publish: MQTT 5 clients are told in the PUBACK, MQTT 3.1.1 clients lose their connection
// without it. Either way a publisher may try again, and then sessions and handlers that
// had the message already see it twice: QoS 1 is at least once.
//
// Acknowledgements of all that came in one read leave in one write, and what
// it made durable is committed together, with that of other publishers.
//
// # Order
//
// Messages of one publisher on one topic at one QoS reach each subscriber in the order
// they came, also through the queue of an absent client and when
// unacknowledged ones are sent again [MQTT-4.6.0]. Between publishers there is no order, except that all
// QoS 1 messages of a persistent session come in the order of its queue.
//
// # Slow and absent clients
//
// No publisher waits for a subscriber's socket. For a client that does not keep up, QoS 0
// messages are dropped above Options.MaxOutboxBytes. QoS 1 messages wait in memory up to
// Options.MaxPendingBytes; above it those of a persistent session wait in the Store alone and are read
// back as it acknowledges, and a client whose session does not persist is disconnected with 0x97. The queue of
// a session is bounded by Options.MaxQueueMessages, MaxQueueBytes and MaxQueueAge. Every
// drop is counted under a [DropReason] and told to [Trace].Dropped.
//
// A client that leaves one message unacknowledged while it acknowledges all others gets
// no more QoS 1 once 512 messages, or eight windows, have gone by it.
//
// A peer that does not read what it is sent is not read either.
//
// # Crashes
//
// After a crash, sessions, subscriptions, retained messages, wills that were pending and queues are as the Store has
// them. Messages of QoS 1 that were sent and not acknowledged come again under new packet identifiers, without the DUP
// flag; stored messages of QoS 2 keep theirs, so that each still comes exactly once. The will of a client that was
// connected when the process died is published by the next one, after its delay: a client with a will is in the Store
// while it is connected, also without a persistent session. New reads sessions, but not what waits in their queues.
//
// That packet identifier follows from the message's number in the Store, modulo 32,768. A client that leaves an exchange of
// QoS 2 open while so many messages are stored for whatever clients gets none after the one whose turn it would be, until it
// completes the exchange; the limits of its queue hold meanwhile, and nobody else is held up.
//
// # Authorisation
//
// Without an [Authenticator] and an [Authorizer] nobody is admitted. The Authorizer is asked for connecting, for
// the will, for each subscription, and once per client and topic for publishing and
// receiving; [Broker.InvalidateAuth] makes it be asked again and [Broker.DisconnectPrincipal] cuts the
// connections of a principal that was revoked. Topics under $aws/events/ and $SYS/ are the broker's own: clients
// cannot publish there. An Authenticator that is an [Admitter] also says how long a client may stay and who decides for
// it; [CustomAuth] is one, over functions in the shape of AWS IoT's custom authorizers.
//
// # Seeing and taking part
//
// [Broker.Stats] has counters, [Trace] is told of moments, [Hooks] take part and may refuse or change, [Broker.Watch]
// follows one client or topic for a while, Options.SysInterval publishes statistics under $SYS/, and Options.LifecycleEvents
// the events of AWS IoT. [Broker.Clients], [Broker.Client], [Broker.Subscriptions] and [Broker.Disconnect] are for operators.
//
// # Panics
//
// A panic of a function of the application (handler, hook, trace, authenticator, authorizer, store, log handler) is an
// error of it: [ErrPanic], counted in [Stats] and logged with its stack. What was asked for is refused as for any
// other error, nothing is acknowledged that was not done, and other clients do not notice. A panic of the broker itself, which
// is a bug, ends the connection concerned with reason 0x80.
//
// # Limits of memory
//
// A packet's claimed length is checked before anything is allocated, and memory for
// it grows with the bytes that have come. An idle TCP connection holds no buffer. A packet that takes longer to come than
// Options.PacketTimeout ends its connection, a CONNECT Options.ConnectTimeout. Options.MaxMemoryBytes bounds what waits for all
// connections together and what sessions, subscriptions and retained messages take, and [Stats] shows it.
package broker
