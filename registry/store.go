package registry

import (
	"context"
	"iter"
)

// A Store is an ordered key space with atomic conditional writes. It does not
// know what a thing is: names, types, groups and indexes are Registry's. Its
// methods are called from many goroutines.
//
// Keys are non-empty strings of any bytes, ordered bytewise. What goes in and
// what comes out shares no memory with the store.
//
// A Store belongs to one Registry at a time: the Registry caches what decides
// about access, and learns of changes only from its own writes.
type Store interface {
	// Get returns the entry of key, or ErrNotFound.
	Get(ctx context.Context, key string) (Entry, error)

	// Apply checks the conditions of all ops against the state before the
	// call and then makes all writes, or none. A condition that does not hold
	// is ErrVersionConflict. No key is put or deleted twice in one call. When
	// Apply returns nil the writes are as durable as the store makes them.
	//
	// All entries written by one call get the same Version, larger than any
	// the store gave before, also after it was opened again. So the version
	// of a key never comes back, not even when the key is deleted and made
	// anew.
	Apply(ctx context.Context, ops ...Op) error

	// Scan yields the entries whose key has the prefix and is greater than
	// after, in order. Entries written while it runs may or may not be seen;
	// each entry is seen as one Apply left it. The loop body may use the
	// store.
	Scan(ctx context.Context, prefix, after string) iter.Seq2[Entry, error]
}

// An Entry is one key with its value.
type Entry struct {
	Key     string
	Value   []byte
	Version int64 // greater than 0, set by the store
}

// An Op is one part of an Apply.
type Op struct {
	Kind  OpKind
	Key   string // for CheckEmpty a prefix of keys
	Value []byte // for Put
	// Prev is the version that the key must have before the call: 0 that it
	// is absent, Any that nothing is asked, Present that there is one.
	// CheckEmpty ignores it.
	Prev int64
}

// Values of Op.Prev that are no version.
const (
	Any     int64 = -1
	Present int64 = -2
)

// An OpKind says what an Op does.
type OpKind uint8

const (
	Put        OpKind = iota // sets Value
	Delete                   // removes the key; absent is fine unless Prev says otherwise
	Check                    // writes nothing, only checks Prev
	CheckEmpty               // writes nothing, checks that no key begins with Key
)
