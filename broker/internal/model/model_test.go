package model

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// setting is a number from the environment.
func setting(t *testing.T, name string, otherwise uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestModel runs schedules against the model; see the package comment.
func TestModel(t *testing.T) {
	most := uint64(schedules)
	if testing.Short() {
		most = 20
	}
	seed, n := setting(t, "THINGLOOM_SEED", 0), setting(t, "THINGLOOM_SCHEDULES", most)
	var next, failed atomic.Uint64
	for worker := range runtime.GOMAXPROCS(0) {
		t.Run(fmt.Sprint("worker ", worker), func(t *testing.T) {
			t.Parallel()
			for failed.Load() == 0 {
				i := next.Add(1) - 1
				if i >= n {
					return
				}
				if !hold(t, seed+i) {
					failed.Add(1)
				}
			}
		})
	}
}

// hold runs one schedule, and reports whether nothing was wrong.
func hold(t *testing.T, seed uint64) bool {
	steps := plan(rand.New(rand.NewPCG(seed, 0)))
	faults, trace := play(t, seed, steps)
	if len(faults) == 0 {
		return true
	}
	steps, faults, trace = shrink(t, seed, steps, faults, trace)
	var list strings.Builder
	for _, s := range steps {
		list.WriteString("\t" + s.String() + "\n")
	}
	if most := 150; len(trace) > most {
		trace = trace[len(trace)-most:]
	}
	t.Errorf("seed %d: %s\n%d steps:\n%swhat the clients saw:\n%s", seed, strings.Join(faults, "\n"), len(steps), list.String(), strings.Join(trace, "\n"))
	return false
}

func play(t *testing.T, seed uint64, steps []step) (faults, trace []string) {
	var w *world
	synctest.Test(t, func(*testing.T) { w = run(seed, steps, 10) })
	return w.faults, w.trace
}

// shrink takes steps away for as long as something is wrong without them.
func shrink(t *testing.T, seed uint64, steps []step, faults, trace []string) ([]step, []string, []string) {
	tries := 400
	for size := len(steps) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(steps); {
			fewer := slices.Concat(steps[:at], steps[at+size:])
			failed := false
			for range 3 { // goroutines run as they like
				if tries--; tries < 0 {
					return steps, faults, trace
				}
				if f, tr := play(t, seed, fewer); len(f) > 0 {
					steps, faults, trace, failed = fewer, f, tr, true
					break
				}
			}
			if !failed {
				at += size
			}
		}
	}
	return steps, faults, trace
}
