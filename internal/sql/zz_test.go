package sql

import (
	"fmt"
	"slices"
	"context"
	"strings"
	"testing"
	"time"
)

func benchPayload() string {
	head := `{"deviceId":"sensor-0042","temperature":30.5,"humidity":48.25,"battery":{"level":87,"voltage":3.71},` +
		`"location":{"lat":47.606209,"lon":-122.332071},"firmware":"2.4.1","uptime":1839204,"tags":["roof","north"],"note":"`
	return head + strings.Repeat("x", 298-len(head)) + `"}`
}

func benchPayload2() string {
	return payload300("31.5", 300)
}

func payload300(temperature string, size int) string {
	var b strings.Builder
	b.WriteString(`{"deviceId":"sensor-0042","temperature":` + temperature + `,"humidity":48.25,"battery":{"level":87,"voltage":3.71},` +
		`"firmware":"2.4.1","uptime":1839204,"tags":["roof","north"]`)
	for i := 0; b.Len() < size-80; i++ {
		fmt.Fprintf(&b, `,"m%d":{"v":%d.5,"u":"hPa","ok":true}`, i, 900+i%100)
	}
	if rest := size - b.Len() - len(`,"note":""}`); rest >= 0 {
		fmt.Fprintf(&b, `,"note":"%s"`, strings.Repeat("x", rest))
	}
	b.WriteByte('}')
	return b.String()
}

// minTime is ns/op, the least of many short batches and the 20 % quantile.
func minTime(f func()) string {
	var all []float64
	for range 2000 {
		t := time.Now()
		for range 200 {
			f()
		}
		all = append(all, float64(time.Since(t).Nanoseconds())/200)
	}
	slices.Sort(all)
	return fmt.Sprintf("min %.1f q5 %.1f q20 %.1f", all[0], all[len(all)/20], all[len(all)/5])
}

func TestZZ(t *testing.T) {
	st, err := CompileStatement("SELECT deviceId, temperature, timestamp() AS ts FROM 'sensors/+/climate' WHERE temperature > 30", nil)
	if err != nil {
		t.Fatal(err)
	}
	slots := make([]string, st.body.prog.slots)
	for _, s := range []string{benchPayload(), benchPayload2()} {
		fmt.Println("read", minTime(func() {
			f := search{slots: slots, refuter: refuter{preds: st.preds}}
			_, state := read(s, &f, st.body.prog.paths)
			if state != isObject {
				t.Fatal(state)
			}
		}))
		fmt.Println("skip", minTime(func() {
			if _, ok := skipNested(s, 0, foreign); !ok {
				t.Fatal()
			}
		}))
		ctx := context.Background()
		in := &Input{Topic: "sensors/42/climate", Payload: []byte(s), Time: time.UnixMilli(1700000000123)}
		fmt.Println("eval", minTime(func() {
			if _, ok, _ := st.Eval(ctx, in); !ok {
				t.Fatal()
			}
		}))
		buf := make([]byte, 0, 512)
		ev := &Evaluation{Input: *in}
		fmt.Println("run ", minTime(func() {
			if r, _ := ev.Run(ctx, st, &RunOptions{Buf: buf}); !r.Matched {
				t.Fatal()
			}
		}))
	}
}
