package rules

import (
	"context"
	"strings"
	"testing"
	"time"
)

const everyday = "SELECT deviceId, temperature, timestamp() AS ts FROM 'sensors/+/climate' WHERE temperature > 30"

// everydayMessage has a payload of 300 bytes.
func everydayMessage(temperature string) *Message {
	head := `{"deviceId":"sensor-0042","temperature":` + temperature + `,"humidity":48.25,"battery":{"level":87,"voltage":3.71},` +
		`"location":{"lat":47.606209,"lon":-122.332071},"firmware":"2.4.1","uptime":1839204,"tags":["roof","north"],"note":"`
	return &Message{Topic: "sensors/42/climate", ClientID: "sensor-0042", Time: time.UnixMilli(1700000000123),
		Payload: []byte(head + strings.Repeat("x", 298-len(head)) + `"}`)}
}

func mustCompile(t testing.TB, statement string) *Query {
	t.Helper()
	q, err := Compile(statement, nil)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// TestEvalAllocations: a message that does not match costs no allocation, one
// that does costs its output.
func TestEvalAllocations(t *testing.T) {
	ctx := context.Background()
	q := mustCompile(t, everyday)
	for _, c := range []struct {
		name, temperature string
		matched           bool
		most              float64
	}{
		{"does not match", "21.5", false, 0},
		{"matches", "30.5", true, 1},
	} {
		m := everydayMessage(c.temperature)
		got := testing.AllocsPerRun(1000, func() {
			out, matched, err := q.Eval(ctx, m)
			if err != nil || matched != c.matched || matched && len(out) == 0 {
				t.Fatalf("%s: %q, %v, %v", c.name, out, matched, err)
			}
		})
		if got > c.most && !raceEnabled {
			t.Errorf("%s: %v allocations, want at most %v", c.name, got, c.most)
		}
	}
}

func BenchmarkEval(b *testing.B) {
	for _, c := range []struct{ name, sql, temperature string }{
		{"rule=everyday/match=no", everyday, "21.5"},
		{"rule=everyday/match=yes", everyday, "30.5"},
		{"rule=star/match=yes", "SELECT *, topic(2) AS id FROM 'sensors/+/climate'", "30.5"},
		{"rule=arithmetic/match=yes", "SELECT (temperature - 32) * 5 / 9 AS c, location.lat AS lat FROM 'a' WHERE battery.level > 20", "30.5"},
		{"rule=topic/match=no", "SELECT temperature FROM 'a' WHERE topic(2) = 'x' AND temperature > 3", "30.5"},
	} {
		b.Run(c.name, func(b *testing.B) {
			q := mustCompile(b, c.sql)
			m := everydayMessage(c.temperature)
			ctx := context.Background()
			b.SetBytes(int64(len(m.Payload)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := q.Eval(ctx, m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Compile(everyday, nil); err != nil {
			b.Fatal(err)
		}
	}
}
