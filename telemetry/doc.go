// Package telemetry carries measurements from devices to files, tables and
// dashboards: durable partitioned streams, consumers that go on where they
// ended, windows in SQL, and JSON-lines files that hold each record exactly
// once.
//
//	stream, err := telemetry.NewStream(store, store, nil)
//	go stream.Run(ctx)
//	err = stream.Put(ctx, "s1", time.Now(), []byte(`{"t":20.5}`)) // durable now
//
//	bucket, err := telemetry.NewDirBucket("bucket", nil)
//	files, err := telemetry.Files(bucket, nil)
//	err = stream.Consume(ctx, "archive", files) // blocks
//
// The store is telemetrypebble's on disk or a MemLog.
//
// # Streams
//
// A Stream appends to a Log, which has a fixed number of partitions. The hash
// of a record's key decides on its partition (see Partition). Put returns once
// its record is durable; many goroutines share a write, so that throughput
// grows with their number and not with the speed of fsync. Put refuses what is
// no JSON.
//
// Order: records of one key are in the order in which their Puts were
// called one after the other. Puts of one key at the same time are in some
// order, and nothing is promised between partitions.
//
// # Consumers
//
// Consume hands batches to a Sink, from the checkpoint on, one consumer's
// name at a time, partitions side by side. Sinks nest as writers do: Aggregate,
// Tee, Buffer and DeadLetter contain others; Files, Table, Into, Live and
// Func are ends. Hints of a sink say how large its batches are and how long a
// record may wait for its batch.
//
// A batch is announced in the checkpoint before it is delivered: first and
// last offset, and the time it was cut. A crash at any moment leads to the
// same batch again, with the same ID, Time and Records, and only then to new
// ones. A sink whose effects are named by Batch.ID and made of nothing but
// the batch therefore has its effects exactly once. This is how a Files sink
// can promise that a file, once visible, never changes, and that the files of
// a consumer hold every record once. A Func may see one batch per partition
// twice after a crash.
//
// A failed batch is tried again after growing pauses until it succeeds, and
// holds up its partition meanwhile; Stats tells the lag and the last error.
// DeadLetter gives up after a number of attempts.
//
// Records that retention removes before a consumer saw them are counted in
// ConsumerStats.Skipped.
//
// # Windows
//
// Compile reads window SQL:
//
//	SELECT key, avg(t) AS t, max(t) AS peak FROM stream
//	GROUP BY key, TUMBLE(INTERVAL '1' MINUTE)
//
// Time is event time. The watermark of a partition is the latest event time
// seen there less WindowOptions.Lateness; windows that end at or before it
// are closed, and records that belong to none but closed windows are dropped
// as late, and counted. Within lateness the order of records changes nothing:
// sums are exact. Results are the same however often the process is killed,
// since state and offset are saved in one checkpoint. The number of open
// windows is bounded.
//
// A query is evaluated per partition, which is right for queries that group
// by key. Others need a stream with one partition.
//
// # Limits and guarantees
//
//   - Put: durable when it returns nil; by default
//     at most 1 MiB per value, always at most 256 bytes per key.
//   - Files: exactly once in content; Table: upserts, harmless to repeat;
//     Into, Func: at least once, under the same ID; Live: best effort, slow
//     subscribers are dropped and counted.
//   - Memory: bounded by the batches (Hints.MaxBytes for each consumer and
//     partition), the groups of puts (StreamOptions.MaxGroupBytes for each
//     partition) and the open windows.
//   - One process at a time has a log and a directory bucket open for writing.
package telemetry
