package telemetry_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/thingloom/thingloom/telemetry"
)

func BenchmarkWindowerAdd(b *testing.B) {
	for _, window := range []string{"TUMBLE(INTERVAL '1' MINUTE)", "HOP(INTERVAL '10' SECOND, INTERVAL '1' MINUTE)", "SESSION(INTERVAL '1' MINUTE)"} {
		for _, keys := range []int{1, 10_000} {
			b.Run(fmt.Sprintf("window=%s/keys=%d", window[:3], keys), func(b *testing.B) {
				q := compile(b, `SELECT key, avg(t) AS t, max(t) AS peak, count(*) AS n FROM stream GROUP BY key, `+window)
				w := telemetry.NewWindower(q, nil)
				recs := make([]telemetry.Record, keys)
				for i := range recs {
					recs[i] = telemetry.Record{Key: fmt.Sprint("sensor-", i), Value: fmt.Appendf(nil, `{"t":%d.5,"h":40,"seq":%d}`, 20+i%10, i)}
				}
				at := march
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					r := &recs[i%keys]
					r.Time = at
					at = at.Add(time.Millisecond)
					if err := w.Add(r); err != nil {
						b.Fatal(err)
					}
					if i%1000 == 999 {
						for range w.Advance(time.Time{}) {
						}
					}
					i++
				}
			})
		}
	}
}

func BenchmarkPutMem(b *testing.B) {
	log := telemetry.NewMemLog(4, 10_000)
	s, err := telemetry.NewStream(log, log, nil)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}()
	value := []byte(`{"t":20.5,"h":40,"seq":12345}`)
	var n atomic.Int64
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		key := fmt.Sprint("sensor-", n.Add(1))
		for pb.Next() {
			if err := s.Put(ctx, key, march, value); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
