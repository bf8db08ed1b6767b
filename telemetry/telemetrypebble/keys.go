package telemetrypebble

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"

	"github.com/thingloom/thingloom/telemetry"
)

const formatVersion = 1

// The kinds of keys, after the prefix.
const (
	kindMeta       = 'm'
	kindFirst      = 'f'
	kindRecord     = 'r'
	kindSegment    = 's'
	kindCheckpoint = 'c'
)

func (s *Store) key(kind byte, partition int, extra int) []byte {
	k := make([]byte, 0, len(s.prefix)+1+4+extra)
	k = append(k, s.prefix...)
	k = append(k, kind)
	return binary.BigEndian.AppendUint32(k, uint32(partition))
}

func (s *Store) offsetKey(kind byte, partition int, offset int64) []byte {
	return binary.BigEndian.AppendUint64(s.key(kind, partition, 8), uint64(offset))
}

func (s *Store) checkpointKey(consumer string, partition int) []byte {
	return append(s.key(kindCheckpoint, partition, len(consumer)), consumer...)
}

// endKey is above every offset of the partition: offsets are not negative.
func (s *Store) endKey(kind byte, partition int) []byte {
	return binary.BigEndian.AppendUint64(s.key(kind, partition, 8), 1<<63)
}

func offsetOf(key []byte) int64 {
	return int64(binary.BigEndian.Uint64(key[len(key)-8:]))
}

var errCorrupt = errors.New("telemetrypebble: corrupt entry")

// appendRecord appends the stored form of r.
func appendRecord(dst []byte, r *telemetry.Record) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Time.UnixNano()))
	dst = binary.AppendUvarint(dst, uint64(len(r.Key)))
	dst = append(dst, r.Key...)
	return append(dst, r.Value...)
}

// decodeRecord copies what it returns.
func decodeRecord(b []byte) (telemetry.Record, error) {
	if len(b) < 9 {
		return telemetry.Record{}, errCorrupt
	}
	t := int64(binary.BigEndian.Uint64(b))
	n, w := binary.Uvarint(b[8:])
	if w <= 0 || n > uint64(len(b)-8-w) {
		return telemetry.Record{}, errCorrupt
	}
	b = b[8+w:]
	return telemetry.Record{Key: string(b[:n]), Time: time.Unix(0, t).UTC(), Value: bytes.Clone(b[n:])}, nil
}

func encodeCheckpoint(c telemetry.Checkpoint) []byte {
	b := make([]byte, 0, 32+len(c.State))
	b = binary.BigEndian.AppendUint64(b, uint64(c.Next))
	b = binary.BigEndian.AppendUint64(b, uint64(c.Seq))
	b = binary.BigEndian.AppendUint64(b, uint64(c.End))
	var cut int64
	if !c.Cut.IsZero() {
		cut = c.Cut.UnixNano()
	}
	b = binary.BigEndian.AppendUint64(b, uint64(cut))
	return append(b, c.State...)
}

func decodeCheckpoint(b []byte) (telemetry.Checkpoint, error) {
	if len(b) < 32 {
		return telemetry.Checkpoint{}, errCorrupt
	}
	c := telemetry.Checkpoint{
		Next: int64(binary.BigEndian.Uint64(b)),
		Seq:  int64(binary.BigEndian.Uint64(b[8:])),
		End:  int64(binary.BigEndian.Uint64(b[16:])),
	}
	if cut := int64(binary.BigEndian.Uint64(b[24:])); cut != 0 {
		c.Cut = time.Unix(0, cut).UTC()
	}
	if len(b) > 32 {
		c.State = bytes.Clone(b[32:])
	}
	return c, nil
}

// A segment is a run of records that retention removes as one.
type segment struct {
	start       int64
	first, last time.Time // arrivals; last is zero while the segment is open
	end         int64
	bytes       int64
	sealed      bool
}

func (g *segment) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(g.first.UnixNano()))
	if g.sealed {
		b = binary.BigEndian.AppendUint64(b, uint64(g.last.UnixNano()))
		b = binary.BigEndian.AppendUint64(b, uint64(g.end))
		b = binary.BigEndian.AppendUint64(b, uint64(g.bytes))
	}
	return b
}

func decodeSegment(start int64, b []byte) (segment, error) {
	g := segment{start: start, end: start}
	switch len(b) {
	case 8:
	case 32:
		g.sealed = true
		g.last = time.Unix(0, int64(binary.BigEndian.Uint64(b[8:])))
		g.end = int64(binary.BigEndian.Uint64(b[16:]))
		g.bytes = int64(binary.BigEndian.Uint64(b[24:]))
	default:
		return segment{}, errCorrupt
	}
	g.first = time.Unix(0, int64(binary.BigEndian.Uint64(b)))
	return g, nil
}
