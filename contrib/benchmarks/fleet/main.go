// Command fleet fills a registry, shadows and a fleet index on disk and measures what a large fleet costs: time to load
// and to build the index by one call, memory, size on disk, and how long searches take.
//
//	go run ./fleet -things 1000000 -dir DIR [-cpuprofile FILE]
//
// Shadow updates are durable, each acknowledged after its sync; things and index entries are written without waiting for
// the disk. DIR is kept, and found again by the next run, which then only searches (-rebuild builds the index anew).
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"golang.org/x/sync/errgroup"

	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/fleetindex"
	"github.com/thingloom/thingloom/registry/registrypebble"
	"github.com/thingloom/thingloom/shadow"
	"github.com/thingloom/thingloom/shadow/shadowpebble"
)

func main() {
	log.SetFlags(0)
	things := flag.Int("things", 100_000, "things, with a shadow each")
	dir := flag.String("dir", "", "folder of the database; empty is one that is removed at the end")
	rebuild := flag.Bool("rebuild", false, "build the index anew, also if it is there")
	block := flag.Int("block", 32<<10, "bytes of a block of the database; the full backend has the default")
	measure := flag.String("measure", "search,pages,aggregate,update", "what is measured, separated by commas")
	profile := flag.String("cpuprofile", "", "write a profile of it all here")
	flag.Parse()
	if *profile != "" {
		f, err := os.Create(*profile)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			log.Fatal(err)
		}
		defer pprof.StopCPUProfile()
	}
	if *dir == "" {
		made, err := os.MkdirTemp("", "fleet")
		if err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(made)
		*dir = made
	}
	if err := run(context.Background(), filepath.Join(*dir, "db"), *things, *block, *rebuild, strings.Split(*measure, ",")); err != nil {
		log.Print(err)
	}
}

// A fleet is what is measured.
type fleet struct {
	db       *pebble.DB
	registry *registry.Registry
	shadows  *shadow.Service
	index    *fleetindex.Index
}

// open opens the database as the full backend does.
func open(ctx context.Context, dir string, block int) (*fleet, error) {
	cache := pebble.NewCache(64 << 20)
	defer cache.Unref()
	opts := &pebble.Options{Cache: cache, MemTableSize: 32 << 20, MemTableStopWritesThreshold: 4, L0CompactionThreshold: 2,
		L0StopWritesThreshold: 1000, LBaseMaxBytes: 64 << 20, FormatMajorVersion: pebble.FormatNewest, Logger: quiet{}}
	for i := range opts.Levels {
		opts.Levels[i].BlockSize = block
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	f := &fleet{}
	var err error
	if f.db, err = pebble.Open(dir, opts); err != nil {
		return nil, err
	}
	store, err := registrypebble.Open(ctx, f.db, "registry/", &registrypebble.Options{NoSync: true})
	if err != nil {
		return nil, err
	}
	if f.registry, err = registry.New(store, nil); err != nil {
		return nil, err
	}
	if f.shadows, err = shadow.New(shadowpebble.New(f.db, "shadow/", nil), nil); err != nil {
		return nil, err
	}
	entries, err := registrypebble.Open(ctx, f.db, "index/", &registrypebble.Options{NoSync: true})
	if err != nil {
		return nil, err
	}
	config := fleetindex.Everything
	config.CustomFields = []fleetindex.Field{{Name: "attributes.site", Type: fleetindex.String}, {Name: "attributes.floor", Type: fleetindex.Number},
		{Name: "shadow.reported.battery", Type: fleetindex.Number}, {Name: "shadow.reported.on", Type: fleetindex.Boolean}}
	f.index, err = fleetindex.Open(ctx, entries, &fleetindex.Options{Config: config, Feed: f.feed})
	return f, err
}

func run(ctx context.Context, dir string, things, block int, rebuild bool, measure []string) (err error) {
	f, err := open(ctx, dir, block)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.index.Close(ctx), f.db.Close()) }()
	if _, err := f.registry.Thing(ctx, name(things-1)); errors.Is(err, registry.ErrNotFound) {
		if err := f.load(ctx, things); err != nil {
			return err
		}
		rebuild = true
	} else if err != nil {
		return err
	}
	memory("loaded")
	if rebuild || f.index.Status() != fleetindex.Active { // the last build was cut off
		began, cpu := time.Now(), cpuTime()
		if err := f.index.Rebuild(ctx); err != nil {
			return err
		}
		took := time.Since(began)
		fmt.Printf("index built by one call: %v, %.0f things/s, CPU time %v\n", took.Round(100*time.Millisecond), float64(things)/took.Seconds(), (cpuTime() - cpu).Round(100*time.Millisecond))
		memory("index built")
	}
	if s, err := f.index.Statistics(ctx, "*", "thingName"); err != nil || s.Count != things {
		return errors.Join(fmt.Errorf("the index has %d of %d things", s.Count, things), err)
	}
	for _, m := range []struct {
		name string
		do   func() error
	}{
		{"search", func() error { return f.search(ctx, things) }},
		{"pages", func() error { return f.pages(ctx) }},
		{"aggregate", func() error { return f.aggregate(ctx) }},
		{"update", func() error { return f.update(ctx, things) }},
	} {
		if !slices.Contains(measure, m.name) {
			continue
		}
		if err := m.do(); err != nil {
			return err
		}
		memory(m.name)
	}
	size, err := f.db.EstimateDiskUsage([]byte("a"), []byte("z"))
	fmt.Printf("on disk: %d MB\n", size>>20)
	return err
}

