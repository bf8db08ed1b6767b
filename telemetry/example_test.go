package telemetry_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/thingloom/thingloom/telemetry"
)

// Windows of one minute, computed as records come.
func Example() {
	q, err := telemetry.Compile(`SELECT key, avg(t) AS t, max(t) AS peak FROM stream
		GROUP BY key, TUMBLE(INTERVAL '1' MINUTE)`)
	if err != nil {
		log.Fatal(err)
	}
	w := telemetry.NewWindower(q, nil)
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i, v := range []string{`{"t":20.1}`, `{"t":20.4}`, `{"t":31.5}`} {
		r := telemetry.Record{Key: "s1", Time: noon.Add(time.Duration(i) * 10 * time.Second), Value: []byte(v)}
		if err := w.Add(&r); err != nil {
			log.Fatal(err)
		}
	}
	for r := range w.Advance(noon.Add(time.Minute)) {
		fmt.Println(string(r.Value))
	}
	// Output:
	// {"key":"s1","t":24,"peak":31.5,"window_start":1772366400000,"window_end":1772366460000}
}

// Records become files: durable when Put returns, in a file exactly once.
func ExampleStream() {
	dir, err := os.MkdirTemp("", "bucket")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store := telemetry.NewMemLog(1, 0) // telemetrypebble.Open for one on disk
	stream, err := telemetry.NewStream(store, store, nil)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	go stream.Run(ctx)
	for i := range 3 {
		if err := stream.Put(ctx, "s1", time.Time{}, fmt.Appendf(nil, `{"i":%d}`, i)); err != nil {
			log.Fatal(err)
		}
	}
	bucket, err := telemetry.NewDirBucket(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	files, err := telemetry.Files(bucket, &telemetry.FilesOptions{Key: "{id}.jsonl", MaxRecords: 3})
	if err != nil {
		log.Fatal(err)
	}
	done := telemetry.Func(func(context.Context, telemetry.Batch) error { stop(); return nil })
	if err := stream.Consume(ctx, "archive", telemetry.Tee(files, done)); err != nil {
		log.Fatal(err)
	}
	for o, err := range bucket.List(context.Background(), "", "") {
		fmt.Println(o.Key, o.Bytes, err)
	}
	// Output:
	// archive-000-0000000000000000-0000000000000002.jsonl 24 <nil>
}

// Errors in window SQL say where.
func ExampleCompile() {
	_, err := telemetry.Compile("SELECT key, t FROM stream\nGROUP BY key, TUMBLE(INTERVAL '1' MINUTE)")
	fmt.Println(err)
	if se, ok := err.(*telemetry.SyntaxError); ok {
		fmt.Println(se.Snippet)
	}
	// Output:
	// telemetry: window SQL: line 1, column 13: t must be in GROUP BY or inside of an aggregate
	// SELECT key, t FROM stream
	//             ^
}

// Windows of all sensors for a dashboard, and as files.
func ExampleAggregate() {
	q, err := telemetry.Compile(`SELECT key, count(*) AS n FROM stream GROUP BY key, TUMBLE(INTERVAL '10' SECOND)`)
	if err != nil {
		log.Fatal(err)
	}
	live := telemetry.NewLive(nil)
	sink := telemetry.Aggregate(q, live, &telemetry.WindowOptions{Name: "tens", Lateness: -1})
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	batch := telemetry.Batch{ID: "b1", Time: noon.Add(12 * time.Second)} // Consume makes these
	for i, key := range []string{"s1", "s2", "s1", "s1"} {
		batch.Records = append(batch.Records, telemetry.Record{Key: key, Time: noon.Add(time.Duration(i) * 4 * time.Second), Value: []byte(`{}`)})
	}
	if err := sink.Write(context.Background(), batch); err != nil {
		log.Fatal(err)
	}
	for _, e := range live.Current() {
		fmt.Println(e.Key, e.Time.Format(time.TimeOnly), string(e.Value))
	}
	// Output:
	// s1 12:00:00 {"key":"s1","n":2,"window_start":1772366400000,"window_end":1772366410000}
	// s2 12:00:00 {"key":"s2","n":1,"window_start":1772366400000,"window_end":1772366410000}
}
