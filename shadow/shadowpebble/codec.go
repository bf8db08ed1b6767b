package shadowpebble

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/thingloom/thingloom/shadow"
)

const format = 0x01

func encode(d shadow.Document) []byte {
	b := make([]byte, 0, 64+len(d.By)+len(d.Desired)+len(d.Reported)+len(d.Metadata))
	b = append(b, format, 0)
	if d.Deleted {
		b[1] = 1
	}
	b = binary.AppendUvarint(b, uint64(d.Version))
	b = binary.AppendVarint(b, d.Time.UnixNano())
	for _, part := range []string{d.By, string(d.Desired), string(d.Reported), string(d.Metadata)} {
		b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
	}
	return b
}

// A head is the part of a value before the texts.
type head struct {
	deleted bool
	version int64
	time    time.Time
	rest    []byte
}

func decodeHead(b []byte) (h head, err error) {
	corrupt := func(what string) error { return fmt.Errorf("%w: %s", shadow.ErrCorrupt, what) }
	if len(b) < 2 || b[0] != format || b[1] > 1 {
		return h, corrupt("format")
	}
	h.deleted = b[1] == 1
	version, n := binary.Uvarint(b[2:])
	if n <= 0 || version == 0 || version > 1<<62 {
		return h, corrupt("version")
	}
	b = b[2+n:]
	nanos, n := binary.Varint(b)
	if n <= 0 {
		return h, corrupt("time")
	}
	h.version, h.time, h.rest = int64(version), time.Unix(0, nanos), b[n:]
	return h, nil
}

// decode shares no memory with b.
func decode(b []byte) (d shadow.Document, err error) {
	h, err := decodeHead(b)
	if err != nil {
		return d, err
	}
	rest := bytes.Clone(h.rest)
	var parts [4][]byte
	for i := range parts {
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > uint64(len(rest)-n) {
			return d, fmt.Errorf("%w: part %d", shadow.ErrCorrupt, i)
		}
		if length > 0 {
			parts[i] = rest[n : n+int(length) : n+int(length)]
		}
		rest = rest[n+int(length):]
	}
	if len(rest) > 0 {
		return d, fmt.Errorf("%w: %d bytes too many", shadow.ErrCorrupt, len(rest))
	}
	return shadow.Document{Deleted: h.deleted, Version: h.version, Time: h.time, By: string(parts[0]),
		Desired: json.RawMessage(parts[1]), Reported: json.RawMessage(parts[2]), Metadata: json.RawMessage(parts[3])}, nil
}
