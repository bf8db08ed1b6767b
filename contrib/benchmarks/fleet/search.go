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
	{"equality, text, 1 % of all, first 100", "attributes.site:site7", 100, 50},
	{"equality, number, 2.5 % of all, first 100", "attributes.floor:7", 100, 50},
	{"equality, Boolean, all, first 100", "shadow.reported.on:true", 100, 50},
	{"AND of 1 % and a third, first 100", "attributes.site:site7 AND thingTypeName:lamp", 100, 50},
	{"AND of 1 % and 1 hit", "attributes.site:site7 AND shadow.reported.battery:%d", 100, 200},
	{"OR of 1 % and 2.5 %, first 100", "attributes.site:site7 OR attributes.floor:9", 100, 50},
	{"range, 1 hit", "shadow.reported.battery:[%d TO %[1]d]", 100, 200},
	{"range, 1,000 hits, first 100", "shadow.reported.battery:[2000 TO 2999]", 100, 50},
	{"range, half of all, first 100", "shadow.reported.temperature<20", 100, 10},
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
