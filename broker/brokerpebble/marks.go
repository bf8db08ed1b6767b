package brokerpebble

import (
	"context"
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"github.com/thingloom/thingloom/broker"
)

// mark puts marks into b. It is called under mu.
func (s *Store) mark(b *pebble.Batch, marks []broker.Mark) (err error) {
	for i := range marks {
		m := &marks[i]
		switch m.Kind {
		case broker.MarkReceived:
			err = b.Set(binary.BigEndian.AppendUint16(s.keys.received(m.ClientID), m.PacketID), nil, nil)
		case broker.MarkCompleted:
			err = b.Delete(binary.BigEndian.AppendUint16(s.keys.received(m.ClientID), m.PacketID), nil)
		case broker.MarkReleased:
			s.queue(m.ClientID).marked = true
			err = b.Set(ref(s.keys.released(m.ClientID), m.Seq), nil, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// marked are the marks of one client.
type marked struct {
	received []uint16
	released []uint64
}

// marks reads all marks: there are as many as exchanges under way.
func (s *Store) marks(ctx context.Context) (map[string]*marked, error) {
	all := map[string]*marked{}
	for _, kind := range []byte{'i', 'j'} {
		lower, upper := s.keys.bounds(kind)
		for it, err := range s.scan(ctx, lower, upper) {
			if err != nil {
				return nil, err
			}
			client, rest, ok := s.keys.split(it.Key())
			if !ok || len(rest) != map[byte]int{'i': 2, 'j': 8}[kind] {
				return nil, &CorruptError{Key: append([]byte(nil), it.Key()[len(s.keys.prefix):]...), Reason: "not the key of a mark"}
			}
			m := all[client]
			if m == nil {
				m = &marked{}
				all[client] = m
			}
			if kind == 'i' {
				m.received = append(m.received, binary.BigEndian.Uint16(rest))
			} else {
				m.released = append(m.released, binary.BigEndian.Uint64(rest))
			}
		}
	}
	return all, nil
}
