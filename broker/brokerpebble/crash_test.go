package brokerpebble_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/broker/brokerpebble"
)

func entry(text string, clients ...string) broker.Entry {
	return broker.Entry{Message: broker.Message{Topic: "t", Payload: []byte(text), QoS: 1}, ClientIDs: clients}
}

// queueOf is the payloads of a queue.
func queueOf(t testing.TB, s broker.Store, client string) (texts []string, last uint64) {
	t.Helper()
	for q, err := range s.Queue(t.Context(), client, 0) {
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(q.Message.Payload))
		last = q.Seq
	}
	return texts, last
}

// TestPowerCut cuts the power at random moments while publishers enqueue,
// sessions dequeue and others come and go, and looks at what is left.
func TestPowerCut(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			fs := vfs.NewCrashableMem()
			db := openDB(t, fs)
			s := open(t, db, "b/", &brokerpebble.Options{TrimEvery: 7, DequeueEvery: 3})

			var mu sync.Mutex // held while the power is cut
			acked := map[string]bool{}
			begun := map[string]bool{}
			dequeued := map[string]uint64{} // by client, the highest number
			var highest uint64              // acknowledged number
			saved := ""
			var image *vfs.MemFS
			cutAt := rng.IntN(200)
			steps := 0
			step := func() (cut bool) { // counts, and cuts
				if steps++; steps == cutAt+20 {
					image = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
				}
				return image != nil
			}
			var wg sync.WaitGroup
			for w := range 4 {
				wg.Go(func() {
					for n := range 60 {
						// Each batch has a message for one, and one for both.
						text := fmt.Sprintf("%d/%d", w, n)
						mu.Lock()
						if image != nil {
							mu.Unlock()
							return
						}
						begun[text] = true
						mu.Unlock()
						first, err := s.Enqueue(t.Context(), []broker.Entry{entry(text, "a"), entry(text, "a", "b")})
						if err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						if image == nil {
							acked[text] = true
							highest = max(highest, first+1)
						}
						step()
						mu.Unlock()
						if n%5 == 0 {
							if err := s.Dequeue(t.Context(), "b", first); err != nil {
								t.Error(err)
							}
							mu.Lock()
							dequeued["b"] = max(dequeued["b"], first)
							mu.Unlock()
						}
						if n%7 == 0 {
							text := fmt.Sprintf("%d-%d", w, n)
							if err := s.SaveSession(t.Context(), broker.Session{ClientID: "c", Principal: text}); err != nil {
								t.Error(err)
							}
							mu.Lock()
							if image == nil {
								saved = text
							}
							mu.Unlock()
						}
					}
				})
			}
			wg.Wait()
			if image == nil {
				image = fs.CrashClone(vfs.CrashCloneCfg{})
			}
			db.Close()

			db = openDB(t, image)
			defer db.Close()
			s = open(t, db, "b/", nil)
			a, _ := queueOf(t, s, "a")
			count := map[string]int{}
			for _, text := range a {
				count[text]++
			}
			for text := range acked {
				if count[text] != 2 {
					t.Errorf("acknowledged %q is there %d times, want 2", text, count[text])
				}
			}
			for text, n := range count {
				if n != 2 || !begun[text] {
					t.Errorf("%q is there %d times, begun %v: a batch is all or nothing", text, n, begun[text])
				}
			}
			// In the queue of b is what was acknowledged above the highest dequeued.
			inA := map[string]bool{}
			for _, text := range a {
				inA[text] = true
			}
			b, _ := queueOf(t, s, "b")
			for _, text := range b {
				if !inA[text] {
					t.Errorf("%q is with b and not with a", text)
				}
			}
			var missing int
			for q, err := range s.Queue(t.Context(), "a", 0) {
				if err != nil {
					t.Fatal(err)
				}
				if q.Seq > dequeued["b"]+1 && !slices.Contains(b, string(q.Message.Payload)) {
					missing++
				}
			}
			if missing > 0 {
				t.Errorf("%d messages above %d are missing with b", missing, dequeued["b"])
			}
			found := false
			for sess, err := range s.Sessions(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				found = found || sess.ClientID == "c"
			}
			if saved != "" && !found {
				t.Error("the saved session is gone")
			}
			next, err := s.Enqueue(t.Context(), []broker.Entry{entry("next", "a")})
			if err != nil || next <= highest {
				t.Errorf("after the cut a number is %d, %v; %d was acknowledged", next, err, highest)
			}
		})
	}
}

