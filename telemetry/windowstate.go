package telemetry

import (
	"encoding/binary"
	"maps"
	"slices"

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
			b = appendBytes(b, v.JSON())
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
	r := &stateReader{b: state}
	if v := r.byte(); r.err == nil && v != windowStateVersion {
		r.fail("of another format")
	}
	if len(r.b) < 8 {
		r.fail("ends early")
	} else if binary.BigEndian.Uint64(r.b) != w.q.fingerprint() {
		r.fail("of another query: give the consumer another name")
	} else {
		r.b = r.b[8:]
	}
	w.watermark, w.maxEvent = r.varint(), r.varint()
	for range r.count() {
		w.readGroup(r)
		if r.err != nil {
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
	n := r.count()
	for range n {
		start, end := r.varint(), r.varint()
		// What windows and times can be at most, so that sums stay inside of 64 bits.
		if r.err == nil && (start >= end || start < -1<<50 || end > 1<<50) {
			r.fail("window out of range")
		}
		if r.err != nil {
			return
		}
		if len(g.windows) > 0 && start < g.windows[len(g.windows)-1].start {
			r.fail("windows out of order")
			return
		}
		win := w.open(g, start, end)
		for _, a := range win.accs {
			a.decode(r)
		}
	}
	if _, ok := w.groups[string(key)]; ok || n == 0 {
		r.fail("group twice or without windows")
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
