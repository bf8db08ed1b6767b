package main

import (
	"runtime"
	"time"
)

// measure is how many times a second of CPU time f can run: the best of three
// runs of about d each, since what else the machine does can only make it
// slower.
func measure(d time.Duration, f func() error) (float64, error) {
	best := 0.0
	for range 3 {
		rate, err := once(d, f)
		if err != nil {
			return 0, err
		}
		best = max(best, rate)
	}
	return best, nil
}

// once is how many times a second of CPU time, that of the garbage collector
// included, f ran in one run of about d.
func once(d time.Duration, f func() error) (float64, error) {
	runtime.GC()
	n, begin, cpu := 0, time.Now(), cpuTime()
	for time.Since(begin) < d {
		for range 64 {
			if err := f(); err != nil {
				return 0, err
			}
		}
		n += 64
	}
	return float64(n) / (cpuTime() - cpu).Seconds(), nil
}
