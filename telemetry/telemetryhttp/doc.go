// Package telemetryhttp shows telemetry to browsers and programs: live values
// as server-sent events and as JSON, and the files of a bucket.
//
//	mux.Handle("GET /metrics/live", telemetryhttp.Events(live, nil))
//	mux.Handle("GET /metrics/now", telemetryhttp.Values(live))
//	mux.Handle("GET /bucket/", http.StripPrefix("/bucket/", telemetryhttp.Files(bucket, nil)))
//
// There is no authentication here: the application wraps it around its mux.
//
// # Events
//
// GET answers text/event-stream. Each event has the data
//
//	{"key":"s1","time":"2026-03-01T12:00:00Z","partition":0,"value":{"t":20.5}}
//
// with time in RFC 3339, and an id. A subscriber that comes back with
// Last-Event-ID gets what it missed, or the last value of each key when that
// is too much or of another process; a new one gets the last values first. A
// comment every Options.Heartbeat keeps the connection open. The parameter
// key, which may be repeated, selects keys. At the limit of subscribers the
// answer is 503 with Retry-After.
//
// A stream of events ends with its request's context; give http.Server a
// BaseContext that ends at shutdown, since Shutdown alone waits for them.
//
// # Values
//
// GET answers a JSON array of the last event of each key, in the order of keys.
//
// # Files
//
// GET of a key answers the object, with ranges and conditions as
// http.ServeContent has them. GET of the empty path lists:
//
//	{"objects":[{"key":"2026/03/01/12/a.jsonl","bytes":123,"time":"2026-03-01T12:01:00Z"}],"truncated":true}
//
// with the parameters prefix, after (list what sorts after this key) and
// limit (1 to Options.MaxList).
//
// # Records
//
// GET with the parameters partition, from (the first offset wanted) and limit
// (1 to Options.MaxList), each 0 or at its most by default, reads a log:
//
//	{"records":[{"partition":0,"offset":7,"key":"s1","time":"2026-03-01T12:00:00Z","value":{"t":20.5}}],
//	 "partitions":4,"first":0,"next":8,"end":9}
//
// A value that is not JSON is "base64" in the place of "value". first is the
// oldest offset that is kept, next what to ask from for the records after
// these, end the offset that the next record will get.
//
// # Errors
//
// Errors have a JSON body {"message":"..."} and the status 400 for a bad
// parameter or key, 404 for an object that is not there, 405, 503 at the
// limit, and 500 for the rest, without details.
package telemetryhttp
