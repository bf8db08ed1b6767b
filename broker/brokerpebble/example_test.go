package brokerpebble_test

import (
	"context"
	"fmt"
	"log"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/thingloom/thingloom/broker"
	"github.com/thingloom/thingloom/broker/brokerpebble"
)

func Example() {
	ctx := context.Background()
	db, err := pebble.Open("data", &pebble.Options{FS: vfs.NewMem()}) // a folder, without FS
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	store, err := brokerpebble.Open(ctx, db, "broker/", nil)
	if err != nil {
		log.Fatal(err)
	}
	// broker.New(store, ...) does from here on what this does by hand.
	first, err := store.Enqueue(ctx, []broker.Entry{
		{Message: broker.Message{Topic: "alarm", Payload: []byte("fire"), QoS: 1}, ClientIDs: []string{"phone", "siren"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, client := range []string{"phone", "siren"} {
		for q, err := range store.Queue(ctx, client, 0) {
			fmt.Println(client, q.Seq == first, string(q.Message.Payload), err)
		}
	}
	// Output:
	// phone true fire <nil>
	// siren true fire <nil>
}
