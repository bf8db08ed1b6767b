// Package registrypebble keeps a registry in pebble.
//
//	db, err := pebble.Open("data", &pebble.Options{})
//	store, err := registrypebble.Open(ctx, db, "registry/", nil)
//	reg, err := registry.New(store, nil)
//
// One database serves many packages: every key of this one begins with the
// prefix given to Open, which must not be the beginning of another's. The
// database is the caller's to close, after all calls have returned.
//
// # Format, version 1
//
//	{prefix} 'm'        1 byte format version (1), 8 bytes big-endian: the
//	                    last version number given to entries
//	{prefix} 'd' {key}  8 bytes big-endian: version of the entry; then the value
//
// # Guarantees
//
// Apply returns when its batch is synced. Batches are made one after another
// under a lock that is not held while waiting for the disk, so that
// concurrent calls share an fsync. A batch is whole or absent after a crash.
// Readers may see a batch shortly before it is synced.
package registrypebble
