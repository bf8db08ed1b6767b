package shadowdevice_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/thingloom/thingloom/shadow"
)

// What is desired, and what the device finds out, while there is no connection:
// both are there after it, whether the broker has kept the session, with the
// deltas that waited in it, or not. Nothing old is applied after what is newer.
func TestChangesWithoutAConnection(t *testing.T) {
	for _, kept := range []bool{true, false} {
		t.Run(fmt.Sprintf("session kept %v", kept), func(t *testing.T) {
			p := newPlace(t)
			ref := shadow.Ref{Thing: "lamp"}
			var mu sync.Mutex
			var levels []int
			d := newDevice(t, ref, func(_ context.Context, want lamp, _ json.RawMessage) (lamp, error) {
				mu.Lock()
				defer mu.Unlock()
				levels = append(levels, want.Level)
				return want, nil
			})
			run(p, d)
			p.update(ref, `{"state":{"desired":{"level":1}}}`)
			p.await(ref, shadow.InSync)
			for round := range 3 {
				open := p.hold()
				if kept {
					p.cut()
					p.awaitOffline()
				} else {
					p.restart()
				}
				for i := range 5 {
					p.update(ref, fmt.Sprintf(`{"state":{"desired":{"level":%d}}}`, 10*(round+1)+i))
				}
				on := round%2 == 0
				is, _ := d.Is()
				d.Set(lamp{On: &on, Level: is.Level, Modes: map[string]int{"round": round}})
				open()
				p.await(ref, shadow.FieldIs("/reported/modes/round", fmt.Sprint(round)))
				if doc := p.await(ref, shadow.InSync); !sameJSON(string(doc.Reported), fmt.Sprintf(`{"level":%d,"on":%v,"modes":{"round":%d}}`, 10*(round+1)+4, on, round)) {
					t.Errorf("round %d: reported is %s", round, doc.Reported)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if !slices.IsSorted(levels) {
				t.Errorf("applied in the order %v", levels)
			}
		})
	}
}

// hold keeps clients from connecting again until open is called.
func (p *place) hold() (open func()) {
	gate := make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gate = gate
	return func() { close(gate) }
}

// awaitOffline waits until the broker knows of no connection any more.
func (p *place) awaitOffline() {
	p.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		online := 0
		for c := range p.broker.Clients() {
			if c.Connected {
				online++
			}
		}
		switch {
		case online == 0:
			return
		case time.Now().After(deadline):
			p.t.Fatalf("%d clients are connected still", online)
		}
	}
}
