package telemetry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/tidwall/gjson"
)

// MaxKeyBytes is the longest partition key, the limit of Kinesis.
const MaxKeyBytes = 256

// A Record is one measurement on its way through a stream.
type Record struct {
	Key       string    // partition key, as a rule the thing name
	Time      time.Time // event time
	Value     []byte    // JSON, or anything with StreamOptions.AnyBytes; not to be modified
	Partition int
	Offset    int64 // from 0 in each partition, set by the Log
}

// Partition returns which of n partitions the records of key belong to: the
// 64-bit FNV-1a hash of its bytes, modulo n. Stored data depends on it, so it
// never changes.
func Partition(key string, n int) int {
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h ^= uint64(key[i])
		h *= 1099511628211
	}
	return int(h % uint64(n))
}

// Event times are stored as nanoseconds since 1970 in 64 bits.
var (
	minTime = time.Unix(0, math.MinInt64)
	maxTime = time.Unix(0, math.MaxInt64)
)

// check says what makes a record unacceptable.
func (o *StreamOptions) check(key string, t time.Time, value []byte) error {
	switch {
	case key == "":
		return &RecordError{"key", "is empty"}
	case len(key) > MaxKeyBytes:
		return &RecordError{"key", fmt.Sprintf("has %d bytes, more than %d", len(key), MaxKeyBytes)}
	case t.Before(minTime) || t.After(maxTime):
		return &RecordError{"time", t.UTC().Format(time.RFC3339) + " is not between the years 1678 and 2262"}
	case len(value) > o.MaxRecordBytes:
		return &RecordError{"value", fmt.Sprintf("has %d bytes, more than %d", len(value), o.MaxRecordBytes)}
	case !o.AnyBytes && !validJSON(value):
		return &RecordError{"value", jsonReason(value)}
	}
	return nil
}

// maxBrackets is how deep JSON may nest for all we count: gjson recurses, and
// a megabyte of brackets would take hundreds of megabytes of stack.
const maxBrackets = 10_000

func validJSON(value []byte) bool {
	if len(value) > maxBrackets && bytes.Count(value, []byte{'['})+bytes.Count(value, []byte{'{'}) > maxBrackets {
		return json.Valid(value) // slower, and refuses what nests deeper than 10,000
	}
	return gjson.ValidBytes(value)
}

// jsonReason finds out where invalid JSON goes wrong; only called when it does.
func jsonReason(value []byte) string {
	var raw json.RawMessage
	err := json.Unmarshal(value, &raw)
	if se, ok := err.(*json.SyntaxError); ok {
		return fmt.Sprintf("is not JSON: at byte %d: %v", se.Offset, err)
	}
	return "is not JSON"
}

// appendLine appends value as one line: JSON may hold line breaks between its
// tokens, JSON lines may not.
func appendLine(dst, value []byte) []byte {
	if bytes.IndexByte(value, '\n') < 0 && bytes.IndexByte(value, '\r') < 0 {
		return append(append(dst, value...), '\n')
	}
	var buf bytes.Buffer
	if err := json.Compact(&buf, value); err != nil {
		// No JSON, from a stream of any bytes or a foreign Log. A string
		// keeps the line whole and the content visible.
		quoted, _ := json.Marshal(string(value))
		return append(append(dst, quoted...), '\n')
	}
	return append(append(dst, buf.Bytes()...), '\n')
}
