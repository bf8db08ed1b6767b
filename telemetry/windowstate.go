package telemetry

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/thingloom/thingloom/internal/record"
	"github.com/thingloom/thingloom/internal/sql"
)

const windowStateVersion = 1

// MarshalBinary returns the state: the watermark and the open windows. Equal
// states have equal bytes.
func (w *Windower) MarshalBinary() ([]byte, error) {
	b := []byte{windowStateVersion}
	b = binary.BigEndian.AppendUint64(b, w.q.fingerprint())
	b = binary.AppendVarint(b, w.watermark)
	b = binary.AppendVarint(b, w.maxEvent)
	b = binary.AppendUvarint(b, uint64(len(w.groups)))
	for _, key := range slices.Sorted(maps.Keys(w.groups)) {
		g := w.groups[key]
		for _, v := range g.values {
			b = record.AppendBytes(b, v.JSON())
		}
		b = binary.AppendUvarint(b, uint64(len(g.windows)))
		for _, win := range g.windows {
			b = binary.AppendVarint(b, win.start)
			b = binary.AppendVarint(b, win.end)
			for _, a := range win.accs {
				b = a.encode(b)
			}
		}
	}
	return b, nil
}

// UnmarshalBinary replaces the state by one of MarshalBinary of the same
// query. Else it returns an error that wraps ErrState and leaves w empty.
func (w *Windower) UnmarshalBinary(state []byte) error {
	w.reset()
	r := newStateReader(state)
	if v := r.Byte(); r.Fault() == nil && v != windowStateVersion {
		r.Fail("of another format")
	}
	if v := r.Uint64(); r.Fault() == nil && v != w.q.fingerprint() {
		r.Fail("of another query: give the consumer another name")
	}
	w.watermark, w.maxEvent = r.Varint(), r.Varint()
	for range r.Count(1) {
		w.readGroup(r)
		if r.Fault() != nil {
			break
		}
	}
	if err := r.end(); err != nil {
		w.reset()
		return err
	}
	return nil
}

func (w *Windower) readGroup(r *stateReader) {
	g := &windowGroup{values: make([]sql.Value, len(w.q.groups))}
	var key []byte
	for i := range g.values {
		g.values[i] = r.value()
		key = append(g.values[i].AppendJSON(key), 0)
	}
	n := r.Count(1)
	for range n {
		start, end := r.Varint(), r.Varint()
		// What windows and times can be at most, so that sums stay inside of 64 bits.
		if r.Fault() == nil && (start >= end || start < -1<<50 || end > 1<<50) {
			r.Fail("window out of range")
		}
		if r.Fault() != nil {
			return
		}
		if len(g.windows) > 0 && start < g.windows[len(g.windows)-1].start {
			r.Fail("windows out of order")
			return
		}
		win := w.open(g, start, end)
		for _, a := range win.accs {
			a.decode(r)
		}
	}
	if _, ok := w.groups[string(key)]; ok || n == 0 {
		r.Fail("group twice or without windows")
		return
	}
	w.groups[string(key)] = g
}

// resetTo is UnmarshalBinary, and an empty Windower for no state.
func (w *Windower) resetTo(state []byte) error {
	if len(state) == 0 {
		w.reset()
		return nil
	}
	return w.UnmarshalBinary(state)
}
