package brokerpebble_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/broker/brokerpebble"
)

// A dying logger ends the goroutine where pebble would end the process.
type dying struct{ died *atomic.Bool }

func (dying) Infof(string, ...any)  {}
func (dying) Errorf(string, ...any) {}
func (d dying) Fatalf(string, ...any) {
	d.died.Store(true)
	runtime.Goexit()
}

// TestFailingDisk has the disk fail from its nth write on, for each n: whatever a call acknowledged is there on what the disk
// has synced, and nothing is acknowledged that is not.
func TestFailingDisk(t *testing.T) {
	errFull := errors.New("no space left on device")
	for n, unspent := int64(1), false; !unspent; n++ {
		fs := vfs.NewCrashableMem()
		var fuse atomic.Int64
		var died atomic.Bool
		db, err := pebble.Open("db", &pebble.Options{Logger: dying{&died}, FormatMajorVersion: pebble.FormatNewest, DisableAutomaticCompactions: true,
			FS: errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && fuse.Load() > 0 && fuse.Add(-1) == 0 {
					fuse.Store(1) // and so all that follow
					return errFull
				}
				return nil
			}))})
		if err != nil {
			t.Fatal(err)
		}
		s := open(t, db, "b/", &brokerpebble.Options{TrimEvery: 3, DequeueEvery: 2})
		var queued []string
		retained, refused := "", 0
		done := make(chan struct{})
		go func() { // which may not come back
			defer close(done)
			fuse.Store(n)
			for i := range 8 {
				text := fmt.Sprint(i)
				if _, err := s.Enqueue(t.Context(), []broker.Entry{entry(text, "a", "b"), entry(text, "a")}); err != nil {
					refused++
				} else if queued = append(queued, text, text); refused > 0 {
					t.Errorf("write %d: %q is acknowledged behind %d that were refused", n, text, refused)
				}
				if err := s.SetRetained(t.Context(), broker.Message{Topic: "r", Payload: []byte(text)}); err == nil {
					retained = text
				}
				_ = s.Dequeue(t.Context(), "b", uint64(2*i)) // need not be durable
			}
		}()
		<-done
		unspent = fuse.Load() > 1 || !died.Load() && refused == 0

		image := openDB(t, fs.CrashClone(vfs.CrashCloneCfg{}))
		after := open(t, image, "b/", nil)
		got, _ := queueOf(t, after, "a")
		if len(got) < len(queued) {
			t.Errorf("write %d: %q were acknowledged, %q are there", n, queued, got)
		}
		for i := range queued {
			if i < len(got) && got[i] != queued[i] {
				t.Errorf("write %d: message %d is %q, want %q", n, i, got[i], queued[i])
			}
		}
		found := retained == ""
		for m, err := range after.Retained(t.Context(), "r") {
			found = true
			if err != nil || string(m.Payload) < retained {
				t.Errorf("write %d: retained %q, %v, acknowledged %q", n, m.Payload, err, retained)
			}
		}
		if !found {
			t.Errorf("write %d: retained %q is lost", n, retained)
		}
		image.Close()
		if unspent {
			db.Close()
			if n < 10 {
				t.Errorf("the disk failed at %d writes only", n)
			}
			t.Logf("the disk failed at each of %d writes", n-1)
		}
	}
}
