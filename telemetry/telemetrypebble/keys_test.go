package telemetrypebble

import (
	"bytes"
	"testing"
	"time"

	"github.com/thingloom/thingloom/telemetry"
)

// What is decoded encodes to the same bytes, and nothing panics.
func FuzzDecode(f *testing.F) {
	f.Add(appendRecord(nil, &telemetry.Record{Key: "k", Time: time.Unix(1, 2), Value: []byte(`{}`)}))
	f.Add(encodeCheckpoint(telemetry.Checkpoint{Next: 1, Seq: 2, End: 3, Cut: time.Unix(4, 5), State: []byte("s")}))
	f.Add((&segment{first: time.Unix(1, 0), last: time.Unix(2, 0), end: 9, bytes: 10, sealed: true}).encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodeRecord(b); err == nil {
			again, err := decodeRecord(appendRecord(nil, &r))
			if err != nil || again.Key != r.Key || !again.Time.Equal(r.Time) || !bytes.Equal(again.Value, r.Value) {
				t.Fatalf("record %+v is read as %+v, %v", r, again, err)
			}
		}
		if c, err := decodeCheckpoint(b); err == nil && !bytes.Equal(encodeCheckpoint(c), b) {
			t.Fatalf("checkpoint %+v", c)
		}
		if g, err := decodeSegment(0, b); err == nil && !bytes.Equal(g.encode(), b) {
			t.Fatalf("segment %+v", g)
		}
	})
}
