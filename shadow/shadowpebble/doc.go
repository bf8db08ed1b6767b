// Package shadowpebble keeps shadows in a pebble database. It takes an open
// database and a key prefix, so that one database serves a whole backend, and
// closes neither.
//
// # Format, version 1
//
// Below the prefix there is one key per shadow, tombstones included, and one
// for each document of its history:
//
//	thing name, 0x00, shadow name (empty for the classic one)
//	0x00, thing name, 0x00, shadow name, 0x00, version (8 bytes, big-endian)
//
// Names never hold a zero byte and things are never without a name, so the
// shadows of a thing are together, its classic one first, the histories come
// before all shadows, and that of one shadow is in the order of its versions.
// Both have the same value:
//
//	byte     0x01, the format
//	byte     1 if this is a tombstone, else 0
//	uvarint  version of the document
//	varint   when it was written, nanoseconds since 1970
//	4 times  uvarint length and bytes: By, Desired, Reported, Metadata
//
// Save moves the value it replaces to the history and takes the one out that is
// Options.History versions older, in one batch with the new value. A shadow
// whose versions start again loses the history from before.
//
// # Guarantees
//
// Save returns once the document is synced. No sync happens under a lock:
// writers of different shadows, and of the same one, share it. A reader may
// see a document before it is synced; whoever builds on it is synced after it.
package shadowpebble
