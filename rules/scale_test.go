package rules

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

var discard = binder{"discard": ActionFunc(func(context.Context, Firing) error { return nil })}

// fill gives an engine n rules on distinct filters.
func fill(tb testing.TB, n int) *Engine {
	tb.Helper()
	e := open(tb, NewMemStore(), discard, nil)
	for i := range n {
		put(tb, e, fmt.Sprint("rule", i), fmt.Sprintf(
			"SELECT deviceId, temperature, timestamp() AS ts FROM 'sensors/%d/+' WHERE temperature > 30", i), "discard")
	}
	return e
}

const climate = `{"deviceId":"sensor-000123","temperature":31.5,"humidity":48.25,"pressure":1013.2,"battery":{"level":87,"voltage":3.71},` +
	`"location":{"lat":52.520008,"lon":13.404954},"firmware":"2.11.4","tags":["roof","north"],"seq":18273645,"status":"ok"}`

// BenchmarkHandle shows what one message costs beside many rules on other
// filters: a thousand messages in turn, for few rules too, since what a message
// itself takes of the cache is not the rules' affair.
func BenchmarkHandle(b *testing.B) {
	for _, n := range []int{10, 100, 1_000, 10_000} {
		for _, where := range []string{"fires", "filtered"} {
			payload := []byte(climate)
			if where == "filtered" {
				payload = []byte(strings.Replace(climate, "31.5", "3.15", 1))
			}
			b.Run(fmt.Sprintf("rules=%d/%s", n, where), func(b *testing.B) {
				e := fill(b, n)
				messages := make([]*Message, 1_000)
				for i := range messages {
					messages[i] = &Message{Topic: fmt.Sprintf("sensors/%d/climate", i*7919%n), TraceID: "t", Payload: payload}
				}
				ctx := context.Background()
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if err := e.Handle(ctx, messages[i]); err != nil {
						b.Fatal(err)
					}
					if i++; i == len(messages) {
						i = 0
					}
				}
			})
		}
	}
}

// BenchmarkManyRules says as one ratio, x-of-10, what a message costs beside
// 10,000 rules on filters of their own in units of what it costs beside ten.
// Both engines take turns, round by round, and the ratio is the median of those
// of the rounds: what else the machine does meets both. A round is 10,000
// messages, all of them other topics, of as many as the name says: 1 is the
// cache's best case, 1,000 what the documents speak of, 10,000 a round in which
// every rule has one message, so that the next for the same rule finds what
// 9,999 others have left in the cache. The ten rules get as many topics, each a
// text of its own, since what a message takes of the cache is not the rules'
// affair.
func BenchmarkManyRules(b *testing.B) {
	few, many := fill(b, 10), fill(b, 10_000)
	for _, topics := range []int{1, 1_000, 10_000} {
		for _, where := range []string{"fires", "filtered"} {
			payload := []byte(climate)
			if where == "filtered" {
				payload = []byte(strings.Replace(climate, "31.5", "3.15", 1))
			}
			b.Run(fmt.Sprintf("topics=%d/%s", topics, where), func(b *testing.B) {
				of := [2]*Engine{few, many}
				var messages [2][]*Message
				for k, rules := range [2]int{10, 10_000} {
					for i := range topics {
						messages[k] = append(messages[k], &Message{Topic: fmt.Sprintf("sensors/%d/climate", i*7919%rules), TraceID: "t", Payload: payload})
					}
				}
				ctx := context.Background()
				round := func(k int) float64 {
					start, all := time.Now(), messages[k]
					for i, n := 0, 0; n < 10_000; n++ {
						if err := of[k].Handle(ctx, all[i]); err != nil {
							b.Fatal(err)
						}
						if i++; i == len(all) {
							i = 0
						}
					}
					return float64(time.Since(start).Nanoseconds()) / 10_000
				}
				round(0)
				round(1)
				var tens, ratios []float64
				for b.Loop() {
					ten := round(0)
					tens, ratios = append(tens, ten), append(ratios, round(1)/ten)
				}
				slices.Sort(tens)
				slices.Sort(ratios)
				b.ReportMetric(0, "ns/op") // of a round of both: says nothing
				b.ReportMetric(tens[len(tens)/2], "ns-of-10")
				b.ReportMetric(ratios[len(ratios)/2], "x-of-10")
			})
		}
	}
}

