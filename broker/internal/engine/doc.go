// Package engine is MQTT without socket, clock, store or goroutine: bytes in,
// bytes and events out, and the time passed in.
//
// It comes in two halves, because two kinds of goroutines drive it. An
// [Inbound] turns the bytes of one connection into packets and checks what can be
// checked of them alone; only the reader of that connection touches it. An
// [Outbound] is the sending side of a session: which messages are unacknowledged,
// which wait, what the peer's Receive Maximum still allows. Publishers, the
// reader and whoever reads the session's stored queue call it under one lock.
//
// # Delivery and order
//
// Unacknowledged deliveries stand in a ring whose packet identifiers are
// consecutive, so an acknowledgement finds its entry by subtraction, and a gap
// in acknowledgements does not disturb the order in which messages are sent again
// [MQTT-4.6.0-1]. Behind the ring wait deliveries without an identifier. Behind those, for a
// durable session, lies the store: Outbound knows the number of the last message there (tail)
// and of the last it has taken over (read), asks for more with [Outbound.Need] and gets it with
// [Outbound.Filled]. Memory holds a window and a bounded read-ahead, whatever the queue's length.
package engine
