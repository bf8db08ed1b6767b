package main

import (
	"runtime"
	"time"
)

// measure is how many times a second of CPU time f can run, that of the
// garbage collector included: the best of three runs of about d each, since
// what else the machine does can only make it slower.
func measure(d time.Duration, f func() error) (float64, error) {
	best := 0.0
	for range 3 {
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
		if rate := float64(n) / (cpuTime() - cpu).Seconds(); rate > best {
			best = rate
		}
	}
	return best, nil
}
