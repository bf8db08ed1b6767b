// Package brokerpebble keeps the broker's sessions, queues and retained
// messages in a pebble database.
//
//	db, err := pebble.Open("data", &pebble.Options{})
//	...
//	store, err := brokerpebble.Open(ctx, db, "broker/", nil)
//	...
//	b, err := broker.New(store, nil)
//
// The database and the key prefix are the caller's: one database serves many
// stores, each below its own prefix, and the Store closes nothing. Two Stores
// must not share a prefix at the same time, since numbers are given in memory.
//
// # Queues
//
// A message for one session is one record, in the queue of that session. A
// message for several is one record in a shared log, and a reference in
// each of the queues: its bytes are stored once whatever the fan-out. What a
// session has dequeued is a position, written without waiting for the disk; the
// references below it are deleted in ranges from time to time. So is the part
// of the shared log below the first reference of every session. A session that
// stays away keeps the shared messages above its first one, until it comes back
// or expires; its broker bounds how long that is.
//
// # Durability and order
//
// Enqueue, SaveSession, DeleteSession and SetRetained return once what they
// wrote is synced to disk. Under a lock they give numbers and hand their batch
// to pebble, which makes it visible; they wait for the disk outside of it, so
// that concurrent callers share one sync. After a power cut everything is there
// that was acknowledged, and of a batch that was not, all or nothing. Dequeue
// does not wait: what a power cut brings back is delivered again.
//
// # Keys
//
// Every key begins with the prefix; the next byte tells the kind. Numbers are
// big endian, <n> is an unsigned 64-bit number.
//
//	0x00 'v'                         format: one byte, 0x01
//	0x00 'n'                         the next sequence number, <n>
//	'i' length client <id>           mark: the publish with that packet id, 16 bits,
//	                                 was taken: empty
//	'j' length client <n>            mark: the client has that message: empty
//	'l' <n>                          message of the shared log with that number
//	'p' client                       position: all numbers up to <n> are dequeued
//	'q' length client <n>            queue: the message; or nothing (see 'l'), or one
//	                                 byte, if the session gets the message of 'l' in
//	                                 another way: bits 0-1 QoS, 2 retain
//	'r' topic                        retained message
//	's' client                       session
//
// client and topic are their bytes as they are; length is the length of client
// in bytes, 32 bits, and keeps apart clients whose identifiers are prefixes of
// one another.
//
// # Records
//
// A string is its length as an unsigned varint, and its bytes. A time is
// seconds since 1970 as a signed varint and nanoseconds as an unsigned varint.
//
// A message:
//
//	byte    format, 0x01
//	byte    bits 0-1 QoS, 2 retain, 3 payload format follows, 4 expiry follows,
//	        5 correlation data follows, 6 user properties follow, 7 time follows
//	string  topic
//	string  client ID
//	string  principal
//	[time]  when it was accepted
//	[byte]  payload format
//	[uvarint] expiry in nanoseconds
//	string  content type
//	string  response topic
//	[string] correlation data
//	[uvarint, then name and value as strings] user properties
//	string  payload
//
// A session:
//
//	byte    format, 0x01
//	byte    protocol level
//	byte    bit 0 disconnected follows, 1 will follows, 2 will delay follows,
//	        3 will's thing and source IP follow, 4 will's connection had an
//	        authorizer of its own
//	string  client ID
//	string  principal
//	varint  expiry in nanoseconds
//	[time]  disconnected
//	uvarint number of subscriptions, and for each
//	        string filter; byte: bits 0-1 QoS, 2 no local, 3 retain as published,
//	        4-5 retain handling; uvarint identifier
//	[uvarint] will delay in nanoseconds, not 0
//	[string thing, string source IP] of the will, not both empty
//	[time when it is due, then a message as a string] will
//
// Nothing may follow. A record that does not read so is a [*CorruptError] and
// is left where it is.
package brokerpebble
