// Package rulespebble keeps rules in a pebble database.
//
//	db, err := pebble.Open(dir, nil)
//	store, err := rulespebble.New(db, []byte("rules/"))
//	engine, err := rules.Open(ctx, store, binder, nil)
//
// The database may hold other things under other prefixes; the store neither
// opens nor closes it. When Save or Delete returns nil, the write is synced:
// it survives the loss of the process and of power. Writes of several
// goroutines share a sync.
//
// # Layout
//
// Format version 1. All keys begin with the prefix given to New:
//
//	prefix 'v'              1 byte: the format version, 0x01
//	prefix 'r' name         the rule of that name
//
// The name is as it is, so the order of keys is the order of names. The value
// of a rule is the JSON of rules.Rule and a newline, parameters of actions as
// they were given but for white space:
//
//	{"ruleName":"hot","sql":"SELECT ...","actions":[{"log":{}}],"id":"...","version":1,
//	 "createdAt":"2026-01-02T03:04:05Z","updatedAt":"2026-01-02T03:04:05Z"}
package rulespebble
