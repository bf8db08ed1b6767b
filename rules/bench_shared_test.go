package rules

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// sharedRules are ways to give ten thousand rules one topic filter so that a
// message on it fires 1 % of them, or, where that is how such rules are used,
// one.
var sharedRules = []struct {
	name string
	rule func(i, n int) string // statement i of n
}{
	// A threshold each: 1 % lie below what the message says.
	{"threshold", func(i, n int) string {
		return fmt.Sprintf("SELECT deviceId, temperature FROM 'sensors/+/climate' WHERE temperature > %g", 31.5+(float64(i)-float64(n)/100+0.5)/1000)
	}},
	// A band each, of which 1 % hold the value.
	{"band", func(i, n int) string {
		lo := 31.5 - 50 + float64(i)*100/float64(n)
		return fmt.Sprintf("SELECT deviceId, temperature FROM 'sensors/+/climate' WHERE temperature > %.4f AND temperature <= %.4f", lo, lo+1)
	}},
	// One of a hundred kinds each.
	{"equal", func(i, n int) string {
		return fmt.Sprintf("SELECT deviceId, temperature FROM 'sensors/+/climate' WHERE battery.level = %d", i%100)
	}},
	{"in", func(i, n int) string {
		return fmt.Sprintf("SELECT deviceId, temperature FROM 'sensors/+/climate' WHERE battery.level IN [%d, %d]", i%200, 200+i%7)
	}},
	// A kind that all have in common, and a threshold of their own.
	{"and", func(i, n int) string {
		return fmt.Sprintf("SELECT deviceId, temperature FROM 'sensors/+/climate' WHERE status = 'ok' AND temperature > %g", 31.5+(float64(i)-float64(n)/100+0.5)/1000)
	}},
	// Two fields of which each alone lets many pass: a tenth of a tenth.
	{"two", func(i, n int) string {
		return fmt.Sprintf("SELECT deviceId, temperature FROM 'sensors/+/climate' WHERE temperature > %d AND humidity > %d", 22+i%100, 39+i*100/n)
	}},
	// The same, and no two rules have a threshold in common, so that a thousand
	// meet the one condition and a thousand others the other.
	{"plane", func(i, n int) string {
		return fmt.Sprintf("SELECT deviceId, temperature FROM 'sensors/+/climate' WHERE temperature > %.4f AND humidity > %.4f",
			31.5-10+float64(i)*100/float64(n), 48.25-10+float64(i*7919%n)*100/float64(n))
	}},
	// A hundred different statements of which one each fires a hundred times.
	{"shapes", func(i, n int) string {
		return fmt.Sprintf("SELECT deviceId, temperature AS t%d FROM 'sensors/+/climate' WHERE battery.level = %d", i/100, i%100)
	}},
	// A rule for each device.
	{"device", func(i, n int) string {
		return fmt.Sprintf("SELECT deviceId, temperature FROM 'sensors/+/climate' WHERE deviceId = 'sensor-%06d' AND temperature > 30", i)
	}},
}

// BenchmarkShared shows what a message costs that 10,000 rules on its topic
// compete for.
func BenchmarkShared(b *testing.B) {
	for _, c := range sharedRules {
		for _, n := range []int{100, 10_000} {
			b.Run(fmt.Sprintf("%s/rules=%d", c.name, n), func(b *testing.B) {
				e := fillShared(b, n, c.rule)
				m := &Message{Topic: "sensors/7/climate", TraceID: "t", Payload: []byte(climate), Time: time.UnixMilli(1)}
				ctx := context.Background()
				b.ReportAllocs()
				for b.Loop() {
					if err := e.Handle(ctx, m); err != nil {
						b.Fatal(err)
					}
				}
				fired := uint64(0)
				for info := range e.Rules() {
					fired += info.Ledger.Delivered
				}
				b.ReportMetric(float64(fired)/float64(e.Stats().Messages), "fired/op")
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			})
		}
	}
}

func fillShared(tb testing.TB, n int, rule func(i, n int) string) *Engine {
	tb.Helper()
	e := open(tb, NewMemStore(), discard, nil)
	for i := range n {
		put(tb, e, fmt.Sprint("rule", i), rule(i, n), "discard")
	}
	return e
}

// TestSharedFires checks that the benchmark measures what it says.
func TestSharedFires(t *testing.T) {
	const n = 2000
	for _, c := range sharedRules {
		e := fillShared(t, n, c.rule)
		m := &Message{Topic: "sensors/7/climate", TraceID: "t", Payload: []byte(climate)}
		if err := e.Handle(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		fired, want := uint64(0), uint64(0)
		for info := range e.Rules() {
			fired += info.Ledger.Delivered
			if l := info.Ledger; l.Matched != 1 || l.Filtered+l.Delivered != 1 {
				t.Errorf("%s: ledger of %s is %+v", c.name, info.Name, l)
			}
		}
		for i := range n {
			if _, ok, err := mustCompile(t, c.rule(i, n)).Eval(t.Context(), m); err != nil {
				t.Fatal(err)
			} else if ok {
				want++
			}
		}
		if fired != want || fired == 0 && c.name != "device" || fired > n/50 {
			t.Errorf("%s: %d of %d rules fired, by themselves %d do", c.name, fired, n, want)
		}
	}
}

// BenchmarkPutShared shows that an edit among 10,000 rules with one filter
// costs what it costs among ten.
func BenchmarkPutShared(b *testing.B) {
	for _, n := range []int{10, 1_000, 10_000} {
		for _, c := range sharedRules[:3] {
			b.Run(fmt.Sprintf("%s/rules=%d", c.name, n), func(b *testing.B) {
				e := fillShared(b, n, c.rule)
				b.ReportAllocs()
				for b.Loop() {
					put(b, e, "rule7", strings.Replace(c.rule(7, n), "SELECT", "SELECT 1 AS x,", 1), "discard")
				}
			})
		}
	}
}
