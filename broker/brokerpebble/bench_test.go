package brokerpebble_test

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/thingloom/thingloom/broker"
)

// BenchmarkEnqueue writes to the disk of the temporary folder, with all its
// syncs: what is measured is how well concurrent publishers share them.
func BenchmarkEnqueue(b *testing.B) {
	for _, publishers := range []int{2, 16, 200} {
		for _, fanout := range []int{1, 10} {
			b.Run(fmt.Sprintf("publishers=%d/fanout=%d/payload=256B", publishers, fanout), func(b *testing.B) {
				db, err := pebble.Open(b.TempDir(), &pebble.Options{Logger: quiet{b}, MemTableSize: 32 << 20})
				if err != nil {
					b.Fatal(err)
				}
				defer db.Close()
				s := open(b, db, "b/", nil)
				clients := make([]string, fanout)
				for i := range clients {
					clients[i] = fmt.Sprint("client-", i)
				}
				payload := make([]byte, 256)
				b.SetBytes(256)
				b.ReportAllocs()
				b.SetParallelism(publishers / 2) // times GOMAXPROCS, taken to be 2
				b.RunParallel(func(pb *testing.PB) {
					batch := []broker.Entry{{Message: broker.Message{Topic: "a/b/c", Payload: payload, QoS: 1}, ClientIDs: clients}}
					for pb.Next() {
						if _, err := s.Enqueue(b.Context(), batch); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}

func BenchmarkRetained(b *testing.B) {
	db := openDB(b, vfs.NewMem())
	defer db.Close()
	s := open(b, db, "b/", nil)
	for i := range 10_000 {
		for _, leaf := range []string{"config", "state", "status"} {
			if err := s.SetRetained(b.Context(), broker.Message{Topic: fmt.Sprintf("devices/d%05d/%s", i, leaf), Payload: []byte("x")}); err != nil {
				b.Fatal(err)
			}
		}
	}
	for filter, want := range map[string]int{"devices/d05000/state": 1, "devices/d05000/#": 3, "devices/+/state": 10_000, "other/#": 0} {
		b.Run("topics=30k/filter="+filter, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				for _, err := range s.Retained(b.Context(), filter) {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
				if n != want {
					b.Fatalf("%d messages, want %d", n, want)
				}
			}
		})
	}
}
