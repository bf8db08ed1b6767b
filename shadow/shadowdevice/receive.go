package shadowdevice

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/eclipse/paho.golang/paho"
)

// Receive takes the messages of this shadow and leaves others alone; it is what
// Attach puts into OnPublishReceived. It never blocks and does not return an error.
func (d *Device[T]) Receive(m paho.PublishReceived) (bool, error) {
	what, mine := strings.CutPrefix(m.Packet.Topic, d.base)
	if !mine {
		return false, nil
	}
	payload := m.Packet.Payload
	d.mu.Lock()
	defer d.mu.Unlock()
	switch what {
	case "update/delta":
		d.received(payload)
	case "get/accepted", "update/accepted":
		d.answered(payload, false)
	case "get/rejected", "update/rejected":
		d.answered(payload, true)
	case "delete/accepted":
		// Deleting takes no state from the device. But versions may begin
		// anew, so the next document is believed whatever its version.
		d.gone, d.reported, d.pending = true, nil, nil
		d.forget()
		d.rouse()
	default:
		return false, nil // another shadow's, whose name begins where this one ends
	}
	return true, nil
}

// received keeps a delta if it is news. d.mu is held.
func (d *Device[T]) received(payload []byte) {
	var m delta
	if err := json.Unmarshal(payload, &m); err != nil || m.Version < 1 || len(m.State) == 0 || m.State[0] != '{' {
		d.stats.unreadable.Add(1)
		d.opts.Logger.Warn("unreadable delta", "shadow", d.ref, "err", err)
		return
	}
	if m.Version <= d.version {
		d.stats.stale.Add(1)
		if d.gone && d.synced { // or the shadow was made anew: the document tells
			d.forget()
			d.rouse()
		}
		return
	}
	d.stats.deltas.Add(1)
	if m.ClientToken != "" && m.ClientToken == d.tried.token && bytes.Equal(m.State, d.tried.state) {
		d.version = m.Version
		d.stats.unfulfilled.Add(1)
		return
	}
	d.keep(&m)
}

// keep makes m what is to be applied next. d.mu is held.
func (d *Device[T]) keep(m *delta) {
	if d.pending != nil {
		d.stats.superseded.Add(1)
	}
	d.version, d.pending = m.Version, m
	d.rouse()
}

// answered gives an answer to who waits for it. d.mu is held.
func (d *Device[T]) answered(payload []byte, rejected bool) {
	var m struct{ ClientToken string }
	if err := json.Unmarshal(payload, &m); err == nil {
		if waiting := d.waiting[m.ClientToken]; waiting != nil {
			delete(d.waiting, m.ClientToken)
			waiting <- reply{payload, rejected} // has room for one
			return
		}
	}
	d.stats.foreign.Add(1)
}
