package fleetindex

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/registrypebble"
)

// BenchmarkSearch looks for one thing among THINGLOOM_THINGS (20,000 if unset) on
// disk, by an attribute that it alone has, and by a range of a shadow's number.
// It reports the heap that the process holds then.
func BenchmarkSearch(b *testing.B) {
	things, err := strconv.Atoi(os.Getenv("THINGLOOM_THINGS"))
	if err != nil {
		things = 20_000
	}
	ctx := context.Background()
	db, err := pebble.Open(b.TempDir(), &pebble.Options{Logger: quiet{}, MemTableSize: 32 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	store, err := registrypebble.Open(ctx, db, "index/", &registrypebble.Options{NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	ix, err := Open(ctx, store, &Options{Config: Everything})
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	for i := range things {
		name := fmt.Sprintf("thing-%07d", i)
		if err := ix.PutThing(ctx, registry.Thing{Name: name, ID: name, Type: "lamp", Attributes: map[string]string{"serial": fmt.Sprint("s", i), "site": fmt.Sprint("site", i%100)}, Version: 1}); err != nil {
			b.Fatal(err)
		}
		if err := ix.PutShadow(ctx, name, "", fmt.Appendf(nil, `{"reported":{"battery":%d,"on":true},"version":1}`, i)); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("%d things in %v", things, time.Since(began).Round(time.Second))
	for _, q := range []struct{ name, query string }{
		{"equality", "attributes.serial:s%d"}, {"and", "attributes.site:site7 AND shadow.reported.battery:%d"}, {"range", "shadow.reported.battery:[%d TO %[1]d]"}, {"page", "attributes.site:site7"},
	} {
		b.Run(q.name, func(b *testing.B) {
			i := 7
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				query, limit, want := q.query, 10, 1
				if q.name == "page" {
					limit, want = 100, 100
				} else {
					query = fmt.Sprintf(query, i)
				}
				hits, _, err := ix.Search(ctx, query, "", limit)
				took = append(took, time.Since(began))
				if err != nil || len(hits) != want {
					b.Fatal(len(hits), err)
				}
				i = (i + 7_900) / 100 * 100 % things
				i += 7
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			b.ReportMetric(float64(m.HeapAlloc)/1e6, "heap-MB")
		})
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)         {}
func (quiet) Errorf(string, ...any)        {}
func (quiet) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }
