package main

import (
	"context"
	"fmt"
	"time"

	"github.com/thingloom/thingloom/rules"
)

// curves measures over payload size, rule count and fields touched.
func curves(d time.Duration) ([]panel, error) {
	var panels []panel
	for _, f := range []func(time.Duration) (panel, error){bySize, byRules, byFields} {
		p, err := f(d)
		if err != nil {
			return nil, err
		}
		panels = append(panels, p)
	}
	return panels, nil
}

var colours = []string{"#0b6e4f", "#3c91e6", "#c8553d", "#8d6a9f", "#b08900", "#666666", "#222222"}

// bySize is the everyday rule, which matches, by everybody.
func bySize(d time.Duration) (panel, error) {
	p := panel{title: "payload size", x: "bytes"}
	all, err := contenders()
	if err != nil {
		return p, err
	}
	for i, c := range all[1:] { // the engine stands for Thingloom
		s := series{name: c.name, colour: colours[i]}
		for _, size := range []int{200, 512, 2 << 10, 8 << 10, 32 << 10} {
			text := payload("31.5", size)
			rate, err := measureBest(d, func() error { _, err := c.do(text); return err })
			if err != nil {
				return p, err
			}
			s.points = append(s.points, point{float64(size), rate})
		}
		p.series = append(p.series, s)
	}
	return p, nil
}

// byRules is a message beside many rules: on filters of their own, on its own
// filter where one of them fires, and where one in a hundred does.
func byRules(d time.Duration) (panel, error) {
	p := panel{title: "rules", x: "rules in the engine"}
	for i, c := range []struct {
		name string
		rule func(i, n int) string
	}{
		{"own filters, one fires", func(i, n int) string {
			return fmt.Sprintf("SELECT deviceId, temperature FROM 'sensors/%d/climate' WHERE temperature > 30", 42+i)
		}},
		{"one filter, one fires", func(i, n int) string {
			return fmt.Sprintf("SELECT deviceId, temperature FROM 'sensors/+/climate' WHERE deviceId = 'sensor-%04d' AND temperature > 30", 42+i)
		}},
		{"one filter, 1 % fire", func(i, n int) string {
			return fmt.Sprintf("SELECT deviceId, temperature FROM 'sensors/+/climate' WHERE temperature > %.5f", 31.5+(float64(i)-float64(n)/100+0.5)/1000)
		}},
	} {
		s := series{name: c.name, colour: colours[i]}
		for _, n := range []int{10, 100, 1_000, 10_000} {
			var sink sink
			e, err := engine(&sink, n, func(i int) string { return c.rule(i, n) })
			if err != nil {
				return p, err
			}
			rate, err := measureBest(d, handle(e, payload("31.5", 300)))
			if err != nil {
				return p, err
			}
			s.points = append(s.points, point{float64(n), rate})
		}
		p.series = append(p.series, s)
	}
	return p, nil
}

func handle(e *rules.Engine, payload []byte) func() error {
	ctx := context.Background()
	m := &rules.Message{Topic: "sensors/42/climate", TraceID: "t", Payload: payload}
	return func() error { return e.Handle(ctx, m) }
}

// byFields is a rule that selects so many members of a payload of 2 KiB.
func byFields(d time.Duration) (panel, error) {
	p := panel{title: "fields touched", x: "fields in SELECT"}
	counts := []int{1, 2, 4, 8, 16, 32}
	text := fields(counts[len(counts)-1], 2<<10)
	for i, c := range []struct{ name, where string }{
		{"matches", " WHERE temperature > 30"},
		{"does not match", " WHERE temperature > 90"},
	} {
		s := series{name: c.name, colour: colours[i]}
		for _, n := range counts {
			list := "f0"
			for i := 1; i < n; i++ {
				list += fmt.Sprintf(", f%d", i)
			}
			var sink sink
			e, err := engine(&sink, 1, func(int) string { return "SELECT " + list + " FROM 'sensors/+/climate'" + c.where })
			if err != nil {
				return p, err
			}
			rate, err := measureBest(d, handle(e, text))
			if err != nil {
				return p, err
			}
			s.points = append(s.points, point{float64(n), rate})
		}
		p.series = append(p.series, s)
	}
	return p, nil
}
