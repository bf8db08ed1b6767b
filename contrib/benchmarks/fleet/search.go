package main

import (
	"context"
	"fmt"
	"log"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"github.com/thingloom/thingloom/shadow"
)

// searches are what is asked; %d is a thing's number.
var searches = []struct {
	title, query string
	limit, times int
}{
	{"equality, text, 1 hit", "attributes.serial:s%d", 100, 500},
	{"equality, number, 1 hit", "shadow.reported.battery:%d", 100, 500},
	{"equality, thingName", "thingName:thing-%07d", 100, 500},
	{"equality, number, not as it is written", "shadow.reported.battery:%d.0", 100, 500},
	{"equality, text, 1 % of all, first 100", "attributes.site:site7", 100, 50},
	{"equality, number, 2.5 % of all, first 100", "attributes.floor:7", 100, 50},
	{"equality, Boolean, all, first 100", "shadow.reported.on:true", 100, 50},
	{"AND of 1 % and a third, first 100", "attributes.site:site7 AND thingTypeName:lamp", 100, 50},
	{"AND of 1 % and 1 hit", "attributes.site:site7 AND shadow.reported.battery:%d", 100, 200},
	{"OR of 1 % and 2.5 %, first 100", "attributes.site:site7 OR attributes.floor:9", 100, 50},
	{"range, 1 hit", "shadow.reported.battery:[%d TO %[1]d]", 100, 200},
	{"range, 1,000 hits, first 100", "shadow.reported.battery:[2000 TO 2999]", 100, 50},
	{"range, half of all, first 100", "shadow.reported.temperature<20", 100, 10},
	{"range of texts, 10 hits", `attributes.serial:["s12345" TO "s1234509"]`, 100, 50},
	{"NOT of 1 %, first 100", "NOT attributes.site:site7", 100, 50},
	{"1 % NOT what all are: nothing", "attributes.site:site7 NOT shadow.reported.on:true", 100, 10},
	{"NOT of what all are: nothing", "NOT shadow.reported.on:true", 100, 3},
	{"all, first 100", "*", 100, 50},
	{"a word in any field, 1 hit", "s%d", 100, 200},
	{"a number in any field, 1 hit", "%d", 100, 200},
	{"beginning, 1 to 1,111 hits, first 100", "attributes.serial:s%d*", 100, 100},
}

// search measures searches, each from a warm start, as a service that runs has it.
func (f *fleet) search(ctx context.Context, things int) error {
	rng := rand.New(rand.NewPCG(1, 2))
	fmt.Println("| search | p50 | p99 | CPU time each | hits |")
	fmt.Println("|---|---|---|---|---|")
	for _, s := range searches {
		var took []time.Duration
		hits, cpu := 0, time.Duration(0)
		for i := range s.times + s.times/10 {
			query := s.query
			if n := rng.IntN(things); slices.Contains([]byte(query), '%') {
				query = fmt.Sprintf(query, n)
			}
			if i == s.times/10 {
				cpu = cpuTime()
			}
			began := time.Now()
			found, _, err := f.index.Search(ctx, query, "", s.limit)
			if i >= s.times/10 {
				took = append(took, time.Since(began))
			}
			if err != nil {
				return fmt.Errorf("%s: %w", query, err)
			}
			hits = len(found)
		}
		cpu = (cpuTime() - cpu) / time.Duration(s.times)
		fmt.Printf("| %s | %s | %s | %s | %d |\n", s.title, at(took, 50), at(took, 99), cpu.Round(time.Microsecond), hits)
	}
	return nil
}

// pages measures the pages of 100 of one search, to the end.
func (f *fleet) pages(ctx context.Context) error {
	for _, query := range []string{"attributes.site:site7", "shadow.reported.battery<5000", "attributes.serial:s77*", "attributes.site:site7 AND shadow.reported.temperature<20"} {
		var took []time.Duration
		hits, after := 0, ""
		for {
			began := time.Now()
			found, next, err := f.index.Search(ctx, query, after, 100)
			if err != nil {
				return fmt.Errorf("%s: %w", query, err)
			}
			took, hits = append(took, time.Since(began)), hits+len(found)
			if after = next; next == "" {
				break
			}
		}
		fmt.Printf("%d pages of %s, %d hits: a page p50 %s, p99 %s\n", len(took), query, hits, at(took, 50), at(took, 99))
	}
	return nil
}

// aggregate measures aggregations, each three times.
func (f *fleet) aggregate(ctx context.Context) error {
	fmt.Println("| aggregation | median | answer |")
	fmt.Println("|---|---|---|")
	for _, query := range []string{"*", "thingTypeName:lamp", "shadow.reported.temperature<20", "attributes.site:site7", "NOT attributes.site:site7"} {
		for _, a := range []struct {
			title string
			do    func() (any, error)
		}{
			{"statistics of the battery", func() (any, error) {
				s, err := f.index.Statistics(ctx, query, "shadow.reported.battery")
				return fmt.Sprintf("%d, average %.1f", s.Count, s.Average), err
			}},
			{"percentiles of the battery", func() (any, error) {
				p, err := f.index.Percentiles(ctx, query, "shadow.reported.battery", []float64{50, 99})
				return p, err
			}},
			{"cardinality of the battery", func() (any, error) { return f.index.Cardinality(ctx, query, "shadow.reported.battery") }},
			{"buckets of the site", func() (any, error) {
				b, total, err := f.index.Buckets(ctx, query, "attributes.site", 10)
				return fmt.Sprintf("%d of %d", len(b), total), err
			}},
			{"statistics of a Boolean", func() (any, error) {
				s, err := f.index.Statistics(ctx, query, "shadow.reported.on")
				return s.Sum, err
			}},
			{"statistics of the version", func() (any, error) { s, err := f.index.Statistics(ctx, query, ""); return s.Count, err }},
		} {
			var took []time.Duration
			var answer any
			for range 3 {
				began := time.Now()
				var err error
				if answer, err = a.do(); err != nil {
					return err
				}
				took = append(took, time.Since(began))
			}
			fmt.Printf("| %s where %s | %s | %v |\n", a.title, query, at(took, 50), answer)
		}
	}
	return nil
}

// update measures a durable shadow update with its change of the index, one after the other.
func (f *fleet) update(ctx context.Context, things int) error {
	cancel := f.shadows.Observe(func(ctx context.Context, c shadow.Change) {
		text, err := indexed(c.After)
		if err == nil {
			err = f.index.PutShadow(ctx, c.Ref.Thing, c.Ref.Name, text)
		}
		if err != nil {
			log.Print(err)
		}
	})
	defer cancel()
	var took []time.Duration
	for i := range 500 {
		n := rand.IntN(things)
		began := time.Now()
		if _, err := f.shadows.Update(ctx, shadow.Ref{Thing: name(n)}, fmt.Appendf(nil, `{"state":{"reported":{"temperature":%d}}}`, i)); err != nil {
			return err
		}
		took = append(took, time.Since(began))
	}
	fmt.Printf("update of a shadow and the index, one after the other: p50 %s, p99 %s\n", at(took, 50), at(took, 99))
	return nil
}

func at(took []time.Duration, percent int) string {
	slices.Sort(took)
	return took[len(took)*percent/100].Round(time.Microsecond).String()
}

// cpuTime is what the process has used of all processors, compaction included.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		log.Print(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