// TestRetainedSurvives cuts the power right after each acknowledgement.
func TestRetainedSurvives(t *testing.T) {
	fs := vfs.NewCrashableMem()
	db := openDB(t, fs)
	defer db.Close()
	s := open(t, db, "b/", nil)
	for i, payload := range []string{"1", "2", ""} {
		m := broker.Message{Topic: "t", Payload: []byte(payload)}
		if err := s.SetRetained(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		after := openDB(t, fs.CrashClone(vfs.CrashCloneCfg{}))
		got := ""
		for m, err := range open(t, after, "b/", nil).Retained(t.Context(), "t") {
			if err != nil {
				t.Fatal(err)
			}
			got = string(m.Payload)
		}
		if got != payload {
			t.Errorf("after step %d there is %q, want %q", i, got, payload)
		}
		after.Close()
	}
}

// TestPowerCutMarks: what a call acknowledged is there after the power was cut, the
// marks of a call are there with its entries or not at all, and a message that is back
// in its queue has the mark that it had.
func TestPowerCutMarks(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 2))
		fs := vfs.NewCrashableMem()
		db := openDB(t, fs)
		s := open(t, db, "b/", &brokerpebble.Options{DequeueEvery: 3})
		if err := s.SaveSession(t.Context(), broker.Session{ClientID: "c", Version: 5}); err != nil {
			t.Fatal(err)
		}
		received, released := map[uint16]bool{}, map[uint64]bool{} // acknowledged
		var acked, dequeued uint64
		for n := range 1 + rng.IntN(60) {
			id := uint16(rng.IntN(20))
			marks := []broker.Mark{{ClientID: "c", Kind: broker.MarkReceived, PacketID: id}}
			if received[id] {
				marks[0].Kind = broker.MarkCompleted
			}
			if acked > dequeued {
				marks = append(marks, broker.Mark{ClientID: "c", Kind: broker.MarkReleased, Seq: dequeued + 1 + uint64(rng.Int64N(int64(acked-dequeued)))})
			}
			first, err := s.Enqueue(t.Context(), []broker.Entry{entry(fmt.Sprint(id, marks[0].Kind), "c")}, marks...)
			if err != nil {
				t.Fatal(err)
			}
			acked, received[id] = first, marks[0].Kind == broker.MarkReceived
			if len(marks) > 1 {
				released[marks[1].Seq] = true
			}
			if n%4 == 0 {
				dequeued += uint64(rng.Int64N(int64(acked-dequeued) + 1))
				if err := s.Dequeue(t.Context(), "c", dequeued); err != nil {
					t.Fatal(err)
				}
			}
		}
		image := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		db.Close()
		db = openDB(t, image)
		s = open(t, db, "b/", nil)
		for sess, err := range s.Sessions(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range sess.Received {
				if !received[id] {
					t.Errorf("seed %d: packet id %d is marked", seed, id)
				}
				delete(received, id)
			}
			for id, marked := range received {
				if marked {
					t.Errorf("seed %d: the mark of packet id %d is lost", seed, id)
				}
			}
			for q, err := range s.Queue(t.Context(), "c", 0) {
				if err != nil {
					t.Fatal(err)
				}
				if released[q.Seq] != slices.Contains(sess.Released, q.Seq) {
					t.Errorf("seed %d: message %d is marked %v, and %v after the cut", seed, q.Seq, released[q.Seq], !released[q.Seq])
				}
			}
		}
		db.Close()
	}
}