func name(i int) string { return fmt.Sprintf("thing-%07d", i) }

// load makes the things and their shadows, by 64 writers.
func (f *fleet) load(ctx context.Context, things int) error {
	for _, kind := range []string{"lamp", "pump", "meter"} {
		if _, err := f.registry.CreateThingType(ctx, registry.ThingType{Name: kind}); err != nil {
			return err
		}
	}
	began, cpu := time.Now(), cpuTime()
	err := parallel(things, func(i int) error {
		_, err := f.registry.CreateThing(ctx, registry.Thing{Name: name(i), Type: []string{"lamp", "pump", "meter"}[i%3],
			Attributes: map[string]string{"serial": fmt.Sprint("s", i), "site": fmt.Sprint("site", i%100), "floor": fmt.Sprint(i % 40)}})
		return err
	})
	fmt.Printf("%d things: %v, CPU time %v\n", things, time.Since(began).Round(100*time.Millisecond), (cpuTime() - cpu).Round(100*time.Millisecond))
	if err != nil {
		return err
	}
	began, cpu = time.Now(), cpuTime()
	err = parallel(things, func(i int) error {
		_, err := f.shadows.Update(ctx, shadow.Ref{Thing: name(i)}, fmt.Appendf(nil,
			`{"state":{"desired":{"on":true,"level":%d},"reported":{"on":true,"level":%d,"battery":%d,"temperature":%d.5,"firmware":"1.4.%d"}}}`,
			i%8, i%7, i, i%40, i%12))
		return err
	})
	took := time.Since(began)
	fmt.Printf("%d shadows, durable: %v, %.0f updates/s, CPU time %v\n", things, took.Round(100*time.Millisecond), float64(things)/took.Seconds(), (cpuTime() - cpu).Round(100*time.Millisecond))
	return err
}

// parallel calls do for 0 to n-1, from 64 goroutines, until one fails.
func parallel(n int, do func(i int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	failed := make(chan error, 64)
	for range 64 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && len(failed) == 0; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// feed tells the index of all that there is.
func (f *fleet) feed(ctx context.Context, ix *fleetindex.Index) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for t, err := range f.registry.Things(ctx, registry.ThingQuery{}) {
		if err != nil {
			return err
		}
		group.Go(func() error {
			return ix.Change(ctx, t.Name, func(k *fleetindex.Known) error {
				t, err := f.registry.Thing(ctx, t.Name)
				if err != nil {
					return err
				}
				d, err := f.shadows.Get(ctx, shadow.Ref{Thing: t.Name})
				if err != nil {
					return err
				}
				text, err := indexed(d)
				k.Thing, k.Shadows = &t, map[string]json.RawMessage{"": text}
				return err
			})
		})
	}
	return group.Wait()
}

// indexed is a shadow in the form of the index.
func indexed(d shadow.Document) (json.RawMessage, error) {
	delta, err := shadow.Delta(d.Desired, d.Reported)
	if err != nil {
		return nil, err
	}
	return json.Marshal(struct {
		Desired  json.RawMessage `json:"desired,omitempty"`
		Reported json.RawMessage `json:"reported,omitempty"`
		Delta    json.RawMessage `json:"delta,omitempty"`
		Metadata json.RawMessage `json:"metadata,omitempty"`
		HasDelta bool            `json:"hasDelta"`
		Version  int64           `json:"version"`
	}{d.Desired, d.Reported, delta, d.Metadata, delta != nil, d.Version})
}

// memory prints what the process holds.
func memory(when string) {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		log.Print(err)
	}
	fmt.Printf("%s: heap in use %d MB, heap from the system %d MB, peak resident %d MB\n", when, m.HeapAlloc>>20, m.HeapSys>>20, u.Maxrss>>10)
}

// quiet keeps pebble's own log off the terminal.
type quiet struct{}

func (quiet) Infof(string, ...any)         {}
func (quiet) Errorf(string, ...any)        {}
func (quiet) Fatalf(f string, args ...any) { log.Fatalf(f, args...) }
