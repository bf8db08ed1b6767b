package telemetrypebble_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/thingloom/thingloom/telemetry"
)

// Put with an fsync, shared by as many goroutines as put at the same time.
func BenchmarkPut(b *testing.B) {
	for _, goroutines := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("goroutines=%d/payload=300", goroutines), func(b *testing.B) {
			db, err := pebble.Open(b.TempDir(), &pebble.Options{Logger: quiet{}, FormatMajorVersion: pebble.FormatNewest, MemTableSize: 32 << 20})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			store := open(b, db, "t/", nil)
			s, err := telemetry.NewStream(store, store, nil)
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx) }()
			value := []byte(`{"t":20.5,"pad":"` + strings.Repeat("x", 280) + `"}`)
			b.ReportAllocs()
			b.SetBytes(int64(len(value)))
			b.ResetTimer()
			var wg sync.WaitGroup
			for g := range goroutines {
				wg.Go(func() {
					key := fmt.Sprint("sensor-", g)
					for range (b.N + goroutines - 1 - g) / goroutines {
						if err := s.Put(ctx, key, time.Unix(1_700_000_000, 0), value); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			st := s.Stats()
			b.ReportMetric(float64(st.Put)/float64(max(st.Groups, 1)), "records/write")
			cancel()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}
