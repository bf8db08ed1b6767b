package shadow_test

import (
	"context"
	"fmt"
	"time"

	"github.com/thingloom/thingloom/shadow"
)

func Example() {
	ctx, lamp := context.Background(), shadow.Ref{Thing: "lamp-7"}
	svc, err := shadow.New(shadow.NewMemStore(), nil)
	if err != nil {
		panic(err)
	}
	svc.Observe(func(_ context.Context, c shadow.Change) {
		fmt.Printf("version %d, delta %s\n", c.After.Version, c.Delta)
	})
	svc.Update(ctx, lamp, []byte(`{"state":{"desired":{"on":true}}}`))
	svc.Update(ctx, lamp, []byte(`{"state":{"reported":{"on":true}}}`))
	// Output:
	// version 1, delta {"on":true}
	// version 2, delta
}

func ExampleMerge() {
	doc := shadow.Document{Desired: []byte(`{"on":true,"rgb":[1,2]}`), Version: 4}
	doc, err := shadow.Merge(doc, []byte(`{"state":{"desired":{"on":null,"speed":3}}}`), time.Unix(1700000000, 0))
	fmt.Println(string(doc.Desired), doc.Version, err)
	// Output: {"rgb":[1,2],"speed":3} 5 <nil>
}

func ExampleDelta() {
	delta, err := shadow.Delta([]byte(`{"on":true,"level":1.0,"rgb":[1,2,3]}`), []byte(`{"on":true,"level":1,"rgb":[1,2,4]}`))
	fmt.Println(string(delta), err)
	// Output: {"rgb":[1,2,3]} <nil>
}
