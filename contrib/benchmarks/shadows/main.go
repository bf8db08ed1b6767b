// Command shadows measures the shadow service on disk, each update acknowledged after its sync: how many updates a second
// the service takes, how many share a sync and what a sync of that disk costs, and, with a broker over TCP, how long it is
// from the publish of an update to its delta at a subscriber.
//
//	go run ./shadows [-dir DIR] [-rate 10000] [-duration 10s] [-devices 500] [-linger 0] [-procs N] [-cpuprofile FILE]
//
// Updates are published at that rate whatever becomes of them, by devices that send to their own shadows in turn, and the
// time counts from when a publish was due. Who publishes and who hears the deltas are a process of their own, as clients
// are, on the same processors.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/thingloom/thingloom/shadow"
	"github.com/thingloom/thingloom/shadow/shadowpebble"
)

// A bench is what the flags say.
type bench struct {
	rate, devices, writers, procs, gogc, memtable int
	duration, linger                              time.Duration
	profile, trace                                string
}

func main() {
	log.SetFlags(0)
	var b bench
	dir := flag.String("dir", "", "folder for the database, on the disk to be measured; empty is a temporary one")
	flag.IntVar(&b.rate, "rate", 10_000, "updates a second over MQTT")
	flag.DurationVar(&b.duration, "duration", 10*time.Second, "of each measurement")
	flag.IntVar(&b.devices, "devices", 500, "connections that publish, each for its own thing")
	flag.IntVar(&b.writers, "writers", 64, "goroutines that update shadows without MQTT")
	flag.IntVar(&b.procs, "procs", runtime.NumCPU()+1, "GOMAXPROCS of the broker's process: a sync keeps one of them from Go, and so does an event loop that waits")
	flag.IntVar(&b.gogc, "gogc", 400, "GOGC of the broker's process, which has a live heap of a few MB: at 100 it is collected eleven times a second")
	flag.IntVar(&b.memtable, "memtable", 4, "MiB of what is in memory and in the log before it is written to a table: a larger one is written seldom and for long")
	flag.DurationVar(&b.linger, "linger", 0, "least time between two syncs")
	flag.StringVar(&b.profile, "cpuprofile", "", "write a profile of the part over MQTT here")
	flag.StringVar(&b.trace, "trace", "", "write an execution trace of two seconds of the part over MQTT here")
	addr := flag.String("load", "", "be the clients of the broker there, for a program that this one starts")
	flag.Parse()
	if *addr != "" {
		if err := b.load(*addr); err != nil {
			log.Fatal(err)
		}
		return
	}
	made, err := os.MkdirTemp(*dir, "shadows")
	if err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(b.run(made), os.RemoveAll(made)); err != nil {
		log.Fatal(err)
	}
}

func (b *bench) run(dir string) error {
	if err := disk(dir); err != nil {
		return err
	}
	syncs := &syncs{FS: vfs.Default}
	db, err := pebble.Open(filepath.Join(dir, "db"), &pebble.Options{FS: syncs, Logger: quiet{}, MemTableSize: uint64(b.memtable) << 20, FormatMajorVersion: pebble.FormatNewest,
		WALMinSyncInterval: func() time.Duration { return b.linger }})
	if err != nil {
		return err
	}
	defer db.Close()
	svc, err := shadow.New(shadowpebble.New(db, "s/", nil), nil)
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(b.procs)
	debug.SetGCPercent(b.gogc)
	if err := b.service(svc, syncs); err != nil {
		return err
	}
	return b.overMQTT(svc, syncs)
}

// disk measures a sync of a file that grew by 4 KiB.
func disk(dir string) error {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return err
	}
	defer f.Close()
	var took []time.Duration
	for range 300 {
		began := time.Now()
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		took = append(took, time.Since(began))
	}
	fmt.Printf("disk: append 4 KiB and sync: p50 %v, p99 %v\n", at(took, 500), at(took, 990))
	return nil
}

// service measures updates by goroutines, each for its own thing.
func (b *bench) service(svc *shadow.Service, syncs *syncs) error {
	var done atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	syncs.reset()
	began := time.Now()
	for w := range b.writers {
		all.Go(func() {
			ref := shadow.Ref{Thing: fmt.Sprint("writer-", w)}
			for n := 0; time.Since(began) < b.duration && failed.Load() == nil; n++ {
				if _, err := svc.Update(context.Background(), ref, fmt.Appendf(nil, `{"state":{"reported":{"temperature":%d}}}`, n)); err != nil {
					failed.Store(&err)
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	fmt.Printf("service, %d writers: %.0f durable updates/s, %s\n", b.writers, float64(done.Load())/time.Since(began).Seconds(), syncs.report(done.Load()))
	return nil
}

// at is a part of a thousand of what was measured.
func at(took []time.Duration, part int) time.Duration {
	slices.Sort(took)
	return took[min(len(took)*part/1000, len(took)-1)].Round(time.Microsecond)
}

type quiet struct{}

func (quiet) Infof(string, ...any)         {}
func (quiet) Errorf(string, ...any)        {}
func (quiet) Fatalf(f string, args ...any) { log.Fatalf(f, args...) }
