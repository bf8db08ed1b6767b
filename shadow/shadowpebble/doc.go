// Package shadowpebble keeps shadows in a pebble database. It takes an open
// database and a key prefix, so that one database serves a whole backend, and
// closes neither.
//
// # Format, version 1
//
// Below the prefix there is one key per shadow, tombstones included:
//
//	thing name, 0x00, shadow name (empty for the classic one)
//
// Names never hold a zero byte, so the keys of a thing are together, its classic
// shadow first. The value is
//
//	byte     0x01, the format
//	byte     1 if this is a tombstone, else 0
//	uvarint  version of the document
//	varint   when it was written, nanoseconds since 1970
//	4 times  uvarint length and bytes: By, Desired, Reported, Metadata
//
// # Guarantees
//
// Save returns once the document is synced. No sync happens under a lock:
// writers of different shadows, and of the same one, share it. A reader may
// see a document before it is synced; whoever builds on it is synced after it.
package shadowpebble
