package fleetindex_test

import (
	"context"
	"fmt"
	"log"

	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/fleetindex"
)

func Example() {
	ctx := context.Background()
	ix, err := fleetindex.Open(ctx, registry.NewMemStore(), &fleetindex.Options{Config: fleetindex.Everything})
	if err != nil {
		log.Fatal(err)
	}
	for name, battery := range map[string]int{"lamp-1": 90, "lamp-2": 12, "lamp-3": 7} {
		if err := ix.PutThing(ctx, registry.Thing{Name: name, Attributes: map[string]string{"site": "berlin"}}); err != nil {
			log.Fatal(err)
		}
		if err := ix.PutShadow(ctx, name, "", fmt.Appendf(nil, `{"reported":{"battery":%d}}`, battery)); err != nil {
			log.Fatal(err)
		}
	}
	hits, next, err := ix.Search(ctx, `attributes.site:berlin AND shadow.reported.battery<20`, "", 1)
	fmt.Println(hits[0].Name, next, err)
	hits, next, err = ix.Search(ctx, `attributes.site:berlin AND shadow.reported.battery<20`, next, 1)
	fmt.Printf("%s %q %v\n", hits[0].Name, next, err)
	// Output:
	// lamp-2 lamp-2 <nil>
	// lamp-3 "" <nil>
}
