// Package telemetrypebble keeps a telemetry stream in a Pebble database: the
// partitioned log of records and the checkpoints of their consumers.
//
//	db, err := pebble.Open("data", nil)
//	store, err := telemetrypebble.Open(db, "telemetry/", &telemetrypebble.Options{Partitions: 4})
//	stream, err := telemetry.NewStream(store, store, nil)
//
// The database is the application's: other packages may keep theirs under
// other prefixes, and nothing here closes it.
//
// # Durability
//
// Append and SaveCheckpoint return after an fsync, which concurrent calls
// share. A record is not readable before it is durable, so that no consumer
// acts on one that a power cut takes back.
//
// # Retention
//
// Records are kept for ever unless Options say otherwise. Trim applies the
// limits once and Run applies them every Options.TrimInterval. Whole segments
// of about Options.SegmentBytes are removed, oldest first, by one range
// deletion each, whether consumers have seen them or not; a consumer that
// finds its records gone counts them as skipped. What was removed is counted
// in Stats, by reason. TrimBefore removes by offset.
//
// # Layout, format version 1
//
// All keys begin with the prefix given to Open. Integers are big-endian.
// P is the partition in 4 bytes, O an offset in 8 bytes.
//
//	m              version, 1 byte = 1; number of partitions, 4 bytes
//	f P            O of the oldest kept record; absent while that is 0
//	r P O          record: event time, 8 bytes (Unix nanoseconds, signed);
//	               length of the key, uvarint; key; value
//	s P O          segment that begins at O:
//	               first arrival, 8 bytes (Unix nanoseconds);
//	               and once it is sealed: last arrival, 8 bytes;
//	               offset after its last record, 8 bytes;
//	               bytes of its keys and values, 8 bytes
//	c P consumer   checkpoint: Next, Seq, End, each 8 bytes; Cut, 8 bytes
//	               (Unix nanoseconds, 0 for none); State, the rest
//
// The last r of a partition, or f when there is none, tells the next offset.
// A segment's s is written in the batch of its first record, and replaced by
// the sealed form in the batch of the next segment's first record.
package telemetrypebble
