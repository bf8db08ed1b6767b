package telemetrypebble_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/thingloom/thingloom/telemetry"
	"github.com/thingloom/thingloom/telemetry/telemetrypebble"
)

// A stream on a Pebble database that other packages may use as well.
func Example() {
	db, err := pebble.Open("data", &pebble.Options{FS: vfs.NewMem(), Logger: quiet{}}) // a directory, without FS
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	store, err := telemetrypebble.Open(db, "telemetry/", &telemetrypebble.Options{
		Partitions: 2, MaxAge: 24 * time.Hour, MaxBytes: 10 << 30,
	})
	if err != nil {
		log.Fatal(err)
	}
	stream, err := telemetry.NewStream(store, store, nil)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- stream.Run(ctx) }()
	go func() { done <- store.Run(ctx) }() // retention
	for _, thing := range []string{"lamp-7", "lamp-8", "lamp-7"} {
		if err := stream.Put(ctx, thing, time.Time{}, []byte(`{"on":true}`)); err != nil {
			log.Fatal(err)
		}
	}
	stop()
	fmt.Println(<-done, <-done)
	p := telemetry.Partition("lamp-7", 2)
	fmt.Println(store.Bounds(context.Background(), p))
	// Output:
	// <nil> <nil>
	// 0 2 <nil>
}