// TestPutsAreNotQuadratic counts the work of edits by what they allocate: the
// ten thousandth rule costs at most a few times what the hundredth did,
// whether filters, conditions or republish topics differ.
func TestPutsAreNotQuadratic(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("compiles 40,000 rules")
	}
	for name, rule := range map[string]func(i int) Rule{
		"own filters": func(i int) Rule { return Rule{SQL: fmt.Sprintf("SELECT a FROM 's/%d/+' WHERE a > 3", i)} },
		"one filter":  func(i int) Rule { return Rule{SQL: fmt.Sprintf("SELECT a FROM 's/+' WHERE a > %d", i)} },
		"own fields":  func(i int) Rule { return Rule{SQL: fmt.Sprintf("SELECT a FROM 's/+' WHERE f%d = 3", i)} },
		"republishing": func(i int) Rule {
			return Rule{SQL: "SELECT a FROM 's/+'", Actions: []ActionSpec{{Type: "republish", Params: fmt.Appendf(nil, `{"topic":"t/%d/${topic(2)}"}`, i)}}}
		},
	} {
		e := open(t, NewMemStore(), binder{"republish": ActionFunc(func(context.Context, Firing) error { return nil })}, nil)
		bytes := func() uint64 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.TotalAlloc
		}
		const n = 10_000
		var at [n/1000 + 1]uint64
		for i := range n {
			if i%1000 == 0 {
				at[i/1000] = bytes()
			}
			r := rule(i)
			r.Name = fmt.Sprint("rule", i)
			if err := e.Put(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		at[n/1000] = bytes()
		first, last := at[1]-at[0], at[n/1000]-at[n/1000-1]
		t.Logf("%s: %d bytes allocated for each of the first thousand, %d for each of the last", name, first/1000, last/1000)
		if last > 4*first {
			t.Errorf("%s: the last thousand rules cost %d bytes, the first %d", name, last, first)
		}
	}
}

// BenchmarkPut shows that an edit does not depend on the number of rules.
func BenchmarkPut(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			e := fill(b, n)
			b.ReportAllocs()
			for b.Loop() {
				put(b, e, "rule7", "SELECT * FROM 'sensors/7/+'", "discard")
			}
		})
	}
}

// idleBytes is the heap of an idle rule among n, its part of the store
// excepted.
func idleBytes(tb testing.TB, n int, rule func(i int) string) uint64 {
	tb.Helper()
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	e := open(tb, NewMemStore(), discard, nil)
	for i := range n {
		put(tb, e, fmt.Sprint("rule", i), rule(i), "discard")
	}
	e.store = nil
	after := heap()
	runtime.KeepAlive(e)
	return (after - before) / uint64(n)
}

// idleRules are three kinds of ten thousand rules.
var idleRules = []struct {
	name string
	rule func(i int) string
}{
	{"one template, own filters", func(i int) string {
		return fmt.Sprintf("SELECT deviceId, temperature, timestamp() AS ts FROM 'sensors/%d/+' WHERE temperature > 30", i)
	}},
	{"one template, one filter", func(i int) string {
		return fmt.Sprintf("SELECT deviceId, temperature, timestamp() AS ts FROM 'sensors/+/climate' WHERE temperature > %d", i)
	}},
	{"no two alike", func(i int) string {
		return fmt.Sprintf("SELECT deviceId, temperature AS t%d, timestamp() AS ts FROM 'sensors/%d/+' WHERE temperature > 30 AND upper(k) = 'A%d'", i, i, i)
	}},
}

// TestIdleRuleMemory holds the heap of an idle rule below 4 KiB.
func TestIdleRuleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles 30,000 rules")
	}
	for _, c := range idleRules {
		if each := idleBytes(t, 10_000, c.rule); each > 4<<10 {
			t.Errorf("%s: an idle rule takes %d bytes of heap, want at most 4096", c.name, each)
		} else {
			t.Logf("%s: %d bytes a rule", c.name, each)
		}
	}
}

// BenchmarkIdleRule prints the heap of an idle rule among 10,000.
func BenchmarkIdleRule(b *testing.B) {
	for _, c := range idleRules {
		b.Run(c.name, func(b *testing.B) {
			var each uint64
			for b.Loop() {
				each = idleBytes(b, 10_000, c.rule)
			}
			b.ReportMetric(float64(each), "B/rule")
		})
	}
}

// TestHandleAllocs states what a message costs the garbage collector: nothing
// unless a rule fires, then what outlives the call: one flight with its output.
func TestHandleAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	e := fill(t, 100)
	hot := []byte(climate)
	cold := []byte(strings.Replace(climate, "31.5", "3.15", 1))
	for _, c := range []struct {
		name string
		m    Message
		max  float64
	}{
		{"no filter matches", Message{Topic: "other/7/climate", Payload: hot}, 0},
		{"WHERE is false", Message{Topic: "sensors/7/climate", Payload: cold}, 0},
		{"the rule fires", Message{Topic: "sensors/7/climate", TraceID: "t", Payload: hot}, 1},
		{"the rule fires for a message without a trace", Message{Topic: "sensors/7/climate", Payload: hot}, 1},
	} {
		if n := testing.AllocsPerRun(100, func() { _ = e.Handle(t.Context(), &c.m) }); n > c.max {
			t.Errorf("%s: %v allocations, want at most %v", c.name, n, c.max)
		}
	}
}
