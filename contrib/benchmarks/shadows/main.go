// Command shadows measures the shadow service on disk, each update acknowledged after its sync: how many updates a second
// the service takes, how many share a sync and what a sync of that disk costs, and, with a broker over TCP, how long it is
// from the publish of an update to its delta at a subscriber.
//
//	go run ./shadows [-dir DIR] [-rate 10000] [-duration 10s] [-devices 500] [-cpuprofile FILE]
//
// Updates are published at that rate whatever becomes of them, by devices that send to their own shadows in turn, and the
// time counts from when a publish was due. Everything runs in one process, on the processors that there are.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/shadow"
	"github.com/thingloom/thingloom/shadow/shadowmqtt"
	"github.com/thingloom/thingloom/shadow/shadowpebble"
)

func main() {
	log.SetFlags(0)
	dir := flag.String("dir", "", "folder for the database, on the disk to be measured; empty is a temporary one")
	rate := flag.Int("rate", 10_000, "updates a second over MQTT")
	duration := flag.Duration("duration", 10*time.Second, "of each measurement")
	devices := flag.Int("devices", 500, "connections that publish, each for its own thing")
	writers := flag.Int("writers", 64, "goroutines that update shadows without MQTT")
	profile := flag.String("cpuprofile", "", "write a profile of the part over MQTT here")
	flag.Parse()
	made, err := os.MkdirTemp(*dir, "shadows")
	if err != nil {
		log.Fatal(err)
	}
	err = run(made, *rate, *devices, *writers, *duration, *profile)
	if err := errors.Join(err, os.RemoveAll(made)); err != nil {
		log.Fatal(err)
	}
}

func run(dir string, rate, devices, writers int, duration time.Duration, profile string) error {
	if err := disk(dir); err != nil {
		return err
	}
	syncs := &syncs{FS: vfs.Default}
	db, err := pebble.Open(filepath.Join(dir, "db"), &pebble.Options{FS: syncs, Logger: quiet{}, MemTableSize: 32 << 20, FormatMajorVersion: pebble.FormatNewest})
	if err != nil {
		return err
	}
	defer db.Close()
	svc, err := shadow.New(shadowpebble.New(db, "s/", nil), nil)
	if err != nil {
		return err
	}
	if err := service(svc, syncs, writers, duration); err != nil {
		return err
	}
	if profile != "" {
		f, err := os.Create(profile)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	return overMQTT(svc, syncs, rate, devices, duration)
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
func service(svc *shadow.Service, syncs *syncs, writers int, duration time.Duration) error {
	var done atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	syncs.reset()
	began := time.Now()
	for w := range writers {
		all.Go(func() {
			ref := shadow.Ref{Thing: fmt.Sprint("writer-", w)}
			for n := 0; time.Since(began) < duration && failed.Load() == nil; n++ {
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
	fmt.Printf("service, %d writers: %.0f durable updates/s, %s\n", writers, float64(done.Load())/time.Since(began).Seconds(), syncs.report(done.Load()))
	return nil
}

// overMQTT measures from the publish of an update to its delta.
func overMQTT(svc *shadow.Service, syncs *syncs, rate, devices int, duration time.Duration) error {
	b, err := broker.New(broker.NewMemStore(), &broker.Options{Authenticator: broker.AllowAll{}, Authorizer: broker.AllowAll{}})
	if err != nil {
		return err
	}
	topics, err := shadowmqtt.New(svc, b, nil)
	if err != nil {
		return err
	}
	defer topics.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- b.Serve(ctx, l) }()
	defer func() { stop(); <-served }()

	sub, err := newSubscriber(l.Addr().String())
	if err != nil {
		return err
	}
	defer sub.Close()
	pubs := make([]*publisher, devices)
	for i := range pubs {
		if pubs[i], err = newPublisher(l.Addr().String(), fmt.Sprintf("device-%d", i)); err != nil {
			return err
		}
		defer pubs[i].Close()
	}
	rand.Shuffle(len(pubs), func(i, j int) { pubs[i], pubs[j] = pubs[j], pubs[i] })
	warm := duration / 5
	syncs.reset()
	sent, late, err := drive(pubs, rate, warm+duration)
	if err != nil {
		return err
	}
	for range 100 { // what is under way
		if sub.deltas() == sent {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	took := sub.latencies(warm)
	stats := topics.Stats()
	if len(took) == 0 {
		return errors.New("no delta came")
	}
	fmt.Printf("MQTT, %d devices, %d updates/s asked for: %d sent, %d deltas, %d rejected, sender behind by at most %v, %s\n", devices, rate, sent, sub.deltas(), stats.Rejected, late.Round(time.Millisecond), syncs.report(int64(sent)))
	fmt.Printf("publish to delta: p50 %v, p90 %v, p99 %v, p99.9 %v, most %v\n", at(took, 500), at(took, 900), at(took, 990), at(took, 999), at(took, 1000))
	return nil
}

// drive publishes at a rate, by the publishers in turn. late is how far it was behind at most.
func drive(pubs []*publisher, rate int, duration time.Duration) (sent int, late time.Duration, err error) {
	began := time.Now()
	total := int(float64(rate) * duration.Seconds())
	for sent < total {
		due := began.Add(time.Duration(float64(sent) / float64(rate) * float64(time.Second)))
		switch wait := time.Until(due); {
		case wait > 0:
			time.Sleep(wait)
		case -wait > late:
			late = -wait
		}
		if err := pubs[sent%len(pubs)].publish(due); err != nil {
			return sent, late, err
		}
		sent++
	}
	return sent, late, nil
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
